# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mirror holds, and how far its firmware is on its way to the phones."""

# Without postponed annotations: the framework reads them, and some are made where the call is declared.

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from autoprovd.tokens import Scope
from autoprovd.web.parts import Parts


class CatalogueFiles(BaseModel):
    """What the mirror holds."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[dict[str, Any]], Field(max_length=100_000)]
    dry_run: bool = False


class RolloutList(BaseModel):
    """The rollouts of the site."""

    model_config = ConfigDict(extra="forbid")

    rollouts: Annotated[list[dict[str, Any]], Field(max_length=1000)]
    purge: bool = False
    resume: list[str] = []
    """Rollouts that were paused, or stopped by themselves, and go on."""
    dry_run: bool = False


def add(api: APIRouter, parts: "Parts", needs: Callable[[Scope], Any]) -> None:
    """Add the calls to the API."""

    @api.get("/firmware/catalogue")
    def get_catalogue(_actor: Annotated[str, needs(Scope.FIRMWARE_READ)]) -> dict[str, Any]:
        return {"files": parts.rollouts.catalogue()}

    @api.put("/firmware/catalogue")
    def put_catalogue(body: CatalogueFiles, actor: Annotated[str, needs(Scope.FIRMWARE_WRITE)]) -> dict[str, Any]:
        changed, difference = parts.rollouts.tell_catalogue(body.files, body.dry_run, actor)
        return {"changed": changed, "diff": asdict(difference)}

    @api.get("/firmware/rollouts")
    def get_rollouts(_actor: Annotated[str, needs(Scope.FIRMWARE_READ)]) -> dict[str, Any]:
        return {"rollouts": parts.rollouts.status()}

    @api.put("/firmware/rollouts")
    def put_rollouts(body: RolloutList, actor: Annotated[str, needs(Scope.FIRMWARE_WRITE)]) -> dict[str, Any]:
        changed, difference = parts.rollouts.apply(body.rollouts, body.purge, body.dry_run, actor, body.resume)
        if changed and not body.dry_run:
            parts.rollouts.advance()
        return {"changed": changed, "diff": asdict(difference)}

    @api.post("/firmware/rollouts/{name}/pause")
    def pause(name: str, actor: Annotated[str, needs(Scope.FIRMWARE_WRITE)]) -> dict[str, Any]:
        return {"changed": parts.rollouts.pause(name, actor)}

    @api.post("/firmware/rollouts/{name}/resume")
    def resume(name: str, actor: Annotated[str, needs(Scope.FIRMWARE_WRITE)]) -> dict[str, Any]:
        changed = parts.rollouts.resume(name, actor)
        parts.rollouts.advance()
        return {"changed": changed}
