# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL 15 or newer: several nodes of this service on one database.

Each write holds one advisory lock, so that the chain of the audit log grows at one end, whichever node writes. Nothing
that has to be right hangs on it: the claiming statement decides alone.

What a commit's answer means is taken literally. ``COMMIT`` with a warning (a wait for the standby that was cancelled),
without an answer, or with an error is *unknown*, and unknown is never a release.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from autoprovd import log
from autoprovd.clock import DatabaseClock
from autoprovd.faults import Refused
from autoprovd.store.arrival import Arrival
from autoprovd.store.prepared import driver
from autoprovd.store.witness import START, Head

_OLDEST = 150000
_WRITER_LOCK, _PRESENCE_CLASS, _PRESENCE = 0x6175746F70, 0x6175746F, 1
_COMMIT_SECONDS = 5.0
"""How long a commit may wait for the standby before the wait is ended and the outcome counts as unknown."""

_SESSION = {
    "connect_timeout": 5,
    "application_name": "autoprovd",
    # Never a standby, and after a failover the one that was promoted.
    "target_session_attrs": "read-write",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c synchronous_commit=on -c lock_timeout=15s -c statement_timeout=30s"
    " -c idle_in_transaction_session_timeout=30s",
}

_ARRIVE = """
SELECT extract(epoch FROM clock_timestamp())::float8,
       substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
       (SELECT value::float8 FROM facts WHERE name = 'high_water'),
       (SELECT value FROM facts WHERE name = 'database'),
       last.seq, last.link, last.at
FROM (SELECT 1) AS one LEFT JOIN (SELECT seq, link, at FROM audit ORDER BY seq DESC LIMIT 1) AS last ON true
"""
# pg_control_checkpoint() still tells the old timeline for a while after a standby was promoted.

_NODES = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted AND classid = %s AND objid = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_STANDBYS = """
SELECT count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(*) FILTER (WHERE sync_state IS NULL)
FROM pg_stat_replication
"""

# A clock that is set back behind the latest tick closes every window, on every node.
_TICK = """
INSERT INTO facts (name, value) VALUES ('high_water', extract(epoch FROM clock_timestamp())::float8::text)
ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE facts.value::float8 < excluded.value::float8
"""

_WAY_OUT = {
    "08": "the connection to the database is lost; check that it runs and that database.url names it",
    "25006": "the database is a standby and cannot be written; name the primary as well in database.url",
    "28": "the database refuses this service's user; check the user and the password in database.url",
    "3D": "there is no database of that name; create it, or correct database.url",
    "42501": "the database's user lacks a privilege; make it the owner of the database",
    "53100": "the database's disk is full; free some space",
    "53300": "the database has no connection left; raise its max_connections",
    "55P03": "the database is busy with another writer; try again",
    "57014": "the database took too long; try again",
    "57P": "the database is shutting down or starting; try again in a moment",
}


