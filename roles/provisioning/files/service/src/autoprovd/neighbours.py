# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network itself says about an address: the kernel's neighbour table."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time

_RTM_GETNEIGH, _NLM_F_REQUEST, _NLM_F_DUMP = 30, 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NDA_DST, _NDA_LLADDR = 1, 2
# Entries the kernel does not vouch for: incomplete, failed, or none.
_UNUSABLE_STATES = 0x01 | 0x20 | 0x40
_AGE_SECONDS = 1.0


class Neighbours:
    """The neighbour table, read at most once a second."""

    def __init__(self) -> None:
        self._table: dict[str, str] = {}
        self._read_at = -_AGE_SECONDS

    def look_again(self) -> None:
        """Read the table when next asked, however short the last reading is ago."""
        self._read_at = -_AGE_SECONDS

    def mac_of(self, address: str) -> str | None:
        """The MAC address behind an on-link IP address (12 lower-case digits), or None when it is not on-link.

        None also stands for a table that cannot be read: the caller then has nothing but the source address.
        """
        now = time.monotonic()
        if now - self._read_at >= _AGE_SECONDS:
            try:
                self._table = read_table()
            except OSError:
                self._table = {}
            self._read_at = now
        return self._table.get(address)


def read_table() -> dict[str, str]:
    """All usable entries, IPv4 and IPv6, from the kernel (rtnetlink, RTM_GETNEIGH)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(1.0)
        # struct nlmsghdr, then an empty struct ndmsg: all families, all interfaces.
        netlink.send(struct.pack("=IHHII", 28, _RTM_GETNEIGH, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + bytes(12))
        table: dict[str, str] = {}
        while True:
            data = netlink.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return table
                entry = _entry(data[16:length])
                if entry is not None:
                    table[entry[0]] = entry[1]
                data = data[(length + 3) & ~3 :]


def _entry(message: bytes) -> tuple[str, str] | None:
    (state,) = struct.unpack_from("=H", message, 8)
    if state == 0 or state & _UNUSABLE_STATES:
        return None
    address = mac = None
    offset = 12
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        value = message[offset + 4 : offset + length]
        if kind == _NDA_DST:
            address = str(ipaddress.ip_address(value))
        elif kind == _NDA_LLADDR and len(value) == 6:
            mac = value.hex()
        offset += (length + 3) & ~3
    return (address, mac) if address and mac else None
