# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telephones of the proofs: every password of each is known, so that whole answers can be searched for all of them."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autoprovd.model import PHONE_LINE, SecretClass, SecretKey


@dataclass(frozen=True)
class Phone:
    """The index-th Snom of a proof."""

    index: int

    @property
    def mac(self) -> str:
        """Its MAC address."""
        return f"000413{self.index:06x}"

    @cached_property
    def secrets(self) -> dict[SecretKey, str]:
        """All its passwords; no two phones share one, and none is part of anything else in its files."""
        return {
            SecretKey(1, SecretClass.SIP): f"sip-of-{self.index:06d}-kept",
            SecretKey(PHONE_LINE, SecretClass.WEB): f"web-of-{self.index:06d}-kept",
            SecretKey(PHONE_LINE, SecretClass.MENU): f"{73_000_000 + self.index}",
            SecretKey(PHONE_LINE, SecretClass.PROVISIONING): f"provisioning-of-{self.index:06d}-kept",
        }

    @property
    def definition(self) -> dict[str, Any]:
        """Its entry in the phone list."""
        secret = {key.secret_class: value for key, value in self.secrets.items()}
        account = {
            "line": 1, "user": str(2000 + self.index), "registrar": "pbx.example", "password": secret[SecretClass.SIP]
        }  # fmt: skip
        return {
            "mac": self.mac, "vendor": "snom", "model": "D785", "name": f"Desk {self.index}", "accounts": [account],
            "web_password": secret[SecretClass.WEB], "menu_password": secret[SecretClass.MENU],
            "provisioning_password": secret[SecretClass.PROVISIONING],
        }  # fmt: skip

    @property
    def path(self) -> str:
        """The file it asks for."""
        return f"/snomD785-{self.mac.upper()}.htm"

    def request(self, method: str = "GET", version: str = "1.1", keep: bool = False, **headers: str) -> bytes:
        """Its request, as bytes; ``keep`` leaves the connection open for another."""
        lines = [f"{method} {self.path} HTTP/{version}"]
        wanted = {
            "Host": "appliance",
            "User-Agent": f"Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 {self.mac.upper()} SXM:0 UXM:0)",
            "Connection": "keep-alive" if keep else "close",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in wanted.items()), "", ""]).encode()

    def secrets_in(self, content: bytes) -> frozenset[SecretKey]:
        """Which of its passwords stand anywhere in these bytes, head and body."""
        return frozenset(key for key, value in self.secrets.items() if value.encode() in content)


def connect(port: int, source: str = "127.0.0.1", host: str = "127.0.0.1") -> socket.socket:
    """A connection from that address of the loopback network."""
    return socket.create_connection((host, port), timeout=20, source_address=(source, 0))


def read_all(connection: socket.socket) -> bytes:
    """Everything that comes until the peer closes, or is gone."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionError:
        pass
    return b"".join(pieces)


def ask(port: int, request: bytes, source: str = "127.0.0.1") -> bytes:
    """One request on a connection of its own, and everything that came back; nothing when nobody listens."""
    try:
        with connect(port, source) as connection:
            connection.sendall(request)
            return read_all(connection)
    except ConnectionError:
        return b""


def ask_at_once(requests: Sequence[tuple[int, str, bytes]]) -> list[bytes]:
    """Send requests, each (port, source address, bytes), in the same instant, and read every answer.

    All are sent but for their last byte; the last bytes follow one upon the other, within microseconds.
    """
    connections = []
    with selectors.DefaultSelector() as selector:
        for index, (port, source, request) in enumerate(requests):
            connection = connect(port, source)
            connection.sendall(request[:-1])
            connections.append(connection)
            selector.register(connection, selectors.EVENT_READ, index)
        time.sleep(0.01)
        for connection, (_port, _source, request) in zip(connections, requests, strict=True):
            connection.sendall(request[-1:])
        answers = [b""] * len(requests)
        while selector.get_map():
            ready = selector.select(20)
            if not ready:
                raise TimeoutError("no answer within 20 seconds")
            for key, _events in ready:
                piece = read_some(connections[key.data])
                answers[key.data] += piece
                if not piece:
                    selector.unregister(connections[key.data])
                    connections[key.data].close()
    return answers


def read_some(connection: socket.socket) -> bytes:
    """What came, or nothing when the peer is gone."""
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""
