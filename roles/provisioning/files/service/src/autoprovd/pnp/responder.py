# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told where the configuration is: the decision about each datagram, without sockets, disk or database.

Deny by default. An answer goes to a phone of this site, on a network of the interface it asked on, whose address the
neighbour table has with the MAC address it claims. All others get silence: an error would tell a stranger that
somebody listens, and a forged source would have it sent to a third.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable
from typing import Protocol

from autoprovd.neighbours import Neighbours
from autoprovd.pnp.enquiry import Enquiry, accepted, enquiry_of, notification
from autoprovd.pnp.interfaces import Interface
from autoprovd.pnp.ledger import Ledger
from autoprovd.pnp.limits import Limits
from autoprovd.pnp.message import Malformed, branch_of, parse
from autoprovd.pnp.transactions import Notifications, Questions, Stage

PORT = 5060
_UNSEEN_SECONDS = (0.05, 0.3, 0.6)
"""When to look again for a phone the neighbour table does not have yet, before it is taken for a forged source."""
_MOST_WAITING = 1000


class Addresses(Protocol):
    """Where each phone finds its configuration, in memory."""

    def url(self, mac: str) -> str | None:
        """The URL that phone is told; None when this site has no such phone."""


class Voice(Protocol):
    """How answers leave."""

    port: int
    """The port notifications come from, and are acknowledged at."""

    def respond(self, data: bytes, source: tuple[str, int], interface: Interface, own: str) -> None:
        """Send a response, from the address ``own`` of that interface and from the port the phone asked."""

    def notify(self, data: bytes, destination: tuple[str, int], interface: Interface, own: str) -> None:
        """Send a request of this service's own."""


class Responder:
    """Decides about each datagram."""

    def __init__(
        self,
        addresses: Addresses,
        neighbours: Neighbours,
        limits: Limits,
        ledger: Ledger,
        voice: Voice,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` is a monotonic one, in seconds."""
        self._addresses = addresses
        self._neighbours = neighbours
        self._limits = limits
        self._ledger = ledger
        self._voice = voice
        self._clock = clock
        self._questions = Questions(os.urandom(16))
        self._notifications = Notifications()
        self._branches = f"z9hG4bK{os.urandom(6).hex()}"
        self._number = itertools.count()
        self._unseen: list[tuple[float, int, int, Callable[[int], None]]] = []

    def hear(self, data: bytes, source: tuple[str, int], interface: Interface) -> None:
        """A datagram to the group came from there, by that interface."""
        host, port = source
        own = interface.address_beside(host)
        if own is None or not port:
            self._ledger.refuse("foreign", host)
            return
        now = self._clock()
        if not self._limits.admits(host, now):
            self._ledger.refuse("limited", host)
            return
        try:
            enquiry = enquiry_of(parse(data))
        except Malformed as fault:
            self._ledger.refuse("malformed", host, str(fault))
            return
        if enquiry is None:
            self._ledger.refuse("ignored", host)
            return
        tag = self._questions.tag_of(enquiry.request, source)
        stage = self._questions.stage(tag, now)
        if stage is Stage.ANSWERED:
            self._ledger.count("repeated")
            self._voice.respond(accepted(enquiry, tag, source, f"{own}:{PORT}"), source, interface, own)
        elif stage is Stage.NEW:
            if self._addresses.url(enquiry.mac) is None and not self._ledger.wants_strangers:
                self._ledger.refuse("unknown", host)
                return
            self._questions.move(tag, Stage.WAITING, now)
            self._judge(enquiry, tag, source, interface, own, 0)

    def _judge(
        self, enquiry: Enquiry, tag: str, source: tuple[str, int], interface: Interface, own: str, looks: int
    ) -> None:
        """Answer, or not, or look again in a moment: what claims that MAC address, and does the network agree?"""
        now, host = self._clock(), source[0]
        try:
            seen = self._neighbours.beside(host, interface.number)
        except OSError:
            seen = None
        if seen is None and looks < len(_UNSEEN_SECONDS):
            # Who only ever sent to a group need not be in the table; the kernel asks who is there.
            self._neighbours.call(host)
            if len(self._unseen) < _MOST_WAITING:
                at = now + _UNSEEN_SECONDS[looks]
                self._look_again(at, looks + 1, lambda n: self._judge(enquiry, tag, source, interface, own, n))
                return
        if seen != enquiry.mac:
            self._questions.move(tag, Stage.SILENT, now)
            self._ledger.contradicted(enquiry, host, seen, self._addresses.url(enquiry.mac) is not None)
            return
        url = self._addresses.url(enquiry.mac)
        if url is None:
            self._questions.move(tag, Stage.SILENT, now)
            self._ledger.discovered(enquiry, host, interface.name)
            return
        self._questions.move(tag, Stage.ANSWERED, now)
        self._voice.respond(accepted(enquiry, tag, source, f"{own}:{PORT}"), source, interface, own)
        self._tell(enquiry, tag, source, interface, own, url)

    def _tell(
        self, enquiry: Enquiry, tag: str, source: tuple[str, int], interface: Interface, own: str, url: str
    ) -> None:
        branch = f"{self._branches}{next(self._number):x}"
        sender = f"{own}:{self._voice.port}"
        data = notification(enquiry, tag, branch, f"{source[0]}:{source[1]}", sender, url)
        self._notifications.tell(
            branch,
            source,
            lambda: self._voice.notify(data, source, interface, own),
            lambda well: self._ledger.told(enquiry, source[0], url, well),
            self._clock(),
        )
        self._ledger.count("answered")

    def _look_again(self, at: float, looks: int, judge: Callable[[int], None]) -> None:
        heapq.heappush(self._unseen, (at, next(self._number), looks, judge))

    def hear_reply(self, data: bytes, source: tuple[str, int]) -> None:
        """A datagram came to where notifications are sent from."""
        if not self._limits.admits_reply(self._clock()):
            self._ledger.refuse("limited", source[0])
            return
        try:
            message = parse(data)
        except Malformed as fault:
            self._ledger.refuse("malformed", source[0], str(fault))
            return
        branch = branch_of(message.value("via"))
        if not message.status or not self._notifications.hear(branch, source, message.status):
            self._ledger.refuse("ignored", source[0])

    def tick(self) -> None:
        """Do what has become due; to be called some times a second."""
        now = self._clock()
        self._notifications.tick(now)
        while self._unseen and self._unseen[0][0] <= now:
            _at, _number, looks, judge = heapq.heappop(self._unseen)
            judge(looks)
