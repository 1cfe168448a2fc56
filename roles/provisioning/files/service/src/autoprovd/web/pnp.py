# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP for a person: where it is answered, and which phones asked that are none of this site's."""

# Without postponed annotations: the framework reads them.

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autoprovd.faults import Fault, Refused
from autoprovd.model import parse_mac
from autoprovd.pnp.service import PnpService
from autoprovd.tokens import Scope
from autoprovd.web.parts import Parts

_Mac = Annotated[str, AfterValidator(parse_mac)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Taking(_Body):
    """A phone that was found, to be added."""

    mac: _Mac
    vendor: Annotated[str, Field(max_length=40)] | None = None
    model: Annotated[str, Field(max_length=40)] | None = None
    name: Annotated[str, Field(max_length=120)] = ""


class Forgetting(_Body):
    """Phones that were found, to be forgotten until they ask again."""

    macs: Annotated[list[_Mac], Field(max_length=1000)] | None = None
    everything: bool = False


def add(api: APIRouter, parts: "Parts", needs: Callable[[Scope], Any]) -> None:
    """Add the calls to the API."""

    def service() -> PnpService:
        if parts.pnp is None:
            raise Refused("unavailable", "SIP PnP does not run here")
        return parts.pnp

    @api.get("/pnp")
    def get_pnp(actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        parts.release.tally.count("read", None, actor, "", "the phones found by SIP PnP")
        return service().status() | {"discovered": service().discovered.listed()}

    @api.post("/pnp/add")
    def take(body: Taking, actor: Annotated[str, needs(Scope.PHONES_WRITE)]) -> dict[str, Any]:
        found = {phone["mac"]: phone for phone in service().discovered.listed()}.get(body.mac)
        if found is None:
            raise Refused("not_found", f"no phone {body.mac} was found; list them with: autoprov pnp show")
        told = found["add_as"] or {}
        wanted = {"vendor": body.vendor or told.get("vendor"), "model": body.model or told.get("model")}
        lacking = [
            Fault(name, "the phone does not say it clearly", "name it") for name, value in wanted.items() if not value
        ]
        if lacking:
            raise Refused("invalid", f"what kind of phone {body.mac} is has to be named", lacking)
        phone = {"mac": body.mac, **wanted, "name": body.name}
        result = parts.site.apply_phones([phone], purge=False, dry_run=False, actor=actor)
        return {"changed": result.changed, **wanted}

    @api.post("/pnp/forget")
    def forget(body: Forgetting, _actor: Annotated[str, needs(Scope.PHONES_WRITE)]) -> dict[str, Any]:
        if (body.macs is None) is not body.everything:
            raise Refused("invalid", "name the phones to forget, or say everything, and not both")
        gone = service().discovered.forget(body.macs)
        return {"changed": bool(gone), "forgotten": gone}
