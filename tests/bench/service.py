# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of its own for a benchmark: real process, real database, loopback only."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def phone(index: int, keys: int) -> dict[str, Any]:
    """The index-th Yealink of a large site, with so many function keys."""
    wanted = [
        {"key": n % 27 + 1 if n < 27 else (n - 27) % 60 + 1, "module": 0 if n < 27 else 1 + (n - 27) // 60,
         "type": "blf", "value": str(2000 + n), "label": f"Colleague {n}"}
        for n in range(keys)
    ]  # fmt: skip
    account = {"line": 1, "user": str(100000 + index), "display_name": f"Phone {index}", "registrar": "pbx.example"}
    return {
        "mac": f"805e0c{index:06x}", "vendor": "yealink", "model": "T58W", "name": f"Phone {index}",
        "accounts": [account], "keys": wanted,
    }  # fmt: skip


@dataclass
class Service:
    """A folder with a service's files, and the process while it runs."""

    folder: Path
    port: int

    @property
    def socket(self) -> Path:
        """The admin socket."""
        return self.folder / "admin.sock"

    @property
    def database(self) -> Path:
        """The database file."""
        return self.folder / "autoprov.sqlite"

    def prepare(self) -> None:
        """Write configuration and key."""
        (self.folder / "autoprovd.toml").write_text(
            f'[database]\nurl = "sqlite:///{self.database}"\n'
            f'[keys]\nsealing_key_file = "{self.folder}/sealing.key"\n'
            f'[listen]\nphones_http = ["127.0.0.1:{self.port}"]\nadmin_socket = "{self.socket}"\n'
            '[log]\nlevel = "warning"\n'
        )
        self._program("generate-key", str(self.folder / "sealing.key"))

    def _program(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "autoprovd", *arguments], check=True, env=_environment())

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The process, from ready to ended."""
        command = [sys.executable, "-m", "autoprovd", "serve", "--config", str(self.folder / "autoprovd.toml")]
        process = subprocess.Popen(command, env=_environment())
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"http://127.0.0.1:{self.port}/healthz").is_success:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the service did not start")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def put_phones(self, phones: Sequence[dict[str, Any]]) -> None:
        """Give the site these phones."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket)), timeout=600) as client:
            body = json.dumps({"phones": list(phones)})
            answer = client.put(
                "http://appliance/api/v1/phones", content=body, headers={"content-type": "application/json"}
            )
            answer.raise_for_status()


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY / "service" / "src")}
