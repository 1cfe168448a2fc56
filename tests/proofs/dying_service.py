# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""autoprovd that meets with something at one labelled step of a claim.

``python -m tests.proofs.dying_service MAC STEP DEED serve --config …`` runs the ordinary program. When a claim of the
phone MAC comes to STEP for the first time, the process does DEED:

* ``kill`` ends itself by SIGKILL, as a loss of power or the kernel's out-of-memory killer would;
* ``wait:FILE`` makes FILE, and goes on when somebody removed it;
* ``fill:FOLDER`` writes into FOLDER until its disk is full, and goes on.

The service itself knows nothing of this: its functions are wrapped here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.default import DefaultDialect

STEPS = (
    "before the transaction",
    "after the UPDATE",
    "after the audit rows",
    "before COMMIT",
    "after COMMIT",
    "after opening",
    "before sending",
    "after sending",
)
"""In the order in which a claim comes to them; only those from COMMIT on may burn a release."""

_claiming = threading.local()


class _Step:
    """Does the deed the first time a claim of its phone comes to its step."""

    def __init__(self, mac: str, label: str, deed: Callable[[], None]) -> None:
        assert label in STEPS
        self.mac = mac
        self.released = False
        """A claim of the phone was answered; the next response that must not be stored is its."""
        self._label = label
        self._deed: Callable[[], None] | None = deed

    def reached(self, label: str) -> None:
        """A claim is here now."""
        if label == self._label and self._deed is not None:
            deed, self._deed = self._deed, None
            deed()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wait(file: Path) -> None:
    file.touch()
    while file.exists():
        time.sleep(0.005)


def fill(folder: Path) -> None:
    """Write into the folder until its disk is full."""
    with (folder / "filler").open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while stream.write(bytes(size)):
                    pass
            except OSError:
                continue


def _deed(text: str) -> Callable[[], None]:
    name, _colon, argument = text.partition(":")
    deeds: dict[str, Callable[[], None]] = {
        "kill": _kill,
        "wait": partial(_wait, Path(argument)),
        "fill": partial(fill, Path(argument)),
    }
    return deeds[name]


def _wrap(step: _Step) -> None:
    """Have the service tell where a claim is."""
    from autoprovd.release import Release
    from autoprovd.sealing import Keyring
    from autoprovd.store.prepared import Prepared
    from autoprovd.web import protocol

    def is_claiming() -> bool:
        return getattr(_claiming, "now", False)

    claim = Release.claim

    def watched_claim(self: Release, mac: str, *arguments: Any, **named: Any) -> Any:
        if mac != step.mac:
            return claim(self, mac, *arguments, **named)
        step.reached("before the transaction")
        _claiming.now = True
        try:
            found = claim(self, mac, *arguments, **named)
            step.released = bool(found)
            return found
        finally:
            _claiming.now = False

    Release.claim = watched_claim  # type: ignore[method-assign]

    run = Prepared.run

    def watched_run(self: Prepared, connection: Connection, parameters: Any) -> list[Any]:
        rows = run(self, connection, parameters)
        ((statement, _constants),) = self._compiled.values()
        for beginning, label in (("UPDATE grants", "after the UPDATE"), ("INSERT INTO audit", "after the audit rows")):
            if is_claiming() and statement.startswith(beginning):
                step.reached(label)
        return rows

    Prepared.run = watched_run  # type: ignore[method-assign]
    run_many = Prepared.run_many

    def watched_run_many(self: Prepared, connection: Connection, rows: Any) -> None:
        run_many(self, connection, rows)
        if is_claiming():
            step.reached("after the audit rows")

    Prepared.run_many = watched_run_many  # type: ignore[method-assign]

    commit: Any = DefaultDialect.do_commit

    def watched_commit(self: DefaultDialect, connection: Any) -> None:
        if is_claiming():
            step.reached("before COMMIT")
        commit(self, connection)
        if is_claiming():
            step.reached("after COMMIT")

    DefaultDialect.do_commit = watched_commit  # type: ignore[method-assign]

    opened = Keyring.open

    def watched_open(self: Keyring, *arguments: Any) -> str:
        secret = opened(self, *arguments)
        if is_claiming():
            step.reached("after opening")
        return secret

    Keyring.open = watched_open  # type: ignore[method-assign,assignment]

    made = protocol.Protocol.connection_made

    def watched_made(self: Any, transport: Any) -> None:
        made(self, _Watched(transport, step))  # type: ignore[arg-type]

    protocol.Protocol.connection_made = watched_made  # type: ignore[method-assign]


class _Watched:
    """A transport that tells when a response that must not be stored, one with secrets, is written."""

    def __init__(self, transport: Any, step: _Step) -> None:
        self._transport = transport
        self._step = step

    def write(self, data: bytes) -> None:
        holds_secrets = self._step.released and b"no-store" in data and b" 200 " in data[:20]
        if holds_secrets:
            self._step.reached("before sending")
        self._transport.write(data)
        if holds_secrets:
            # uvloop sends at the end of this turn of its loop.
            threading.Timer(0.05, self._step.reached, ["after sending"]).start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def main() -> None:
    """Wrap, then run the program as it is."""
    mac, label, deed, *arguments = sys.argv[1:]
    _wrap(_Step(mac, label, _deed(deed)))
    from autoprovd.__main__ import main as run

    sys.argv = ["autoprovd", *arguments]
    run()


if __name__ == "__main__":
    main()
