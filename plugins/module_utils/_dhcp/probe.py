# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Ask the DHCP servers of a network what they would offer certain clients.

Only DHCPDISCOVER is sent, never a REQUEST, so no server allocates anything for good. Answers are read on a packet
socket that sees outgoing frames too, so port 68, and whoever holds it, is left alone. It works from a neighbouring
host as well as on the server itself, where what is sent must go two ways:

* A frame on the packet socket. Kea and dhcpd, which listen on packet sockets, see it leave this host.
* dnsmasq listens on a UDP socket, to which no frame comes that leaves. A broadcast from a UDP socket does: the kernel
  loops it back. It is sent too where somebody listens on port 67 of every address.

Kea with "dhcp-socket-type": "udp" has a socket that hears neither: it serves relay agents only, so one is played.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import time
import typing as t
from dataclasses import replace

from .packets import (
    ETH_P_IP,
    SERVER_PORT,
    Client,
    Offer,
    build_discover,
    build_frame,
    parse_offer,
    payload_of,
    transaction_of,
)

__all__ = ["Client", "Offer", "ProbeUnavailable", "ask", "discover"]
ETH_P_ALL = 0x0003
SO_ATTACH_FILTER = 26
RESEND_SECONDS = 0.5
# A filter for the kernel, which keeps IPv4/UDP frames to ports 67 and 68 only:
# ldh [12]; jeq ip; ldb [23]; jeq udp; ldxb 4*([14]&0xf); ldh [x+16]; jeq 68; jeq 67; ret all; ret 0
_FILTER = (
    (0x28, 0, 0, 12), (0x15, 0, 7, ETH_P_IP), (0x30, 0, 0, 23), (0x15, 0, 5, 17), (0xB1, 0, 0, 14), (0x48, 0, 0, 16),
    (0x15, 1, 0, 68), (0x15, 0, 1, 67), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0),
)  # fmt: skip


class ProbeUnavailable(Exception):
    """This host cannot probe on that interface (no privilege, no such interface, not Ethernet)."""


class _Interface:
    """The clients' side of an interface: DISCOVERs go out as a phone's would, and every answer there is seen."""

    def __init__(self, interface: str) -> None:
        self.socket, self._source_mac = _packet_socket(interface)
        self._broadcast: t.Optional[socket.socket] = None
        if len(self._source_mac) != 6:
            self.close()
            raise ProbeUnavailable("interface %s is not an Ethernet interface" % interface)
        if _somebody_hears_broadcasts():
            self._broadcast = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._broadcast.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._broadcast.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())

    def send(self, client: Client, transaction: int) -> None:
        payload = build_discover(client, transaction)
        self.socket.send(build_frame(payload, self._source_mac))
        if self._broadcast is not None:
            with contextlib.suppress(OSError):  # A firewall may forbid it; the frame is out all the same.
                self._broadcast.sendto(payload, ("255.255.255.255", SERVER_PORT))

    def close(self) -> None:
        self.socket.close()
        if self._broadcast is not None:
            self._broadcast.close()


class _RelayAgent:
    """A relay agent's side of a server. The answer goes to the agent's address, and is seen where it leaves."""

    def __init__(self, address: str, server: str) -> None:
        self.socket, _mac = _packet_socket("")
        self._address, self._server = address, server
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, client: Client, transaction: int) -> None:
        self._udp.sendto(build_discover(client, transaction, self._address), (self._server, SERVER_PORT))

    def close(self) -> None:
        self.socket.close()
        self._udp.close()


def _packet_socket(interface: str) -> t.Tuple[socket.socket, bytes]:
    """A socket that sees DHCP frames of the interface (empty: of all), in and out, and its hardware address."""
    packet_family = getattr(socket, "AF_PACKET", None)
    if packet_family is None:
        raise ProbeUnavailable("this system has no packet sockets")
    try:
        sock = socket.socket(packet_family, socket.SOCK_RAW, 0 if interface else socket.htons(ETH_P_ALL))
    except PermissionError as exc:
        raise ProbeUnavailable("probing needs root (CAP_NET_RAW)") from exc
    try:
        program = b"".join(struct.pack("HBBI", *row) for row in _FILTER)
        buffer = ctypes.create_string_buffer(program)
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), ctypes.addressof(buffer)))
        if interface:
            sock.bind((interface, ETH_P_ALL))
        return sock, sock.getsockname()[4]
    except OSError as exc:
        sock.close()
        raise ProbeUnavailable("interface %s: %s" % (interface, exc.strerror or exc)) from exc


