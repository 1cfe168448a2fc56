# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the service: phones, their accounts and keys, the settings of a site. Validated once, at the door.

A value that has passed this module is safe to write into any configuration file: it holds no control character, so no
label and no password can start a new line; escaping for XML is the renderer's part.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from autoprovd.faults import Fault

PHONE_LINE = 0
"""The line number of secrets that belong to the phone as a whole, not to one SIP account."""


class SecretClass(StrEnum):
    """What a secret opens."""

    SIP = "sip"
    MENU = "menu"
    WEB = "web"
    PROVISIONING = "provisioning"


class Audience(StrEnum):
    """Who may claim: the phone itself, or the Ansible run that tells the PBX a generated password."""

    PHONE = "phone"
    CONTROLLER = "controller"


class SecretKey(NamedTuple):
    """Which secret of a phone: ``line`` is 1.. for an account, 0 for the phone as a whole."""

    line: int
    secret_class: SecretClass


_MAC_SPELLING = re.compile(r"[0-9a-f]{2}(?:([:-]?)[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}")
# What no configuration format can carry, and what could end a line in one: C0, DEL and C1 controls, the Unicode line
# and paragraph separators, surrogates and the two non-characters XML forbids.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def parse_mac(text: object) -> str:
    """A MAC address in any usual spelling as 12 lower-case hexadecimal digits.

    Raises ``ValueError`` with a sentence that says what is wrong and how it is written.
    """
    if not isinstance(text, str):
        raise ValueError("a MAC address is text; put it in quotes, or YAML may read it as a number")
    spelled = text.strip().lower()
    if not _MAC_SPELLING.fullmatch(spelled):
        raise ValueError(f"{text!r} is not a MAC address; write 12 hexadecimal digits, such as 00:04:13:92:2D:24")
    digits = re.sub("[^0-9a-f]", "", spelled)
    if int(digits[1], 16) & 1 or digits == "0" * 12:
        raise ValueError(f"{text!r} is a group address or empty, not the address of a phone; read it off the label")
    return digits


def _writable(text: str) -> str:
    found = _UNWRITABLE.search(text)
    if found:
        raise ValueError(f"holds the character U+{ord(found.group()):04X}, which no configuration file can carry")
    return text


def _writable_secret(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value:
        raise ValueError("is empty; leave it out and one is generated")
    if _UNWRITABLE.search(value):
        raise ValueError("holds a control character, which no configuration file can carry")
    if value != value.strip():
        raise ValueError("starts or ends with a space, which phones cut off")
    return secret


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]+\]?", text):
        raise ValueError(f"{text!r} is not a host name or an IP address")
    return text.strip("[]")


def _host_port(text: str) -> str:
    host, separator, port = text.rpartition(":") if not text.endswith("]") and text.count(":") == 1 else (text, "", "")
    if separator and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} does not end in a port from 1 to 65535")
    _host(host)
    return text


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", text):
        raise ValueError(f"{text!r} is not an http or https address")
    if parts.username or parts.password:
        raise ValueError("holds a user name or password; an address must not carry credentials")
    return text


def _time_zone(text: str) -> str:
    if text not in _TIME_ZONES:
        raise ValueError(f"{text!r} is not a time zone; write its IANA name, such as Europe/Berlin")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        around = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write it with its prefix, such as 192.0.2.0/24") from None
    raise ValueError(f"{text!r} is an address inside a network; for the network, write {around}")


def _as_text(value: object) -> object:
    # YAML reads a bare 1001 as a number; a telephone number is meant.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_TIME_ZONES = available_timezones()

Mac = Annotated[str, BeforeValidator(parse_mac)]
Text = Annotated[str, Field(max_length=128), AfterValidator(_writable)]
LongText = Annotated[str, Field(max_length=1024), AfterValidator(_writable)]
Number = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=128), AfterValidator(_writable)]
UserName = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.!~*'()&=+$,;?/%#-]+$"),
]
Host = Annotated[str, AfterValidator(_host)]
HostPort = Annotated[str, AfterValidator(_host_port)]
HttpUrl = Annotated[str, Field(max_length=512), AfterValidator(_writable), AfterValidator(_http_url)]
Password = Annotated[SecretStr, BeforeValidator(_as_text), Field(max_length=128), AfterValidator(_writable_secret)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
Country = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Port = Annotated[int, Field(ge=1, le=65535)]
Network = Annotated[str, AfterValidator(_network)]
WindowSeconds = Annotated[int, Field(ge=10, le=86400 * 30)]

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=False)


