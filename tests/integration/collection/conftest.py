# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection against the real service: autoprovd as a process, ansible-playbook as people run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.autoprov.appliance.plugins.module_utils._api import Api
from autoprovd.sealing import generate_key
from autoprovd.tls import generate_certificate

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGURATION = """
[database]
url = "sqlite:///{folder}/autoprov.sqlite"
[keys]
sealing_key_file = "{folder}/sealing.key"
[listen]
phones_http = []
admin_https = ["127.0.0.1:{port}"]
admin_socket = "{folder}/admin.sock"
[tls]
certificate_file = "{folder}/server.crt"
key_file = "{folder}/server.key"
"""


@dataclass(frozen=True)
class Service:
    """A running autoprovd of a test's own."""

    folder: Path
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its Unix socket."""
        return f"unix://{self.folder}/admin.sock"

    @property
    def https_url(self) -> str:
        """Its admin API over HTTPS."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """What to trust for HTTPS."""
        return self.folder / "server.crt"

    @property
    def api(self) -> Api:
        """A client that may do everything."""
        return Api(self.url)

    def grants(self, mac: str, **wanted: Any) -> list[dict[str, Any]]:
        """The grants of a phone that have these values."""
        (phone,) = self.api.get("/phones", [("mac", mac)])["phones"]
        return [grant for grant in phone["grants"] if all(grant[name] == value for name, value in wanted.items())]


@contextmanager
def running_service(*prefix: str) -> Iterator[Service]:
    """autoprovd with an empty database, on a Unix socket and a port of the loopback address.

    ``prefix`` is a command that runs another in its place, such as ``setpriv``.
    """
    # Not tmp_path: the path of a socket may be 107 characters long.
    with tempfile.TemporaryDirectory(prefix="autoprov-") as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        generate_key(folder / "sealing.key")
        generate_certificate(["127.0.0.1"], folder)
        (folder / "autoprovd.toml").write_text(CONFIGURATION.format(folder=folder, port=port))
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "service" / "src")}
        command = [*prefix, sys.executable, "-m", "autoprovd", "serve", "--config", str(folder / "autoprovd.toml")]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            running = Service(folder, port, process.pid)
            _wait_for(running, process)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@pytest.fixture
def service() -> Iterator[Service]:
    """A service of the test's own."""
    with running_service() as running:
        yield running


def _wait_for(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if (service.folder / "admin.sock").exists():
            try:
                service.api.get("/settings")
                return
            except Exception:
                pass
        time.sleep(0.05)
    pytest.fail(f"autoprovd does not start: {(service.folder / 'log').read_text()}")


@dataclass
class Played:
    """What a run of ansible-playbook left."""

    status: int
    text: str
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The results of the tasks by their names, as ``register`` gets them."""


Play = Callable[..., Played]


@pytest.fixture
def play(tmp_path: Path, checkout_environment: dict[str, str]) -> Play:
    """Run tasks against this host; by default with the ansible-core of the tests, else with that in ``commands``."""

    def run(
        tasks: list[dict[str, Any]],
        *arguments: str,
        variables: dict[str, Any] | None = None,
        url: str = "",
        commands: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Played:
        results = tmp_path / "results.json"
        results.unlink(missing_ok=True)
        saved = [{**task, "register": f"result_{number}"} for number, task in enumerate(tasks)]
        names = {task["name"]: f"result_{number}" for number, task in enumerate(tasks)}
        content = "{{ {" + ", ".join(f"'{name}': {variable}" for name, variable in names.items()) + "} | to_json }}"
        playbook = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "module_defaults": {"group/autoprov.appliance.api": {"api_url": url}},
            "tasks": [*saved, _saving(content, results)],
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([playbook], sort_keys=False))
        bin_folder = commands or Path(sys.executable).parent
        done = subprocess.run(
            [str(bin_folder / "ansible-playbook"), "-i", "localhost,", str(tmp_path / "play.yml")]
            + (["-e", json.dumps(variables)] if variables else [])
            + list(arguments),
            env={**checkout_environment, "PATH": f"{bin_folder}:{os.environ['PATH']}", **(environment or {})},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        found = json.loads(results.read_text()) if results.exists() else {}
        return Played(done.returncode, done.stdout + done.stderr, found)

    return run


def _saving(content: str, path: Path) -> dict[str, Any]:
    copy = {"content": content, "dest": str(path), "mode": "0600"}
    return {"name": "Save", "ansible.builtin.copy": copy, "no_log": True, "check_mode": False, "diff": False}
