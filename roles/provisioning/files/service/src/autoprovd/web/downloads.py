# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware and language files as phones fetch them: whole or in ranges, and only a few at a time.

What the mirror serves is public: whoever asks gets it. What is large goes from the disk to the network
without passing through Python; the number of downloads at a time is bounded, so that a site's uplink
and the phones' own configurations stay quick.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from autoprovd import metrics
from autoprovd.web.sendfile import FileRange, send_range

FOLDER = "/firmware/"
TRANSPORT = "autoprov.transport"
"""The extension of the ASGI scope that holds the connection, where it can be written to without encryption."""
SMALL = 64 * 1024
"""Up to here a file is sent like any other response."""
# The list at the top is for other mirrors, which may be made from this one.
_PATH = re.compile(r"manifest\.json|[a-z0-9]+/[0-9A-Za-z][0-9A-Za-z._+-]{0,63}/[0-9A-Za-z][^/\x00-\x1f\x7f]{0,199}")
_TYPES = {
    ".xml": "text/xml; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".lang": "text/plain; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".bmp": "image/bmp",
}
_BINARY = "application/octet-stream"
_PIECE = 512 * 1024
_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_STALL_SECONDS = 30.0
"""A phone that takes next to nothing for so long has gone, or keeps others from their turn."""
_LEAST = 128 * 1024
"""The bytes that are more than next to nothing; over a site's poor uplink a phone still takes more."""
_PATIENCE_SECONDS = 20.0
"""How long a download waits for its turn; phones give up after half a minute or later."""


class Downloads:
    """The files below a folder, as an ASGI application for paths that start with :data:`FOLDER`."""

    def __init__(self, folder: Path | None, at_a_time: int) -> None:
        self._folder = folder
        self._turns = _Turns(at_a_time)
        self._pool = ThreadPoolExecutor(at_a_time, "download")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        file = self._open(scope["path"].removeprefix(FOLDER))
        if file is None:
            await _plain(404, "no such file")(scope, receive, send)
            metrics.count_request("unknown")
            return
        try:
            await self._serve(file, scope, receive, send)
        finally:
            os.close(file.descriptor)

    def _open(self, path: str) -> _Open | None:
        if self._folder is None or not _PATH.fullmatch(path):
            return None
        try:
            descriptor = _open_below(self._folder, path)
        except OSError:
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            return None
        suffix = os.path.splitext(path)[1].lower()
        # An object of the mirror is never changed: another content has another inode, and another time.
        etag = f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"'
        return _Open(descriptor, found.st_size, etag, int(found.st_mtime), _TYPES.get(suffix, _BINARY))

    async def _serve(self, file: _Open, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] != "GET":  # ranges are defined for GET alone (RFC 9110, section 14.2)
            headers.pop("range", None)
        status, start, end = _part(file, headers)
        answer = {"etag": file.etag, "last-modified": formatdate(file.modified, usegmt=True), "accept-ranges": "bytes"}
        if status in (304, 412, 416):
            if status == 416:
                answer["content-range"] = f"bytes */{file.size}"
            await Response(None, status, answer)(scope, receive, send)
            metrics.count_request("unchanged" if status == 304 else "refused")
            return
        if status == 206:
            answer["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
        answer |= {"content-type": file.media_type, "content-length": str(end - start)}
        begin = {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in answer.items()],
        }
        if scope["method"] == "HEAD" or start == end:
            await send(begin)
            await send({"type": "http.response.body", "body": b""})
            return
        source = scope["client"][0] if scope.get("client") else ""
        try:
            await asyncio.wait_for(self._turns.take(source), _PATIENCE_SECONDS)
        except TimeoutError:
            response = _plain(503, "too many downloads; try again later", {"retry-after": "60"})
            await response(scope, receive, send)
            metrics.count_request("postponed")
            return
        try:
            await send(begin)
            content = FileRange(file.descriptor, start, end)
            transport = scope.get("extensions", {}).get(TRANSPORT, {}).get("transport")
            if transport is not None and len(content) > SMALL:
                await self._send_directly(transport, content, send)
            else:
                await self._send_pieces(content, send)
            metrics.count_request("download")
        finally:
            self._turns.give_back(source)

    async def _send_directly(self, transport: asyncio.Transport, content: FileRange, send: Send) -> None:
        await send({"type": "http.response.body", "body": content, "more_body": True})
        if await send_range(transport, content, self._pool, _STALL_SECONDS, _LEAST):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            transport.abort()

    async def _send_pieces(self, content: FileRange, send: Send) -> None:
        loop, start = asyncio.get_running_loop(), content.start
        while start < content.end:
            length = min(_PIECE, content.end - start)
            piece = await loop.run_in_executor(self._pool, os.pread, content.descriptor, length, start)
            start += len(piece)
            if not piece:  # the file was cut while it was sent; the connection ends where it should go on
                return
            message = {"type": "http.response.body", "body": piece, "more_body": start < content.end}
            await asyncio.wait_for(send(message), _STALL_SECONDS * _PIECE / _LEAST)


