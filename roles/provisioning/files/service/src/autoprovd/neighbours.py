# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network itself says about an address: the kernel's neighbour table, and whether it has to be in there.

A device on a network of this host cannot talk to it without being in the table for a moment. Whoever is not there, or
is not vouched for, is therefore no better than one whom the table contradicts.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
import threading
import time

_RTM_NEWROUTE, _RTM_GETROUTE, _RTM_GETNEIGH = 24, 26, 30
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 1, 0x300, 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NDA_DST, _NDA_LLADDR = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_VIA = 1, 4, 5, 18
_RTN_UNICAST = 1
_IFF_LOOPBACK, _IFF_POINTOPOINT, _IFF_NOARP = 0x8, 0x10, 0x80
_SIOCGIFFLAGS = 0x8913
# Entries the kernel does not vouch for: incomplete, failed, or none.
_UNUSABLE_STATES = 0x01 | 0x20 | 0x40
_AGE_SECONDS = 1.0
_ATTEMPTS = 3


class Neighbours:
    """The neighbour table, read at most once a second."""

    def __init__(self) -> None:
        self._table: dict[str, str] = {}
        self._read_at = -_AGE_SECONDS
        self._kernel = _Kernel()

    def look_again(self) -> None:
        """Read the table when next asked, however short the last reading is ago."""
        self._read_at = -_AGE_SECONDS

    def mac_of(self, address: str) -> str | None:
        """The MAC address behind an IP address (12 lower-case digits), None when the table vouches for none.

        Raises ``OSError`` when the table cannot be read.
        """
        now = time.monotonic()
        if now - self._read_at >= _AGE_SECONDS:
            self._table = self._kernel.neighbours()
            self._read_at = now
        return self._table.get(address.partition("%")[0])

    def belongs_here(self, address: str) -> bool:
        """Whether who has that address is a neighbour, on a network where neighbours have MAC addresses.

        Not this host itself, not who is behind a router or at the end of a tunnel. Raises ``OSError`` when the kernel
        does not say.
        """
        return self._kernel.is_neighbour(address)


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
                found = (_entry(message) for _kind, message in messages)
                return dict(entry for entry in found if entry is not None)
        raise OSError("the neighbour table changes faster than it can be read")

    def is_neighbour(self, address: str) -> bool:
        """See :meth:`Neighbours.belongs_here`."""
        host, _percent, scope = address.partition("%")
        packed = ipaddress.ip_address(host).packed
        family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
        # struct rtmsg: the route to that one address; then the address, and the interface of a link-local one.
        question = struct.pack("=BBBBBBBBI", family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
        question += struct.pack("=HH", 4 + len(packed), _RTA_DST) + packed
        if scope:
            index = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
            question += struct.pack("=HHI", 8, _RTA_OIF, index)
        messages, _whole = self._ask(_RTM_GETROUTE, 0, question)
        for kind, message in messages:
            if kind == _RTM_NEWROUTE:
                attributes = _attributes(message, 12)
                if message[7] != _RTN_UNICAST or _RTA_GATEWAY in attributes or _RTA_VIA in attributes:
                    return False
                (interface,) = struct.unpack("=I", attributes[_RTA_OIF])
                return not _flags(interface) & (_IFF_LOOPBACK | _IFF_POINTOPOINT | _IFF_NOARP)
        return False

    def _ask(self, kind: int, flags: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        """The messages of the answer, and whether nothing changed while it was given."""
        with self._lock:
            try:
                return self._exchange(kind, flags, body)
            except OSError:
                # What is left of that answer must not be taken for the next one.
                if self._socket is not None:
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


def _flags(interface: int) -> int:
    """The flags of an interface (IFF_…)."""
    request = struct.pack("16s24x", socket.if_indextoname(interface).encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
    flags: int = struct.unpack_from("=H", answer, 16)[0]
    return flags