def _somebody_hears_broadcasts() -> bool:
    """Is port 67 of every address open here? Kea binds single addresses, which no broadcast reaches."""
    try:
        with open("/proc/self/net/udp", encoding="ascii") as stream:
            return any(line.split()[1] == "00000000:%04X" % SERVER_PORT for line in stream.readlines()[1:])
    except (OSError, IndexError):
        return True  # Better a frame too many than a server not heard.


Wanted = t.Callable[[int, Offer], bool]


def ask(
    interface: str,
    clients: t.Sequence[Client],
    wanted: t.Optional[Wanted] = None,
    timeout: float = 2.0,
    wait: float = 0.0,
    relay: t.Optional[t.Tuple[str, str]] = None,
) -> t.List[t.List[Offer]]:
    """Play all clients on `interface` at once; for each, every offer it was made, in the order they came.

    A client is content with an offer that is `wanted` (given its place in `clients`; default: any offer). Listening
    ends `wait` seconds after all are content, or when no further client got its first offer for `timeout` seconds: a
    server that pings each address before it offers it makes the others wait. With `relay` (the addresses of a relay
    agent and of the server), one is played instead, and `interface` is not looked at. Without `wait`, the offer that
    made a client content is its last.

    Raises ProbeUnavailable when this host cannot probe there.
    """
    first = int.from_bytes(os.urandom(4), "big")
    transactions = {(first + index) & 0xFFFFFFFF: index for index in range(len(clients))}
    offers: t.List[t.List[Offer]] = [[] for _client in clients]
    waiting = dict(transactions)
    where = "relay agent %s, server %s" % relay if relay else "interface %s" % interface
    try:
        side: t.Union[_Interface, _RelayAgent] = _RelayAgent(*relay) if relay else _Interface(interface)
    except OSError as exc:
        raise ProbeUnavailable("%s: %s" % (where, exc.strerror or exc)) from exc
    try:
        start = time.monotonic()
        end, next_send = start + timeout, start
        while waiting or wait > 0:
            now = time.monotonic()
            if now >= end:
                break
            if waiting and now >= next_send:
                for transaction, index in waiting.items():
                    side.send(clients[index], transaction)
                next_send = now + RESEND_SECONDS
            pause = min(end, next_send if waiting else end) - time.monotonic()
            if not select.select([side.socket], [], [], max(pause, 0))[0]:
                continue
            payload = payload_of(side.socket.recv(65535))
            transaction = transaction_of(payload) or 0
            offer = parse_offer(payload, transaction) if transaction in transactions else None
            if offer is None:
                continue
            index, now = transactions[transaction], time.monotonic()
            if offer in offers[index] or (wait <= 0 and transaction not in waiting):
                continue
            offers[index].append(replace(offer, seconds=round(now - start, 4)))
            if transaction in waiting:
                if len(offers[index]) == 1:
                    end = max(end, now + timeout)
                if wanted is None or wanted(index, offer):
                    del waiting[transaction]
                    if not waiting:
                        end = now + wait
    except OSError as exc:
        raise ProbeUnavailable("%s: %s" % (where, exc.strerror or exc)) from exc
    finally:
        side.close()
    return offers


def discover(
    interface: str,
    client: Client,
    wanted: t.Optional[t.Callable[[Offer], bool]] = None,
    timeout: float = 2.0,
) -> t.List[Offer]:
    """`ask` for one client: every offer, the wanted one last."""

    def content(_index: int, offer: Offer) -> bool:
        return wanted is None or wanted(offer)

    return ask(interface, [client], content, timeout)[0]
