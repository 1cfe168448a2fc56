# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails in the instant in which the first byte of an answer leaves.

strace records every write of the service to its database and every fsync. From that record the disk is made again as
it is guaranteed to be at that instant: what was written and not synced is not on it.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.proofs.appliance import Appliance
from tests.proofs.databases import Database
from tests.proofs.phones import Phone

_CALL = re.compile(
    r"^(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*?)(?P<end>\)\s+= (?P<result>-?\d+).*| <unfinished \.\.\.>)$"
)
_RESUMED = re.compile(r"^(?P<thread>\d+) +<\.\.\. (?P<call>\w+) resumed>.*\)\s+= (?P<result>-?\d+)")
_FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class _Disk:
    """Files as the system calls leave them: what programs read, and what is sure to survive."""

    written: defaultdict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    synced: dict[str, bytes] = field(default_factory=dict)

    def apply(self, call: str, arguments: str) -> None:
        """A system call that succeeded."""
        if call == "unlink":  # SQLite syncs the folder behind it
            removed = _text(arguments).decode()
            self.written.pop(removed, None)
            self.synced.pop(removed, None)
            return
        path = _path(arguments)
        if path is None:
            return
        numbers = arguments.rsplit(", ", 2)
        if call == "pwrite64":
            data, offset = _text(arguments), int(numbers[2])
            content = self.written[path]
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        elif call == "ftruncate":
            length = int(numbers[-1])
            content = self.written[path]
            del content[length:]
            content.extend(bytes(length - len(content)))
        elif call in ("fsync", "fdatasync"):
            self.synced[path] = bytes(self.written[path])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_was_answered_survives_a_loss_of_power(appliance: Appliance, folder: Path) -> None:
    """When the first byte of an answer leaves, what is synced to the disk holds the claim and its audit rows."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing; run make setup as root")
    phone, record = Phone(1), folder / "record"
    calls = "trace=pwrite64,ftruncate,fsync,fdatasync,unlink,write,writev,sendto,sendmsg"
    tracer = ("strace", "-D", "-f", "-q", "-y", "-xx", "-s", "100000", "-e", calls, "-o", str(record))
    appliance.start(within=tracer)
    appliance.set_up([phone], strict=True, window_seconds=3600)
    assert phone.secrets_in(appliance.ask(phone)) == frozenset(phone.secrets)
    time.sleep(0.2)
    appliance.kill()
    survived = folder / "survived"
    survived.mkdir()
    for path, content in _disk_at_the_first_answer(record, phone).synced.items():
        (survived / Path(path).name).write_bytes(content)
    found = Database("sqlite", f"sqlite:///{survived}/autoprov.sqlite")
    found.assert_sound()
    assert len(found.released(phone.mac)) == len(phone.secrets), "answered, and forgotten"
    states = found.rows("SELECT state, releases FROM grants WHERE mac = :mac AND audience = 'phone'", mac=phone.mac)
    assert {tuple(row) for row in states} == {("open", 1)}


def _disk_at_the_first_answer(record: Path, phone: Phone) -> _Disk:
    secrets = [value.encode() for value in phone.secrets.values()]
    disk = _Disk()
    begun: dict[str, tuple[str, str]] = {}
    for line in record.read_text("ascii", "replace").splitlines():
        resumed = _RESUMED.match(line)
        if resumed is not None:
            call, arguments = begun.pop(resumed["thread"])
            if int(resumed["result"]) >= 0:
                disk.apply(call, arguments)
            continue
        match = _CALL.match(line)
        if match is None:
            continue
        call, arguments = match["call"], match["arguments"]
        # Writes to sockets count from when they begin, writes and syncs of files once they have returned.
        if call in ("write", "writev", "sendto", "sendmsg"):
            sent = b"".join(bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments))
            if sent.startswith(b"HTTP/1.1 200") and any(secret in sent for secret in secrets):
                return disk
        elif match["result"] is None:
            begun[match["thread"]] = call, arguments
        elif int(match["result"]) >= 0:
            disk.apply(call, arguments)
    raise AssertionError("the answer is not in the record")


def _path(arguments: str) -> str | None:
    match = _FILE.match(arguments)
    if match is None:
        return None
    path = match["path"]
    if path.startswith("\\x"):
        path = bytes.fromhex(path.replace("\\x", "")).decode()
    return path if path.endswith((".sqlite", ".sqlite-wal", ".sqlite-journal")) else None


def _text(arguments: str) -> bytes:
    match = _TEXT.search(arguments)
    assert match is not None, arguments[:100]
    return bytes.fromhex(match[1].replace("\\x", ""))
