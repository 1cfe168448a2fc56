# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told where the configuration is, once, and who never is."""

from __future__ import annotations

import pytest

from autoprovd.pnp import transactions
from autoprovd.pnp.interfaces import Interface, Own
from autoprovd.pnp.transactions import Notifications, Questions, Stage
from tests.pnp_phones import PHONES, mutilated

from .pnp_network import URL, VOICE, Network

STRANGERS = [
    "203.0.113.9", "198.18.6.67", "198.18.5.2", "198.18.5.0", "198.18.5.255", "0.0.0.0", "255.255.255.255"
]  # fmt: skip
MAC, ADDRESS = "00135e874b49", "198.18.5.67"


@pytest.fixture
def network() -> Network:
    made = Network()
    made.add(MAC, ADDRESS)
    return made


def question(name: str = "snom desk", mac: str = MAC, address: str = ADDRESS, call: str = "1") -> bytes:
    return PHONES[name].datagram(mac, address, call=call)


@pytest.mark.parametrize("name", PHONES)
def test_a_phone_is_told_its_address_at_the_source_of_its_packet(network: Network, name: str) -> None:
    accepted, told = network.hear(question(name, address="192.0.2.99"), ADDRESS, 5071)
    assert accepted.message.status == 200
    assert (told.message.method, told.message.body) == ("NOTIFY", URL.encode())
    assert told.message.uri == f"sip:{ADDRESS}:5071"
    assert {sent.to for sent in (accepted, told)} == {(ADDRESS, 5071)}
    assert {sent.own for sent in (accepted, told)} == {"198.18.5.2"}
    assert accepted.message.value("to").rpartition("tag=")[2] == told.message.value("from").rpartition("tag=")[2]


@pytest.mark.parametrize("name", ["snom desk", "yealink T53W"])
def test_a_retransmission_gets_the_same_response_and_no_second_notification(network: Network, name: str) -> None:
    accepted, told = network.hear(question(name), ADDRESS)
    network.acknowledge(told)
    for _again in range(3):
        assert network.hear(question(name), ADDRESS) == [accepted]
        assert network.pass_time(0.5) == []


def test_another_call_and_another_source_are_another_question(network: Network) -> None:
    assert len(network.hear(question(), ADDRESS)) == 2
    assert len(network.hear(question(call="2"), ADDRESS)) == 2
    assert len(network.hear(question(), ADDRESS, 5061)) == 2


def test_a_question_is_new_again_when_its_time_is_over(network: Network) -> None:
    _accepted, told = network.hear(question(), ADDRESS)
    network.acknowledge(told)
    network.pass_time(transactions.KEPT_SECONDS + 0.1, step=1)
    assert len(network.hear(question(), ADDRESS)) == 2


def test_who_does_not_acknowledge_is_told_three_times_and_no_more(network: Network) -> None:
    _accepted, told = network.hear(question(), ADDRESS)
    assert network.pass_time(60) == [told, told]
    assert network.notes[-1][1].outcome == "not acknowledged"


def test_who_acknowledges_is_not_told_again(network: Network) -> None:
    _accepted, told = network.hear(question(), ADDRESS)
    network.acknowledge(told, "100 Trying")
    assert network.pass_time(0.6) == [told], "a provisional response is none"
    network.acknowledge(told)
    assert network.pass_time(60) == []
    assert [(mac, note.outcome, note.proof) for mac, note in network.notes] == [(MAC, "told the address", "neighbour")]


def test_nobody_else_acknowledges_for_a_phone(network: Network) -> None:
    _accepted, told = network.hear(question(), ADDRESS)
    network.acknowledge(told, source=("198.18.5.68", 5060))
    network.acknowledge(told, source=(ADDRESS, 5061))
    assert len(network.pass_time(60)) == 2


def test_who_claims_another_ones_mac_address_gets_nothing_and_why_tells(network: Network) -> None:
    network.table.macs["198.18.5.66"] = "001122334455"
    assert network.hear(question(), "198.18.5.66") == []
    assert network.pass_time(5) == []
    ((mac, note),) = network.notes
    assert (mac, note.outcome, note.source) == (MAC, "refused", "198.18.5.66")
    assert "another MAC address" in note.reason


def test_a_phone_that_is_not_in_the_table_yet_is_called_and_then_answered(network: Network) -> None:
    network.table.arriving[ADDRESS] = network.table.macs.pop(ADDRESS)
    assert network.hear(question(), ADDRESS) == []
    assert network.table.called == [ADDRESS]
    assert network.hear(question(), ADDRESS) == [], "it is known to be asked already"
    assert len(network.pass_time(0.1)) == 2
    assert len(network.hear(question(), ADDRESS)) == 1


def test_a_forged_source_where_nobody_is_gets_nothing(network: Network) -> None:
    assert network.hear(question(), "198.18.5.200") == []
    assert network.pass_time(10) == []
    assert len(network.table.called) == 3
    assert "nobody" in network.notes[0][1].reason


