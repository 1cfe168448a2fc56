# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe's packets: what is sent, and what is read from an answer."""

from __future__ import annotations

import io
import socket
import struct
import time
from collections.abc import Callable

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import inspection, packets, probe

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


class Wire:
    """Stands in for an interface: what is sent is answered at once, by every server there is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket, self._network = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sent: list[str] = []
        #: What comes back for a client: payloads made of the transaction.
        self.answers: Callable[[probe.Client, int], list[bytes]] = lambda _client, _transaction: []
        monkeypatch.setattr(probe, "_Interface", lambda _interface: self)

    def send(self, client: probe.Client, transaction: int) -> None:
        self.sent.append(client.mac)
        for payload in self.answers(client, transaction):
            self._network.send(packets.build_frame(payload, bytes(6)))

    def close(self) -> None:
        self.socket.close()
        self._network.close()


def offer_of(server: int, transaction: int, value: bytes = b"") -> bytes:
    options = b"\x35\x01\x02\x36\x04" + bytes((198, 18, 0, server)) + bytes((66, len(value))) + value
    return reply(options, transaction=transaction)


CLIENTS = [probe.Client("020000000001"), probe.Client("020000000002")]


def test_many_clients_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.answers = lambda client, transaction: [offer_of(1, transaction, client.mac.encode()), offer_of(1, 1 ^ 2**31)]
    offers = probe.ask("eth0", CLIENTS, timeout=2)
    assert [[offer.options[66] for offer in item] for item in offers] == [[b"020000000001"], [b"020000000002"]]
    assert wire.sent == ["020000000001", "020000000002"], "who is answered asks no more"


def test_the_offer_that_was_wanted_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter's judgement rests on it: what comes later, from whomever, is not taken for the answer."""
    wire = Wire(monkeypatch)

    def answers(client: probe.Client, transaction: int) -> list[bytes]:
        if client is CLIENTS[1] and len(wire.sent) < 4:
            return []  # is slow, so the other is listened to for longer
        return [offer_of(number, transaction) for number in (9, 1, 8)]

    wire.answers = answers
    monkeypatch.setattr(probe, "RESEND_SECONDS", 0.05)
    offers = probe.ask("eth0", CLIENTS, lambda _index, offer: offer.server == "198.18.0.1", timeout=2)
    assert [[offer.server for offer in item] for item in offers] == [["198.18.0.9", "198.18.0.1"]] * 2


def test_all_servers_are_heard_when_one_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.answers = lambda _client, transaction: [offer_of(number, transaction) for number in (1, 9, 1)]
    (offers,) = probe.ask("eth0", CLIENTS[:1], timeout=2, wait=0.1)
    assert [offer.server for offer in offers] == ["198.18.0.1", "198.18.0.9"], "and a repetition is no other offer"


@pytest.mark.timeout(10)
def test_silence_and_noise_both_end(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    start = time.monotonic()
    assert probe.ask("eth0", CLIENTS, timeout=0.2) == [[], []]
    assert 0.2 <= time.monotonic() - start < 1

    wire = Wire(monkeypatch)
    count = iter(range(10**6))
    wire.answers = lambda _client, transaction: [offer_of(1, transaction, b"%d" % next(count)) for _ in range(20)]
    monkeypatch.setattr(probe, "RESEND_SECONDS", 0.01)
    start = time.monotonic()
    probe.ask("eth0", CLIENTS, lambda _index, _offer: False, timeout=0.2)
    assert time.monotonic() - start < 1.5, "a server that never offers the same twice keeps nobody"


def test_the_server_that_is_meant_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    wire.answers = lambda _client, transaction: [offer_of(9, transaction), offer_of(1, transaction, b"http://a/")]
    asked = inspection.question(["eth0"], ["snom"], url="http://a/", server="198.18.0.1", timeout=2, wait=0)
    report = inspection.probe_phones(asked)
    assert report["clients"][0]["provisioning_url"] == "http://a/"
    assert report["servers"] == ["198.18.0.9", "198.18.0.1"]


def test_who_hears_a_broadcast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 67 of all addresses is dnsmasq's; that of one address is Kea's, which no broadcast reaches."""
    head = "  sl  local_address rem_address   st\n"
    for local, heard in (("00000000:0043", True), ("010012C6:0043", False), ("00000000:0044", False)):
        text = f"{head}  1: {local} 00000000:0000 07\n"
        monkeypatch.setattr("builtins.open", lambda *_arguments, text=text, **_options: io.StringIO(text))
        assert probe._somebody_hears_broadcasts() is heard, local
        monkeypatch.undo()
