# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A phone, or a PBX, that is told something by SIP: strict about what it takes, and answers as a test says."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_NEEDED = ("via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "event", "content-length")
Answer = Callable[["Told"], list[str]]


@dataclass(frozen=True)
class Told:
    """A request that came."""

    method: str
    uri: str
    headers: dict[str, str]


@dataclass
class Listener:
    """Where it listens, and what it was told."""

    port: int = 0
    told: list[Told] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        """The Event headers of what it was told."""
        return [told.headers["event"] for told in self.told]


def parse(data: bytes) -> Told:
    """A request, or ``AssertionError`` with what is wrong with it."""
    head, end, body = data.partition(b"\r\n\r\n")
    assert end, "no end"
    assert body == b"", "a body nobody announced"
    first, *lines = head.decode("utf-8").split("\r\n")
    found = re.fullmatch(r"([A-Z]+) (sips?:\S+) SIP/2\.0", first)
    assert found, first
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        assert colon, line
        assert name.lower() not in headers, line
        headers[name.lower()] = value
    missing = [name for name in _NEEDED if name not in headers]
    assert not missing, f"without {missing}"
    assert headers["content-length"] == "0"
    assert re.fullmatch(r"SIP/2\.0/(UDP|TCP|TLS) \S+:\d+;branch=z9hG4bK\w+;rport", headers["via"]), headers["via"]
    assert re.fullmatch(r"\d+ " + found[1], headers["cseq"])
    assert ";tag=" in headers["from"]
    assert "tag" not in headers["to"]
    return Told(found[1], found[2], headers)


def respond(status: str, *more: str, copy: bool = True) -> Answer:
    """Answers that status line; ``copy=False``: as somebody would who did not see the request."""

    def answer(told: Told) -> list[str]:
        via = told.headers["via"] if copy else "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKelse"
        copied = [f"{name}: {told.headers[name.lower()]}" for name in ("From", "Call-ID", "CSeq")]
        to = f"To: {told.headers['to']};tag=phone"
        return ["\r\n".join([f"SIP/2.0 {status}", f"Via: {via}", *copied, to, *more, "Content-Length: 0", "", ""])]

    return answer


def in_turn(*answers: Answer) -> Answer:
    """The first request is answered by the first of them, and so on; the last goes on."""
    rest = list(answers)
    return lambda told: (rest.pop(0) if len(rest) > 1 else rest[0])(told)


def silent(_told: Told) -> list[str]:
    """Answers nothing."""
    return []


def wants(user: str, password: str, algorithm: str = "MD5", qop: str = 'qop="auth"', status: int = 407) -> Answer:
    """Wants that user's password by Digest, computed here from RFC 7616 on its own."""
    header, kind = {401: ("authorization", "WWW-Authenticate"), 407: ("proxy-authorization", "Proxy-Authenticate")}[
        status
    ]
    make = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def answer(told: Told) -> list[str]:
        given = told.headers.get(header)
        if given is None:
            challenge = f'Digest realm="pbx, \\"the\\" one", nonce="n0nce", algorithm={algorithm}'
            challenge += f", {qop}" if qop else ""
            return respond(f"{status} Prove it", f"{kind}: {challenge}")(told)
        parts = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', given)}

        def digest(text: str) -> str:
            return make(text.encode()).hexdigest()

        one = digest(f"{user}:{parts['realm']}:{password}")
        two = digest(f"{told.method}:{told.uri}")
        between = f":{parts['nc']}:{parts['cnonce']}:auth" if qop else ""
        right = digest(f"{one}:n0nce{between}:{two}")
        good = parts["response"] == right and parts["username"] == user and parts["uri"] == told.uri
        return respond("200 OK" if good else "403 Wrong")(told)

    return answer


@contextmanager
def listening(answer: Answer, transport: str = "udp", tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    """Listen on a port of the loopback address while the block runs; what was wrong fails it at its end."""
    listener = Listener()
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as door:
        door.bind(("127.0.0.1", 0))
        door.settimeout(0.1)
        listener.port = door.getsockname()[1]
        if transport != "udp":
            door.listen()
        ended = threading.Event()

        def take(data: bytes) -> list[bytes]:
            try:
                told = parse(data)
            except (AssertionError, UnicodeDecodeError) as error:
                listener.surprises.append(f"{error}")
                return []
            listener.told.append(told)
            return [text.encode() for text in answer(told)]

        def datagrams() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    data, source = door.recvfrom(65535)
                    for text in take(data):
                        door.sendto(text, source)

        def connections() -> None:
            while not ended.is_set():
                with suppress(TimeoutError, OSError):
                    plain, _source = door.accept()
                    plain.settimeout(5)
                    with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                        data = b""
                        while piece := connection.recv(65535):
                            data += piece
                            while b"\r\n\r\n" in data:
                                head, _end, data = data.partition(b"\r\n\r\n")
                                for text in take(head + b"\r\n\r\n"):
                                    # In pieces, after a sign of life: a connection knows no messages.
                                    connection.sendall(b"\r\n\r\n" + text[:20])
                                    connection.sendall(text[20:])

        thread = threading.Thread(target=datagrams if transport == "udp" else connections)
        thread.start()
        try:
            yield listener
        finally:
            ended.set()
            thread.join()
    assert not listener.surprises, listener.surprises
