# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""autoprovd started over and over, for storms of kills: its modules are imported once, each start is a fork.

``python -m tests.proofs.warm_start CONFIG`` starts the ordinary program for each line on standard input, and answers
with its process number. A start takes a fifth of a second instead of one; nothing is shared but imported code.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence


class WarmStart:
    """A process that has the service imported, and forks one at each start."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: int) -> None:
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )

    def start(self) -> Fork:
        """A new process of the service."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"start\n")
        self._process.stdin.flush()
        return Fork(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End the starting process."""
        self._process.kill()
        self._process.communicate()


class Fork:
    """A process that is another's child: what is needed of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

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
    import uvloop  # noqa: F401

    import autoprovd.web.server  # noqa: F401
    from autoprovd.__main__ import main as run

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(2, 1)
            sys.argv = ["autoprovd", "serve", *sys.argv[1:]]
            run()
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