def _open_below(folder: Path, path: str) -> int:
    """Open a file for reading without following any link but that to the release; raises ``OSError``.

    The folder belongs to a user with fewer rights than ours, who must not be able to have our files served.
    """
    top, steps = folder, path.split("/")
    with suppress(OSError):  # only a mirror's folder has the link that puts another release in its place
        top, steps = folder.parent.parent, [*os.readlink(folder.parent).split("/"), folder.name, *steps]
    if ".." in steps:
        raise PermissionError(errno.EACCES, "leads out of the mirror")
    place = os.open(top, _FOLDER_FLAGS)
    for step in steps[:-1]:
        try:
            inner = os.open(step, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=place)
        finally:
            os.close(place)
        place = inner
    try:
        return os.open(steps[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    finally:
        os.close(place)


class _Turns:
    """So many downloads at a time, and of one source half as many: who hoards turns leaves others theirs."""

    def __init__(self, at_a_time: int) -> None:
        self._all = asyncio.Semaphore(at_a_time)
        self._most = max(1, at_a_time // 2)
        self._sources: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    async def take(self, source: str) -> None:
        """Wait for a turn, and have it until it is given back."""
        self._users[source] += 1
        try:
            own = self._sources.setdefault(source, asyncio.Semaphore(self._most))
            await own.acquire()
            try:
                await self._all.acquire()
            except BaseException:
                own.release()
                raise
        except BaseException:
            self._leave(source)
            raise

    def give_back(self, source: str) -> None:
        """The download has ended."""
        self._all.release()
        self._sources[source].release()
        self._leave(source)

    def _leave(self, source: str) -> None:
        self._users[source] -= 1
        if not self._users[source]:
            del self._users[source], self._sources[source]


@dataclass(frozen=True, slots=True)
class _Open:
    descriptor: int
    size: int
    etag: str
    modified: int
    media_type: str


def _part(file: _Open, headers: dict[str, str]) -> tuple[int, int, int]:
    """The status, and the first byte and the one behind the last of what is sent (RFC 9110, sections 13 and 14)."""
    if "if-match" in headers:
        if not _lists(headers["if-match"], file.etag):
            return 412, 0, 0
    elif "if-unmodified-since" in headers and _is_newer(file, headers["if-unmodified-since"]):
        return 412, 0, 0
    if "if-none-match" in headers:
        if _lists(headers["if-none-match"], file.etag, weakly=True):
            return 304, 0, 0
    elif "if-modified-since" in headers and _is_newer(file, headers["if-modified-since"]) is False:
        return 304, 0, 0
    wanted = headers.get("range", "")
    validator = headers.get("if-range")
    if validator is not None and validator != file.etag and validator != formatdate(file.modified, usegmt=True):
        wanted = ""
    return _range(wanted, file.size)


def _range(wanted: str, size: int) -> tuple[int, int, int]:
    """One range is given; of several, or of what is none, the whole file may be sent instead."""
    found = re.fullmatch(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", wanted, re.IGNORECASE | re.ASCII)
    if found is None or not (found[1] or found[2]):
        return 200, 0, size
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
        if found[2] and int(found[2]) < int(found[1]):
            return 200, 0, size
    return (206, start, end) if start < end else (416, 0, 0)


def _lists(field: str, etag: str, weakly: bool = False) -> bool:
    tags = [tag.strip() for tag in field.split(",")]
    return "*" in tags or etag in tags or (weakly and f"W/{etag}" in tags)


def _is_newer(file: _Open, date: str) -> bool | None:
    """Whether it was changed after a date; None where that is no date."""
    try:
        return file.modified > parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(text + "\n", status, headers, "text/plain")
