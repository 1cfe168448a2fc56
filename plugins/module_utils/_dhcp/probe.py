# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Ask a DHCP server what it would offer a certain client.

Only DHCPDISCOVER is sent, never a REQUEST, so no server allocates anything for good. Frames are sent and read on a
packet socket that sees outgoing frames too: the probe therefore works on the very interface the server listens on (a
server with raw sockets sees our frame leave, and we see its answer leave) as well as from a neighbouring host.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
import typing as t
from dataclasses import dataclass, field

ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
PACKET_OUTGOING = 4
SO_ATTACH_FILTER = 26
BROADCAST_MAC = b"\xff" * 6
MAGIC_COOKIE = b"\x63\x82\x53\x63"
BOOTREQUEST, BOOTREPLY = 1, 2
DHCPDISCOVER, DHCPOFFER = 1, 2
OPTION_PAD, OPTION_END = 0, 255
OPTION_OVERLOAD, OPTION_MESSAGE_TYPE, OPTION_SERVER_ID, OPTION_REQUEST_LIST, OPTION_VENDOR_CLASS = 52, 53, 54, 55, 60
#: What nearly every client asks for, without the options a phone would ask for.
PLAIN_REQUEST_LIST = (1, 3, 6, 15, 42)
# A filter for the kernel, which keeps IPv4/UDP frames to port 68 only:
# ldh [12]; jeq ip; ldb [23]; jeq udp; ldh [36]; jeq 68; ret all; ret 0
_FILTER = (
    (0x28, 0, 0, 12), (0x15, 0, 5, ETH_P_IP), (0x30, 0, 0, 23), (0x15, 0, 3, 17), (0x28, 0, 0, 36), (0x15, 0, 1, 68),
    (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0),
)  # fmt: skip


class ProbeUnavailable(Exception):
    """This host cannot probe on that interface (no privilege, no such interface, not Ethernet)."""


@dataclass(frozen=True)
class Client:
    """Whom the probe plays. `request_list` None sends no option 55 at all, as some old phones do."""

    mac: str
    vendor_class: t.Optional[str] = None
    request_list: t.Optional[t.Tuple[int, ...]] = PLAIN_REQUEST_LIST


@dataclass(frozen=True)
class Offer:
    """One DHCPOFFER. Options are raw bytes by code; `sname` and `file` are the BOOTP fields, cut at the first NUL."""

    server: str
    address: str
    next_server: str
    sname: bytes
    file: bytes
    options: t.Dict[int, bytes] = field(default_factory=dict)


def build_discover(client: Client, transaction: int) -> bytes:
    """The BOOTP payload of a DHCPDISCOVER; the broadcast flag is set because the probe has no address."""
    mac = bytes.fromhex(client.mac.replace(":", "").replace("-", "").replace(".", ""))
    options = [bytes((OPTION_MESSAGE_TYPE, 1, DHCPDISCOVER))]
    if client.vendor_class:
        value = client.vendor_class.encode("utf-8")
        options.append(bytes((OPTION_VENDOR_CLASS, len(value))) + value)
    if client.request_list is not None:
        options.append(bytes((OPTION_REQUEST_LIST, len(client.request_list))) + bytes(client.request_list))
    head = struct.pack("!BBBBIHH", BOOTREQUEST, 1, 6, 0, transaction, 0, 0x8000) + bytes(16)
    payload = head + mac.ljust(16, b"\0") + bytes(64 + 128) + MAGIC_COOKIE + b"".join(options) + bytes((OPTION_END,))
    return payload.ljust(300, b"\0")  # RFC 1542: never shorter than a BOOTP packet


def _parse_options(data: bytes, into: t.Dict[int, bytes]) -> None:
    position = 0
    while position < len(data):
        code = data[position]
        if code == OPTION_PAD:
            position += 1
            continue
        if code == OPTION_END or position + 1 >= len(data):
            return
        length = data[position + 1]
        # RFC 3396: an option that occurs again goes on where it left off.
        into[code] = into.get(code, b"") + data[position + 2 : position + 2 + length]
        position += 2 + length


