# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe's packets: what is sent, and what is read from an answer."""

from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import packets, probe

TRANSACTION = 0x12345678


def reply(
    options: bytes, sname: bytes = b"", file: bytes = b"", transaction: int = TRANSACTION, kind: int = 2
) -> bytes:
    head = struct.pack("!BBBBIHH", kind, 1, 6, 0, transaction, 0, 0x8000) + bytes(4)
    head += socket.inet_aton("198.18.0.50") + socket.inet_aton("198.18.0.9") + bytes(4) + bytes(16)
    return head + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + b"\x63\x82\x53\x63" + options


OFFER = b"\x35\x01\x02\x36\x04\xc6\x12\x00\x01"


def test_an_offer_is_decoded() -> None:
    offer = packets.parse_offer(reply(b"\0" + OFFER + b"\x42\x03abc\xff\x42\x01x", b"name\0junk", b"boot"), TRANSACTION)
    assert offer is not None
    assert (offer.server, offer.address, offer.next_server) == ("198.18.0.1", "198.18.0.50", "198.18.0.9")
    assert (offer.sname, offer.file, offer.options[66]) == (b"name", b"boot", b"abc")


def test_a_long_option_is_put_together() -> None:
    long = b"\x42\xff" + b"a" * 255 + b"\x42\x02bc"
    offer = packets.parse_offer(reply(OFFER + long + b"\xff"), TRANSACTION)
    assert offer is not None
    assert offer.options[66] == b"a" * 255 + b"bc"


def test_options_may_go_on_in_file_and_sname() -> None:
    packet = reply(OFFER + b"\x34\x01\x03\xff", sname=b"\x43\x01b\xff", file=b"\x42\x01a\xff")
    offer = packets.parse_offer(packet, TRANSACTION)
    assert offer is not None
    assert (offer.options[66], offer.options[67], offer.sname, offer.file) == (b"a", b"b", b"", b"")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        reply(OFFER, transaction=1),
        reply(OFFER, kind=1),
        reply(b"\x35\x01\x05\xff"),  # an acknowledgement
        reply(OFFER)[:200],
        reply(b"\x35"),
    ],
)
def test_everything_else_is_ignored(packet: bytes) -> None:
    assert packets.parse_offer(packet, TRANSACTION) is None


def test_what_is_sent() -> None:
    client = probe.Client("00:04:13:92:2D:24", "snomD785", (1, 66))
    payload = packets.build_discover(client, TRANSACTION)
    assert len(payload) >= 300
    assert payload[28:34] == bytes.fromhex("000413922d24")
    assert payload[10] == 0x80, "without an address, the answer must be broadcast"
    assert payload[240:].startswith(b"\x35\x01\x01" + b"\x3c\x08snomD785" + b"\x37\x02\x01\x42" + b"\xff")
    frame = packets.build_frame(payload, b"\x02\0\0\0\0\x01")
    assert frame[:14] == b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\x00"
    assert packets.checksum(frame[14:34]) == 0
    pseudo = frame[26:34] + struct.pack("!BBH", 0, 17, len(frame) - 34)
    assert packets.checksum(pseudo + frame[34:]) == 0
    assert packets.payload_of(frame) == payload


def test_no_request_list_at_all() -> None:
    payload = packets.build_discover(probe.Client("000413922d24", None, None), TRANSACTION)
    assert payload[240:].startswith(b"\x35\x01\x01\xff")
