# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose rights the mirror is handled with: what lies in it came from the network, and is its owner's business alone.

What root reads for its owner, or writes elsewhere, is opened before rights are given up.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from autoprovd.appliance import tell_refusal
from autoprovd.faults import Refused

_NOT_SOUND = 3


def as_owner(folder: Path, work: Callable[[], bool]) -> bool:
    """Do what handles files from the network with the rights of the mirror's owner, if root calls."""
    try:
        owner = folder.stat()
    except FileNotFoundError:
        owner = None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        return work()
    sys.stdout.flush()
    "localhost".encode("idna")  # is loaded when a name is first looked up; the owner may not read our libraries
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        os._exit(_status(work))
    # An interrupt reaches the child as well; it ends in order, and so do we.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: os.kill(child, got))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, _NOT_SOUND):
        sys.exit(1)
    return status == 0


def _status(work: Callable[[], bool]) -> int:
    try:
        status = 0 if work() else _NOT_SOUND
    except Refused as refusal:
        tell_refusal(refusal)
        status = 1
    except OSError as error:
        tell_refusal(Refused("unavailable", f"{error.filename or 'a file'}: {error.strerror or error}"))
        status = 1
    except BaseException:  # the caller's process is another: nothing may leave this function
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that is there under its name when it is whole; nobody else's is followed or written to."""
    unfinished = target.with_name(f".{target.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with open(descriptor, "wb") as stream:
                yield stream
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refused("unavailable", f"{target} cannot be written: {error.strerror or error}") from None
