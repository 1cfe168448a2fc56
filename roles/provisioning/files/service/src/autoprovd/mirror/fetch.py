# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file from the network, whole or not at all.

What a server says is not believed: the status, the length, the type and every byte are looked at, and what is gone on
with after a cut is hashed again from its first byte. Proxies are those of the environment, as for every program.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import os
import random
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from autoprovd import __version__

_BUFFER = 128 * 1024  # stays in the processor's cache while it is hashed and written
_LOOKED_AT = 4096
_WEB_PAGE = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|title)[\s>]", re.I | re.S
)
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,200}?)\s*<", re.I)


class FetchError(Exception):
    """Why a file could not be had. ``passing`` is what may be better in a moment."""

    def __init__(self, reason: str, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


class Cancelled(Exception):
    """Somebody wants the run to end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how often and how much. Times in seconds."""

    attempts: int = 4
    silence: float = 30.0
    """How long a server may say nothing."""
    slowest: float = 8 * 1024
    """Bytes a second over :attr:`patience`; a server that drips slower is given up."""
    patience: float = 60.0
    pause: float = 1.0
    """Before the second attempt; it doubles each time, and is shortened by chance: not all sites come at once."""
    most_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file on the network, and what is known of it."""

    url: str
    size: int | None = None
    sha256: str | None = None
    insecure: bool = False
    """Plain http will do."""
    signed: bool = False
    """Also wanted is the digest that minisign signs."""


class Got(NamedTuple):
    """A file that came whole, in the part it was written to, on the disk for good."""

    sha256: str
    size: int
    etag: str | None
    signed_digest: bytes | None
    """BLAKE2b-512, which minisign signs."""
    fetched: int
    """Bytes that came over the network now; less than ``size`` where a part was gone on with."""


Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and the size if it is known."""


def fetch(wanted: Wanted, part: Path, limits: Limits, progress: Progress, stop: threading.Event) -> Got:
    """Bring a file into ``part``, going on where an earlier attempt was cut.

    Raises ``FetchError`` and ``Cancelled``.
    """
    came = 0
    fresh = False
    for attempt in range(limits.attempts):
        if attempt:
            pause = limits.pause * 2 ** (attempt - 1)
            if stop.wait(pause * random.uniform(0.5, 1)):  # noqa: S311  # chance only spreads load
                raise Cancelled
        transfer = _Transfer(wanted, part, limits, progress, stop)
        try:
            got = transfer.run()
            return got._replace(fetched=came + got.fetched)
        except FetchError as error:
            came += transfer.came
            if not error.passing or attempt + 1 == limits.attempts:
                # What is whole and wrong was perhaps put together of two versions: once more, from nothing.
                if transfer.resumed and transfer.whole and not fresh:
                    fresh = True
                    _forget(part)
                    continue
                raise
    raise AssertionError("the last attempt has returned or raised")


def head(wanted: Wanted, limits: Limits) -> tuple[int | None, str | None]:
    """The size and the strong ETag of what is there now, as the server says. Raises ``FetchError``."""
    with _open(wanted, limits, {}, method="HEAD") as response:
        return _length(response), _strong(response.headers.get("ETag"))


class _Transfer:
    """One attempt."""

    def __init__(self, wanted: Wanted, part: Path, limits: Limits, progress: Progress, stop: threading.Event) -> None:
        self._wanted, self._part, self._limits, self._progress, self._stop = wanted, part, limits, progress, stop
        self._note = part.with_name(f"{part.name}.json")
        self.came = 0
        self.resumed = False
        self.whole = False
        """Everything was there, so that what is wrong is the content."""

    def run(self) -> Got:
        """Ask, write, hash. Raises ``FetchError``."""
        descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            begun, etag = self._begun(file)
            headers = {"Range": f"bytes={begun}-"} if begun else {}
            if begun and etag is not None:
                headers["If-Range"] = etag
            try:
                with _open(self._wanted, self._limits, headers) as response:
                    return self._receive(file, response, begun)
            except OSError as error:
                if error.errno is not None and not isinstance(error, (ConnectionError, TimeoutError)):
                    raise FetchError(f"{self._part.parent} cannot be written: {error.strerror}") from None
                raise

    def _begun(self, file: BinaryIO) -> tuple[int, str | None]:
        """How much is there to go on with, and the ETag it came under."""
        try:
            note = json.loads(self._note.read_bytes())
            url, etag = note["url"], note["etag"]
        except (OSError, ValueError, KeyError, TypeError):
            url = etag = None
        size = os.fstat(file.fileno()).st_size
        # Without a strong ETag only a known hash can tell whether both halves are of one file.
        if url == self._wanted.url and size and (etag is not None or self._wanted.sha256 is not None):
            return size, etag
        file.truncate(0)
        return 0, None

    def _receive(self, file: BinaryIO, response: http.client.HTTPResponse, begun: int) -> Got:
        wanted = self._wanted
        if response.status == 206 and begun:
            start, total = _content_range(response)
            if start != begun:
                raise self._useless("the server sent another part than was asked for")
            self.resumed = True
        elif response.status == 200:
            file.truncate(0)
            begun, total = 0, _length(response)
        else:
            raise FetchError(f"the server answers {response.status}")
        coding = response.headers.get("Content-Encoding", "identity")
        if coding.lower() not in ("identity", ""):
            raise FetchError(f"the server sends it packed as {coding!r}, which was not asked for")
        if total is not None and wanted.size is not None and total != wanted.size:
            raise self._useless(f"the server has {total:,} bytes, the manifest says {wanted.size:,}")
        if total is not None and total > self._limits.most_bytes:
            raise FetchError(f"{total:,} bytes are more than any file may have ({self._limits.most_bytes:,})")
        size = wanted.size if wanted.size is not None else total
        if size is None and wanted.sha256 is None:
            raise FetchError(
                "the server does not say how long it is, so nobody could tell that it is whole; say its size"
            )
        self._take_note(response)
        digests = [hashlib.sha256()] + ([hashlib.blake2b()] if wanted.signed else [])
        self._hash_what_is_there(file, begun, digests)
        there = begun + self._pour(response, file, begun, size, digests)
        if size is not None and there < size:
            raise FetchError(f"the connection was cut after {there:,} of {size:,} bytes", passing=True)
        self.whole = True
        sha256 = digests[0].hexdigest()
        if wanted.sha256 is not None and sha256 != wanted.sha256:
            _forget(self._part)
            raise FetchError(
                f"it is not the file that is meant: its SHA-256 is {sha256}, the manifest says {wanted.sha256}"
            )
        os.fsync(file.fileno())
        signed = digests[1].digest() if wanted.signed else None
        self._note.unlink(missing_ok=True)
        return Got(sha256, there, _strong(response.headers.get("ETag")), signed, self.came)

    def _useless(self, reason: str) -> FetchError:
        _forget(self._part)
        return FetchError(reason, passing=True)

    def _take_note(self, response: http.client.HTTPResponse) -> None:
        note = {"url": self._wanted.url, "etag": _strong(response.headers.get("ETag"))}
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def _hash_what_is_there(self, file: BinaryIO, begun: int, digests: list[Any]) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        file.seek(0)
        left = begun
        while left:
            count = file.readinto(buffer[: min(left, _BUFFER)])  # type: ignore[attr-defined]
            if not count:
                raise self._useless("what had been fetched is gone")
            for digest in digests:
                digest.update(buffer[:count])
            left -= count

    def _pour(
        self, response: http.client.HTTPResponse, file: BinaryIO, begun: int, size: int | None, digests: list[Any]
    ) -> int:
        """From the network into the file; how many bytes came."""
        most = size if size is not None else self._limits.most_bytes
        since, then = time.monotonic(), 0
        begin = b""
        while True:
            if self._stop.is_set():
                raise Cancelled
            try:
                chunk = response.read1(_BUFFER)  # what is there; read and readinto wait until all of it has come
            except (http.client.HTTPException, OSError) as error:
                raise _passing(error, begun + self.came, size) from None
            if not chunk:
                return self.came
            if begun + self.came < _LOOKED_AT:  # it may come a few bytes at a time
                begin += chunk[: _LOOKED_AT - len(begin)]
                _refuse_web_page(begin)
            if begun + self.came + len(chunk) > most:
                raise self._useless(f"more comes than the {most:,} bytes it should have")
            file.write(chunk)
            for digest in digests:
                digest.update(chunk)
            self.came += len(chunk)
            self._progress(begun + self.came, size)
            now = time.monotonic()
            if now - since >= self._limits.patience:
                if (self.came - then) / (now - since) < self._limits.slowest:
                    raise FetchError(
                        f"the server sends less than {self._limits.slowest:,.0f} bytes a second", passing=True
                    )
                since, then = now, self.came


def _forget(part: Path) -> None:
    with suppress(FileNotFoundError):
        os.truncate(part, 0)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)


