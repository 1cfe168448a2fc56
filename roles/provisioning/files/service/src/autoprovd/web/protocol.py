# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""uvicorn's HTTP/1.1, with what phones need: one write for a response, and limits for who means ill.

A second write, for the body, costs a system call and wakes the peer twice; on small files that is a quarter of the
whole request.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from autoprovd import log


class _Gathering:
    """A transport that keeps what is written during one turn of the event loop, and writes it as one piece."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        # What uvicorn asks several times for each request; __getattr__ is a slow way to find it.
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        """Write at the end of this turn of the loop."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Close behind what was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


_MOST_HEAD_BYTES, _MOST_HEADERS = 16 * 1024, 100
_HEAD_SECONDS, _BODY_SECONDS = 10.0, 60.0
_MOST_CONNECTIONS = 2000
"""Of one source address: a whole site may stand behind one, and all its phones may boot at once."""
_TOO_LARGE, _LENGTH_REQUIRED = "431 Request Header Fields Too Large", "411 Length Required"


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, on a gathering transport, that waits neither long nor for much until it has a request."""

    _open: ClassVar[Counter[str]] = Counter()
    """Connections by source address."""

    _source = ""
    _in_head = True
    _head_bytes = 0
    """What came since the last head ended, as long as there is no body to come."""
    _timer: asyncio.TimerHandle | None = None
    _awaits_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection came in."""
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]
        self._source = self.client[0] if self.client else ""
        self._open[self._source] += 1
        # The admin socket has no address, and a file mode that keeps strangers out.
        if self._source and self._open[self._source] > _MOST_CONNECTIONS:
            self.transport.close()
            return
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended."""
        super().connection_lost(exc)
        self._stop_timer()
        self._open[self._source] -= 1
        if self._open[self._source] <= 0:
            del self._open[self._source]

    def data_received(self, data: bytes) -> None:
        """A part of a request, or of several."""
        # One reading is bounded; what matters is what piles up over several.
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._await_body()
        elif self._head_bytes:
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse(_TOO_LARGE)
            elif self._timer is None:  # a request in one piece never gets here
                self._timer = self.loop.call_later(_HEAD_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        """All of a request but its body is here."""
        self._in_head = False
        came, self._head_bytes = self._head_bytes, 0
        if len(self.headers) > _MOST_HEADERS or (came > _MOST_HEAD_BYTES and self._size() > _MOST_HEAD_BYTES):
            self._refuse(_TOO_LARGE)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request ends; the next one may follow."""
        self._in_head, self._awaits_body = True, False
        self._stop_timer()
        if not self.transport.is_closing():
            super().on_message_complete()

    def _await_body(self) -> None:
        if self._awaits_body or self.transport.is_closing():
            return
        if any(name == b"transfer-encoding" for name, _value in self.headers):
            # Its end may be followed by headers without end, and nobody who asks here has to send any.
            self._refuse(_LENGTH_REQUIRED)
            return
        self._awaits_body = True
        self._stop_timer()
        self._timer = self.loop.call_later(_BODY_SECONDS, self._too_slow)

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse(self, status: str) -> None:
        self.transport.write(f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.close()


CERTIFICATE = "autoprov.certificate"
"""The extension of the ASGI scope that names the verified certificate of the peer."""


class CertifyingProtocol(Protocol):
    """For a door that wants certificates: each request says whose certificate it came with.

    uvicorn does not tell its application. The handshake has verified the certificate; what is handed on is the common
    name of its subject, or nothing where that is not exactly one.
    """

    _common_name: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection came in, and its handshake is done."""
        self._common_name = _common_name(transport.get_extra_info("ssl_object"))
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {CERTIFICATE: {"common_name": self._common_name}}


def _common_name(connection: ssl.SSLObject | None) -> str | None:
    certificate = connection.getpeercert() if connection is not None else None
    subject: Any = certificate.get("subject", ()) if certificate else ()
    names = [value for part in subject for name, value in part if name == "commonName"]
    return names[0] if len(names) == 1 else None


class ToldHandshake(ssl.SSLObject):
    """A handshake whose failure is told in the log: a phone that is refused here never gets to ask.

    Each reason once a minute. The peer's address is not known at this depth.
    """

    _SECONDS = 60.0
    _told: dict[str, float] = {}  # noqa: RUF012 - of all connections

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or (error.reason or "unknown").lower().replace("_", " ")
            now = time.monotonic()
            if now - self._told.get(reason, -self._SECONDS) >= self._SECONDS:
                self._told[reason] = now
                log.event("handshake failed where certificates are asked for", 30, reason=reason)
            raise
