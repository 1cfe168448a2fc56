# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dhcpd.conf means: values, levels, conditions, and who wins."""

from __future__ import annotations

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.conditions import Facts, Known, judge
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.precedence import answer
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.survey import LEVELS, Survey
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.text import parse
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.packets import Client

SNOM = Facts(mac=Known(bytes.fromhex("000413")), vendor_class=Known(b"snom"))
SUBNET = "198.18.0.0/24"


def survey(text: str) -> Survey:
    return Survey(parse("f", text), {"f": text})


@pytest.mark.parametrize(
    ("statement", "code", "shown", "data"),
    [
        ('option tftp-server-name "http://a/";', 66, "http://a/", b"http://a/"),
        ('OPTION dhcp.TFTP-Server-Name "a";', 66, "a", b"a"),
        ('option opt66 "a";', 66, "a", b"a"),
        ('supersede opt66 "a";', 66, "a", b"a"),
        ("option unknown-160 = 68:74;", 160, "ht", b"ht"),
        ('option unknown-66 "a";', 66, "a", b"a"),
        ("option ntp-servers 1.2.3.4, 5.6.7.8;", 42, "1.2.3.4, 5.6.7.8", bytes([1, 2, 3, 4, 5, 6, 7, 8])),
        ("option ntp-servers ntp.example.com;", 42, "ntp.example.com", None),
        ("option vlan 20;", 132, "0x0014", b"\0\x14"),
        ("option vendor-encapsulated-options 1:2:ff;", 43, "0x0102ff", b"\1\2\xff"),
        ('append tftp-server-name "a";', 66, "a", None),
        ('option tftp-server-name = concat("a", host-decl-name);', 66, 'concat("a", host-decl-name)', None),
    ],
)
def test_values(statement: str, code: int, shown: str, data: bytes | None) -> None:
    definitions = "option opt66 code 66 = text; option vlan code 132 = unsigned integer 16;\n"
    (found,) = survey(definitions + statement).declared
    assert (found.code, found.value.shown, found.value.data) == (code, shown, data)
    assert found.where == "f:2"


@pytest.mark.parametrize(
    "statement",
    [
        "option space V;",
        "option V.url code 1 = text;",
        'option V.url "a";',
        "option domain-search code 119 = text;",
        "x;",
    ],
)
def test_what_sets_no_option(statement: str) -> None:
    assert survey(statement).declared == []


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ('substring(option vendor-class-identifier, 0, 4) = "snom"', True),
        ('substring(option vendor-class-identifier,0,9) = "PXEClient"', False),
        ('option vendor-class-identifier = "snomD785"', None),
        ('option vendor-class-identifier = "sno"', False),
        ("substring (hardware, 1, 3) = 0:4:13", True),
        ("hardware = 1:00:04:13:00:00:01", None),
        ('binary-to-ascii(16,8,":",substring(hardware,1,3)) = "0:4:13"', None),
        ("substring(hardware,1,3) = 00:04:13 and exists host-name", None),
        ("substring(hardware,1,3) = 00:04:14 and exists host-name", False),
        ("substring(hardware,1,3) = 00:04:13 or exists host-name", True),
        ("not (substring(hardware,1,3) = 00:04:13)", False),
        ('option vendor-class-identifier != "MSFT"', True),
        ("exists vendor-class-identifier", True),
        ("known", None),
        ("foo(bar)", None),
        ("", None),
    ],
)
def test_conditions(condition: str, verdict: bool | None) -> None:
    (item,) = parse("f", f"match if {condition};")
    assert judge(item.tokens[2:], SNOM) is verdict


def test_a_client_without_a_vendor_class() -> None:
    (item,) = parse("f", 'match if exists vendor-class-identifier or option vendor-class-identifier = "";')
    assert judge(item.tokens[2:], Facts(vendor_class=Known(absent=True))) is False


LADDER = """
option tftp-server-name "global";
group { option tftp-server-name "group";
  shared-network voice { option tftp-server-name "network";
    subnet 198.18.0.0 netmask 255.255.255.0 { option tftp-server-name "subnet";
      pool { range 198.18.0.9; option tftp-server-name "pool"; } } } }
class "first" { match if substring(hardware, 1, 3) = 00:04:13; option tftp-server-name "first"; }
class "second" { match if exists dhcp-message-type; option tftp-server-name "second"; }
class "list" { match hardware; } subclass "list" 1:00:04:13:00:00:01 { option tftp-server-name "subclass"; }
group { option tftp-server-name "hosts"; host a { hardware ethernet 0:4:13:0:0:7; } }
host b { hardware ethernet 00:04:13:00:00:08; option tftp-server-name "host"; }
"""


def test_levels_and_places() -> None:
    found = {item.value.shown: item for item in survey(LADDER).declared}
    levels = {name: LEVELS[item.rank] for name, item in found.items()}
    assert levels == {
        "global": "global",
        "group": "shared_network",
        "network": "shared_network",
        "subnet": "subnet",
        "pool": "pool",
        "first": "class",
        "second": "class",
        "subclass": "class",
        "hosts": "host",
        "host": "host",
    }
    assert found["hosts"].place.macs == {"000413000007"}
    assert found["pool"].place.subnets == {SUBNET}


@pytest.mark.parametrize(
    ("removed", "mac", "winner", "unless"),
    [
        ((), "000413000008", "host", []),
        ((), "000413000007", "hosts", []),
        ((), "000413000001", "first", []),
        ((), "020000000001", "second", []),
        (('"first"; }', '"second"; }'), "020000000001", "subnet", ["pool"]),
        (('"first"; }', '"second"; }', '"pool"; }'), "000413000001", "subclass", []),
    ],
)
def test_who_wins(removed: tuple[str, ...], mac: str, winner: str, unless: list[str]) -> None:
    text = LADDER
    for item in removed:
        text = text.replace(f"option tftp-server-name {item}", "}")
    found = answer(66, Client(mac), SUBNET, survey(text))
    assert found.winner is not None
    assert (found.winner.value, [item.value for item in found.unless]) == (winner, unless)


def test_conditions_and_defaults_in_an_answer() -> None:
    text = """if exists vendor-class-identifier { option tftp-server-name "if"; }
    elsif known { option tftp-server-name "elsif"; }
    else { option tftp-server-name "else"; }
    subnet 198.18.0.0 netmask 255.255.255.0 { default tftp-server-name = "default"; }
    switch (option host-name) { case "a": option bootfile-name "case"; break; default: option bootfile-name "none"; }
    on commit { option bootfile-name "commit"; }"""
    found = survey(text)
    with_class = answer(66, Client("020000000001", "snom"), SUBNET, found)
    assert with_class.winner is not None
    assert (with_class.winner.value, with_class.unless) == ("if", ())
    without = answer(66, Client("020000000001"), SUBNET, found)
    assert [item.value for item in without.unless] == ["else", "elsif"]
    assert without.winner is not None
    assert without.winner.value == "default"
    other = answer(67, Client("020000000001"), None, found)
    assert other.winner is None
    assert [item.value for item in other.unless] == ["none", "case"]
    assert other.unless[1].condition == 'switch(option host-name) and case "a" :'


def test_what_is_always_sent() -> None:
    text = "option dhcp-parameter-request-list = concat(option dhcp-parameter-request-list, 42:2a);\n"
    found = survey(text + 'option tftp-server-name "a"; option domain-name "b";')
    sent = {item.code: answer(item.code, Client("020000000001"), None, found).winner for item in found.declared}
    assert {code: winner.always_sent for code, winner in sent.items() if winner} == {66: True, 15: False}
