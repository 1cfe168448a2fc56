# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SIP request over UDP, TCP or TLS, and its final answer (RFC 3261, section 17.1.2)."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from autoprovd.sip import message
from autoprovd.sip.message import Malformed, Response

PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}
"""Where SIP is spoken, unless somebody says otherwise."""

_FIRST_PAUSE = 0.5  # seconds: T1 of RFC 3261, doubled after each repetition
_LONGEST_PAUSE = 4.0  # seconds: T2
_TRANSPORT_NAMES = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}


class Peer(NamedTuple):
    """Who is spoken to, and how."""

    host: str
    """A name or an address."""
    port: int
    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    tls: ssl.SSLContext | None = None


class Local(NamedTuple):
    """This end of a connection, as it stands in a message."""

    host: str
    port: int
    transport: str

    @property
    def address(self) -> str:
        """Host and port, as in a Contact header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def via(self, branch: str) -> str:
        """The value of the Via header."""
        return f"SIP/2.0/{_TRANSPORT_NAMES[self.transport]} {self.address};branch={branch};rport"


class NoAnswer(Exception):
    """There was none; the text says what there was instead."""


class Connection:
    """Where requests to one peer go out. See :func:`connected`."""

    def __init__(self, local: Local, exchange: Callable[[bytes, str], AsyncIterator[Response]]) -> None:
        self.local = local
        self._exchange = exchange

    async def ask(self, compose: Callable[[str], bytes]) -> Response:
        """Send the request that ``compose`` makes for a branch, and wait for the final answer to it.

        Raises :class:`NoAnswer`.
        """
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        async for answer in self._exchange(compose(branch), branch):
            if answer.status >= 200:
                return answer
        raise NoAnswer("it closed the connection")


@asynccontextmanager
async def connected(peer: Peer, timeout: float) -> AsyncIterator[Connection]:
    """A way to that peer; what is done within it may take ``timeout`` seconds. Raises :class:`NoAnswer`."""
    try:
        async with asyncio.timeout(timeout):
            opened = _over_udp(peer) if peer.transport == "udp" else _over_tcp(peer)
            async with opened as connection:
                yield connection
    except TimeoutError:
        raise NoAnswer(f"no answer within {timeout:g} seconds") from None
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(f"its certificate is not trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise NoAnswer(f"TLS fails: {error.reason or 'it speaks something else'}") from None
    except socket.gaierror:
        raise NoAnswer(f"the name {peer.host} leads to no address") from None
    except OSError as error:
        raise NoAnswer(error.strerror or "it cannot be reached") from None


class _Datagrams(asyncio.DatagramProtocol):
    """What comes back, and what the network says of it."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Response | OSError] = asyncio.Queue(100)

    def datagram_received(self, data: bytes, _address: object) -> None:
        try:
            self._put(message.parse_response(data))
        except Malformed:
            return  # whoever sends that does not answer

    def error_received(self, exc: Exception) -> None:
        self._put(exc if isinstance(exc, OSError) else OSError(str(exc)))

    def _put(self, answer: Response | OSError) -> None:
        if not self.answers.full():
            self.answers.put_nowait(answer)


@asynccontextmanager
async def _over_udp(peer: Peer) -> AsyncIterator[Connection]:
    loop = asyncio.get_running_loop()
    # Connected: the kernel takes nothing from anybody else, and reports that nobody listens there.
    transport, protocol = await loop.create_datagram_endpoint(_Datagrams, remote_addr=(peer.host, peer.port))

    async def exchange(request: bytes, branch: str) -> AsyncIterator[Response]:
        pause = _FIRST_PAUSE
        transport.sendto(request)
        while True:
            try:
                answer = await asyncio.wait_for(protocol.answers.get(), pause)
            except TimeoutError:
                transport.sendto(request)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if isinstance(answer, OSError):
                raise answer
            if _belongs_to(answer, branch):
                if answer.status < 200:
                    pause = _LONGEST_PAUSE
                yield answer

    try:
        yield Connection(_local(transport.get_extra_info("sockname"), "udp"), exchange)
    finally:
        transport.close()


@asynccontextmanager
async def _over_tcp(peer: Peer) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(
        peer.host, peer.port, ssl=peer.tls if peer.transport == "tls" else None, limit=message.LONGEST
    )

    async def exchange(request: bytes, branch: str) -> AsyncIterator[Response]:
        writer.write(request)
        await writer.drain()
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                # Empty lines between messages keep a connection alive (RFC 5626).
                head = head.lstrip(b"\r\n")
                if not head:
                    continue
                await reader.readexactly(message.body_length(head))
                answer = message.parse_response(head)
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, Malformed):
                return
            if _belongs_to(answer, branch):
                yield answer

    try:
        yield Connection(_local(writer.get_extra_info("sockname"), peer.transport), exchange)
    finally:
        writer.close()


def _local(name: tuple[str, int], transport: str) -> Local:
    return Local(str(ipaddress.ip_address(name[0].partition("%")[0])), name[1], transport)


def _belongs_to(answer: Response, branch: str) -> bool:
    return f"branch={branch}" in answer.header("via")
