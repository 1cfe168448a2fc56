# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""DHCP packets: a DISCOVER as bytes, and an offer out of bytes that a stranger may have sent."""

from __future__ import annotations

import socket
import struct
import typing as t
from dataclasses import dataclass, field

ETH_P_IP = 0x0800
BROADCAST_MAC = b"\xff" * 6
MAGIC_COOKIE = b"\x63\x82\x53\x63"
BOOTREQUEST, BOOTREPLY = 1, 2
DHCPDISCOVER, DHCPOFFER = 1, 2
CLIENT_PORT, SERVER_PORT = 68, 67
OPTION_PAD, OPTION_END = 0, 255
OPTION_OVERLOAD, OPTION_MESSAGE_TYPE, OPTION_SERVER_ID, OPTION_REQUEST_LIST, OPTION_VENDOR_CLASS = 52, 53, 54, 55, 60
#: What nearly every client asks for, without the options a phone would ask for.
PLAIN_REQUEST_LIST = (1, 3, 6, 15, 42)


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
    #: From the first DISCOVER to this offer. A repeated offer is no other offer.
    seconds: float = field(default=0.0, compare=False)


def build_discover(client: Client, transaction: int, relay: t.Optional[str] = None) -> bytes:
    """The BOOTP payload of a DHCPDISCOVER, as it leaves the client, or the relay agent of that address.

    The broadcast flag is set because the probe has no address.
    """
    mac = bytes.fromhex(client.mac.replace(":", "").replace("-", "").replace(".", ""))
    options = [bytes((OPTION_MESSAGE_TYPE, 1, DHCPDISCOVER))]
    if client.vendor_class:
        value = client.vendor_class.encode("utf-8")[:255]
        options.append(bytes((OPTION_VENDOR_CLASS, len(value))) + value)
    if client.request_list is not None:
        options.append(bytes((OPTION_REQUEST_LIST, len(client.request_list))) + bytes(client.request_list))
    hops = 0 if relay is None else 1
    head = struct.pack("!BBBBIHH", BOOTREQUEST, 1, 6, hops, transaction, 0, 0x8000) + bytes(12)
    head += socket.inet_aton(relay or "0.0.0.0")  # noqa: S104 - not an address to listen on
    payload = head + mac.ljust(16, b"\0") + bytes(64 + 128) + MAGIC_COOKIE + b"".join(options) + bytes((OPTION_END,))
    return payload.ljust(300, b"\0")  # RFC 1542: never shorter than a BOOTP packet


def parse_options(data: bytes, into: t.Dict[int, bytes]) -> None:
    """Read options up to the end mark, or up to where they stop making sense."""
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
    """The offer in a BOOTP payload, or None when it is something else or for somebody else. Never raises."""
    if transaction_of(payload) != transaction or len(payload) < 240 or payload[236:240] != MAGIC_COOKIE:
        return None
    options: t.Dict[int, bytes] = {}
    parse_options(payload[240:], options)
    sname, file = payload[44:108], payload[108:236]
    overload = int.from_bytes(options.get(OPTION_OVERLOAD, b"")[:1], "big")
    if overload & 1:
        parse_options(file, options)
        file = b""
    if overload & 2:
        parse_options(sname, options)
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


def transaction_of(payload: bytes) -> t.Optional[int]:
    """Whose answer this is; None when it is no answer."""
    if len(payload) < 8 or payload[0] != BOOTREPLY:
        return None
    return int.from_bytes(payload[4:8], "big")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
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
    udp = struct.pack("!HHHH", CLIENT_PORT, SERVER_PORT, udp_length, 0) + payload
    udp_sum = checksum(addresses + struct.pack("!BBH", 0, 17, udp_length) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", udp_sum) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0x10, 20 + udp_length, 0, 0, 64, 17, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return BROADCAST_MAC + source_mac + struct.pack("!H", ETH_P_IP) + header + udp


def payload_of(frame: bytes) -> bytes:
    """What is inside Ethernet, IPv4 and UDP."""
    if len(frame) < 42:
        return b""
    return frame[14 + (frame[14] & 0x0F) * 4 + 8 :]
