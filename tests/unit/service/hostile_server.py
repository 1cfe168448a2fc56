# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server that does what servers, proxies and attackers do to downloads; it speaks bytes, so that it can lie."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def start(self) -> int:
        """Where the range begins that was asked for; 0 without one."""
        found = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("range", ""))
        return int(found.group(1)) if found else 0


Answer = Callable[["Asked", socket.socket], None]


def whole(content: bytes, etag: str | None = '"v1"', ranges: bool = True, **headers: str) -> Answer:
    """What a good server does: the file, or the part that was asked for if the ETag still is what it was."""

    def answer(asked: Asked, client: socket.socket) -> None:
        start = asked.start if ranges and asked.headers.get("if-range", etag) == etag else 0
        if start > len(content):
            client.sendall(head(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(content)}"}))
            return
        more = {"Content-Length": str(len(content) - start)} | ({"ETag": etag} if etag else {}) | headers
        if start or (asked.start and asked.start == start):
            more["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        client.sendall(head(206 if start else 200, more))
        if asked.method != "HEAD":
            client.sendall(content[start:])

    return answer


def cut(content: bytes, after: int, etag: str | None = '"v1"') -> Answer:
    """The file's length is promised, and the connection ends after so many bytes of what was asked for."""

    def answer(asked: Asked, client: socket.socket) -> None:
        start = asked.start if asked.headers.get("if-range", etag) == etag else 0
        more = {"Content-Length": str(len(content) - start)} | ({"ETag": etag} if etag else {})
        if start:
            more["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        client.sendall(head(206 if start else 200, more) + content[start : start + after])

    return answer


def drip(content: bytes, seconds: float) -> Answer:
    """A byte at a time."""

    def answer(_asked: Asked, client: socket.socket) -> None:
        client.sendall(head(200, {"Content-Length": str(len(content)), "ETag": '"v1"'}))
        for byte in content:
            client.sendall(bytes([byte]))
            time.sleep(seconds)

    return answer


def raw(answer: bytes) -> Answer:
    """These bytes, whatever was asked."""
    return lambda _asked, client: client.sendall(answer)


def head(status: int, headers: dict[str, str]) -> bytes:
    """A status line and headers."""
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def moved(to: str) -> Answer:
    """Somewhere else."""
    return raw(head(302, {"Location": to, "Content-Length": "0"}))


@dataclass
class Hostile:
    """A server on the loopback address. Each path has its answers, one after the other; the last one stays."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def on(self, path: str, *answers: Answer) -> str:
        """Have these answers for a path; its address."""
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.port}{path}"

    def times(self, path: str, method: str = "GET") -> int:
        """How often a path was asked for."""
        return sum(one.path == path and one.method == method for one in self.asked)

    def __enter__(self) -> Hostile:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                request = b""
                while b"\r\n\r\n" not in request:
                    chunk = self.request.recv(65536)
                    if not chunk:
                        return
                    request += chunk
                first, *lines = request.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                asked = Asked(first.split()[0], first.split()[1], headers)
                outer.asked.append(asked)
                answers = outer.answers.get(asked.path) or [raw(head(404, {"Content-Length": "0"}))]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                try:
                    answer(asked, self.request)
                    self.request.shutdown(socket.SHUT_WR)
                except OSError:  # the client has had enough
                    return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
