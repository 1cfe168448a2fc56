# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sealing key of a running service is exchanged while phones ask: autoprovd as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from autoprovd import sealing
from autoprovd.appliance import Appliance

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGURATION = """
[database]
url = "sqlite:///{folder}/autoprov.sqlite"
[keys]
sealing_key_file = "{folder}/sealing.key"
[listen]
phones_http = ["127.0.0.1:{port}"]
admin_socket = "{folder}/admin.sock"
"""
MACS = [f"805e0c{number:06x}" for number in range(1, 301)]
ASKED_LAST = MACS[-20:]


def yealink(mac: str) -> dict[str, Any]:
    account = {"line": 1, "user": mac, "registrar": "198.18.0.5", "password": f"sip-of-{mac}"}
    return {"mac": mac, "vendor": "yealink", "model": "T54W", "accounts": [account]}


class Service:
    """autoprovd in a folder of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.file = folder / "sealing.key"
        self.socket = folder / "admin.sock"
        self._environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "service" / "src"), **environment}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = folder / "autoprovd.toml"
        self.config.write_text(CONFIGURATION.format(folder=folder, port=self.port))
        self.process: subprocess.Popen[bytes] | None = None
        self._phones = httpx.Client()

    def start(self) -> float:
        """Start it; the seconds until it answered."""
        started = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("autoprovd", "serve"), env=self._environment, stdout=log, stderr=log
            )
        while time.monotonic() - started < 30 and self.process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/healthz")
                return time.monotonic() - started
            except httpx.HTTPError:
                time.sleep(0.01)
        pytest.fail(f"autoprovd does not start: {self.log}")

    def stop(self) -> float:
        """End it in order; the seconds that took."""
        started = time.monotonic()
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(20) == 0, self.log
            self.process = None
        return time.monotonic() - started

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.splitlines() if line.startswith("{")]

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command as a person types it."""
        command = self._command(program, *arguments)
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def key_status(self) -> list[dict[str, Any]]:
        shown = self.run("autoprov", "--socket", self.socket, "key", "status", "--json")
        assert shown.returncode == 0, shown.stderr
        found: list[dict[str, Any]] = json.loads(shown.stdout)["keys"]
        return found

    def ask(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        return Appliance(self.socket).ask(method, path, **parameters)

    def fetch(self, mac: str) -> httpx.Response:
        agent = "Yealink SIP-T54W 96.87.0.15 " + ":".join(mac[i : i + 2] for i in range(0, 12, 2))
        return self._phones.get(f"http://127.0.0.1:{self.port}/{mac}.cfg", headers={"user-agent": agent})

    def _command(self, program: str, *arguments: object) -> list[str]:
        module = {"autoprov": "autoprovd.cli", "autoprovd": "autoprovd"}[program]
        given = [
            *map(str, arguments),
            *(["--config", str(self.config)] if arguments[0] in ("serve", "retire-key") else []),
        ]
        return [sys.executable, "-m", module, *given]


@pytest.fixture
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="autoprov-") as name:
        made = Service(Path(name))
        sealing.generate_key(made.file)
        made.start()
        made.ask("PUT", "/phones", json={"phones": [yealink(mac) for mac in MACS]})
        yield made
        made.stop()


class Phones:
    """Phones that ask all the time, each for its own file, while something else happens."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._end = threading.Event()
        self.answered = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Phones:
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._end.is_set():
            for mac in MACS[: -len(ASKED_LAST)]:
                try:
                    answer = self._service.fetch(mac)
                    if answer.status_code != 200 or f"sip-of-{mac}" not in answer.text:
                        self.wrong.append(f"{mac}: {answer.status_code}")
                except httpx.HTTPError as failure:
                    self.wrong.append(f"{mac}: {failure!r}")
                self.answered += 1
                if self._end.is_set():
                    return


def wait_until_the_newest_seals_everything(service: Service) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        keys = service.key_status()
        if keys[0]["seals"] and not any(key["seals"] for key in keys[1:]):
            return keys
        time.sleep(0.1)
    pytest.fail(f"the old key still seals something: {service.key_status()}")


def test_no_request_fails_while_the_key_is_exchanged(service: Service) -> None:
    (old,) = [key["id"] for key in service.key_status()]
    noted = service.run("autoprov", "--socket", service.socket, "audit", "head").stdout.strip()
    with Phones(service) as phones:
        new = service.run("autoprovd", "generate-key", "--add", service.file).stdout.strip()
        refused = service.run("autoprovd", "retire-key", service.file, old)
        assert refused.returncode == 1
        assert f"does not use key {new} yet" in refused.stderr
        service.reload()
        keys = wait_until_the_newest_seals_everything(service)
        assert [(key["id"], key["newest"], key["secrets"]) for key in keys] == [(new, True, 1200), (old, False, 0)]
        retired = service.run("autoprovd", "retire-key", service.file, old)
        assert retired.returncode == 0, retired.stderr
        service.reload()
        deadline = time.monotonic() + 10
        while len(service.key_status()) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [key["id"] for key in service.key_status()] == [new]
    assert phones.answered > 100
    assert phones.wrong == []

    service.stop()
    assert [sealing.key_id(key) for key in sealing.read_keys(service.file)] == [new]
    service.start()
    for mac in ASKED_LAST:
        assert f"sip-of-{mac}" in service.fetch(mac).text
    unchanged = service.ask("PUT", "/phones", json={"phones": [yealink(mac) for mac in MACS]})
    assert (unchanged["changed"], unchanged["unchanged"]) == (False, len(MACS))
    checked = service.run("autoprov", "--socket", service.socket, "audit", "verify", "--head", noted)
    assert checked.returncode == 0, checked.stdout
    assert "sealing keys read" in service.events()
    assert "audit head" in service.events()
    assert not any(mac in service.log and f"sip-of-{mac}" in service.log for mac in MACS)


def test_a_key_file_that_cannot_be_used_changes_nothing(service: Service) -> None:
    key = service.file.read_bytes()
    service.file.chmod(0o600)
    with Phones(service) as phones:
        for content in (b"", b"nonsense\n", key[:20]):
            service.file.write_bytes(content)
            deadline = time.monotonic() + 10
            told = service.events().count("sealing keys not read")
            service.reload()
            while service.events().count("sealing keys not read") == told and time.monotonic() < deadline:
                time.sleep(0.05)
        assert service.events().count("sealing keys not read") == 3
    assert phones.wrong == []
    assert service.process is not None
    assert service.process.poll() is None


def test_a_key_from_the_service_manager_is_exchanged_by_a_restart() -> None:
    """systemd hands over credentials at the start only; the service says so, and a restart seals everything anew."""
    with tempfile.TemporaryDirectory(prefix="autoprov-") as name:
        folder = Path(name)
        (folder / "credentials").mkdir()
        credential = folder / "credentials" / sealing.CREDENTIAL_NAME
        sealing.generate_key(credential)
        service = Service(folder, CREDENTIALS_DIRECTORY=str(folder / "credentials"))
        service.start()
        service.ask("PUT", "/phones", json={"phones": [yealink(mac) for mac in MACS]})
        assert service.ask("GET", "/keys")["from_service_manager"]
        sealing.add_key(credential)
        seconds = service.stop() + service.start()
        print(f"a restart took {seconds:.2f} s")
        keys = wait_until_the_newest_seals_everything(service)
        assert len(keys) == 2
        assert f"sip-of-{MACS[0]}" in service.fetch(MACS[0]).text
        service.stop()
