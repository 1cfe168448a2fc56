# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for telephones: SNMP octet by octet, what texts say, which addresses may be asked, and hostile answers."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._scan import engine, known, snmp
from ansible_collections.autoprov.appliance.plugins.module_utils._scan.errors import ScanError
from ansible_collections.autoprov.appliance.plugins.module_utils._scan.identity import identity, maker
from tests.unit.plugins.conftest import Run

DESCRIPTION = "1.3.6.1.2.1.1.1.0"


def test_a_question_is_the_octets_of_the_standard() -> None:
    # As net-snmp's snmpget -v2c -c public sends it, with this number.
    assert snmp.Question("public", [DESCRIPTION]).numbered(0x01020304).hex() == (
        "302902010104067075626c6963a01c020401020304020100020100300e300c06082b060102010101000500"
    )


def answer(number: int, values: dict[str, bytes | None]) -> bytes:
    """A response, made with the encoder of the questions: only the tags differ."""
    bindings = b""
    for oid, value in values.items():
        name = snmp._tlv(snmp._OID, snmp._oid(oid))
        bindings += snmp._tlv(0x30, name + (snmp._tlv(0x04, value) if value is not None else b"\x81\x00"))
    pdu = b"\x02\x04" + number.to_bytes(4, "big") + b"\x02\x01\x00\x02\x01\x00" + snmp._tlv(0x30, bindings)
    return snmp._tlv(0x30, b"\x02\x01\x01\x04\x06public" + snmp._tlv(0xA2, pdu))


def test_a_response_is_read_and_what_the_agent_lacks_is_left_out() -> None:
    told = snmp.response(answer(7, {DESCRIPTION: b"snomD785-SIP 10.1.33.33", "1.3.6.1.2.1.1.5.0": None}))
    assert told == snmp.Response(7, 0, {DESCRIPTION: b"snomD785-SIP 10.1.33.33"})


def test_long_texts_have_long_lengths() -> None:
    assert snmp.response(answer(1, {DESCRIPTION: b"x" * 300})).values[DESCRIPTION] == b"x" * 300


