# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the kernel about the network (rtnetlink).

Over one socket that is kept: none can be lacking when it matters.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading

NLM_F_DUMP = 0x300
_NLM_F_REQUEST, _NLM_F_DUMP_INTR = 1, 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3


class RouteSocket:
    """Asks, and reads answers; threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._number = 0

    def ask(self, kind: int, flags: int, body: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        """The messages of the answer, each with its kind, and whether nothing changed while it was given.

        Raises ``OSError`` with the kernel's own reason.
        """
        with self._lock:
            try:
                return self._exchange(kind, flags, body)
            except OSError as error:
                # What is left of that answer must not be taken for the next one; an error is a whole answer.
                if self._socket is not None and error.errno != errno.ENOENT:
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
                if not flags & NLM_F_DUMP:
                    return found, whole


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute (struct rtattr) of a question."""
    return struct.pack("=HH", 4 + len(value), kind) + value


def attributes(message: bytes, offset: int) -> dict[int, bytes]:
    """The attributes of a message by kind, from behind its fixed part; what is cut off is left out."""
    found: dict[int, bytes] = {}
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        found[kind] = message[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found
