# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proofs share: a database of each kind, services on it, two extents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import postgres
from tests.proofs.appliance import Appliance
from tests.proofs.databases import Database, make


class Extent(NamedTuple):
    """How much a proof does: a taste in ``make test``, all of it in ``make test-long``."""

    name: str
    factor: int
    """How many times the quick form's rounds."""
    seconds: float
    """How long a storm lasts."""
    examples: int
    """How many histories the reference model goes through."""


QUICK, LONG = Extent("quick", 1, 2.5, 10), Extent("long", 20, 30, 100)


@pytest.fixture(params=[QUICK, pytest.param(LONG, marks=pytest.mark.long)], ids=lambda extent: extent.name)
def extent(request: pytest.FixtureRequest) -> Extent:
    """Quick, and in ``make test-long`` long."""
    found: Extent = request.param
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="autoprov-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL server for all proofs that do not harm it."""
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL 15 or newer is missing; run make setup as root")
    with postgres.folder() as path:
        server = postgres.Cluster(path)
        server.create(max_connections="150")
        try:
            yield server
        finally:
            server.kill()


on_both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
"""For a test whose quick form runs on PostgreSQL too."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest, folder: Path) -> Database:
    """An empty database: SQLite, and in ``make test-long`` PostgreSQL."""
    return make(request.param, folder, lambda: request.getfixturevalue("cluster"))


@pytest.fixture
def appliances(folder: Path, database: Database) -> Iterator[Callable[..., Appliance]]:
    """Make a service on the test's database; the second and further ones are more nodes of the same site."""
    made: list[Appliance] = []

    def make(**how: Any) -> Appliance:
        key = made[0].key if made else None
        made.append(Appliance(folder / f"node{len(made) + 1}", database, key, **how))
        return made[-1]

    yield make
    for appliance in made:
        appliance.kill()


@pytest.fixture
def appliance(appliances: Callable[..., Appliance]) -> Appliance:
    """A service on the test's database, not started."""
    return appliances()
