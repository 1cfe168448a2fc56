# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Files exchanged while others may write to them: nothing that an administrator writes meanwhile is lost.

Our runs hold a lock, an administrator's editor does not. A file is exchanged only if it still is what the change was
made from. What was written to the old file in the very moment of the exchange is found there, as the old file is held
open until the change is through.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
from dataclasses import dataclass

from .. import files
from ..errors import DhcpError
from ..files import FileChange

#: Seconds in which somebody who had the old file open has written what they had to write.
LATE = 0.02


class ChangedMeanwhile(Exception):
    """Somebody has written to the file since it was read."""


@dataclass
class _Done:
    change: FileChange
    #: The old file, open for reading, and its time of modification; None when there was none.
    old: t.Optional[int]
    modified_ns: int = 0
    #: How much of what was appended to the old file is in the new one.
    taken: int = 0


class Switch:
    """One exchange of several files. `like` is the file whose owner and mode new files get."""

    def __init__(self, like: str) -> None:
        self._like = like
        self._done: t.List[_Done] = []

    def put(self, change: FileChange, take_over_lines: bool = False) -> None:
        """Raises DhcpError, and ChangedMeanwhile; lines appended meanwhile are no reason with `take_over_lines`."""
        current = files.read_bytes(change.path)
        if current != change.before:
            appended = current is not None and change.before is not None and current.startswith(change.before)
            if not (take_over_lines and appended and change.after is not None):
                raise ChangedMeanwhile(change.path)
            added = t.cast("bytes", current)[len(t.cast("bytes", change.before)) :]
            change = FileChange(change.path, current, _joined(change.after, added))
        done = _Done(change, None)
        if change.before is not None:
            done.old = os.open(change.path, os.O_RDONLY | os.O_CLOEXEC)
            done.modified_ns = os.fstat(done.old).st_mtime_ns
        self._done.append(done)
        self._write(change.path, change.after)
        self.take_over_late_lines()

    def take_over_late_lines(self) -> None:
        """What somebody has appended to an old file after it was exchanged is appended to the new one.

        Raises ChangedMeanwhile when they have done something else to it.
        """
        for done in self._done:
            late = self._late(done)
            if late and done.change.after is not None:
                _append(done.change.path, late)
                done.taken += len(late)

    @staticmethod
    def _late(done: _Done) -> bytes:
        if done.old is None:
            return b""
        before, content = t.cast("bytes", done.change.before), _read_all(done.old)
        if not content.startswith(before):
            raise ChangedMeanwhile(done.change.path)
        return content[len(before) + done.taken :]

    def undo(self) -> None:
        """Put everything back, together with what others have written since. Raises DhcpError with all that failed."""
        faults: t.List[str] = []
        while self._done:
            done = self._done.pop()
            try:
                self._undo(done)
            except DhcpError as exc:
                faults += exc.faults
            finally:
                self._close(done)
        if faults:
            raise DhcpError(*faults)

    def finish(self) -> None:
        """The change is through; the old files are let go."""
        while self._done:
            self._close(self._done.pop())

    def _undo(self, done: _Done) -> None:
        path, after = done.change.path, done.change.after
        before = done.change.before
        try:
            late = self._late(done)
        except ChangedMeanwhile:
            before, late = _read_all(t.cast("int", done.old)), b""
        if files.read_bytes(path) is None or before is None:
            self._write(path, before)
            return
        with open(path, "rb") as stream:
            current = stream.read()
            if current == before:
                return
            if after is None or not current.startswith(after):
                raise DhcpError("%s was changed by somebody else just now and is left as it is; look at it" % path)
            added = current[len(after) :] + late
            self._write(path, before + added)
            if not added:
                # As the server has read it: its age tells whether it has.
                with contextlib.suppress(OSError):
                    os.utime(path, ns=(done.modified_ns, done.modified_ns))
            time.sleep(LATE)
            late = _read_all(stream.fileno())[len(current) :]
            if late:
                _append(path, late)

    def _write(self, path: str, content: t.Optional[bytes]) -> None:
        if content is None:
            files.remove(path)
        else:
            files.write_atomically(path, content, like=self._like)

    @staticmethod
    def _close(done: _Done) -> None:
        if done.old is not None:
            os.close(done.old)


def _joined(text: bytes, added: bytes) -> bytes:
    """What was appended as lines of their own stays lines of their own."""
    return text + (b"" if text.endswith(b"\n") or added.startswith((b"\n", b"\r")) else b"\n") + added


def _append(path: str, content: bytes) -> None:
    try:
        with open(path, "a+b") as stream:  # for appending: who else appends is not overwritten
            stream.seek(0)
            text = stream.read()
            stream.write(_joined(text, content)[len(text) :])
    except OSError as exc:
        raise DhcpError("%s cannot be written: %s" % (path, exc.strerror)) from exc


def _read_all(handle: int) -> bytes:
    content, offset = b"", 0
    while True:
        chunk = os.pread(handle, 1 << 20, offset)
        if not chunk:
            return content
        content += chunk
        offset += len(chunk)
