# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of the database, and the way back, which never releases again what was released since.

A copy holds sealed secrets and no key. It is marked as a copy, and whatever opens it as its database seals every grant
that waits: nobody knows what was released after it was made.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, func, make_url, select

from autoprovd.clock import iso_time
from autoprovd.config import Config
from autoprovd.faults import Fault, Refused
from autoprovd.keys import OWN_KEYS, Keys
from autoprovd.release import Release
from autoprovd.sealing import Keyring
from autoprovd.store import COPY_MARK, Store
from autoprovd.store.schema import facts, grants, phones, secrets

_PGDUMP_MAGIC = b"PGDMP"
_SQLITE_MAGIC = b"SQLite format 3\x00"


def backup(config: Config, file: Path) -> None:
    """Write a copy of the database, while the service runs; never replaces a file."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Refused("unavailable", f"cannot write {file}: {error.strerror}") from None
    try:
        if config.database.url.startswith("sqlite:///"):
            _copy_sqlite(_sqlite_file(config), file)
        else:
            _run_postgresql(config, "pg_dump", "--format=custom", f"--file={file}")
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def restore(config: Config, keyring: Keyring, file: Path) -> dict[str, int]:
    """Make a copy the database; the service must be stopped. The database so far is kept beside it (SQLite).

    Returns how many phones there are now, and how many grants were sealed. Raises ``Refused``, with nothing changed,
    when the file is no such copy or its secrets are sealed with a key that is not here.
    """
    magic = _magic(file)
    if config.database.url.startswith("sqlite:///"):
        if not magic.startswith(_SQLITE_MAGIC):
            raise Refused("invalid", f"{file} is not a copy of an SQLite database, which database.url wants")
        _check_sqlite(file, keyring)
        _exchange(_sqlite_file(config), file)
    else:
        if not magic.startswith(_PGDUMP_MAGIC):
            raise Refused("invalid", f"{file} is not a copy of a PostgreSQL database, which database.url wants")
        _refuse_while_it_is_used(config)
        _run_postgresql(
            config, "pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction",
            str(file),
        )  # fmt: skip
    return _seal(config, keyring, file)


def _seal(config: Config, keyring: Keyring, file: Path) -> dict[str, int]:
    database = config.database
    store = Store(database.url, witness=database.witness, require_synchronous_standby=False)
    try:
        store.migrate()
        Keys(store, keyring).settle()
        with store.read() as connection:
            waiting = _waiting(connection)
        release = Release(store, keyring)
        store.on_discontinuity(lambda _connection, _moment, _reason: None)  # it is sealed here, whatever it was
        with store.write() as connection:
            release.seal_all(connection, store.moment(connection), f"restored from {file.name}")
        store.check_past()  # from here on, this is the database that was seen
        with store.read() as connection:
            known = connection.execute(select(func.count()).select_from(phones)).scalar_one()
            return {"phones": known, "sealed": waiting - _waiting(connection)}
    finally:
        store.close()


def _waiting(connection: Connection) -> int:
    query = select(func.count()).select_from(grants).where(grants.c.state.not_in(("sealed", "released", "revoked")))
    return connection.execute(query).scalar_one()


# -- SQLite -----------------------------------------------------------------------------------------------------------


def _sqlite_file(config: Config) -> Path:
    return Path(make_url(config.database.url).database or "")


def _copy_sqlite(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=10)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (COPY_MARK, iso_time(time.time())))
            copy.commit()
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise Refused("unavailable", f"cannot copy {source} to {target}: {error}") from None


def _check_sqlite(file: Path, keyring: Keyring) -> None:
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as copy:
            (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise Refused("invalid", f"{file} is damaged: {verdict}")
            used = {
                row[0]
                for query in (
                    select(secrets.c.key_id).distinct(),
                    select(phones.c.label_key_id).where(phones.c.label_key_id.is_not(None)).distinct(),
                )
                for row in copy.execute(str(query.compile()))
            }
            own = copy.execute(
                str(
                    select(facts.c.value)
                    .where(facts.c.name == OWN_KEYS)
                    .compile(compile_kwargs={"literal_binds": True})
                )
            ).fetchone()
            if own:
                used.add(json.loads(own[0])["key_id"])
    except sqlite3.Error as error:
        raise Refused("invalid", f"{file} is not a copy of this service's database: {error}") from None
    absent = sorted(key_id for key_id in used - {""} if not keyring.has(key_id))
    if absent:
        raise Refused(
            "invalid",
            f"the passwords in {file} are sealed with keys that are not here; add them to the sealing key file first",
            [Fault("", f"key {key_id}") for key_id in absent],
        )


def _exchange(present: Path, copy: Path) -> None:
    aside = present.with_name(f"{present.name}.before-restore-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    arriving = present.with_name(f"{present.name}.arriving")
    try:
        arriving.unlink(missing_ok=True)
        with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as source:
            descriptor = os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.close(descriptor)
            with closing(sqlite3.connect(arriving)) as target:
                source.backup(target)
        if present.exists():
            # With everything that only stands in its log yet.
            with closing(sqlite3.connect(present, timeout=2)) as old:
                old.execute("PRAGMA locking_mode = EXCLUSIVE")
                old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                old.execute("PRAGMA journal_mode = DELETE")
            present.rename(aside)
            stat = aside.stat()
            if os.geteuid() == 0:
                os.chown(arriving, stat.st_uid, stat.st_gid)
        for log in ("-wal", "-shm"):
            present.with_name(present.name + log).unlink(missing_ok=True)
        arriving.rename(present)
    except sqlite3.OperationalError as error:
        arriving.unlink(missing_ok=True)
        raise Refused(
            "conflict", f"{present} is in use: {error}; stop the service first, nothing was changed"
        ) from None
    except OSError as error:
        raise Refused("unavailable", f"cannot write {error.filename}: {error.strerror}") from None


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def _refuse_while_it_is_used(config: Config) -> None:
    from autoprovd.store.postgresql import nodes_on  # loads libpq

    nodes = nodes_on(config.database.url)
    if nodes:
        raise Refused("conflict", f"{nodes} services work on this database; stop them first, nothing was changed")


def _run_postgresql(config: Config, program: str, *arguments: str) -> None:
    # The password, where the address has one, goes by the environment: command lines are for everyone to read.
    url = make_url(config.database.url).set(drivername="postgresql")
    address = url.set(password=None).render_as_string()
    password = {"PGPASSWORD": str(url.password)} if url.password else {}
    try:
        done = subprocess.run(
            [program, *arguments, f"--dbname={address}"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | password,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise Refused("unavailable", f"{program} is not on this host; install PostgreSQL's client programs") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        # What follows the error is the statement, which may be long.
        told = [line for line in said if "error:" in line] or said or ["no reason given"]
        raise Refused("unavailable", f"{program} failed: {told[0]}")


def _magic(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(16)
    except OSError as error:
        raise Refused("unavailable", f"cannot read {file}: {error.strerror}") from None
