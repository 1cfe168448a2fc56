# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who guesses, and who is banned for it: to look at, and to lift."""

# Without postponed annotations: the framework reads them.

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from autoprovd import audit
from autoprovd.audit import Event
from autoprovd.faults import Refused
from autoprovd.tokens import Scope
from autoprovd.web.parts import Parts


class Lift(BaseModel):
    """The ban to lift."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    source: Annotated[str, Field(max_length=60)] | None = None
    everything: bool = False


def add(api: APIRouter, parts: "Parts", needs: Callable[[Scope], Any]) -> None:
    """Add the calls to the API."""

    @api.get("/bans")
    def get_bans(actor: Annotated[str, needs(Scope.AUDIT_READ)]) -> dict[str, Any]:
        parts.release.tally.count("read", None, actor, "", "the bans")
        return parts.bans.listed()

    @api.post("/bans/lift")
    def lift(body: Lift, actor: Annotated[str, needs(Scope.SETTINGS_WRITE)]) -> dict[str, Any]:
        if (body.source is None) is not body.everything:
            raise Refused("invalid", "name the source of one ban, or say everything, and not both")
        lifted = parts.bans.lift(body.source)
        if lifted:
            with parts.store.write() as connection:
                moment = parts.store.moment(connection)
                event = Event("lifted", actor, detail={"what": "bans", "from": lifted[:20], "times": len(lifted)})
                audit.append(connection, parts.keyring.audit_key, moment.wall, [event])
        return {"changed": bool(lifted), "lifted": lifted}
