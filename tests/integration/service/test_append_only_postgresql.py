# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a real PostgreSQL: the migration keeps the audit log append-only, and a vacuum follows a shredding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from autoprovd import audit, shredding
from autoprovd.audit import Event
from autoprovd.store.schema import audit as table
from autoprovd.store.schema import grants, phones, secrets
from tests import postgres

KEY = b"k" * 32
MAC = "00041396d9b4"


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    if postgres.binaries() is None:
        pytest.skip("needs PostgreSQL (make setup as root installs it)")
    with postgres.folder() as folder:
        made = postgres.Cluster(folder, durable=False)
        made.create()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def engine(cluster: postgres.Cluster) -> Iterator[Engine]:
    """A database brought to the present shape by the migrations."""
    made = create_engine(cluster.url.replace("postgresql:", "postgresql+psycopg:"))
    configuration = Config()
    configuration.set_main_option("script_location", "autoprovd.store:migrations")
    configuration.set_main_option("path_separator", "os")
    with made.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
    yield made
    made.dispose()


def test_the_audit_log_only_grows(engine: Engine) -> None:
    with engine.begin() as connection:
        audit.append(connection, KEY, 1_800_000_000.25, [Event("read", "Jörg", detail={"n": n}) for n in range(5)])
    for statement in (
        "UPDATE audit SET actor = 'nobody' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
        "TRUNCATE audit",
        "INSERT INTO audit SELECT * FROM audit WHERE seq = 2 ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'",
    ):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    with engine.begin() as connection:
        assert audit.verify(connection, KEY, audit.head(connection)).ok
        assert audit.head(connection).seq == 5


def test_a_change_behind_its_back_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        connection.execute(update(table).where(table.c.seq == 3).values(actor="nobody"))
        connection.execute(text("ALTER TABLE audit ENABLE TRIGGER USER"))
        found = audit.verify(connection, KEY)
    assert found.first_bad is not None
    assert found.first_bad["seq"] == 3


def test_a_shredded_secret_is_vacuumed_away(cluster: postgres.Cluster, engine: Engine) -> None:
    """No query reaches it then; its bytes may lie in free space until that is used again, which the documents say."""
    phone = {"mac": MAC, "vendor": "snom", "model": "D785", "definition": "{}", "created_at": 0, "updated_at": 0}
    secret = {"mac": MAC, "line": 1, "secret_class": "sip", "version": 1, "key_id": "a" * 8, "box": b"ciphertext" * 5}
    grant = {
        "mac": MAC, "line": 1, "secret_class": "sip", "audience": "phone", "state": "released", "generation": 1,
        "mode": "once", "min_proof": 10, "window_seconds": 600, "releases": 1, "shred": True,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(phones).values(phone))
        connection.execute(insert(secrets).values(secret))
        connection.execute(insert(grants).values(grant))
        wanted = shredding.shreddable(connection)
        assert [event.mac for event in shredding.destroy(connection, shredding.spent(wanted, {}))] == [MAC]
    dead = "SELECT count(*) FROM heap_page_items(get_raw_page('secrets', 0)) WHERE lp_len > 0"
    cluster.query("CREATE EXTENSION pageinspect")
    assert cluster.query(dead) == [(2,)]
    assert shredding.scrub(cluster.url)
    assert cluster.query(dead) == [(1,)]
    with engine.begin() as connection:
        assert connection.execute(select(secrets.c.box)).scalar_one() == b""
