# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL clusters of a test's own: real servers, each in its folder, reached by nothing but a Unix socket there.

PostgreSQL does not run as root, so as root the servers run as ``postgres``, the user of Debian's package.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import psycopg

_SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "'32MB'",
    "max_connections": "60",
    "wal_level": "replica",
    "max_wal_senders": "6",
    "hot_standby": "on",
    "wal_receiver_timeout": "'5s'",
    "wal_sender_timeout": "'5s'",
    "wal_retrieve_retry_interval": "'200ms'",
}


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL (15 or newer) on this host, or None."""
    found = sorted(
        (int(path.parent.parent.name), path.parent) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
    )
    return found[-1][1] if found and found[-1][0] >= 15 else None


class Cluster:
    """One PostgreSQL server, or the standby of another.

    ``durable=False`` leaves fsync out, for tests that are not about durability.
    """

    def __init__(self, folder: Path, *, durable: bool = True, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._durable = durable
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        found = binaries()
        if found is None:
            raise RuntimeError("PostgreSQL 15 or newer is missing; run make setup as root")
        self._binaries = found

    @property
    def url(self) -> str:
        """What ``database.url`` of the service takes."""
        return f"postgresql:///autoprov?host={self.folder}&user=postgres"

    def create(self, **settings: str) -> None:
        """Make the server's folder and start it, with an empty database ``autoprov``."""
        self._prepare_folder()
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync",
                  "--locale=C.UTF-8")  # fmt: skip
        self.configure(**settings)
        self.start()
        self.query("CREATE DATABASE autoprov", database="postgres")

    def create_standby_of(self, primary: Cluster, name: str, **settings: str) -> None:
        """Make this server the streaming standby of another, known there by ``name``, and start it."""
        self._prepare_folder()
        self._run("pg_basebackup", "-h", str(primary.folder), "-U", "postgres", "-D", str(self._data), "-c", "fast",
                  "--no-sync")  # fmt: skip
        (self._data / "standby.signal").touch()
        connection = f"host={primary.folder} user=postgres application_name={name}"
        self.configure(primary_conninfo=f"'{connection}'", **settings)
        self.start()

    def configure(self, **settings: str) -> None:
        """Write settings; they hold from the next start, or :meth:`reload`."""
        wanted = _SETTINGS | {"unix_socket_directories": f"'{self.folder}'"} | settings
        if not self._durable:
            wanted |= {"fsync": "off", "full_page_writes": "off"}
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.writelines(f"{name} = {value}\n" for name, value in wanted.items())

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self._data)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | self._environment,
                **self._as_user(),  # type: ignore[call-overload]
            )
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(psycopg.Error):
                self.query("SELECT 1", database="postgres")
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order; every connection is closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a loss of power does: all its processes at once, nothing flushed."""
        self._signal_all(signal.SIGKILL)
        self._end(signal.SIGKILL)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop all its processes where they are, as a dead network does."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def reload(self) -> None:
        """Have it read its settings again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        self._run("pg_ctl", "promote", "-D", str(self._data), "-w")

    def query(self, statement: str, *parameters: object, database: str = "autoprov") -> list[tuple[object, ...]]:
        """Run a statement on a connection of its own."""
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname=database, autocommit=True, connect_timeout=5
        ) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        parent = psutil.Process(self._process.pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def _prepare_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self._as_user(),  # type: ignore[call-overload]
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")

    @staticmethod
    def _as_user() -> dict[str, object]:
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for clusters, with a short name: the path of a Unix socket has 107 bytes at most."""
    path = Path(tempfile.mkdtemp(prefix="autoprov-pg-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
