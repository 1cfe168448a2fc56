# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network interfaces as the kernel has them now: numbers, names, IPv4 addresses; and word when they change."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from autoprovd.rtnetlink import NLM_F_DUMP, RouteSocket, attributes

_RTM_GETLINK, _RTM_GETADDR = 18, 22
_IFLA_IFNAME, _IFA_LOCAL = 3, 2
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_GROUPS = 0x1 | 0x10  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR
_ATTEMPTS = 3


class Own(NamedTuple):
    """An IPv4 address of an interface; numbers, since they are compared with each datagram's source."""

    text: str
    number: int
    network: int
    mask: int


class Interface(NamedTuple):
    """An interface at this moment."""

    number: int
    name: str
    is_up: bool
    own: tuple[Own, ...]

    def address_beside(self, source: str) -> str | None:
        """The interface's own address on the network that source is on.

        None where there is none, and for what is no host there: this host itself, the network, its broadcast address.
        """
        try:
            number = int.from_bytes(socket.inet_aton(source), "big")
        except OSError:
            return None
        for own in self.own:
            if number & own.mask == own.network:
                host = number & ~own.mask & 0xFFFFFFFF
                is_edge = own.mask < 0xFFFFFFFE and host in (0, ~own.mask & 0xFFFFFFFF)
                return None if is_edge or any(number == other.number for other in self.own) else own.text
        return None


class Interfaces:
    """Reads them; a change makes :attr:`changes` readable."""

    def __init__(self) -> None:
        self._route = RouteSocket()
        self.changes = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self.changes.bind((0, _GROUPS))

    def close(self) -> None:
        """Hear of no more changes."""
        self.changes.close()

    def forget_changes(self) -> None:
        """Read away what :attr:`changes` holds: the whole is read anew."""
        try:
            while self.changes.recv(1 << 16):
                pass
        except BlockingIOError:
            pass
        except OSError:  # more changed than it holds
            pass

    def read(self) -> dict[int, Interface]:
        """All interfaces by number; raises ``OSError``."""
        for _attempt in range(_ATTEMPTS):
            # struct ifinfomsg; struct ifaddrmsg
            links, links_whole = self._route.ask(_RTM_GETLINK, NLM_F_DUMP, bytes(16))
            addresses, whole = self._route.ask(
                _RTM_GETADDR, NLM_F_DUMP, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0)
            )
            if whole and links_whole:
                return _joined([body for _kind, body in links], [body for _kind, body in addresses])
        raise OSError("the interfaces change faster than they can be read")


def _joined(links: list[bytes], addresses: list[bytes]) -> dict[int, Interface]:
    own: dict[int, list[Own]] = {}
    for body in addresses:
        _family, length, _flags, _scope, index = struct.unpack_from("=BBBBI", body)
        local = attributes(body, 8).get(_IFA_LOCAL)
        if local is not None and len(local) == 4:
            number, mask = int.from_bytes(local, "big"), 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF
            own.setdefault(index, []).append(Own(socket.inet_ntoa(local), number, number & mask, mask))
    found = {}
    for body in links:
        _family, _kind, index, flags = struct.unpack_from("=BxHiI", body)
        name = attributes(body, 16).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
        is_up = flags & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING
        found[index] = Interface(index, name, is_up, tuple(own.get(index, ())))
    return found
