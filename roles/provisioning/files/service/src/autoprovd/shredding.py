# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying sealed secrets that were released for good: what is not there cannot be stolen, not even with the key.

Only where the terms of a grant say so, and never of a class that the service must go on checking against.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    create_engine,
    exists,
    make_url,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from autoprovd.audit import Event
from autoprovd.faults import Refused
from autoprovd.grants import Grant
from autoprovd.model import SecretClass
from autoprovd.policy import Mode
from autoprovd.store.schema import grants, secrets

_KEPT = frozenset({SecretClass.PROVISIONING})
"""The service compares phones' answers with these."""
_ACTOR = "autoprovd"
_BUSY_SECONDS = 5.0
"""How long a clean-up waits for readers of the write-ahead log; it is tried again later."""


class Shreddable(NamedTuple):
    """A secret that is there still and is to be destroyed."""

    mac: str
    line: int
    secret_class: str


def shreddable(connection: Connection, macs: Collection[str] | None = None) -> set[Shreddable]:
    """The secrets, of these phones or of all, that were released on terms that want them destroyed."""
    query = (
        select(secrets.c.mac, secrets.c.line, secrets.c.secret_class)
        .distinct()
        .join(grants, _of(grants))
        .where(grants.c.shred, grants.c.releases > 0)
        .where(or_(secrets.c.origin == "given", not_(exists(_REPLACED))))
        .where(secrets.c.key_id != "", secrets.c.secret_class.not_in(_KEPT))
    )
    if macs is not None:
        query = query.where(secrets.c.mac.in_(list(macs)))
    return {Shreddable(*row) for row in connection.execute(query)}


def spent(wanted: Collection[Shreddable], held: Mapping[str, Sequence[Grant]]) -> list[Shreddable]:
    """Those of them that nobody can be given any more, by the grants of their phones as they stand now."""
    found = []
    for secret in sorted(wanted):
        of_it = [grant for grant in held.get(secret.mac, ()) if grant.key[:3] == secret]
        if not any(_may_be_needed(grant) for grant in of_it):
            found.append(secret)
    return found


def destroy(connection: Connection, these: Sequence[Shreddable]) -> list[Event]:
    """Overwrite sealed secrets; the events to record in the same transaction."""
    if these:
        values = [{f"key_{name}": value for name, value in secret._asdict().items()} for secret in these]
        connection.execute(_DESTROY, values)
    return [Event("shredded", _ACTOR, *secret) for secret in these]


def _may_be_needed(grant: Grant) -> bool:
    if grant.state == "open":
        return grant.mode is not Mode.ONCE
    # What nobody asked for in time, nobody confirmed, or a failover sealed, is armed again as it is.
    return grant.state in ("armed", "lent", "expired", "sealed")


def scrub(url: str) -> bool:
    """Take what was destroyed out of the database's files, too; False when it has to be tried again. Blocks.

    SQLite overwrites freed space (``secure_delete``), but the write-ahead log keeps earlier pages until it is cut.
    PostgreSQL keeps earlier row versions until a vacuum, and their bytes until the space is used again.
    """
    target = make_url(url)
    if target.get_backend_name() == "sqlite":
        if target.database is None:
            return True
        connection = sqlite3.connect(target.database, timeout=_BUSY_SECONDS)
        try:
            (busy, *_pages) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise Refused("unavailable", "the write-ahead log of the database was not cut") from error
        finally:
            connection.close()
        return not busy
    engine = create_engine(
        target.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", hide_parameters=True
    )
    try:
        with engine.connect() as vacuum:
            vacuum.exec_driver_sql("VACUUM secrets")
    except SQLAlchemyError as error:
        raise Refused("unavailable", "the table of secrets was not vacuumed") from error
    finally:
        engine.dispose()
    return True


def _of(table: Any) -> ColumnElement[bool]:
    return and_(*(table.c[name] == secrets.c[name] for name in Shreddable._fields))


_STOLEN = grants.alias("stolen")
# After a theft a generated secret may have been replaced, and the phone did not get the new one yet.
_REPLACED = (
    select(_STOLEN.c.mac)
    .where(_of(_STOLEN), _STOLEN.c.on_theft == "rekey", _STOLEN.c.state.in_(("suspect", "revoked")))
    .correlate(secrets)
)

_DESTROY = (
    update(secrets)
    .where(*(secrets.c[name] == bindparam(f"key_{name}") for name in Shreddable._fields))
    .values(box=b"", key_id="")
)
