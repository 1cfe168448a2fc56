# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One write to the network for a response, instead of one for its head and one for its body.

The second write costs a system call and wakes the peer twice; on small files that is a quarter of the whole request.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

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


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, on a gathering transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection came in."""
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]


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
