# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as people read them, and that no packet of a stranger makes anything fall over."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import inspection, packets
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.decoding import code_of, decode, known_name
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.phones import phones, taken

TRANSACTION = 0x01020304


@pytest.mark.parametrize(
    ("code", "data", "value"),
    [
        (1, "ffffff00", "255.255.255.0"),
        (3, "c6120001c6120002", "198.18.0.1, 198.18.0.2"),
        (3, "c61200", "0xc61200"),
        (2, "fffff1f0", "-3600"),
        (15, "6578616d706c652e636f6d", "example.com"),
        (33, "0a000000c6120001", "10.0.0.0 via 198.18.0.1"),
        (51, "00015180", "86400 s"),
        (53, "02", "OFFER"),
        (66, "687474703a2f2f612f00", "http://a/"),
        (66, "ff", "0xff"),
        (43, "0104687474700202abcd", "1: http, 2: 0xabcd"),
        (43, "010468747470ff0000", "1: http"),
        (43, "687474703a2f2f612f", "http://a/"),
        (82, "0104000a0101", "1: 0x000a0101"),
        (119, "076578616d706c6503636f6d00037777" + "77c000", "example.com, www.example.com"),
        (121, "180a0102c612000100c6120002", "10.1.2.0/24 via 198.18.0.1, 0.0.0.0/0 via 198.18.0.2"),
        (121, "21", "!"),
        (120, "01c6120001", "198.18.0.1"),
        (120, "00037362630161" + "00", "sbc.a"),
        (125, "000036d306010a68747470", "14035: {0x010a68747470}"),
        (125, "0000000904" + "01026162", "9: {1: ab}"),
        (132, "3230", "20"),
        (132, "0014", "0x0014"),
        (150, "c6120001", "198.18.0.1"),
        (224, "414243", "ABC"),
    ],
)
def test_values_for_people(code: int, data: str, value: str) -> None:
    assert decode(code, bytes.fromhex(data)) == value


def test_names_and_codes() -> None:
    assert (code_of("66"), code_of("tftp-server-name"), code_of("routers"), code_of("ntp-server")) == (66, 66, 3, 42)
    assert (known_name(66), known_name(224)) == ("tftp-server-name", "224")
    for wrong in ("0", "255", "nonsense", "", "-1", "²"):
        with pytest.raises(ValueError, match="give a code"):
            code_of(wrong)


def test_pointers_in_circles_end() -> None:
    assert decode(119, b"\xc0\x00") == "0xc000"


codes = st.one_of(st.sampled_from([33, 43, 52, 53, 54, 66, 67, 82, 119, 120, 121, 125]), st.integers(0, 255))
options = st.lists(st.tuples(codes, st.one_of(st.just(b""), st.binary(max_size=60))), max_size=12).map(
    lambda items: b"".join(bytes((code, len(data))) + data for code, data in items)
)
answers = st.builds(
    lambda head, sname, file, tail: (
        struct.pack("!BBBBI", 2, 1, 6, 0, TRANSACTION)
        + head
        + sname.ljust(64, b"\0")[:64]
        + file.ljust(128, b"\0")[:128]
        + packets.MAGIC_COOKIE
        + b"\x35\x01\x02"
        + tail
    ),
    st.binary(min_size=36, max_size=36),
    st.one_of(st.binary(max_size=64), options),
    st.one_of(st.binary(max_size=128), options),
    st.one_of(st.binary(max_size=300), options, st.builds(lambda rest: b"\x34\x01\x03" + rest, options)),
)


@settings(max_examples=400)
@given(st.one_of(answers, answers, st.binary(max_size=600)))
def test_no_packet_makes_anything_fall_over(payload: bytes) -> None:
    packets.payload_of(payload)
    offer = packets.parse_offer(payload, TRANSACTION)
    if offer is None:
        return
    for phone in [*phones(["snom", "yealink", "gigaset"]), *phones([])]:
        found = taken(phone.vendor, offer)
        assert bool(found.url) == bool(found.source)
        result = inspection._offer_result(phone, offer)
        json.dumps(result)
        assert str(result).isprintable(), "nothing that a terminal would obey"


@given(st.integers(0, 255), st.binary(max_size=255))
def test_every_value_can_be_shown(code: int, data: bytes) -> None:
    assert decode(code, data).isprintable()


def test_offers_that_the_fuzzer_makes_are_offers() -> None:
    """The test above would be worth nothing if the parser threw its packets away."""
    payload = struct.pack("!BBBBI", 2, 1, 6, 0, TRANSACTION) + bytes(36 + 64 + 128) + packets.MAGIC_COOKIE
    offer = packets.parse_offer(payload + b"\x35\x01\x02\x34\x00\x42\x05abc", TRANSACTION)
    assert offer is not None, "an option 52 without a value is no reason to stop"
    assert offer.options[66] == b"abc", "what is cut off is taken as far as it goes"
