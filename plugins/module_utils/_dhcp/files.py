# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Files of a service: written atomically, put back exactly, one writer at a time."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import tempfile
import time
import typing as t
from dataclasses import dataclass

from .errors import DhcpError, EditedMeanwhile

#: An edit of somebody else's that could not stay where it was made.
RESCUED_SUFFIX = ".autoprov-rescued"


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


def write_atomically(path: str, data: bytes, like: str, lasting: bool = True) -> None:
    """Replace `path` by rename; owner, group and mode as the file has now, else as `like`. Raises DhcpError.

    Not `lasting` is what need not survive a loss of power.
    """
    with _beside(path, data, like, lasting) as temporary:
        os.rename(temporary, path)


def replace_unchanged(path: str, before: t.Optional[bytes], after: t.Optional[bytes], like: str) -> None:
    """Like `write_atomically`, but only when the content is still `before`; None means there is no such file.

    File and new content change places in one step, and back again when something else had been there: an edit that
    is finished before the step is never lost. Raises EditedMeanwhile, and DhcpError.
    """
    if after is None:
        if read_bytes(path) != before:
            raise _edited(path)
        remove(path)
        return
    with _beside(path, after, like) as temporary:
        if read_bytes(path) != before:  # so late, because to write the new file to disk takes a while
            raise _edited(path)
        if before is None:
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise _edited(path) from None
        elif not _exchange(temporary, path):
            os.rename(temporary, path)
        elif _content_once_closed(temporary) != before:
            _exchange(temporary, path)
            if read_bytes(temporary) != after:  # and again in between, on top of what was ours for that moment
                rescued = os.path.join(os.path.dirname(path), ".%s%s" % (os.path.basename(path), RESCUED_SUFFIX))
                os.rename(temporary, rescued)
                raise DhcpError("%s was edited twice while this ran; the second is in %s" % (path, rescued))
            raise _edited(path)


def _content_once_closed(path: str, patience: float = 1.0) -> t.Optional[bytes]:
    """The content when nobody has the file open any more, at the latest after `patience` seconds.

    Who opened it under its old name may write only now (`echo … >> FILE`). The kernel grants a write lease on what
    nobody else has open.
    """
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Should somebody open it while we hold the lease, the signal must be one that nobody minds.
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            end = time.monotonic() + patience
            while time.monotonic() < end:
                try:
                    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                    break
                except BlockingIOError:
                    time.sleep(0.002)
        finally:
            os.close(handle)
    return read_bytes(path)


def _edited(path: str) -> EditedMeanwhile:
    return EditedMeanwhile("%s was changed by somebody else while this ran; run it again" % path)


@contextlib.contextmanager
def _beside(path: str, data: bytes, like: str, lasting: bool = True) -> t.Iterator[str]:
    """A new file in the folder of `path`, with owner, group and mode of `path` or else of `like`; gone afterwards."""
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
            if lasting:
                os.fsync(stream.fileno())
        yield temporary
        if lasting:
            sync_directory(directory)
    except OSError as exc:
        raise DhcpError("%s cannot be written: %s%s" % (path, exc.strerror, _way_out(exc))) from exc
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _exchange(first: str, second: str) -> bool:
    """Let two files change places in one step. False where kernel, C library or file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    if ctypes.get_errno() in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


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