def parse_offer(payload: bytes, transaction: int) -> t.Optional[Offer]:
    """The offer in a BOOTP payload, or None when it is something else or for somebody else."""
    if len(payload) < 240 or payload[0] != BOOTREPLY or payload[236:240] != MAGIC_COOKIE:
        return None
    if struct.unpack_from("!I", payload, 4)[0] != transaction:
        return None
    options: t.Dict[int, bytes] = {}
    _parse_options(payload[240:], options)
    sname, file = payload[44:108], payload[108:236]
    overload = options.get(OPTION_OVERLOAD, b"\0")[0]
    if overload & 1:
        _parse_options(file, options)
        file = b""
    if overload & 2:
        _parse_options(sname, options)
        sname = b""
    if options.get(OPTION_MESSAGE_TYPE) != bytes((DHCPOFFER,)):
        return None
    server = options.get(OPTION_SERVER_ID, b"")
    return Offer(
        server=socket.inet_ntoa(server) if len(server) == 4 else "",
        address=socket.inet_ntoa(payload[16:20]),
        next_server=socket.inet_ntoa(payload[20:24]),
        sname=sname.split(b"\0", 1)[0],
        file=file.split(b"\0", 1)[0],
        options=options,
    )


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build_frame(payload: bytes, source_mac: bytes) -> bytes:
    """Ethernet, IPv4 (0.0.0.0 to broadcast) and UDP (68 to 67) around a BOOTP payload."""
    addresses = bytes(4) + b"\xff" * 4
    udp_length = 8 + len(payload)
    udp = struct.pack("!HHHH", 68, 67, udp_length, 0) + payload
    udp_sum = _checksum(addresses + struct.pack("!BBH", 0, 17, udp_length) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", udp_sum) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0x10, 20 + udp_length, 0, 0, 64, 17, 0) + addresses
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return BROADCAST_MAC + source_mac + struct.pack("!H", ETH_P_IP) + header + udp


def _payload_of(frame: bytes) -> bytes:
    if len(frame) < 42:
        return b""
    return frame[14 + (frame[14] & 0x0F) * 4 + 8 :]


def _open(interface: str) -> t.Tuple[socket.socket, bytes]:
    packet_family = getattr(socket, "AF_PACKET", None)
    if packet_family is None:
        raise ProbeUnavailable("this system has no packet sockets")
    try:
        sock = socket.socket(packet_family, socket.SOCK_RAW, 0)
    except PermissionError as exc:
        raise ProbeUnavailable("probing needs root (CAP_NET_RAW)") from exc
    try:
        program = b"".join(struct.pack("HBBI", *row) for row in _FILTER)
        buffer = ctypes.create_string_buffer(program)
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), ctypes.addressof(buffer)))
        sock.bind((interface, ETH_P_ALL))
        source_mac = sock.getsockname()[4]
    except OSError as exc:
        sock.close()
        raise ProbeUnavailable("interface %s: %s" % (interface, exc.strerror or exc)) from exc
    if len(source_mac) != 6:
        sock.close()
        raise ProbeUnavailable("interface %s is not an Ethernet interface" % interface)
    return sock, source_mac


def discover(
    interface: str,
    client: Client,
    wanted: t.Optional[t.Callable[[Offer], bool]] = None,
    timeout: float = 2.0,
    resend: float = 0.5,
) -> t.List[Offer]:
    """Send DHCPDISCOVER on `interface` until an offer is `wanted` (default: any offer) or `timeout` seconds are over.

    Returns every offer seen, the wanted one last. Several servers may answer; each offer names its server.
    Raises ProbeUnavailable when this host cannot probe there.
    """
    transaction = struct.unpack("!I", os.urandom(4))[0]
    sock, source_mac = _open(interface)
    frame = build_frame(build_discover(client, transaction), source_mac)
    offers: t.List[Offer] = []
    try:
        end = time.monotonic() + timeout
        next_send = 0.0
        while time.monotonic() < end:
            if time.monotonic() >= next_send:
                sock.send(frame)
                next_send = time.monotonic() + resend
            wait = min(end, next_send) - time.monotonic()
            if not select.select([sock], [], [], max(wait, 0))[0]:
                continue
            offer = parse_offer(_payload_of(sock.recv(65535)), transaction)
            if offer is None:
                continue
            if offer not in offers:
                offers.append(offer)
            if wanted is None or wanted(offer):
                break
    except OSError as exc:
        raise ProbeUnavailable("interface %s: %s" % (interface, exc.strerror or exc)) from exc
    finally:
        sock.close()
    return offers
