# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service in a box: a real database, a clock the test turns, and a neighbour table it writes.

The database is SQLite, or with AUTOPROV_TEST_DATABASE=postgresql a PostgreSQL started for these tests.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from autoprovd.bans import Bans
from autoprovd.clock import Clock
from autoprovd.directory import Directory
from autoprovd.firmware.rollouts import Rollouts
from autoprovd.keys import Keys
from autoprovd.lending import Lending
from autoprovd.neighbours import Neighbours, Sight
from autoprovd.overview import Overview
from autoprovd.release import Release
from autoprovd.sealing import Keyring
from autoprovd.site import Site
from autoprovd.store import Store
from autoprovd.store.schema import metadata
from autoprovd.tokens import Tokens
from autoprovd.web import phones
from autoprovd.web.parts import Parts
from tests.postgres import Cluster, binaries
from tests.postgres import folder as postgres_folder

ON_POSTGRESQL = os.environ.get("AUTOPROV_TEST_DATABASE") == "postgresql"
SNOM = "00041396d9b4"
YEALINK = "805e0c4d796d"
SNOM_AGENT = "Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 00041396D9B4 SXM:0 UXM:0)"
YEALINK_AGENT = "Yealink SIP-T54W 96.87.0.15 80:5e:0c:4d:79:6d"
SNOM_FILE = "/snomD785-00041396D9B4.htm"
YEALINK_FILE = "/805e0c4d796d.cfg"


_STARTED = ExitStack()
_NUMBERS = itertools.count(1)


@functools.cache
def _cluster() -> Cluster:
    """The PostgreSQL of this test process; its database ``autoprov`` has the tables, and is copied for each test."""
    made = Cluster(_STARTED.enter_context(postgres_folder()) / "c", durable=False)
    made.create()
    _STARTED.callback(made.kill)
    store = Store(made.url)
    store.migrate()
    store.close()
    return made


def pytest_unconfigure() -> None:
    """End what was started."""
    _STARTED.close()


def new_database(folder: Path) -> str:
    """The address of a database of a test's own, its tables made."""
    if not ON_POSTGRESQL:
        url = f"sqlite:///{folder / 'autoprov.sqlite'}"
        store = Store(url)
        store.migrate()
        store.close()
        return url
    if binaries() is None:
        pytest.skip("PostgreSQL 15 or newer is missing; run make setup as root")
    name = f"test_{next(_NUMBERS)}"
    _cluster().query(f"CREATE DATABASE {name} TEMPLATE autoprov STRATEGY file_copy", database="postgres")
    return _cluster().url.replace("/autoprov?", f"/{name}?")


@pytest.fixture
def sqlite_only() -> None:
    """For tests of what only SQLite has."""


@pytest.fixture
def postgresql_only() -> None:
    """For tests of what only PostgreSQL has."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is about the other database."""
    other = "sqlite_only" if ON_POSTGRESQL else "postgresql_only"
    items[:] = [item for item in items if other not in getattr(item, "fixturenames", ())]


class TurnedClock(Clock):
    """A clock that stands still until a test turns it."""

    def __init__(self) -> None:
        self.boot_id = "first boot"
        self.now = 1_800_000_000.0
        self.since_boot = 1000.0

    def wall(self) -> float:
        return self.now

    def boot(self) -> float:
        return self.since_boot

    def pass_time(self, seconds: float) -> None:
        """Let time pass, as it does."""
        self.now += seconds
        self.since_boot += seconds

    def reboot(self, wall: float) -> None:
        """Boot again with the wall clock at that time."""
        self.boot_id, self.now, self.since_boot = self.boot_id + " again", wall, 5.0


class WrittenNeighbours(Neighbours):
    """A neighbour table a test writes."""

    def __init__(self) -> None:
        self.table: dict[str, str] = {}
        self.network: set[str] = set()
        """Addresses that have to be in the table."""
        self.called: list[str] = []

    def mac_of(self, address: str) -> str | None:
        return self.table.get(address)

    def addresses_of(self, mac: str) -> list[str]:
        return [address for address, known in self.table.items() if known == mac]

    def look(self, address: str) -> Sight:
        return Sight(self.mac_of(address), address in self.network)

    def call(self, address: str) -> None:
        self.called.append(address)


