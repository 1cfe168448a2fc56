# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network itself says about an address: the kernel's neighbour table, and whether it has to be in there.

A device on a network of this host cannot talk to it without being in the table for a moment. Whoever is not there, or
is not vouched for, is therefore no better than one whom the table contradicts.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWROUTE, _RTM_GETROUTE, _RTM_NEWNEIGH, _RTM_GETNEIGH = 16, 18, 24, 26, 28, 30
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 1, 0x300, 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
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

    def call(self, address: str) -> None:
        """Make the kernel ask for the MAC address behind that address, unless it knows; answers are seen later."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as any_socket:
                any_socket.sendto(b"", (address, _DISCARD_PORT))
        except OSError:
            return  # nothing is asked then, nobody answers, and nobody is vouched for


class _Kernel:
    """Questions to the kernel (rtnetlink), over one socket that is kept: none can be lacking when it matters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._number = 0

    def neighbours(self) -> dict[str, str]:
        """All usable entries, IPv4 and IPv6."""
        # An empty struct ndmsg: all families, all interfaces.
        for _attempt in range(_ATTEMPTS):
            messages, whole = self._ask(_RTM_GETNEIGH, _NLM_F_DUMP, bytes(12))
            if whole:
                return _told_alike(_entry(message) for _kind, message in messages)
        raise OSError("the neighbour table changes faster than it can be read")

    def neighbour(self, address: str, interface: int) -> str | None:
        """The MAC address in the one entry of that address on that interface."""
        packed = ipaddress.ip_address(address).packed
        question = struct.pack("=BBHiHBB", _family(packed), 0, 0, interface, 0, 0, 0)  # struct ndmsg
        try:
            messages, _whole = self._ask(_RTM_GETNEIGH, 0, question + _attribute(_NDA_DST, packed))
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
        messages, _whole = self._ask(_RTM_GETROUTE, 0, question + _attribute(_RTA_DST, packed))
        for kind, message in messages:
            if kind == _RTM_NEWROUTE:
                attributes = _attributes(message, 12)
                if message[7] != _RTN_UNICAST or _RTA_GATEWAY in attributes or _RTA_VIA in attributes:
                    return None
                (interface,) = struct.unpack("=i", attributes[_RTA_OIF])
                without_mac = self._flags(interface) & (_IFF_LOOPBACK | _IFF_POINTOPOINT | _IFF_NOARP)
                return None if without_mac else interface
        raise OSError("the kernel told no route")

    def _flags(self, interface: int) -> int:
        """The flags of an interface (IFF_…)."""
        messages, _whole = self._ask(_RTM_GETLINK, 0, struct.pack("=BxHiII", 0, 0, interface, 0, 0))  # ifinfomsg
        for kind, message in messages:
            if kind == _RTM_NEWLINK:
                flags: int = struct.unpack_from("=I", message, 8)[0]
                return flags
        raise OSError("the kernel told nothing about an interface")

    def _ask(self, kind: int, flags: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        """The messages of the answer, and whether nothing changed while it was given."""
        with self._lock:
            try:
                return self._exchange(kind, flags, body)
            except OSError as error:
                # What is left of that answer must not be taken for the next one; an error is a whole answer.
                if self._socket is not None and error.errno != _ENOENT:
                    self._socket.close()
                    self._socket = None
                raise

    def _exchange(self, kind: int, flags: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            self._socket.settimeout(1.0)
        self._number = (self._number + 1) & 0xFFFFFFFF
        # struct nlmsghdr
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | flags, self._number, 0) + body)
        found: list[tuple[int, bytes]] = []
        whole = True
        while True:
            data, _ancillary, told, _peer = self._socket.recvmsg(1 << 16)
            if told & socket.MSG_TRUNC:
                raise OSError("the kernel's answer was cut off")
            while data:
                length, answered, answered_flags, number = struct.unpack_from("=IHHI", data)
                message, data = data[16:length], data[(length + 3) & ~3 :]
                if number != self._number:
                    continue
                whole = whole and not answered_flags & _NLM_F_DUMP_INTR
                if answered == _NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", message)
                    raise OSError(-error, os.strerror(-error))
                if answered == _NLMSG_DONE:
                    return found, whole
                found.append((answered, message))
                if not flags & _NLM_F_DUMP:
                    return found, whole


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


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def _entry(message: bytes) -> tuple[str, str] | None:
    (state,) = struct.unpack_from("=H", message, 8)
    if state == 0 or state & _UNUSABLE_STATES:
        return None
    attributes = _attributes(message, 12)
    address, mac = attributes.get(_NDA_DST), attributes.get(_NDA_LLADDR)
    if address is None or mac is None or len(mac) != 6:
        return None
    return str(ipaddress.ip_address(address)), mac.hex()


def _attributes(message: bytes, offset: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        found[kind] = message[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found
