# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite: one file, one process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import QueuePool

from autoprovd.clock import Clock
from autoprovd.store.arrival import Arrival
from autoprovd.store.prepared import driver
from autoprovd.store.witness import START, Head

_ARRIVE = """
SELECT (SELECT CAST(value AS REAL) FROM facts WHERE name = 'high_water'), last.seq, last.link, last.at
FROM (SELECT 1) LEFT JOIN (SELECT seq, link, at FROM audit ORDER BY seq DESC LIMIT 1) AS last
"""

_WAY_OUT = {
    "readonly": "the database cannot be written: its file or folder is read-only for this service",
    "disk is full": "the database cannot be written: the disk is full; free some space",
    "disk i/o": "the database cannot be written: the disk reports an error, or is full",
    "unable to open": "the database cannot be opened: check that its folder exists and belongs to the service",
    "locked": "the database is busy with another writer; try again",
    "malformed": "the database file is damaged; restore it from a backup",
    "not a database": "the database file is not an SQLite database; restore it from a backup",
}


class Sqlite:
    """The embedded default."""

    shared = False
    default_clock = Clock
    errors = (DatabaseError, sqlite3.Error)
    conflicts = (IntegrityError, sqlite3.IntegrityError)

    def __init__(self, url: str) -> None:
        self.writer = _engine(url, "BEGIN IMMEDIATE", connections=1)
        self.reader = _engine(url, "BEGIN", connections=8)

    def explain(self, error: Exception) -> str:
        """What went wrong, as a sentence with the way out; the driver's text may hold values."""
        told = str(getattr(error, "orig", error)).lower()
        return next((text for part, text in _WAY_OUT.items() if part in told), "the database refused the transaction")

    def arrive(self, connection: Connection, _clock: Clock) -> Arrival:
        """The high water and the last audit row. Who the database is cannot be told: a copy of the file has it all."""
        tick, seq, link, at = driver(connection).execute(_ARRIVE).fetchone()
        return Arrival(None, None, max(tick or 0.0, at or 0.0), START if seq is None else Head(seq, link))

    @contextmanager
    def committing(self, _connection: Connection) -> Iterator[None]:
        """Around a commit: one that returns is durable, with synchronous=FULL."""
        yield

    def hindrance(self) -> str | None:
        """Why nothing may be written now; a file has no reason that a write would not meet itself."""
        return None

    def attend(self) -> None:
        """There is nobody else to see."""

    def close(self) -> None:
        """Let go of the file."""
        self.writer.dispose()
        self.reader.dispose()


def _engine(url: str, begin: str, connections: int) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, hide_parameters=True, pool_size=connections, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, by name
        for pragma in (
            "busy_timeout = 5000",
            "journal_mode = WAL",
            # With less than FULL, a loss of power could take back a committed claim, and the secret would go out twice.
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver(connection).execute(begin)

    return engine
