# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Nobody is missed while a server reads its configuration.

Kea closes its sockets while it builds a new configuration: a fifth of a second for 2,000 subnets. Whoever asks in that
time is lost, and a phone asks again after four seconds only. So what clients send meanwhile is kept in the kernel's
buffer of a packet socket, and what the server left unanswered is sent once more, as the client itself would later: with
the same transaction id, from this host's hardware address, so that no switch learns a wrong place for the client.
"""

from __future__ import annotations

import contextlib
import socket
import typing as t

from .packets import (
    BOOTREQUEST,
    DHCPDISCOVER,
    MAGIC_COOKIE,
    OPTION_MESSAGE_TYPE,
    build_frame,
    parse_options,
    payload_of,
    transaction_of,
)
from .probe import ProbeUnavailable
from .probe import _packet_socket as packet_socket

DHCPREQUEST = 3
BUFFER_BYTES = 4 * 1024 * 1024
#: More than that at once is no site's phones but somebody's mischief.
MOST_REQUESTS = 1000
_PACKET_OUTGOING = 4

_Key = t.Tuple[int, bytes, int]  # transaction, hardware address, message type


@contextlib.contextmanager
def requests_held(interfaces: t.Sequence[str]) -> t.Iterator[None]:
    """Send once more, at the end, what clients asked for on these interfaces meanwhile and did not get.

    It helps where it can: an interface on which nothing can be heard is left out, and no error comes from here.
    """
    with contextlib.ExitStack() as stack:
        opened = []
        for interface in interfaces:
            with contextlib.suppress(ProbeUnavailable, OSError):
                sock, source_mac = packet_socket(interface)
                stack.callback(sock.close)
                sock.setblocking(False)
                if len(source_mac) == 6:
                    # As much as root may have; without that, what the kernel gives.
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), BUFFER_BYTES)
                    opened.append((sock, source_mac))
        try:
            yield
        finally:
            for sock, source_mac in opened:
                with contextlib.suppress(OSError):
                    for payload in _unanswered(sock):
                        sock.send(build_frame(payload, source_mac))


def _unanswered(sock: socket.socket) -> t.List[bytes]:
    """The requests of clients in the socket's buffer that nobody answered, as BOOTP payloads, the oldest first."""
    waiting: t.Dict[_Key, bytes] = {}
    while True:
        try:
            frame, sender = sock.recvfrom(65535)
        except BlockingIOError:
            return list(waiting.values())[:MOST_REQUESTS]
        payload = payload_of(frame)
        answered = transaction_of(payload)
        if answered is not None:
            for key in [key for key in waiting if key[0] == answered]:
                del waiting[key]
        elif sender[2] != _PACKET_OUTGOING:  # our own probe is no client
            asked = _key_of(payload)
            if asked is not None:
                waiting.setdefault(asked, payload)


def _key_of(payload: bytes) -> t.Optional[_Key]:
    """What identifies a request that may be repeated; None for anything else.

    Nothing is repeated that came through a relay agent (it sends to the server alone), nor what ends a lease.
    """
    if (
        len(payload) < 240
        or payload[0] != BOOTREQUEST
        or payload[236:240] != MAGIC_COOKIE
        or payload[24:28] != bytes(4)
    ):
        return None
    options: t.Dict[int, bytes] = {}
    parse_options(payload[240:], options)
    kind = int.from_bytes(options.get(OPTION_MESSAGE_TYPE, b""), "big")
    if kind not in (DHCPDISCOVER, DHCPREQUEST):
        return None
    return int.from_bytes(payload[4:8], "big"), payload[28:34], kind
