# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A witness outside the database: the last row of the audit log this host has seen.

A database that came back from a backup, or that lost its last commits in a failover, does not know what was released
since. It also lacks the row the witness remembers, and by that it is known.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from autoprovd.faults import Refused


class Head(NamedTuple):
    """A row of the audit log by its number and its link; the last one is the head of the log."""

    seq: int
    link: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.link}"


START = Head(0, "0" * 64)
"""What the first row is chained to."""


class Witness:
    """A small file; written at every commit, without waiting for the disk.

    It survives the end of the process, not a loss of power: then it remembers an older row, which is harmless.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(
                "unavailable",
                f"cannot write {file}, by which a restored database is known: {error.strerror}; "
                "give the service the right to, or set database.witness_file",
            ) from None
        # An object, not the number: closed twice, a number may be somebody else's file by then.
        self._file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115  # until close()

    def head(self) -> Head | None:
        """What was noted last; None when nothing ever was."""
        seq, _space, link = os.pread(self._file.fileno(), 200, 0).decode("ascii", "replace").strip().partition(" ")
        return Head(int(seq), link) if seq.isdigit() else None

    def note(self, head: Head) -> None:
        """Remember a row. Never fails: a witness that lags is still a witness."""
        try:
            os.pwrite(self._file.fileno(), f"{head.seq:020d} {head.link}\n".encode("ascii"), 0)
        except OSError:  # a full disk, and the next commit will tell
            return

    def close(self) -> None:
        """Let go of the file; once is enough, and twice does no harm."""
        self._file.close()
