# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority for tests, and a service with a certificate of it on the loopback address."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Asked:
    """A request that came."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]


@dataclass
class Answer:
    """What a service answers."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Trouble:
    """What goes wrong with requests of a kind, ``times`` times.

    ``what`` is a status; ``cut before``: nothing is done, and the connection is cut; ``cut after``: everything is
    done, and the connection is cut; ``slow``: everything is done, and the answer comes too late; or bytes to answer.
    """

    kind: str
    what: int | str | bytes
    times: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    after: int = 0
    """How many of the kind go well before."""


class FakeService:
    """What all services share: troubles, a record of what was asked, and of what no client may send."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.host = ""
        self.port = 0
        self.asked: list[str] = []
        self.raw: list[Asked] = []
        self.violations: list[str] = []
        self.troubles: list[Trouble] = []
        self.slowness = 3.0
        self._lock = threading.Lock()

    path = "/"

    def kind_of(self, asked: Asked) -> str:
        """What a request is for, in a word."""
        return f"{asked.method} {asked.path}"

    def answer(self, asked: Asked) -> Answer:
        """Do what is asked for."""
        raise NotImplementedError

    def trouble(self, kind: str, what: int | str | bytes, times: int = 1, after: int = 0, **headers: str) -> None:
        """Announce trouble."""
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        self.troubles.append(Trouble(kind, what, times, named, after))

    def counted(self, kind: str) -> int:
        """How often something was asked for."""
        return sum(kind in asked for asked in self.asked)

    def violated(self, what: str, status: int = 400) -> Answer:
        """Note what no client may send."""
        self.violations.append(what)
        return Answer(status, b'{"message": "strange request"}')

    def serve(self, asked: Asked) -> Answer | None:
        """The answer, or None where the connection is to be cut."""
        with self._lock:
            kind = self.kind_of(asked)
            self.asked.append(kind)
            self.raw.append(asked)
            trouble = self._due(kind)
            if trouble is None:
                return self.answer(asked)
            if isinstance(trouble.what, int):
                return Answer(trouble.what, b"{}", headers=list(trouble.headers))
            if isinstance(trouble.what, bytes):
                return Answer(200, trouble.what)
            if trouble.what == "cut before":
                return None
            answer = self.answer(asked)
        if trouble.what == "slow":
            time.sleep(self.slowness)
            return answer
        return None

    def _due(self, kind: str) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.kind in kind and trouble.times:
                if trouble.after:
                    trouble.after -= 1
                    return None
                trouble.times -= 1
                return trouble
        return None


def _handler(service: FakeService) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 20

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = service.serve(Asked(self.command, self.path, self.headers, body))
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - the library's names

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, folder: Path, name: str = "Test authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = self._signed(self._name, self._key, [(basic, True), (usage, True)])
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(certificate)

    def issue(self, address: str = "127.0.0.1") -> Path:
        """A certificate and its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        path = self._folder / f"server-{time.monotonic_ns()}.pem"
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(self._signed(name, key, [(alternative, False)]) + pem)
        return path

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[tuple[x509.ExtensionType, bool]]
    ) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension, critical in [*extensions, (identifier, False), (authority, False)]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextmanager
def running(service: FakeService, authority: Authority) -> Iterator[FakeService]:
    """A service on a port of its own. At the end, no client may have sent it anything that none may."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(service)) as server:
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue())
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        # A client that ends the handshake, or cannot wait, is no reason to print a traceback.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        service.host, service.port = "127.0.0.1", server.server_address[1]
        service.endpoint = f"https://127.0.0.1:{service.port}{service.path}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
    assert not service.violations, service.violations