def _refuse_web_page(begin: bytes) -> None:
    if _WEB_PAGE.match(begin):
        title = _TITLE.search(begin)
        named = f" ({title.group(1).decode('utf-8', 'replace')!r})" if title else ""
        raise FetchError(f"a web page came instead of a file{named}; open the address in a browser, and correct it")


def _passing(error: Exception, there: int, size: int | None) -> FetchError:
    of = f" of {size:,}" if size is not None else ""
    if isinstance(error, TimeoutError):
        return FetchError(f"the server fell silent after {there:,}{of} bytes", passing=True)
    return FetchError(f"the connection was cut after {there:,}{of} bytes", passing=True)


def _length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else None


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    found = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", ""))
    if found is None:
        return -1, None
    return int(found.group(1)), None if found.group(2) == "*" else int(found.group(2))


def _strong(etag: str | None) -> str | None:
    return etag if etag and re.fullmatch(r'"[\x21\x23-\x7e]*"', etag) else None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A few steps, and never from https to http."""

    max_redirections = 5
    max_repeats = 1

    def __init__(self, insecure: bool) -> None:
        self._insecure = insecure

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and not (scheme == "http" and self._insecure):
            raise _wrong_way(scheme)
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)
        if redirected is not None:
            redirected.method = req.get_method()
        return redirected


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _open(wanted: Wanted, limits: Limits, headers: dict[str, str], method: str = "GET") -> http.client.HTTPResponse:
    handlers: list[Any] = [
        _Redirects(wanted.insecure),
        urllib.request.HTTPSHandler(context=_trust()),
    ]
    opener = urllib.request.build_opener(*handlers)
    opener.addheaders = []
    said = {"User-Agent": f"autoprov/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(wanted.url, headers=said, method=method)  # noqa: S310  # the manifest knows http(s) only
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=limits.silence)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise FetchError("what had been fetched is longer than the file is now", passing=True) from None
        if error.code in (301, 302, 303, 307, 308):
            scheme = urlsplit(error.headers.get("Location", "")).scheme
            if scheme not in ("", "http", "https"):
                raise _wrong_way(scheme) from None
            raise FetchError("the server sends us round in circles, or too far") from None
        raise FetchError(_status(error.code), passing=error.code in (408, 425, 429) or error.code >= 500) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise _unreachable(error) from None
    return response


def _wrong_way(scheme: str) -> FetchError:
    return FetchError(f"the server sends us on to {scheme}, where anybody can change the file")


def _status(code: int) -> str:
    phrase = http.client.responses.get(code, "")
    return f"the server answers {code} {phrase}".strip()


def _unreachable(error: Exception) -> FetchError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(f"the server's certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return FetchError("the server does not answer", passing=True)
    return FetchError(f"the server cannot be reached: {getattr(reason, 'strerror', None) or reason}", passing=True)
