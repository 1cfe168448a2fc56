# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Steps that change a host: files replaced or removed, commands run.

This file is imported by the module, and is also the whole program of the timer that takes a change back: it is run as
text (``python -c``) with a folder and seconds. So it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin"
COMMAND_TIMEOUT = 60.0  # seconds


@dataclass
class Step:
    """A file to write (or, without content, to remove), or else a command to run with some input."""

    path: str = ""
    content: t.Optional[str] = None
    mode: int = 0o644
    command: t.List[str] = field(default_factory=list)
    stdin: str = ""
    #: What an error calls it; the command itself when empty.
    what: str = ""


class Steps(t.List[Step]):
    """Done in this order."""

    def write(self, path: str, content: t.Optional[str], mode: int = 0o644) -> None:
        """Have a file replaced by one rename, or removed when `content` is None."""
        self.append(Step(path=path, content=content, mode=mode))

    def run(self, *command: str, stdin: str = "", what: str = "") -> None:
        """Have a command run, without a shell."""
        self.append(Step(command=list(command), stdin=stdin, what=what))


def do_steps(steps: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[str]:
    """Do steps (the fields of `Step`) in this order; one that fails does not stop the others. Returns the faults."""
    faults = []
    for step in steps:
        what = step["path"] or step["what"] or " ".join(step["command"])
        try:
            if not step["path"]:
                _run(step["command"], step["stdin"], step["what"])
            elif step["content"] is None:
                if os.path.lexists(step["path"]):
                    os.unlink(step["path"])
            else:
                _write(step["path"], step["content"].encode("utf-8", "surrogateescape"), step["mode"])
        except (OSError, subprocess.SubprocessError) as exc:
            faults.append("%s: %s" % (what, exc))
        except RuntimeError as exc:
            faults.append(str(exc))
    return faults


def _write(path: str, content: bytes, mode: int) -> None:
    temporary = os.path.join(os.path.dirname(path), ".autoprov-%d" % os.getpid())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(temporary, path)
    handle = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(handle)  # a rename lasts once its directory is on disk
    finally:
        os.close(handle)


def _run(command: t.Sequence[str], stdin: str, what: str) -> None:
    done = subprocess.run(
        list(command),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_TIMEOUT,
        env=dict(os.environ, PATH=SEARCH_PATH, LC_ALL="C"),
        check=False,
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or "no reason given"
        if what:
            raise RuntimeError("%s: %s" % (what, said))
        raise RuntimeError("%s failed with status %d: %s" % (" ".join(command), done.returncode, said))


def take_back_in(folder: str, seconds: float) -> None:
    """Wait, then do what `undo.json` in the folder says, unless it was taken from there meanwhile."""
    undo, undoing = os.path.join(folder, "undo.json"), os.path.join(folder, "undoing.json")
    _write(os.path.join(folder, "running.json"), b"%d" % os.getpid(), 0o600)  # nothing is changed before this is there
    end = time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
    while time.clock_gettime(time.CLOCK_BOOTTIME) < end:
        if not os.path.exists(undo):
            return  # confirmed, or taken back by the module itself
        time.sleep(0.2)
    try:  # Whoever renames the file first decides: the confirmation, or this.
        os.rename(undo, undoing)
    except FileNotFoundError:
        return
    with open(undoing, encoding="utf-8") as stream:
        faults = do_steps(json.load(stream))
    _write(os.path.join(folder, "undone.json"), json.dumps(faults).encode(), 0o600)


if __name__ == "__main__":
    take_back_in(sys.argv[1], float(sys.argv[2]))
