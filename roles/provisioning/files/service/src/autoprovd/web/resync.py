# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones are told to fetch their files now."""

# Without postponed annotations: the framework reads them.

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from autoprovd.model import Mac
from autoprovd.sip.client import PORTS, Peer
from autoprovd.sip.resync import Pbx, Terms, Wanted, authorities
from autoprovd.tokens import Scope
from autoprovd.web.parts import Parts


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


_Address = Annotated[str, Field(max_length=60), AfterValidator(_address)]
_Port = Annotated[int, Field(ge=1, le=65535)]
_Transport = Literal["udp", "tcp", "tls"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class PhoneToTell(_Body):
    """A phone, and where it is when the service does not know."""

    mac: Mac
    address: _Address | None = None


class Via(_Body):
    """The PBX that passes it on."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
    port: _Port | None = None
    transport: _Transport = "udp"
    user: Annotated[str, Field(pattern=r'^[^\s"\\<>;@]{0,100}$')] = ""
    password: Annotated[SecretStr, Field(max_length=200)] = SecretStr("")
    authorities: Annotated[str, Field(max_length=1_000_000)] | None = None
    """Certificates in PEM, for TLS; those of the system when not given."""


class Resynchronisation(_Body):
    """Phones that are to fetch their files."""

    phones: Annotated[list[PhoneToTell], Field(min_length=1, max_length=1000)]
    reboot: bool = False
    transport: _Transport = "udp"
    port: _Port | None = None
    via: Via | None = None
    timeout: Annotated[float, Field(ge=0.1, le=32)] = 4.0
    """Seconds for each phone."""
    dry_run: bool = False


def add(api: APIRouter, parts: Parts, needs: Callable[[Scope], Any]) -> None:
    """Add the call to the API."""

    @api.post("/resync")
    async def resync(body: Resynchronisation, actor: Annotated[str, needs(Scope.GRANTS_WRITE)]) -> dict[str, Any]:
        via = None
        if body.via is not None:
            tls = authorities(body.via.authorities) if body.via.transport == "tls" else None
            port = body.via.port or PORTS[body.via.transport]
            peer = Peer(body.via.host, port, body.via.transport, tls)
            via = Pbx(peer, body.via.user, body.via.password.get_secret_value())
        terms = Terms(body.reboot, body.transport, body.port, via, body.timeout)
        wanted = [Wanted(phone.mac, phone.address) for phone in body.phones]
        told_at = parts.resync.now()
        results = await parts.resync.tell(wanted, terms, body.dry_run, actor)
        changed = any(result["state"] in ("planned", "accepted") for result in results)
        return {"changed": changed, "told_at": told_at, "phones": results}
