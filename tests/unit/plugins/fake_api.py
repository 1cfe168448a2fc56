# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small, strict stand-in for the admin API: it answers what a test announced, in that order, and nothing else."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Call:
    """A request that was made."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Expected:
    """A request that a test announces, and its answer. A string is sent as it is, as text/html."""

    method: str
    path: str
    answer: dict[str, Any] | str
    status: int = 200


@dataclass
class FakeApi:
    """What is expected, and what came. ``url`` is where it answers."""

    url: str = ""
    expected: list[Expected] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    def expect(self, method: str, path: str, answer: dict[str, Any] | str, status: int = 200) -> None:
        """Announce the next request."""
        self.expected.append(Expected(method, path, answer, status))

    def refuse(self, method: str, path: str, status: int, message: str, faults: list[dict[str, str]]) -> None:
        """Announce a request that is refused as the service refuses."""
        self.expect(method, path, {"error": {"code": "x", "message": message, "faults": faults}}, status)

    def assert_done(self) -> None:
        """Everything announced was asked for, and nothing else was."""
        assert not self.surprises, self.surprises
        assert not self.expected, f"never asked for: {self.expected}"

    def take(self, call: Call) -> Expected:
        """The answer to a request; one that was not announced is noted."""
        self.calls.append(call)
        if self.expected and (self.expected[0].method, self.expected[0].path) == (call.method, call.path):
            return self.expected.pop(0)
        self.surprises.append(f"{call.method} {call.path}")
        return Expected(call.method, call.path, {"error": {"code": "x", "message": "unannounced"}}, 500)


def _handler(api: FakeApi) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            expected = api.take(Call(self.command, self.path, dict(self.headers), body))
            plain = isinstance(expected.answer, str)
            text = (expected.answer if isinstance(expected.answer, str) else json.dumps(expected.answer)).encode()
            self.send_response(expected.status)
            self.send_header("Content-Type", "text/html; charset=utf-8" if plain else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, *arguments: object) -> None:
            pass

        def address_string(self) -> str:
            return "client"

    return Handler


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def on_socket(path: Path) -> Iterator[FakeApi]:
    """A fake on a Unix socket."""
    api = FakeApi(f"unix://{path}")
    with _UnixServer(str(path), _handler(api)) as server, _running(server):
        yield api
    os.unlink(path)


@contextmanager
def on_https(certificate: Path, key: Path) -> Iterator[FakeApi]:
    """A fake on a port of its own, with TLS."""
    api = FakeApi()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(api)) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        # A client that does not trust the certificate ends the handshake: no reason to print a traceback.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        api.url = f"https://127.0.0.1:{server.server_port}"
        with _running(server):
            yield api


@contextmanager
def on_http() -> Iterator[FakeApi]:
    """A fake on a port of its own, without TLS."""
    api = FakeApi()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(api)) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        with _running(server):
            yield api


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