class Account(BaseModel):
    """A SIP line on a phone."""

    model_config = _STRICT

    line: Annotated[int, Field(ge=1, le=99)]
    user: UserName
    auth_user: UserName | None = None
    display_name: Text = ""
    registrar: Host
    port: Port | None = None
    transport: Literal["udp", "tcp", "tls"] = "udp"
    srtp: Literal["off", "optional", "mandatory"] = "off"
    outbound_proxy: HostPort | None = None
    expires: Annotated[int, Field(ge=30, le=86400)] = 3600
    """Registration interval in seconds."""
    mailbox: Number | None = None
    password: Password | None = None

    @property
    def authentication_user(self) -> str:
        """The name the phone answers the registrar's challenge with."""
        return self.auth_user or self.user

    @property
    def registrar_port(self) -> int:
        """The registrar's port: as given, else the transport's own (5060, or 5061 for TLS)."""
        return self.port or (5061 if self.transport == "tls" else 5060)


class KeyType(StrEnum):
    """What a function key does; each vendor's room says how its phones call it."""

    NONE = "none"
    LINE = "line"
    BLF = "blf"
    SPEED_DIAL = "speed_dial"
    URL = "url"
    DTMF = "dtmf"
    DND = "dnd"
    FORWARD = "forward"
    TRANSFER = "transfer"
    HOLD = "hold"
    CONFERENCE = "conference"
    VOICEMAIL = "voicemail"
    INTERCOM = "intercom"
    PARK = "park"
    PICKUP = "pickup"
    RECORD = "record"
    REDIAL = "redial"
    DIRECTORY = "directory"
    MULTICAST_PAGING = "multicast_paging"


_VALUE_NEEDED = {KeyType.BLF, KeyType.SPEED_DIAL, KeyType.URL, KeyType.DTMF, KeyType.INTERCOM, KeyType.PARK}


class Key(BaseModel):
    """A function key; ``module`` 0 is the phone itself, 1.. an expansion module."""

    model_config = _STRICT

    key: Annotated[int, Field(ge=1, le=400)]
    module: Annotated[int, Field(ge=0, le=9)] = 0
    type: KeyType
    value: Annotated[str, BeforeValidator(_as_text), Field(max_length=256), AfterValidator(_writable)] = ""
    label: Text = ""
    account: Annotated[int, Field(ge=1, le=99)] = 1

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Key:
        if self.type in _VALUE_NEEDED and not self.value:
            raise ValueError(f"a key of type {self.type.value} needs a value")
        return self


class PhoneRule(BaseModel):
    """A rule of release: which secrets it is for, and what it sets for them. What is left out stays as it was.

    Whether rules fit each other and the phones they are for is :mod:`autoprovd.rules`' business.
    """

    model_config = _STRICT

    secret_class: SecretClass | None = None
    """None: every secret."""
    audience: Audience | None = None
    """None: the phone."""
    mode: Literal["once", "window", "always"] | None = None
    window_seconds: WindowSeconds | None = None
    window_starts: Literal["arming", "first_request"] | None = None
    proof: Literal["address", "network", "neighbour", "label", "credentials", "certificate"] | None = None
    """The weakest proof of identity that is enough; ``network`` is an address inside ``networks``."""
    networks: Annotated[tuple[Network, ...], Field(max_length=100)] | None = None
    """Where the claimant's address must be, whatever else it proves; empty: anywhere."""
    strict: bool | None = None
    """Another word for ``mode``: true is once, false takes a once back to window."""
    on_theft: Literal["report", "revoke", "rekey"] | None = None
    shred: bool | None = None

    @model_serializer(mode="wrap")
    def _what_is_said(self, spell: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in spell(self).items() if value is not None}


class SiteRule(PhoneRule):
    """A rule of release for all phones of the site, or for those of a vendor, or of one model."""

    vendor: Literal["snom", "yealink", "gigaset"] | None = None
    model: Annotated[str, Field(min_length=1, max_length=40)] | None = None


