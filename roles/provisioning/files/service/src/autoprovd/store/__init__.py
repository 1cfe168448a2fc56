# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: SQLite by default, one writer at a time.

``read()`` and ``write()`` give a connection inside a transaction. A write is durable when its block has ended without
an error; an error inside the block, or at its commit, means that nothing was written.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, Float, cast, create_engine, event, func, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import QueuePool

from autoprovd.clock import Clock, Moment
from autoprovd.faults import Refused
from autoprovd.store.schema import facts

_WAY_OUT = {
    "readonly": "the database cannot be written: its file or folder is read-only for this service",
    "disk is full": "the database cannot be written: the disk is full; free some space",
    "disk i/o": "the database cannot be written: the disk reports an error, or is full",
    "unable to open": "the database cannot be opened: check that its folder exists and belongs to the service",
    "locked": "the database is busy with another writer; try again",
    "malformed": "the database file is damaged; restore it from a backup",
    "not a database": "the database file is not an SQLite database; restore it from a backup",
}


class Store:
    """A database of this service, brought to the present shape of its tables."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        if not url.startswith("sqlite:///"):
            raise Refused("invalid", f"database.url must start with sqlite:///, but is {url.split(':')[0]}:…")
        self.clock = clock or Clock()
        self._url = url
        self._write_lock = threading.Lock()
        self._writer = _engine(url, "BEGIN IMMEDIATE", connections=1)
        self._reader = _engine(url, "BEGIN", connections=8)

    def migrate(self) -> None:
        """Bring the tables to the present shape; does nothing when they have it."""
        configuration = AlembicConfig()
        configuration.set_main_option("script_location", "autoprovd.store:migrations")
        configuration.set_main_option("path_separator", "os")
        with self.write() as connection:
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the database."""
        with _refusing(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction of the one writer; committed durably when the block ends without an error."""
        with self._write_lock, _refusing(), self._writer.connect() as connection, connection.begin():
            yield connection

    def moment(self, connection: Connection) -> Moment:
        """The time now, held against the latest time this database has seen."""
        seen = connection.execute(select(cast(facts.c.value, Float)).where(facts.c.name == "high_water")).scalar()
        return self.clock.moment(seen or 0.0)

    def advance(self, connection: Connection, moment: Moment) -> None:
        """Record the time as seen. Every arming and every claim does, in its own transaction."""
        set_fact(connection, "high_water", repr(moment.wall))

    def close(self) -> None:
        """Let go of the database."""
        self._writer.dispose()
        self._reader.dispose()


def fact(connection: Connection, name: str) -> str | None:
    """A single value of the site."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()


def set_fact(connection: Connection, name: str, value: str) -> None:
    """Write a single value of the site."""
    statement = sqlite_insert(facts).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def count(connection: Connection, table: Any) -> int:
    """The number of rows of a table."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what a database can answer into a sentence with the way out; the driver's text may hold values."""
    try:
        yield
    except IntegrityError:
        raise Refused("conflict", "the change contradicts what another run just wrote; nothing was changed") from None
    except (DatabaseError, sqlite3.Error) as error:
        told = str(getattr(error, "orig", error)).lower()
        reason = next((text for part, text in _WAY_OUT.items() if part in told), "the database refused the transaction")
        raise Refused("unavailable", f"{reason}; nothing was changed") from error


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
        connection.exec_driver_sql(begin)

    return engine
