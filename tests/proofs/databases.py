# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of a proof: SQLite or PostgreSQL, looked at from outside the service."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests import postgres

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """An empty database of a test's own."""

    name: str
    """sqlite or postgresql."""
    url: str
    """What ``database.url`` of the service takes."""

    def rows(self, statement: str, **parameters: object) -> list[Any]:
        """What a statement gives, on a connection of its own."""
        url = self.url.replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return list(result) if result.returns_rows else []

    def released(self, mac: str) -> Counter[tuple[int, str, str, int]]:
        """The audit log's rows of releases to a phone, by line, secret class, audience and generation."""
        rows = self.rows(
            "SELECT line, secret_class, audience, generation FROM audit WHERE event = 'released' AND mac = :mac",
            mac=mac,
        )
        return Counter(tuple(row) for row in rows)

    def assert_sound(self) -> None:
        """The database finds no damage in itself."""
        if self.name == "sqlite":
            assert [row[0] for row in self.rows("PRAGMA integrity_check")] == ["ok"]
            assert self.rows("PRAGMA foreign_key_check") == []


def make(name: str, folder: Path, cluster: Callable[[], postgres.Cluster]) -> Database:
    """An empty database of that name, in the folder or on the PostgreSQL server."""
    if name == "sqlite":
        return Database(name, f"sqlite:///{folder}/autoprov.sqlite")
    server = cluster()
    database = f"proof_{next(_NUMBERS)}"
    server.query(f"CREATE DATABASE {database}", database="postgres")
    return Database(name, server.url.replace("/autoprov?", f"/{database}?"))