@pytest.mark.parametrize(
    "data",
    [
        b"", b"0", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x85\x00\x00\x00\x00\x01", b"\x30\x02\x02\x00",
        answer(1, {})[:-1], answer(1, {DESCRIPTION: b"x"})[:-2], b"\x30" * 60_000, b"SIP/2.0 200 OK\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(snmp.Malformed):
        snmp.response(data)


def test_mutilated_responses_are_read_or_refused_and_nothing_else() -> None:
    at_random = random.Random(161)
    whole = answer(1, {DESCRIPTION: b"snomD785-SIP 10.1.33.33", "1.3.6.1.2.1.2.2.1.6.1": bytes(6)})
    for _each in range(20_000):
        text = bytearray(whole)
        for _change in range(at_random.randint(1, 6)):
            text[at_random.randrange(len(text))] = at_random.randrange(256)
        with contextlib.suppress(snmp.Malformed):
            snmp.response(bytes(text[: at_random.randrange(len(text) + 1)]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("snomD785-SIP 10.1.33.33", ("snom", "D785", "10.1.33.33", "")),
        ("snom320/8.7.5.35", ("snom", "320", "8.7.5.35", "")),
        ("snomM700/03.23.0005 (MAC=00041344AABB; SER= 00000; HW=255)", ("snom", "M700", "03.23.0005", "00041344aabb")),
        ("Yealink SIP-T54W 96.87.0.15 80:5e:0c:12:34:56", ("yealink", "T54W", "96.87.0.15", "805e0c123456")),
        ("yealink W70B 146.87.0.15", ("yealink", "W70B", "146.87.0.15", "")),
        (
            "Gigaset N670 IP PRO/83.V2.11.0+build.a546b91;7C2F80E0D605",
            ("gigaset", "N670", "83.V2.11.0", "7c2f80e0d605"),
        ),
        ("N510 IP PRO/42.258.00.000.000;7C2F806257D7", ("gigaset", "N510", "42.258.00.000.000", "7c2f806257d7")),
        ("Fanvil X4 2.10.2.6887 0c383e07e16c", ("fanvil", "X4", "2.10.2.6887", "0c383e07e16c")),
        ("Grandstream GXP2170 1.0.11.64", ("grandstream", "GXP2170", "1.0.11.64", "")),
    ],
)
def test_what_a_text_says(text: str, expected: tuple[str, ...]) -> None:
    assert identity(text) == expected


@pytest.mark.parametrize(
    "text", ["", "Linux pbx 6.1.0", "nginx/1.22.1", "HP ETHERNET MULTI-ENVIRONMENT", "Asterisk PBX 20"]
)
def test_what_no_telephone_says(text: str) -> None:
    assert identity(text) is None


def test_makers() -> None:
    assert [maker(mac) for mac in ("000413922d24", "805e0c123456", "7c2f80e0d605", "525400123456", "")] == [
        "snom", "yealink", "gigaset", "", ""
    ]  # fmt: skip


def search(*networks: str, **options: Any) -> engine.Search:
    values = {
        "networks": networks, "exclude": [], "most_addresses": 1024, "by": ["snmp"], "community": "public", "rate": 0.0,
        "patience": 0.3, "lease_files": [],
    }  # fmt: skip
    return engine.Search(**{**values, **options})


def test_only_what_is_named_is_asked() -> None:
    assert engine.addresses_of(search("198.18.0.0/29", exclude=["198.18.0.2", "198.18.0.4/31"])) == [
        "198.18.0.1", "198.18.0.3", "198.18.0.6"
    ]  # fmt: skip
    assert engine.addresses_of(search("198.18.0.5/32", "198.18.0.5/32")) == ["198.18.0.5"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = search("198.18.0.0/16", "198.18.0.1/24", "2001:db8::/64", "224.0.0.0/28", exclude=["x"], community="")
    with pytest.raises(ScanError) as raised:
        engine.addresses_of(wrong)
    told = "\n".join(raised.value.faults)
    assert len(raised.value.faults) == 6
    for words in ("max_addresses", "'198.18.0.1/24' is not", "IPv6", "holds no hosts", "exclude", "snmp_community"):
        assert words in told


@contextlib.contextmanager
def agent(respond: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Something on 127.0.0.1 that answers datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    data, source = own.recvfrom(65535)
                except TimeoutError:
                    continue
                for text in respond(data):
                    own.sendto(text, source)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield own.getsockname()[1]
        finally:
            over.set()
            thread.join()


def number_of(question: bytes) -> int:
    place = question.index(b"\xa0") + 4
    return int.from_bytes(question[place : place + 4], "big")


def test_an_agent_is_found_though_it_answers_the_second_time_only() -> None:
    heard = []

    def respond(data: bytes) -> list[bytes]:
        heard.append(number_of(data))
        values: dict[str, bytes | None] = {DESCRIPTION: b"Yealink SIP-T54W 96.87.0.15"}
        values["1.3.6.1.2.1.2.2.1.6.1"] = bytes(6)
        values["1.3.6.1.2.1.2.2.1.6.2"] = bytes.fromhex("805e0c123456")
        return [answer(heard[-1], values)] if len(heard) > 1 else []

    with agent(respond) as port:
        found = engine.scan(search("127.0.0.1/32", snmp_port=port))
    assert heard[0] == heard[1]
    assert found["definitions"] == [{"mac": "805e0c123456", "vendor": "yealink", "model": "T54W"}]
    assert found["phones"][0]["proof"] == [
        {"by": "snmp ifPhysAddress", "says": "805e0c123456"},
        {"by": "snmp sysDescr", "says": "Yealink SIP-T54W 96.87.0.15"},
        {"by": "oui", "says": "yealink"},
    ]
    assert (found["asked"], found["packets"]) == (1, 2)


def test_answers_to_nobodys_question_and_floods_find_nothing() -> None:
    def respond(data: bytes) -> list[bytes]:
        forged = answer(number_of(data) ^ 1, {DESCRIPTION: b"snomD785-SIP 10.1.33.33"})
        return [forged, data, b"", b"\x30\x84\xff\xff\xff\xff"] * 50

    with agent(respond) as port:
        assert engine.scan(search("127.0.0.1/32", snmp_port=port))["phones"] == []


def test_an_answer_from_a_port_that_was_not_asked_is_nobodys() -> None:
    datagrams = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(*datagrams) as asked, socket.socket(*datagrams) as forger:
        asked.bind(("127.0.0.1", 0))
        asked.settimeout(5)

        def forge() -> None:
            data, source = asked.recvfrom(65535)
            forger.sendto(answer(number_of(data), {DESCRIPTION: b"snomD785-SIP 10.1.33.33"}), source)

        thread = threading.Thread(target=forge)
        thread.start()
        assert engine.scan(search("127.0.0.1/32", snmp_port=asked.getsockname()[1]))["phones"] == []
        thread.join()


def test_a_phone_is_found_by_sip_and_control_characters_are_not_shown() -> None:
    def respond(data: bytes) -> list[bytes]:
        lines = data.decode().split("\r\n")
        assert lines[0] == "OPTIONS sip:127.0.0.1 SIP/2.0"
        call = next(line for line in lines if line.startswith("Call-ID"))
        forged = b"SIP/2.0 200 OK\r\nCall-ID: abc\r\nUser-Agent: snom320/8.7\r\n\r\n"
        return [forged, f"SIP/2.0 200 OK\r\n{call}\r\nUser-Agent: snomD785/10.1.33.33 \x1b[31m\r\n\r\n".encode()]

    with agent(respond) as port:
        (phone,) = engine.scan(search("127.0.0.1/32", by=["sip"], sip_port=port))["phones"]
    assert (phone["vendor"], phone["model"], phone["version"]) == ("snom", "D785", "10.1.33.33")
    assert phone["proof"] == [{"by": "sip", "says": "snomD785/10.1.33.33 ?[31m"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dnsmasq", "1795000000 00:04:13:92:2d:24 198.18.0.20 phone 01:00:04:13:92:2d:24\n"),
        ("Kea", "address,hwaddr,client_id,x\n198.18.0.20,00:04:13:92:2d:24,01:00:04:13:92:2d:24,600,1,1\n"),
        ("dhcpd", "lease 198.18.0.20 {\n  starts 1 2026/01/05 00:00:00;\n  hardware ethernet 00:04:13:92:2D:24;\n}\n"),
    ],
)
def test_leases_are_read(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert known.leases([str(file), str(tmp_path / "absent")]) == {"198.18.0.20": "000413922d24"}
    found = engine.scan(search("198.18.0.0/24", by=["leases"], lease_files=[str(file)]))
    assert [(phone["address"], phone["vendor"], phone["model"]) for phone in found["phones"]] == [
        ("198.18.0.20", "snom", "")
    ]
    assert (found["definitions"], found["packets"]) == ([], 0)


def test_the_module_tells_what_is_wrong_and_never_the_community(run_module: Run) -> None:
    result = run_module("phone_scan", {"networks": ["198.18.0.0/8"], "snmp_community": "our-community", "by": ["snmp"]})
    assert result["failed"]
    assert "198.18.0.0/8" in result["msg"]
    assert "our-community" not in str(result)
