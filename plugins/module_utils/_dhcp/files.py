# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Files of a service: written atomically, put back exactly, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
import typing as t
from dataclasses import dataclass

from .errors import DhcpError


@dataclass(frozen=True)
class FileChange:
    """Content before and after; None means there is no such file."""

    path: str
    before: t.Optional[bytes]
    after: t.Optional[bytes]


def read_bytes(path: str) -> t.Optional[bytes]:
    """The content, or None when the file does not exist. Raises DhcpError when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise DhcpError("%s cannot be read: %s; run as root (become: true)" % (path, exc.strerror)) from exc


def write_atomically(path: str, data: bytes, like: str) -> None:
    """Replace `path` by rename; owner, group and mode as the file has now, else as `like`. Raises DhcpError."""
    directory = os.path.dirname(path)
    temporary = ""
    try:
        model = os.stat(path if os.path.exists(path) else like)
        handle, temporary = tempfile.mkstemp(prefix=".autoprov-", dir=directory)
        with os.fdopen(handle, "wb") as stream:
            os.fchown(stream.fileno(), model.st_uid, model.st_gid)
            os.fchmod(stream.fileno(), model.st_mode & 0o7777)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
        temporary = ""
        sync_directory(directory)
    except OSError as exc:
        raise DhcpError("%s cannot be written: %s%s" % (path, exc.strerror, _way_out(exc))) from exc
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def remove(path: str) -> None:
    try:
        os.unlink(path)
        sync_directory(os.path.dirname(path))
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise DhcpError("%s cannot be removed: %s%s" % (path, exc.strerror, _way_out(exc))) from exc


def sync_directory(path: str) -> None:
    """A rename lasts once its directory is on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _way_out(exc: OSError) -> str:
    if exc.errno in (errno.EACCES, errno.EPERM):
        return "; run as root (become: true)"
    if exc.errno == errno.ENOSPC:
        return "; make room on the file system"
    return ""


@contextlib.contextmanager
def locked(path: str, timeout: float = 60.0) -> t.Iterator[None]:
    """Hold an exclusive flock on `path`, which ends with this process. Raises DhcpError after `timeout` seconds."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise DhcpError("the lock %s cannot be taken: %s%s" % (path, exc.strerror, _way_out(exc))) from exc
    try:
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise DhcpError(
                        "another run has held the lock %s for %d seconds; wait for it, or end it" % (path, timeout)
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