class Phone(BaseModel):
    """A telephone by its MAC address, with everything a person says about it."""

    model_config = _STRICT

    mac: Mac
    vendor: Literal["snom", "yealink", "gigaset"]
    model: Annotated[str, Field(min_length=1, max_length=40)]
    name: Text = ""
    address: ipaddress.IPv4Address | None = None
    """Its fixed address. The DHCP server's business; it stands here so that a site has one list."""
    gigaset_id: Annotated[SecretStr, Field(max_length=4)] | None = None
    language: Language | None = None
    tone: Country | None = None
    time_zone: TimeZone | None = None
    ntp_server: Host | None = None
    firmware_url: HttpUrl | None = None
    web_user: UserName = "admin"
    web_password: Password | None = None
    menu_password: Password | None = None
    provisioning_password: Password | None = None
    accounts: tuple[Account, ...] = Field(default=(), max_length=99)
    keys: tuple[Key, ...] = Field(default=(), max_length=1000)
    release: tuple[PhoneRule, ...] = Field(default=(), max_length=20)
    """Rules of its own, applied after those of the site."""

    @field_validator("gigaset_id")
    @classmethod
    def _label_id(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch("[A-Z0-9]{4}", value.get_secret_value()):
            raise ValueError("is not the ID of a Gigaset label: 4 capital letters or digits behind the MAC address")
        return value

    def given_secrets(self) -> dict[SecretKey, str]:
        """The passwords a person brought with this definition."""
        given = {
            SecretKey(PHONE_LINE, SecretClass.WEB): self.web_password,
            SecretKey(PHONE_LINE, SecretClass.MENU): self.menu_password,
            SecretKey(PHONE_LINE, SecretClass.PROVISIONING): self.provisioning_password,
        } | {SecretKey(account.line, SecretClass.SIP): account.password for account in self.accounts}
        return {key: secret.get_secret_value() for key, secret in given.items() if secret is not None}

    def secret_keys(self) -> tuple[SecretKey, ...]:
        """Every secret such a phone has, whether brought or to be generated."""
        own = (SecretClass.WEB, SecretClass.MENU, SecretClass.PROVISIONING)
        return (
            *(SecretKey(account.line, SecretClass.SIP) for account in self.accounts),
            *(SecretKey(PHONE_LINE, secret_class) for secret_class in own),
        )

    def public(self) -> dict[str, Any]:
        """The definition as plain data, without any secret and without what was left at its default."""
        return self.model_dump(mode="json", exclude=_SECRET_FIELDS, exclude_defaults=True)


_SECRET_FIELDS: Any = {
    "gigaset_id": True,
    "web_password": True,
    "menu_password": True,
    "provisioning_password": True,
    "accounts": {"__all__": {"password"}},
}


class ReleaseSettings(BaseModel):
    """How long and how strictly passwords are released at this site."""

    model_config = _STRICT

    window_seconds: WindowSeconds = 600
    window_starts: Literal["arming", "first_request"] = "arming"
    """For SIP and menu passwords; the others wait for the first request unless a rule says otherwise."""
    strict: bool = False
    """Answer each grant exactly once, even to the same phone inside the window."""
    rules: tuple[SiteRule, ...] = Field(default=(), max_length=100)
    """Finer terms, applied in their order after the three above: the last rule that sets a field wins."""


class Settings(BaseModel):
    """The settings of a site: what phones are told unless their own definition says otherwise."""

    model_config = _STRICT

    public_host: Host = "localhost"
    """The name or address under which phones reach this service."""
    http_port: Port = 50080
    https_port: Port = 50081
    scheme: Literal["http", "https"] = "http"
    """What the addresses in delivered configurations use. ``https`` needs a certificate that the phones trust."""
    language: Language = "en"
    tone: Country = "de"
    time_zone: TimeZone = "Europe/Berlin"
    ntp_server: Host | None = None
    refresh_minutes: Annotated[int, Field(ge=5, le=43200)] = 1440
    release: ReleaseSettings = ReleaseSettings()

    def folder_url(self, protected: bool = False) -> str:
        """The address of the folder phones ask; the protected one wants their provisioning credentials."""
        port = self.https_port if self.scheme == "https" else self.http_port
        host = f"[{self.public_host}]" if ":" in self.public_host else self.public_host
        return f"{self.scheme}://{host}:{port}/{'a/' if protected else ''}"


def _spell_location(location: Sequence[int | str]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")


def faults_of(error: ValidationError) -> Iterator[Fault]:
    """The faults of a failed validation, in the order of the input; values are not quoted unless harmless."""
    for item in error.errors(include_url=False, include_input=False):
        # The branch of a union is pydantic's business, not the reader's.
        location = [step for step in item["loc"] if not (isinstance(step, str) and step.startswith("function-"))]
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "is not a known field"
        elif item["type"] == "missing":
            message = "is missing"
        yield Fault(_spell_location(location), message[:1].lower() + message[1:])


def parse_settings(current: Settings, change: Mapping[str, Any]) -> tuple[Settings | None, list[Fault]]:
    """The settings after a partial change, or all faults of the change."""
    merged = current.model_dump()
    for name, value in change.items():
        if name == "release" and isinstance(value, Mapping):
            merged[name] = merged[name] | dict(value)
        else:
            merged[name] = value
    try:
        return Settings.model_validate(merged), []
    except ValidationError as error:
        return None, list(faults_of(error))