def test_while_the_kernel_does_not_say_nobody_is_answered(network: Network) -> None:
    network.table.silent = True
    assert network.hear(question(), ADDRESS) == []
    assert network.pass_time(10) == []


@pytest.mark.parametrize("source", STRANGERS)
def test_who_is_not_on_the_interfaces_own_network_gets_nothing(network: Network, source: str) -> None:
    network.table.macs[source] = MAC
    assert network.hear(question(), source) == []


def test_port_0_gets_nothing(network: Network) -> None:
    assert network.hear(question(), ADDRESS, 0) == []


def test_each_network_of_an_interface_has_its_own_answering_address() -> None:
    both = VOICE._replace(own=(*VOICE.own, Own("198.18.7.2", 0xC6120702, 0xC6120700, 0xFFFFFF00)))
    assert both.address_beside("198.18.7.9") == "198.18.7.2"
    assert both.address_beside("198.18.5.9") == "198.18.5.2"
    point_to_point = Interface(3, "p2p", True, (Own("198.18.8.0", 0xC6120800, 0xC6120800, 0xFFFFFFFE),))
    assert point_to_point.address_beside("198.18.8.1") == "198.18.8.0"


def test_an_unknown_phone_gets_nothing_and_is_not_recorded(network: Network) -> None:
    network.table.macs["198.18.5.70"] = "805e0c4d796d"
    assert network.hear(question("yealink T53W", "805e0c4d796d"), "198.18.5.70") == []
    assert network.pass_time(5) == []
    assert network.notes == []


def test_a_flood_of_one_source_is_limited_and_hinders_no_other(network: Network) -> None:
    network.add("805e0c4d796d", "198.18.5.70")
    answers = [network.hear(question(call=str(number)), ADDRESS) for number in range(500)]
    assert sum(map(bool, answers)) == 20
    assert len(network.hear(question("yealink T53W", "805e0c4d796d"), "198.18.5.70")) == 2
    network.now += 5
    assert sum(bool(network.hear(question(call=f"later{number}"), ADDRESS)) for number in range(50)) == 10


def test_all_sources_together_are_limited() -> None:
    network = Network(limits=(1000, 1000, 30))
    for number in range(50):
        network.add(f"0013{number:08x}", f"198.18.5.{100 + number}")
    heard = [network.hear(question(mac=f"0013{n:08x}"), f"198.18.5.{100 + n}") for n in range(50)]
    assert sum(map(bool, heard)) == 30


def test_what_is_answered_stays_small_whatever_is_asked(network: Network) -> None:
    """The worst that one datagram makes leave, with all repetitions, and only ever to a phone that is there."""
    for name in PHONES:
        text = question(name, call=name.replace(" ", "-"))
        sent = network.hear(text, ADDRESS) + network.pass_time(60, step=0.25)
        assert len(sent) == 4
        assert sum(each.size for each in sent) < 6 * len(text)


def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_MOST_KEPT", 100)
    monkeypatch.setattr(transactions, "_MOST_PENDING", 100)
    questions, notifications = Questions(b"secret"), Notifications()
    sent: list[str] = []
    for number in range(1000):
        questions.move(str(number), Stage.ANSWERED, 0.0)
        notifications.tell(str(number), (ADDRESS, 5060), lambda: sent.append(""), lambda well: None, 0.0)
    assert questions.stage("999", 0.0) is Stage.ANSWERED
    assert questions.stage("1", 0.0) is Stage.NEW
    assert len(questions._kept) == 100
    assert len(notifications._pending) == len(notifications._due) == 100
    assert len(sent) == 1000


def test_a_flood_is_one_line_of_the_log_a_minute(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "autoprovd")
    for number in range(1000):
        network.hear(b"nonsense", f"198.18.5.{number % 200 + 10}")
    network.now += 61
    network.ledger.tick()
    network.ledger.tick()
    assert [record.getMessage() for record in caplog.records] == ["SIP PnP not answered"]


def test_a_phone_that_asks_again_and_again_is_noted_once_a_minute(network: Network) -> None:
    for number in range(10):
        network.acknowledge(network.hear(question(call=str(number)), ADDRESS)[1])
    assert len(network.notes) == 1
    network.pass_time(61, step=1)
    network.acknowledge(network.hear(question(call="later"), ADDRESS)[1])
    assert len(network.notes) == 2


def test_the_responder_survives_mutilated_questions() -> None:
    """Through sockets, and 100,000 of them: tests/integration/service/test_pnp.py."""
    network = Network(limits=(1e9, 1e9, 1e9))
    network.add(MAC, ADDRESS)
    for number, text in enumerate(mutilated(5_000, MAC, ADDRESS)):
        if number % 10 == 0:
            network.responder.hear_reply(text, (ADDRESS, 5060))
        else:
            network.hear(text, ADDRESS)
        if number % 500 == 0:
            network.pass_time(1, step=0.5)
            network.sent.clear()
    assert len(network.hear(question(call="at last"), ADDRESS)) == 2
