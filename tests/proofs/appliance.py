# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of a proof: a real process on a real database, which the proof starts, kills and starts again."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from autoprovd.sealing import generate_key
from tests.proofs.databases import Database
from tests.proofs.phones import Phone, ask
from tests.proofs.warm_start import Fork, WarmStart

REPOSITORY = Path(__file__).resolve().parents[2]
_ENVIRONMENT = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'service' / 'src'}{os.pathsep}{REPOSITORY}"}
SERVE = ("autoprovd", "serve")


@functools.cache
def _warm() -> WarmStart:
    started = WarmStart(_ENVIRONMENT)
    atexit.register(started.close)
    return started


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def dying(phone: Phone, step: str, deed: str) -> tuple[str, ...]:
    """The program of a service that meets with something at that step of a phone's claim; see ``dying_service``."""
    return ("tests.proofs.dying_service", phone.mac, step, deed, "serve")


class Appliance:
    """A node of a site: a folder with the service's files, and its process while it runs.

    ``settings`` are further settings of its database.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        key: Path | None = None,
        listen: str = "127.0.0.1",
        settings: Mapping[str, bool] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.database = database
        self.port = free_port()
        self.key = key or folder / "sealing.key"
        self._listen = listen
        self._process: subprocess.Popen[bytes] | Fork | None = None
        if key is None:
            generate_key(self.key)
        trust = "".join(f"{name} = {str(value).lower()}\n" for name, value in (settings or {}).items())
        (folder / "autoprovd.toml").write_text(
            f'[database]\nurl = "{database.url}"\nwitness_file = "{folder}/witness"\n{trust}'
            f'[keys]\nsealing_key_file = "{self.key}"\n'
            f'[listen]\nphones_http = ["{listen}:{self.port}"]\nadmin_socket = "{folder}/admin.sock"\n'
        )

    # -- the process --------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process number."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        program: Sequence[str] = SERVE,
        within: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        """Start it and wait until it answers.

        ``program`` is the module and its arguments, ``within`` a command that runs it (``unshare …``).
        """
        module, *arguments = program
        arguments += ["--config", str(self.folder / "autoprovd.toml")]
        if not within and environment is None:
            self._process = _warm().start(module, arguments, self.folder / "log")
        else:
            command = [*within, sys.executable, "-m", module, *arguments]
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    command, env=_ENVIRONMENT | dict(environment or {}), stdout=log, stderr=log
                )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when it answers on its local socket."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.running:
            with contextlib.suppress(httpx.TransportError):
                if self._call("GET", "/healthz").is_success:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"autoprovd did not start: {self.log()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)

    def wait_until_dead(self) -> None:
        """Wait until it has ended by itself; raises ``TimeoutExpired``."""
        assert self._process is not None
        self._process.wait(20)

    def stop(self) -> None:
        """End it in order."""
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "log").read_text(errors="replace")

    # -- what Ansible and people ask of it ----------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        # verify: there is no TLS on it, and a context for it costs 20 ms.
        transport = httpx.HTTPTransport(uds=f"{self.folder}/admin.sock", verify=False)
        with httpx.Client(transport=transport, timeout=30) as client:
            return client.request(method, f"http://appliance{path}", json=body)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """A call of the admin API, which must succeed."""
        answer = self._call(method, f"/api/v1{path}", body)
        assert answer.is_success, answer.text
        return answer.json()

    def set_up(self, phones: Sequence[Phone], **release: object) -> None:
        """Give the site its release settings and these phones; their passwords are armed."""
        self.api("PUT", "/settings", {"settings": {"public_host": "198.18.0.1", "release": release}})
        self.api("PUT", "/phones", {"phones": [phone.definition for phone in phones]})

    def arm(self, *phones: Phone) -> None:
        """Release their passwords again."""
        self.api("POST", "/grants/arm", {"select": [{"mac": phone.mac} for phone in phones]})

    def grants(self, phone: Phone) -> list[dict[str, Any]]:
        """The phone's own grants."""
        (shown,) = self.api("GET", f"/phones?mac={phone.mac}")["phones"]
        return [grant for grant in shown["grants"] if grant["audience"] == "phone"]

    def states(self, phone: Phone) -> dict[str, str]:
        """The states of the phone's own grants, by secret class."""
        return {grant["secret_class"]: grant["state"] for grant in self.grants(phone)}

    def why(self, phone: Phone) -> str:
        """What a person is told about the phone, in one text."""
        told = self.api("GET", f"/phones/{phone.mac}/why")
        return "\n".join([*(grant["because"] for grant in told["grants"]), *told["advice"]])

    def assert_audit_whole(self) -> int:
        """The chain of the audit log holds; the number of its rows."""
        verdict = self.api("GET", "/audit/verify")
        assert verdict["ok"], verdict
        rows: int = verdict["rows"]
        return rows

    # -- what phones ask of it ----------------------------------------------------------------------------------------

    def ask(self, phone: Phone, source: str = "127.0.0.1", **how: Any) -> bytes:
        """A phone's request and the whole answer; nothing when the service is gone."""
        return ask(self.port, phone.request(**how), source)
