# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements that are compiled once and run by the driver alone.

A claim is a handful of statements, and SQLAlchemy's work for each execution costs several times what the database does.
So the statements of a claim are written with SQLAlchemy, where a reader can see them, and run without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement


def driver(connection: Connection) -> Any:
    """The driver's own connection, inside the transaction that was begun."""
    return connection.connection.driver_connection


class Prepared:
    """A statement with named parameters, none of them expanding. Its rows are the driver's tuples.

    It takes part in the connection's transaction. Values are the driver's too: on SQLite a boolean is 0 or 1.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def run(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Any]:
        """Execute it; its rows, or none. Raises the driver's errors."""
        text, constants = self._compiled.get(connection.dialect.name) or self._compile(connection)
        cursor = driver(connection).execute(text, {**constants, **parameters})
        rows: list[Any] = cursor.fetchall() if cursor.description else []
        return rows

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each of these parameters. Raises the driver's errors."""
        if len(rows) == 1:  # a single one costs a driver less
            self.run(connection, rows[0])
            return
        text, constants = self._compiled.get(connection.dialect.name) or self._compile(connection)
        driver(connection).cursor().executemany(text, [{**constants, **row} for row in rows])

    def _compile(self, connection: Connection) -> tuple[str, dict[str, Any]]:
        name = connection.dialect.name
        dialect = sqlite.dialect(paramstyle="named") if name == "sqlite" else connection.dialect
        compiled = self._statement.compile(dialect=dialect)
        constants = {key: value for key, value in compiled.params.items() if value is not None}
        self._compiled[name] = str(compiled), constants
        return self._compiled[name]