class Postgresql:
    """A database server, alone or with a synchronous standby."""

    shared = True
    default_clock = DatabaseClock
    errors = (DBAPIError, psycopg.Error)
    conflicts = (IntegrityError, psycopg.IntegrityError)

    def __init__(self, url: str, require_synchronous_standby: bool, trust_failover: bool) -> None:
        self.url = make_url(url).set(drivername="postgresql+psycopg")
        self._require_synchronous_standby = require_synchronous_standby
        self._trust_failover = trust_failover
        self.writer = _engine(
            self.url, f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({_WRITER_LOCK})", 1
        )
        self.reader = _engine(self.url, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 8)
        self._watch = _CommitWatch()
        self._presence: psycopg.Connection[Any] | None = None
        self._hindrance: str | None = None

    def explain(self, error: Exception) -> str:
        """What went wrong, as a sentence with the way out; the driver's text may hold values."""
        told = getattr(error, "orig", error)
        state = getattr(told, "sqlstate", None) or ("08000" if isinstance(told, psycopg.OperationalError) else "")
        for length in (5, 3, 2):
            if state[:length] in _WAY_OUT:
                return _WAY_OUT[state[:length]]
        return "the database refused the transaction"

    def arrive(self, connection: Connection, clock: Any) -> Arrival:
        """Who this database is, and its clock; one round trip."""
        now, timeline, tick, known, seq, link, at = driver(connection).execute(_ARRIVE).fetchone()
        if isinstance(clock, DatabaseClock):
            clock.observe(now)
        identity = f"{connection.connection.info['cluster']}/{timeline}"
        return Arrival(identity, known, max(tick or 0.0, at or 0.0), START if seq is None else Head(seq, link))

    @contextmanager
    def committing(self, connection: Connection) -> Iterator[None]:
        """Around a commit: its outcome is known when this ends without an error."""
        warnings: list[str] = connection.connection.info["warnings"]
        warnings.clear()
        with self._watch.over(connection.connection.dbapi_connection):
            yield
        if warnings:
            raise Refused(
                "unavailable",
                "the synchronous standby did not confirm in time, so nobody knows whether this was kept; nothing was "
                "released. Check the standby, then look at what was asked for before repeating it",
            )

    # -- several nodes ------------------------------------------------------------------------------------------------

    def hindrance(self) -> str | None:
        """Why nothing may be written now."""
        return self._hindrance

    def attend(self) -> None:
        """Be seen by the other nodes, and see them; to be called every few seconds. Blocks."""
        try:
            hindrance = self._attend()
        except psycopg.Error:
            # The connection ended with the server it led to; there may be another by now.
            self._leave()
            try:
                hindrance = self._attend()
            except psycopg.Error as error:
                self._leave()
                hindrance = self.explain(error)
        if hindrance != self._hindrance:
            log.event("database cannot be written" if hindrance else "database can be written", 40, reason=hindrance)
        self._hindrance = hindrance

    def _attend(self) -> str | None:
        if self._presence is None:
            arguments, named = self.writer.dialect.create_connect_args(self.url)
            self._presence = psycopg.connect(*arguments, **{**named, **_SESSION, "autocommit": True})
            self._presence.execute("SELECT pg_advisory_lock_shared(%s, %s)", (_PRESENCE_CLASS, _PRESENCE))
            # What is written here is only the time, and must not wait for a standby that is away.
            self._presence.execute("SET synchronous_commit = local")
        (version,) = _one(self._presence, "SELECT current_setting('server_version_num')::int")
        if version < _OLDEST:
            return f"PostgreSQL {version // 10_000} is too old; version 15 or newer is needed"
        (nodes,) = _one(self._presence, _NODES, (_PRESENCE_CLASS, _PRESENCE))
        with suppress(psycopg.errors.UndefinedTable):  # before the first migration
            self._presence.execute(_TICK)
        # Who trusts a failover needs the standby even alone: a second node may have failed with it.
        if not self._require_synchronous_standby or (nodes < 2 and not self._trust_failover):
            return None
        synchronous, hidden = _one(self._presence, _STANDBYS)
        if synchronous:
            return None
        if hidden:
            return "this service's user cannot see the state of the standbys; GRANT pg_read_all_stats to it"
        who = f"{nodes} nodes work on this database" if nodes > 1 else "a failover of this database is trusted"
        return (
            f"{who} and it has no synchronous standby, so a failover could forget a release; "
            "set synchronous_standby_names, or database.require_synchronous_standby = false"
        )

    def _leave(self) -> None:
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    def close(self) -> None:
        """Let go of the server."""
        self._watch.end()
        self._leave()
        self.writer.dispose()
        self.reader.dispose()


def nodes_on(url: str) -> int:
    """How many services work on that database now. Raises ``Refused``."""
    database = Postgresql(url, require_synchronous_standby=False, trust_failover=False)
    try:
        arguments, named = database.writer.dialect.create_connect_args(database.url)
        with psycopg.connect(*arguments, **{**named, **_SESSION, "autocommit": True}) as connection:
            (nodes,) = _one(connection, _NODES, (_PRESENCE_CLASS, _PRESENCE))
            return int(nodes)
    except psycopg.Error as error:
        raise Refused("unavailable", f"{database.explain(error)}; nothing was changed") from error
    finally:
        database.close()


def _one(connection: psycopg.Connection[Any], statement: LiteralString, parameters: Sequence[object] = ()) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    if row is None:
        raise psycopg.OperationalError("an aggregate gave no row")
    return row


def _engine(url: URL, begin: str, connections: int) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        connect_args=_SESSION,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: psycopg.Connection[Any], record: Any) -> None:
        connection.autocommit = True  # transactions are begun below, by name
        record.info["cluster"] = _cluster(connection)
        warnings: list[str] = []
        record.info["warnings"] = warnings
        connection.add_notice_handler(lambda notice: warnings.append(notice.sqlstate or ""))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Without parameters, two statements make one round trip.
        connection.exec_driver_sql(begin, execution_options={"no_parameters": True})

    return engine


def _cluster(connection: psycopg.Connection[Any]) -> str:
    return "{}/{}".format(
        *_one(
            connection,
            "SELECT (SELECT system_identifier FROM pg_control_system()),"
            " (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
    )


class _CommitWatch:
    """Ends the wait of a commit that takes too long; ``statement_timeout`` does not."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: psycopg.Connection[Any] | None = None
        self._since = 0.0
        self._ended = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, connection: Any) -> Iterator[None]:
        """Watch over what happens inside."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="commit-watch", daemon=True)
                self._thread.start()
            self._watched, self._since = connection, time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._watched = None

    def end(self) -> None:
        """Stop watching."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(2)

    def _run(self) -> None:
        # Looks up twice a second instead of being woken for each commit, which would cost every commit.
        with self._changed:
            while not self._ended:
                self._changed.wait(0.5)
                late = self._watched if time.monotonic() - self._since >= _COMMIT_SECONDS else None
                if late is not None:
                    self._since = time.monotonic()  # once more later, should it not help
                    try:
                        late.cancel_safe(timeout=2.0)
                    except psycopg.Error as error:
                        log.event("a waiting commit could not be ended", 40, reason=type(error).__name__)
