# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: SQLite by default, PostgreSQL where one node is not enough; one writer at a time.

``read()`` and ``write()`` give a connection inside a transaction. A write is durable when its block has ended without
an error; an error inside the block means that nothing was written. An error at its commit means that nobody knows, and
whoever gets it must act as if nothing had been released.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, Table, delete, func, select
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError

from autoprovd.clock import Clock, Moment
from autoprovd.faults import Refused
from autoprovd.store.arrival import Arrival
from autoprovd.store.schema import audit, facts
from autoprovd.store.sqlite import Sqlite
from autoprovd.store.witness import START, Head, Witness

COPY_MARK = "copied_at"
"""The fact that only copies of a database have."""

_NO_NEWS = frozenset({"read", "refused", "resealed", "token"})
"""Audit rows that change nothing about what a phone gets."""

Discontinued = Callable[[Connection, Moment, str], object]
"""Called in the transaction that finds that the database is not the one it was; the text says why."""


class Store:
    """A database of this service, brought to the present shape of its tables.

    ``witness`` names a file outside the database by which one that came back from a backup is known. With
    ``trust_failover`` a PostgreSQL that was promoted, or copied to another cluster, is taken as it is.
    """

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        witness: Path | None = None,
        require_synchronous_standby: bool = True,
        trust_failover: bool = False,
    ) -> None:
        if url.startswith("sqlite:///"):
            self._backend: Any = Sqlite(url)
        elif url.startswith(("postgresql://", "postgres://")):
            from autoprovd.store.postgresql import Postgresql  # loads libpq

            self._backend = Postgresql(url, require_synchronous_standby, trust_failover)
        else:
            raise Refused(
                "invalid", f"database.url must start with sqlite:/// or postgresql://, but is {url.split(':')[0]}:…"
            )
        self.shared: bool = self._backend.shared
        """Whether other nodes may write to this database as well."""
        self.clock: Clock = clock or self._backend.default_clock()
        self._trust_failover = trust_failover
        self._witness = Witness(witness) if witness is not None else None
        self._discontinued: Discontinued | None = None
        self._write_lock = threading.Lock()
        self._seen: Head | None = None

    def migrate(self) -> None:
        """Bring the tables to the present shape; does nothing when they have it."""
        configuration = AlembicConfig()
        configuration.set_main_option("script_location", "autoprovd.store:migrations")
        configuration.set_main_option("path_separator", "os")
        with self._write(arrive=False) as connection:
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")

    def attend(self) -> None:
        """Look after the database; to be called at the start and every few seconds. Raises ``Refused`` on a hindrance.

        Several nodes see each other here, and whether a failover could make them forget a release.
        """
        self._backend.attend()
        self._check_hindrance()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the database."""
        with self._refusing(), self._begun(self._backend.reader) as connection:
            yield connection

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction of the one writer; committed durably when the block ends without an error."""
        self._check_hindrance()
        return self._write(arrive=True)

    @contextmanager
    def _write(self, arrive: bool) -> Iterator[Connection]:
        with self._write_lock, self._refusing(), self._begun(self._backend.writer) as connection:
            if arrive:
                self._arrive(connection)
            yield connection
            # The head of the audit log as this transaction leaves it, if it wrote to it.
            head: Head | None = connection.info.pop("audit_head", None)
            found: Arrival | None = connection.info.get("arrival")
            with self._backend.committing(connection):
                connection.commit()
            self._seen = head or (found.head if found is not None else self._seen)
            if head is not None and self._witness is not None:
                self._witness.note(head)

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        connection = engine.connect()
        try:
            try:
                connection.begin()
            except DBAPIError as error:
                # The server was restarted since: nothing had begun, so a second connection may try.
                if not error.connection_invalidated:
                    raise
                connection.close()
                connection = engine.connect()
                connection.begin()
            connection.info.pop("arrival", None)
            connection.info.pop("audit_head", None)
            yield connection
        finally:
            connection.close()

    # -- is it the database it was? -----------------------------------------------------------------------------------

    def on_discontinuity(self, callback: Discontinued) -> None:
        """Call this, in its transaction, when the database turns out not to go on from where it was left."""
        self._discontinued = callback

    def check_past(self) -> None:
        """Hold the database against what this host remembers of it; once, at the start, after the migration."""
        remembered = self._witness.head() if self._witness is not None else None
        with self.write() as connection:
            present = _head(connection)
            copied_at = fact(connection, COPY_MARK)
            if copied_at is not None:
                connection.execute(delete(facts).where(facts.c.name == COPY_MARK))
                self._discontinue(connection, f"the database is a copy that was made at {copied_at}")
            elif present is None or self._witness is None:
                return
            elif remembered is None:
                self._discontinue(connection, "this host has never seen this database")
            elif not _holds(connection, remembered):
                self._discontinue(
                    connection, f"the database lacks audit row {remembered.seq}, which this host has seen"
                )
            if present is not None:
                connection.info.setdefault("audit_head", present)

    def _arrive(self, connection: Connection) -> None:
        arrival: Arrival = self._backend.arrive(connection, self.clock)
        connection.info["arrival"] = arrival
        seen = self._seen
        if seen is not None and arrival.head != seen and not _holds(connection, seen):
            self._discontinue(connection, f"the database lacks audit row {seen.seq}, which this service has seen")
        if arrival.identity is None or arrival.identity == arrival.known:
            return
        if arrival.known is not None and not self._trust_failover:
            if self._discontinued is None:
                return  # whoever can seal it will come to it
            what = f"the database is {arrival.identity}, and was {arrival.known}"
            self._discontinue(connection, f"after a failover, or a restore: {what} (cluster/database/timeline)")
        set_fact(connection, "database", arrival.identity)

    def _discontinue(self, connection: Connection, reason: str) -> None:
        if self._discontinued is not None:
            self._discontinued(connection, self.moment(connection), reason)

    # -- the time -----------------------------------------------------------------------------------------------------

    def moment(self, connection: Connection) -> Moment:
        """The time now, held against the latest time this database has seen."""
        arrival: Arrival | None = connection.info.get("arrival")
        if arrival is None:
            arrival = self._backend.arrive(connection, self.clock)
        return self.clock.moment(arrival.high_water)

    def advance(self, connection: Connection, moment: Moment) -> None:
        """Record the time as seen. Whatever decides by the time does, in its own transaction; an audit row does too."""
        if "audit_head" not in connection.info:
            set_fact(connection, "high_water", repr(moment.wall))

    # -- what others wrote --------------------------------------------------------------------------------------------

    def news(self, after: Head, most: int = 1000) -> tuple[Head, set[str] | None]:
        """What was written behind that audit row: the last row now, and the phones it was about; None for any.

        Whatever matters to a phone is in the audit log, so the log is also what other nodes go by. Where that row is
        not what it was, rows were lost, and any phone may be concerned.
        """
        columns = (audit.c.seq, audit.c.link, audit.c.event, audit.c.mac)
        query = select(*columns).where(audit.c.seq >= after.seq).order_by(audit.c.seq).limit(most)
        with self.read() as connection:
            rows = connection.execute(query).all()
            goes_on = after == START or (rows and (rows[0].seq, rows[0].link) == after)
            if not goes_on or len(rows) == most:
                return _head(connection) or START, None
        if not rows:
            return START, set()
        macs = {row.mac for row in rows if row.seq > after.seq and row.event not in _NO_NEWS}
        return Head(rows[-1].seq, rows[-1].link), None if None in macs else macs

    def close(self) -> None:
        """Let go of the database."""
        self._backend.close()
        if self._witness is not None:
            self._witness.close()

    def _check_hindrance(self) -> None:
        hindrance = self._backend.hindrance()
        if hindrance:
            raise Refused("unavailable", f"{hindrance}; nothing was changed")

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn what a database can answer into a sentence with the way out; the driver's text may hold values."""
        try:
            yield
        except self._backend.conflicts:
            raise Refused(
                "conflict", "the change contradicts what another run just wrote; nothing was changed"
            ) from None
        except self._backend.errors as error:
            raise Refused("unavailable", f"{self._backend.explain(error)}; nothing was changed") from error


def insert_into(connection: Connection, table: Table) -> Any:
    """An INSERT that may go on with ``on_conflict_do_update``, in the database's own dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql_dialect.insert(table)
    return sqlite_dialect.insert(table)


def fact(connection: Connection, name: str) -> str | None:
    """A single value of the site."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()


def set_fact(connection: Connection, name: str, value: str) -> None:
    """Write a single value of the site."""
    statement = insert_into(connection, facts).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def count(connection: Connection, table: Any) -> int:
    """The number of rows of a table."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _head(connection: Connection) -> Head | None:
    row = connection.execute(select(audit.c.seq, audit.c.link).order_by(audit.c.seq.desc()).limit(1)).first()
    return Head(row.seq, row.link) if row else None


def _holds(connection: Connection, head: Head) -> bool:
    if head == START:
        return True
    link = connection.execute(select(audit.c.link).where(audit.c.seq == head.seq)).scalar()
    return link == head.link
