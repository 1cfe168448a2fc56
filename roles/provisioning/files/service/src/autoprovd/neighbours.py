# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network itself says about an address: the kernel's neighbour table, and whether it has to be in there.

A device on a network of this host cannot talk to it without being in the table for a moment. Whoever is not there, or
is not vouched for, is therefore no better than one whom the table contradicts.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple

from autoprovd.rtnetlink import NLM_F_DUMP, RouteSocket, attribute, attributes

_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWROUTE, _RTM_GETROUTE, _RTM_NEWNEIGH, _RTM_GETNEIGH = 16, 18, 24, 26, 28, 30
_NDA_DST, _NDA_LLADDR = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_VIA = 1, 4, 5, 18
_RTN_UNICAST = 1
_IFF_LOOPBACK, _IFF_POINTOPOINT, _IFF_NOARP = 0x8, 0x10, 0x80
# Entries the kernel does not vouch for: incomplete, failed, or none.
_UNUSABLE_STATES = 0x01 | 0x20 | 0x40
_ENOENT = 2
_AGE_SECONDS = 1.0
_ATTEMPTS = 3
_DISCARD_PORT = 9


class Sight(NamedTuple):
    """What the kernel says about an address at this moment."""

    mac: str | None
    """12 lower-case digits; None when the table vouches for none."""
    belongs_here: bool
    """Whether who has that address is a neighbour, on a network where neighbours have MAC addresses: not this host
    itself, not who is behind a router or at the end of a tunnel."""


class Neighbours:
    """The neighbour table, read at most once a second."""

    def __init__(self) -> None:
        self._table: dict[str, str] = {}
        self._read_at = -_AGE_SECONDS
        self._kernel = _Kernel()

    def mac_of(self, address: str) -> str | None:
        """The MAC address behind an IP address (12 lower-case digits), None when the table vouches for none.

        Raises ``OSError`` when the table cannot be read.
        """
        now = time.monotonic()
        if now - self._read_at >= _AGE_SECONDS:
            self._table = self._kernel.neighbours()
            self._read_at = now
        return self._table.get(address)

    def addresses_of(self, mac: str) -> list[str]:
        """The IP addresses behind which the table sees that MAC address; none when it cannot be read."""
        try:
            table = self._kernel.neighbours()
        except OSError:
            return []
        return [address for address, known in table.items() if known == mac]

    def look(self, address: str) -> Sight:
        """The same at this moment, and whether there must be one. The cost does not grow with the table.

        Raises ``OSError`` when the kernel does not say.
        """
        interface = self._kernel.interface_to(address)
        if interface is None:
            return Sight(None, False)
        if ipaddress.ip_address(address).is_link_local:
            # Each interface has those, and a connection does not tell which it came by.
            return Sight(self._kernel.neighbours().get(address), True)
        return Sight(self._kernel.neighbour(address, interface), True)

    def beside(self, address: str, interface: int) -> str | None:
        """The MAC address the table has for that address on the interface of that number; None when it has none.

        Raises ``OSError`` when the kernel does not say.
        """
        return self._kernel.neighbour(address, interface)

    def table(self) -> dict[str, str]:
        """All MAC addresses by IP address, as they are now. Raises ``OSError`` when the table cannot be read."""
        return self._kernel.neighbours()

    def call(self, address: str) -> None:
        """Make the kernel ask for the MAC address behind that address, unless it knows; answers are seen later."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as any_socket:
                any_socket.sendto(b"", (address, _DISCARD_PORT))
        except OSError:
            return  # nothing is asked then, nobody answers, and nobody is vouched for


class _Kernel:
    """What the kernel knows of neighbours and of the way to them."""

    def __init__(self) -> None:
        self._route = RouteSocket()

    def neighbours(self) -> dict[str, str]:
        """All usable entries, IPv4 and IPv6."""
        # An empty struct ndmsg: all families, all interfaces.
        for _attempt in range(_ATTEMPTS):
            messages, whole = self._route.ask(_RTM_GETNEIGH, NLM_F_DUMP, bytes(12))
            if whole:
                return _told_alike(_entry(message) for _kind, message in messages)
        raise OSError("the neighbour table changes faster than it can be read")

    def neighbour(self, address: str, interface: int) -> str | None:
        """The MAC address in the one entry of that address on that interface."""
        packed = ipaddress.ip_address(address).packed
        question = struct.pack("=BBHiHBB", _family(packed), 0, 0, interface, 0, 0, 0)  # struct ndmsg
        try:
            messages, _whole = self._route.ask(_RTM_GETNEIGH, 0, question + attribute(_NDA_DST, packed))
        except OSError as error:
            if error.errno == _ENOENT:
                return None
            raise
        for kind, message in messages:
            entry = _entry(message) if kind == _RTM_NEWNEIGH else None
            if entry is not None and entry[0] == address:
                return entry[1]
        return None

    def interface_to(self, address: str) -> int | None:
        """The interface on whose own network that address is; None where there is none with MAC addresses."""
        packed = ipaddress.ip_address(address).packed
        # struct rtmsg: the route to that one address.
        question = struct.pack("=BBBBBBBBI", _family(packed), len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
        messages, _whole = self._route.ask(_RTM_GETROUTE, 0, question + attribute(_RTA_DST, packed))
        for kind, message in messages:
            if kind == _RTM_NEWROUTE:
                told = attributes(message, 12)
                if message[7] != _RTN_UNICAST or _RTA_GATEWAY in told or _RTA_VIA in told:
                    return None
                (interface,) = struct.unpack("=i", told[_RTA_OIF])
                without_mac = self._flags(interface) & (_IFF_LOOPBACK | _IFF_POINTOPOINT | _IFF_NOARP)
                return None if without_mac else interface
        raise OSError("the kernel told no route")

    def _flags(self, interface: int) -> int:
        """The flags of an interface (IFF_…)."""
        messages, _whole = self._route.ask(_RTM_GETLINK, 0, struct.pack("=BxHiII", 0, 0, interface, 0, 0))  # ifinfomsg
        for kind, message in messages:
            if kind == _RTM_NEWLINK:
                flags: int = struct.unpack_from("=I", message, 8)[0]
                return flags
        raise OSError("the kernel told nothing about an interface")


def _told_alike(entries: Iterable[tuple[str, str] | None]) -> dict[str, str]:
    """The entries by address, without those that two interfaces know with different MAC addresses."""
    found: dict[str, str] = {}
    disputed = set()
    for entry in entries:
        if entry is not None and found.setdefault(*entry) != entry[1]:
            disputed.add(entry[0])
    for address in disputed:
        del found[address]
    return found


def _family(packed: bytes) -> int:
    return socket.AF_INET if len(packed) == 4 else socket.AF_INET6


def _entry(message: bytes) -> tuple[str, str] | None:
    (state,) = struct.unpack_from("=H", message, 8)
    if state == 0 or state & _UNUSABLE_STATES:
        return None
    told = attributes(message, 12)
    address, mac = told.get(_NDA_DST), told.get(_NDA_LLADDR)
    if address is None or mac is None or len(mac) != 6:
        return None
    return str(ipaddress.ip_address(address)), mac.hex()