class Box:
    """A whole service without its sockets."""

    def __init__(self, folder: Path, url: str | None = None, key: bytes | None = None, **options: Any) -> None:
        self.clock = TurnedClock()
        self.key = key or os.urandom(32)
        self.keyring = Keyring([self.key])
        self.database = folder / "autoprov.sqlite"
        self.url = url or new_database(folder)
        self.store = Store(self.url, self.clock, **options)
        self.keys = Keys(self.store, self.keyring)
        self.keys.settle()
        self.release = Release(self.store, self.keyring)
        self.store.on_discontinuity(self.release.seal_all)
        self.lending = Lending(self.store, self.keyring)
        self.site = Site(self.store, self.keyring, self.release)
        self.directory = Directory(self.store)
        self.site.on_change(self.directory.forget)
        self.rollouts = Rollouts(self.site)
        self.overview = Overview(self.store, self.keyring, self.directory, self.rollouts)
        self.tokens = Tokens(self.store, self.keyring)
        self.neighbours = WrittenNeighbours()
        self.bans = Bans(clock=self.clock.boot, wall=self.clock.wall)
        self.phone_files = phones.PhoneFiles(self.directory, self.release, self.clock, self.neighbours, bans=self.bans)
        self.parts = Parts(
            self.store,
            self.keyring,
            self.release,
            self.site,
            self.overview,
            self.tokens,
            self.keys,
            self.rollouts,
            self.bans,
        )

    async def get(
        self,
        path: str,
        source: str = "198.18.0.20",
        agent: str = SNOM_AGENT,
        method: str = "GET",
        scheme: str = "http",
        auth: httpx.Auth | tuple[str, str] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """What a phone gets."""
        transport = httpx.ASGITransport(app=self.phone_files, client=(source, 40000))
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://appliance") as client:
            sent = {"user-agent": agent} | {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=sent, auth=auth)

    def another(self, **options: Any) -> Box:
        """The service once more on the same database: a second node, or the same one after a restart."""
        return Box(self.database.parent, self.url, self.key, **options)

    def stored(self) -> bytes:
        """Everything the database keeps, as bytes to search in."""
        if not ON_POSTGRESQL:
            return self.database.read_bytes() + self.database.with_name("autoprov.sqlite-wal").read_bytes()
        with self.store.read() as connection:
            return b"\n".join(
                b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
                for table in metadata.sorted_tables
                for row in connection.execute(table.select())
            )

    def without_triggers(self, connection: Connection) -> None:
        """What somebody does who has the database, and not the key: its triggers do not stop him."""
        if ON_POSTGRESQL:
            connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER USER")
            return
        for trigger in ("audit_never_changed", "audit_never_removed", "audit_only_grows"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}")

    def pragma(self, *texts: str) -> Any:
        """Set, or ask for, something about the writer's connection to SQLite's file; what the last one answers."""
        with self.store._backend.writer.connect() as connection:
            answers = [connection.exec_driver_sql(f"PRAGMA {text}") for text in texts]
            return answers[-1].scalar() if answers[-1].returns_rows else None

    def states(self, mac: str, audience: str = "phone") -> dict[str, str]:
        """The states of a phone's grants, by class and line."""
        grants = self.overview.phone(mac)["grants"]
        return {
            f"{grant['secret_class']} {grant['line']}": grant["state"]
            for grant in grants
            if grant["audience"] == audience
        }

    def events(self) -> list[str]:
        """The names of all audit rows so far."""
        from autoprovd import audit

        with self.store.read() as connection:
            return [row["event"] for row in audit.page(connection, 0, 10_000)]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.store.close()


def snom(**changes: Any) -> dict[str, Any]:
    """A Snom with one account, its passwords given."""
    account = {"line": 1, "user": "1001", "registrar": "198.18.0.5", "password": "sip-secret-of-1001"}
    return {
        "mac": "00:04:13:96:D9:B4",
        "vendor": "snom",
        "model": "D785",
        "name": "Reception",
        "web_password": "web-secret",
        "menu_password": "47114711",
        "provisioning_password": "provisioning-secret",
        "accounts": [account],
        "keys": [{"key": 1, "type": "blf", "value": "1002", "label": "Bob"}],
    } | changes


def yealink(**changes: Any) -> dict[str, Any]:
    """A Yealink with one account, its passwords to be generated."""
    account = {"line": 1, "user": "1002", "registrar": "198.18.0.5"}
    return {"mac": "80-5e-0c-4d-79-6d", "vendor": "yealink", "model": "T54W", "accounts": [account]} | changes
