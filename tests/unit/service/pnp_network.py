# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A responder in a box: a network a test writes, a clock it turns, and every datagram that would leave."""

from __future__ import annotations

from typing import NamedTuple

from autoprovd.directory import Request
from autoprovd.neighbours import Neighbours
from autoprovd.pnp.discovered import Discovered
from autoprovd.pnp.interfaces import Interface, Own
from autoprovd.pnp.ledger import Ledger
from autoprovd.pnp.limits import Limits
from autoprovd.pnp.message import Message, parse
from autoprovd.pnp.responder import Responder

URL = "http://198.18.5.2:50080/"
VOICE = Interface(2, "voice0", True, (Own("198.18.5.2", 0xC6120502, 0xC6120500, 0xFFFFFF00),))


class Sent(NamedTuple):
    """A datagram that would leave."""

    message: Message
    to: tuple[str, int]
    own: str
    size: int


class Table(Neighbours):
    """A neighbour table of one interface; ``arriving`` are seen once they were called."""

    def __init__(self) -> None:
        self.macs: dict[str, str] = {}
        self.arriving: dict[str, str] = {}
        self.called: list[str] = []
        self.silent = False

    def beside(self, address: str, interface: int) -> str | None:
        assert interface == VOICE.number
        if self.silent:
            raise OSError("the kernel does not say")
        return self.macs.get(address)

    def call(self, address: str) -> None:
        self.called.append(address)
        if address in self.arriving:
            self.macs[address] = self.arriving[address]


class Network:
    """The responder and everything around it."""

    port = 40000

    def __init__(
        self, discovered: Discovered | None = None, limits: tuple[float, float, float] = (2, 20, 10_000)
    ) -> None:
        self.now = 1000.0
        self.urls: dict[str, str] = {}
        self.sent: list[Sent] = []
        self.notes: list[tuple[str, Request]] = []
        self.table = Table()
        self.ledger = Ledger(
            lambda mac, request: self.notes.append((mac, request)), discovered, lambda: 1.8e9, lambda: self.now
        )
        self.responder = Responder(self, self.table, Limits(*limits, self.now), self.ledger, self, lambda: self.now)

    def add(self, mac: str, address: str, url: str = URL) -> None:
        """A phone of the site, and where it is."""
        self.urls[mac] = url
        self.table.macs[address] = mac

    def url(self, mac: str) -> str | None:
        return self.urls.get(mac)

    def respond(self, data: bytes, source: tuple[str, int], interface: Interface, own: str) -> None:
        self.sent.append(Sent(parse(data), source, own, len(data)))

    notify = respond

    def hear(self, data: bytes, address: str, port: int = 5060) -> list[Sent]:
        """What leaves at once when that comes from there."""
        before = len(self.sent)
        self.responder.hear(data, (address, port), VOICE)
        return self.sent[before:]

    def pass_time(self, seconds: float, step: float = 0.05) -> list[Sent]:
        """What leaves while that time passes."""
        before, end = len(self.sent), self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.responder.tick()
        return self.sent[before:]

    def acknowledge(self, told: Sent, status: str = "200 OK", source: tuple[str, int] | None = None) -> None:
        """The phone's answer to a notification."""
        copied = [("Via", "via"), ("From", "from"), ("To", "to"), ("Call-ID", "call-id"), ("CSeq", "cseq")]
        lines = [f"SIP/2.0 {status}", *(f"{name}: {told.message.value(key)}" for name, key in copied)]
        self.responder.hear_reply("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), source or told.to)
