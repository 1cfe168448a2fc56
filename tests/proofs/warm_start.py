# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m MODULE …`` over and over, for proofs that start the service hundreds of times.

One process imports what the service imports; each start is a fork of it that runs the module's ordinary program, as a
process of its own. A start takes a fifth of a second instead of one. Nothing is shared but imported code.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class WarmStart:
    """A process that has the service imported, and forks one at each start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.warm_start"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, module: str, arguments: Sequence[str], log: Path) -> Fork:
        """A new process, as of ``python -m MODULE ARGUMENTS… >>LOG 2>&1``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([module, *arguments, str(log)]).encode() + b"\n")
        self._process.stdin.flush()
        return Fork(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End the starting process; what it started goes on."""
        self._process.kill()
        self._process.communicate()


class Fork:
    """A process that is another's child: what is needed of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def __del__(self) -> None:
        """Let go of the handle."""
        os.close(self._handle)

    def poll(self) -> int | None:
        """None while it runs; how it ended is its parent's to know."""
        return 0 if select.select([self._handle], [], [], 0)[0] else None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Wait until it has ended."""
        if not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("autoprovd", timeout)
        return 0


def main() -> None:
    """Import, then fork at each line."""
    import alembic.command  # noqa: F401 - what a start would import
    import httptools  # noqa: F401
    import psycopg  # noqa: F401
    import uvloop  # noqa: F401

    import autoprovd.web.server  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            module, *arguments, log = json.loads(line)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for descriptor in (1, 2):
                os.dup2(output, descriptor)
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            sys.exit()
        print(child, flush=True)


if __name__ == "__main__":
    main()
