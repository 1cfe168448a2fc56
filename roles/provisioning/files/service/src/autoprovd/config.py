# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file of the service: where it listens, where its database and its keys are."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from autoprovd.faults import Fault, Refused
from autoprovd.model import faults_of

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Address(NamedTuple):
    """An address to listen on."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """``host:port``; an IPv6 host stands in brackets."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdecimal()) or not 0 <= int(port) < 65536:
        raise ValueError(f"{text!r} is not an address with a port, such as 0.0.0.0:50080 or [::]:50080")
    return Address(host.strip("[]"), int(port))


def _listen(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        parse_address(address)
    return addresses


def _networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for text in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a network such as 198.18.5.0/24, nor an address") from None
    return networks


Addresses = Annotated[tuple[str, ...], AfterValidator(_listen)]
Interface = Annotated[str, Field(pattern=r"^[^\s/:]{1,15}$")]
Networks = Annotated[tuple[str, ...], AfterValidator(_networks)]


class Database(BaseModel):
    """Where the database is, and how far it is trusted."""

    model_config = _STRICT
    url: str = "sqlite:////var/lib/autoprov/autoprov.sqlite"
    """``sqlite:///<path>``, or ``postgresql://<user>@<host>,<host>/<database>``."""
    witness_file: Path | None = None
    """By which a restored database is known. Beside SQLite's file unless given, else ``/var/lib/autoprov/witness``."""
    require_synchronous_standby: bool = True
    """With several nodes, write only while PostgreSQL has a synchronous standby."""
    trust_failover: bool = False
    """After a failover, leave grants as the promoted PostgreSQL has them, instead of sealing those that wait."""

    @property
    def witness(self) -> Path:
        """The witness file to use."""
        if self.witness_file is not None:
            return self.witness_file
        sqlite = self.url.startswith("sqlite:///")
        return Path(f"{self.url.removeprefix('sqlite:///')}.witness" if sqlite else "/var/lib/autoprov/witness")


class Keys(BaseModel):
    """Where the sealing key is, when systemd does not hand it over."""

    model_config = _STRICT
    sealing_key_file: Path = Path("/etc/autoprov/sealing.key")


class Listen(BaseModel):
    """Where the service listens; an empty list closes a door."""

    model_config = _STRICT
    phones_http: Addresses = ("0.0.0.0:50080",)
    phones_https: Addresses = ()
    phones_mutual_tls: Addresses = ()
    """HTTPS for phones that show their factory certificate; a phone without one cannot connect there."""
    admin_https: Addresses = ()
    admin_socket: Path | None = Path("/run/autoprov/admin.sock")


class Tls(BaseModel):
    """The certificate of the HTTPS doors."""

    model_config = _STRICT
    certificate_file: Path = Path("/etc/autoprov/tls/server.crt")
    key_file: Path = Path("/etc/autoprov/tls/server.key")
    client_ca_file: Path | None = None
    """The authorities that sign phones' factory certificates (PEM), as the vendors publish them."""


class LeaseFile(BaseModel):
    """Where a DHCP server on this host writes its leases."""

    model_config = _STRICT
    kind: Literal["kea", "dnsmasq", "dhcpd"]
    path: Path


class Identity(BaseModel):
    """What else is believed about who is asking."""

    model_config = _STRICT
    lease_files: tuple[LeaseFile, ...] = ()


class Firmware(BaseModel):
    """The mirror that is served to phones at ``/firmware/``."""

    model_config = _STRICT
    folder: Path | None = None
    """The files of the release that is served, such as ``/var/lib/autoprov-firmware/current/files``."""
    downloads_at_a_time: Annotated[int, Field(ge=1, le=100)] = 20
    """More than these wait for their turn."""


class Limits(BaseModel):
    """How often a source may ask for what is not here, before it is banned; a source is an IPv6 /64."""

    model_config = _STRICT
    guesses: Annotated[int, Field(ge=0, le=1000)] = 30
    """MAC addresses and files no phone here has, of one source; 0 bans nobody."""
    forget_seconds: Annotated[float, Field(ge=1, le=30 * 86400)] = 3600
    """Within which as many are forgotten again, drop by drop."""
    first_ban_seconds: Annotated[float, Field(ge=1, le=30 * 86400)] = 300
    """Each further ban lasts twice as long as the one before."""
    longest_ban_seconds: Annotated[float, Field(ge=1, le=30 * 86400)] = 86400
    """And so long without a ban makes the next one the first again."""
    allow: Networks = ()
    """Who is never banned."""
    state_file: Path | None = None
    """Where bans outlive the service; beside the witness unless given."""
    kernel_file: Path | None = None
    """Where bans are written for ``autoprovd.ban_set``, which hands them to the kernel; not written unless given."""

    @model_validator(mode="after")
    def _grows(self) -> Limits:
        if self.first_ban_seconds > self.longest_ban_seconds:
            raise ValueError("first_ban_seconds is more than longest_ban_seconds; a ban grows")
        return self


class Pnp(BaseModel):
    """SIP PnP: phones that ask the multicast group 224.0.1.75 where their configuration is."""

    model_config = _STRICT
    interfaces: Annotated[tuple[Interface, ...], Field(max_length=100)] = ()
    """On which it is answered; they may come and go. None: nobody is answered."""
    accept_unknown: Literal["no", "record", "create"] = "no"
    """What becomes of a phone this site does not have: nothing; it is listed; it is added, without account, unarmed."""
    share_port: bool = False
    """Let another program hold port 5060 of all addresses, if it lets others do so as well (SO_REUSEADDR)."""
    per_source_rate: Annotated[float, Field(ge=0.1, le=100_000)] = 2
    """Datagrams a second of one source that are looked at, once ``per_source_burst`` are used up."""
    per_source_burst: Annotated[float, Field(ge=1, le=100_000)] = 20
    rate: Annotated[float, Field(ge=1, le=100_000)] = 10_000
    """Datagrams a second of all sources."""


class Log(BaseModel):
    """How much is logged."""

    model_config = _STRICT
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(BaseModel):
    """The whole file."""

    model_config = _STRICT
    database: Database = Database()
    keys: Keys = Keys()
    listen: Listen = Listen()
    tls: Tls = Tls()
    identity: Identity = Identity()
    firmware: Firmware = Firmware()
    limits: Limits = Limits()
    pnp: Pnp = Pnp()
    log: Log = Log()

    @model_validator(mode="after")
    def _knows_whose_certificates(self) -> Config:
        if self.listen.phones_mutual_tls and self.tls.client_ca_file is None:
            raise ValueError(
                "listen.phones_mutual_tls asks phones for certificates; name those who sign them in tls.client_ca_file"
            )
        return self


def load(file: Path) -> Config:
    """Read the file, or ``Refused`` with all its faults."""
    try:
        return Config.model_validate(tomllib.loads(file.read_text("utf-8")))
    except ValidationError as error:
        raise Refused("invalid", f"{file} has faults", list(faults_of(error))) from None
    except tomllib.TOMLDecodeError as error:
        raise Refused("invalid", f"{file} is not TOML", [Fault("", str(error))]) from None
    except OSError as error:
        raise Refused("unavailable", f"cannot read {file}: {error.strerror}") from None
