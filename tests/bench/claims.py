# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a claim costs, beside the least it could cost: one bare durable transaction of the same database.

The claim is the engine's, ``Release.claim``: a phone's SIP password, one at a time. The bare transaction updates one
row, inserts one row and commits, through the database's own driver with the settings the service uses. The rounds of
the two take turns, so that a slow moment of the machine meets both; the medians of the rounds are compared.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from autoprovd.grants import Claimant
from autoprovd.model import SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.release import Release
from autoprovd.sealing import Keyring
from autoprovd.site import Site
from autoprovd.store import Store
from tests import postgres
from tests.bench.service import phone

ROUNDS = 7
CLAIMS = 200
"""In each round."""
AIM = 0.5

_SIP = SecretKey(1, SecretClass.SIP)
_TABLES = (
    "CREATE TABLE bare_state (id INTEGER PRIMARY KEY, state TEXT NOT NULL)",
    "CREATE TABLE bare_log (seq INTEGER PRIMARY KEY, at FLOAT NOT NULL, event TEXT NOT NULL)",
)


class Cost(NamedTuple):
    """What the medians of the rounds say."""

    rate: float
    """Per second."""
    p50: float
    """Milliseconds."""
    p99: float


def run() -> None:
    """Measure and print."""
    print(f"\nclaims: {ROUNDS} rounds of {CLAIMS} in turn, one after the other, each durable")
    print(f"{'':12}{'bare/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'claims/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>8}   aim")
    with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name:
        _compare("sqlite", f"sqlite:///{name}/autoprov.sqlite", _bare_sqlite(Path(name)))
    if postgres.binaries() is None:
        raise SystemExit("PostgreSQL 15 or newer is missing; run make setup as root")
    with postgres.folder() as folder:
        cluster = postgres.Cluster(folder)
        cluster.create()
        try:
            _compare("postgresql", cluster.url, _bare_postgresql(cluster))
        finally:
            cluster.stop()


def _compare(name: str, url: str, bare: Any) -> None:
    store = Store(url)
    store.migrate()
    release, keyring = _engine(store)
    site = Site(store, keyring, release)
    phones = [phone(index, 0) for index in range(ROUNDS * CLAIMS)]
    site.apply_phones(phones, False, False, "bench")
    claims, transactions = [], []
    waiting = iter(phones)
    with bare as transact:
        for number in range(ROUNDS):
            transactions.append(_timed(transact, range(number * CLAIMS, (number + 1) * CLAIMS)))
            claims.append(_timed(_claimer(release), [next(waiting)["mac"] for _ in range(CLAIMS)]))
    store.close()
    least, own = _median(transactions), _median(claims)
    columns = f"{least.rate:9.0f}{least.p50:9.3f}{least.p99:9.3f}{own.rate:11.0f}{own.p50:9.3f}{own.p99:9.3f}"
    print(f"{name:12}{columns}{own.rate / least.rate:8.2f}   >= {AIM}")


def _engine(store: Store) -> tuple[Release, Keyring]:
    keyring = Keyring([os.urandom(32)])
    return Release(store, keyring), keyring


def _claimer(release: Release) -> Callable[[Any], None]:
    def claim(mac: str) -> None:
        claimant = Claimant(f"neighbour:{mac}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")
        if not release.claim(mac, [_SIP], claimant):
            raise SystemExit(f"the claim of {mac} was refused")

    return claim


def _timed(call: Callable[[Any], None], arguments: Any) -> Cost:
    taken = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return Cost(len(taken) / sum(taken) * 1000, taken[len(taken) // 2], taken[len(taken) * 99 // 100])


def _median(rounds: list[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*rounds, strict=True)))


@contextmanager
def _bare_sqlite(folder: Path) -> Iterator[Callable[[int], None]]:
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    for table in _TABLES:
        connection.execute(table)
    connection.executemany("INSERT INTO bare_state VALUES (?, 'armed')", [(n,) for n in range(ROUNDS * CLAIMS)])

    def transact(number: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE bare_state SET state = 'open' WHERE id = ?", (number,))
        connection.execute("INSERT INTO bare_log VALUES (?, ?, 'released')", (number, time.time()))
        connection.execute("COMMIT")

    yield transact
    connection.close()


@contextmanager
def _bare_postgresql(cluster: postgres.Cluster) -> Iterator[Callable[[int], None]]:
    with psycopg.connect(host=str(cluster.folder), user="postgres", dbname="autoprov", autocommit=True) as connection:
        for table in _TABLES:
            connection.execute(table)
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO bare_state VALUES (%s, 'armed')", [(n,) for n in range(ROUNDS * CLAIMS)])

        def transact(number: int) -> None:
            connection.execute("BEGIN")
            connection.execute("UPDATE bare_state SET state = 'open' WHERE id = %s", (number,))
            connection.execute("INSERT INTO bare_log VALUES (%s, %s, 'released')", (number, time.time()))
            connection.execute("COMMIT")

        yield transact
