# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: append-only rows, each chained to the one before it by a keyed digest.

A row is written in the same transaction as what it tells. Whoever changes, removes or reorders a row without the
audit key breaks the chain at that row, and :func:`verify` names it. A row never holds a secret.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from autoprovd.store.schema import audit
from autoprovd.store.witness import Head

_FIRST = "0" * 64
_FIELDS = ("seq", "at", "event", "mac", "line", "secret_class", "audience", "generation", "actor", "detail")


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth remembering for good.

    ``name`` is one of: created, updated, removed, armed, released, repeated, refused, suspect, confirmed, revoked,
    sealed, settings, token, read.
    """

    name: str
    actor: str
    mac: str | None = None
    line: int | None = None
    secret_class: str | None = None
    audience: str | None = None
    generation: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the chain holds, and where it first does not."""

    ok: bool
    rows: int
    first_bad: dict[str, Any] | None
    reason: str


def append(connection: Connection, key: bytes, at: float, events: Sequence[Event]) -> None:
    """Append rows in the caller's transaction, which must hold the database's write lock."""
    if not events:
        return
    last = connection.execute(select(audit.c.seq, audit.c.link).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, link = (last.seq, last.link) if last else (0, _FIRST)
    rows = []
    for event in events:
        seq += 1
        row = {
            "seq": seq,
            "at": at,
            "event": event.name,
            "mac": event.mac,
            "line": event.line,
            "secret_class": event.secret_class,
            "audience": event.audience,
            "generation": event.generation,
            "actor": event.actor,
            "detail": json.dumps(event.detail, sort_keys=True) if event.detail else None,
        }
        link = _link(key, link, row)
        rows.append(row | {"link": link})
    connection.execute(insert(audit), rows)
    connection.info["audit_head"] = Head(seq, link)


def verify(connection: Connection, key: bytes) -> Verdict:
    """Walk the whole chain."""
    link, count, expected = _FIRST, 0, 1
    for row in connection.execute(select(audit).order_by(audit.c.seq)).yield_per(1000):
        count += 1
        values = {name: getattr(row, name) for name in _FIELDS}
        link = _link(key, link, values)
        if row.seq != expected:
            return Verdict(False, count, _shown(row), f"rows {expected} to {row.seq - 1} are missing before it")
        if not hmac.compare_digest(link, row.link):
            return Verdict(False, count, _shown(row), "it was changed, or the row before it was replaced")
        expected += 1
    return Verdict(True, count, None, "")


def page(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Rows behind ``after``, oldest first, as they are shown to a person."""
    rows = connection.execute(select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit))
    return [_shown(row) for row in rows]


def _link(key: bytes, previous: str, row: dict[str, Any]) -> str:
    text = json.dumps([previous, *(row[name] for name in _FIELDS)], separators=(",", ":"))
    return hmac.digest(key, text.encode(), "sha256").hex()


def _shown(row: Row[Any]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _FIELDS}
    return values | {"detail": json.loads(row.detail) if row.detail else {}}


def removed_generations(connection: Connection, macs: Iterable[str]) -> dict[str, int]:
    """The last generation of phones that were removed once, so that a returning phone starts behind it."""
    wanted = set(macs)
    rows = connection.execute(select(audit.c.mac, audit.c.generation).where(audit.c.event == "removed"))
    found: dict[str, int] = {}
    for row in rows:
        if row.mac in wanted:
            found[row.mac] = max(found.get(row.mac, 0), row.generation or 0)
    return found
