# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of the admin API: named, with scopes, kept as digests.

A token is long and random (at least 32 characters), so a plain SHA-256 of it cannot be turned back.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import delete, select

from autoprovd import audit
from autoprovd.audit import Event
from autoprovd.faults import Fault, invalid
from autoprovd.sealing import Keyring
from autoprovd.store import Store, insert_into
from autoprovd.store.schema import tokens


class Scope(StrEnum):
    """What a token may do."""

    PHONES_READ = "phones:read"
    PHONES_WRITE = "phones:write"
    GRANTS_WRITE = "grants:write"
    CLAIMS = "claims"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    TOKENS_WRITE = "tokens:write"
    FIRMWARE_READ = "firmware:read"
    FIRMWARE_WRITE = "firmware:write"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"


ALL_SCOPES = frozenset(Scope)


class Token(BaseModel):
    """A token as a person gives it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]
    token: Annotated[SecretStr, Field(min_length=32, max_length=200)]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]


class Tokens:
    """The tokens of this service."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    def check(self, token: str) -> tuple[str, frozenset[Scope]] | None:
        """The name and the scopes of a token, or None when there is no such token."""
        digest = _digest(token)
        found = None
        with self._store.read() as connection:
            for row in connection.execute(select(tokens)):
                if hmac.compare_digest(row.sha256, digest):
                    found = row
        return (found.name, frozenset(map(Scope, found.scopes.split()))) if found else None

    def listed(self) -> list[dict[str, Any]]:
        """All tokens, without what would let anyone use them."""
        with self._store.read() as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.name)).all()
        return [{"name": row.name, "scopes": row.scopes.split(), "created_at": row.created_at} for row in rows]

    def apply(self, wanted: Sequence[Token], purge: bool, dry_run: bool, actor: str) -> tuple[bool, list[str]]:
        """Make the tokens those of the list; whether anything changed, and the names touched."""
        names = [token.name for token in wanted]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise invalid(
                [Fault("tokens", f"the name {name} stands in the list twice") for name in twice], "the token list"
            )
        with self._store.write() as connection:
            held = {row.name: row for row in connection.execute(select(tokens))}
            moment = self._store.moment(connection)
            rows = []
            for token in wanted:
                row = {
                    "name": token.name,
                    "sha256": _digest(token.token.get_secret_value()),
                    "scopes": " ".join(sorted(token.scopes)),
                }
                old = held.get(token.name)
                if old is None or (old.sha256, old.scopes) != (row["sha256"], row["scopes"]):
                    rows.append(row | {"created_at": moment.wall})
            gone = [name for name in held if name not in names] if purge else []
            touched = sorted([row["name"] for row in rows] + gone)
            if touched and not dry_run:
                if rows:
                    statement = insert_into(connection, tokens)
                    new = statement.excluded
                    values = {"sha256": new.sha256, "scopes": new.scopes, "created_at": new.created_at}
                    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values), rows)
                connection.execute(delete(tokens).where(tokens.c.name.in_(gone)))
                event = Event("token", actor, detail={"names": touched})
                audit.append(connection, self._keyring.audit_key, moment.wall, [event])
        return bool(touched), touched


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
