# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an auditor asks: the log by pages, its head, whether it holds, and what each sealing key still seals."""

# Without postponed annotations: the framework reads them, and some are made where the call is declared.

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from autoprovd import audit
from autoprovd.audit import ExportCheck
from autoprovd.store.witness import Head
from autoprovd.tokens import Scope
from autoprovd.web.parts import Parts


def add(api: APIRouter, parts: "Parts", needs: Callable[[Scope], Any]) -> None:
    """Add the calls to the API."""

    @api.get("/audit")
    def get_audit(
        actor: Annotated[str, needs(Scope.AUDIT_READ)],
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> dict[str, Any]:
        with parts.store.read() as connection:
            rows = audit.page(connection, after, limit)
        parts.release.tally.count("read", None, actor, "", "the audit log")
        return {"rows": rows}

    @api.get("/audit/head")
    def get_head(_actor: Annotated[str, needs(Scope.AUDIT_READ)]) -> dict[str, Any]:
        with parts.store.read() as connection:
            return {"head": str(audit.head(connection))}

    @api.get("/audit/verify")
    def verify_audit(
        _actor: Annotated[str, needs(Scope.AUDIT_READ)], head: Annotated[str | None, Query()] = None
    ) -> dict[str, Any]:
        with parts.store.read() as connection:
            return asdict(audit.verify(connection, parts.keyring.audit_key, _head(head)))

    # The chain is keyed, so only the service can check it; the key is not given away for it.
    @api.post("/audit/verify")
    async def verify_export(
        request: Request,
        _actor: Annotated[str, needs(Scope.AUDIT_READ)],
        after: Annotated[str | None, Query()] = None,
        head: Annotated[str | None, Query()] = None,
    ) -> dict[str, Any]:
        check = ExportCheck(parts.keyring.audit_key, _head(after), _head(head), row)
        async for piece in request.stream():
            await run_in_threadpool(check.feed, piece)
        return asdict(await run_in_threadpool(check.end))

    def row(seq: int) -> Head | None:
        with parts.store.read() as connection:
            return audit.link_of(connection, seq)

    @api.get("/keys")
    def get_keys(_actor: Annotated[str, needs(Scope.AUDIT_READ)]) -> dict[str, Any]:
        return {
            "keys": [asdict(key) | {"seals": key.seals} for key in parts.keys.status()],
            "from_service_manager": parts.keys.from_service_manager,
        }


def _head(text: str | None) -> Head | None:
    return None if text is None else audit.parse_head(text)
