# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be open, in words no firewall knows: the profiles, who may come in, and all faults at once."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import engine
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.errors import FirewallError
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.intent import build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.ports import joined, nobody, overlap
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import PROFILES, WHO, PortRange

PHONES = ["198.18.0.0/24", "2001:db8:18::/64"]


def told(**arguments: Any) -> dict[str, str]:
    """What is to be open, by name, as a person reads it."""
    return {item.name: str(item).partition(" ")[2] for item in build_intent(**arguments)}


def faults(**arguments: Any) -> list[str]:
    with pytest.raises(FirewallError) as caught:
        build_intent(**arguments)
    return caught.value.faults


def test_the_profiles_are_those_a_site_needs() -> None:
    assert {name: [str(item) for item in profile.ports] for name, profile in PROFILES.items()} == {
        "provisioning": ["50080/tcp"],
        "provisioning_tls": ["50081/tcp"],
        "sip": ["5060/udp", "5060/tcp"],
        "sip_tls": ["5061/tcp"],
        "rtp": ["10000-20000/udp"],
        "pnp_multicast": ["5060/udp"],
        "tftp": ["69/udp"],
        "dhcp": ["67/udp"],
        "ntp": ["123/udp"],
        "ldap": ["389/tcp"],
        "ldaps": ["636/tcp"],
        "admin": ["50082/tcp"],
    }
    assert all(profile.purpose and profile.who in WHO for profile in PROFILES.values())


def test_each_profile_is_open_to_whom_it_is_for() -> None:
    found = told(profiles=["sip", "dhcp", "admin"], networks=PHONES, admin_networks=["192.0.2.0/28"])
    assert found == {
        "sip": "(5060/udp, 5060/tcp) from 198.18.0.0/24, 2001:db8:18::/64",
        "dhcp": "(67/udp) from anywhere",
        "admin": "(50082/tcp) from 192.0.2.0/28",
    }


def test_custom_ports_have_the_phones_networks_or_their_own() -> None:
    ports = [
        {"name": "phones_too", "port": ["8443", "30000-30100"]},
        {"name": "own", "port": ["8554"], "protocol": "UDP", "networks": ["198.18.7.9"]},
        {"name": "by_cable", "port": ["69"], "interfaces": ["eth1.20"]},
        {"name": "all", "port": ["80"], "anybody": True},
    ]
    assert told(ports=ports, networks=PHONES[:1], zones=["voice"]) == {
        "phones_too": "(8443/tcp, 30000-30100/tcp) from 198.18.0.0/24 in zone voice",
        "own": "(8554/udp) from 198.18.7.9/32 in zone voice",
        "by_cable": "(69/tcp) from anywhere on eth1.20 in zone voice",
        "all": "(80/tcp) from anywhere in zone voice",
    }


def test_networks_that_hold_each_other_are_one() -> None:
    networks = ["198.18.0.0/24", "198.18.1.0/24", "198.18.1.7", "2001:db8::/64", "2001:db8::/32"]
    assert told(profiles=["ntp"], networks=networks) == {"ntp": "(123/udp) from 198.18.0.0/23, 2001:db8::/32"}


def test_nobody_is_let_in_without_being_named() -> None:
    assert faults(profiles=["sip"]) == [
        "profile sip: say from where with networks or interfaces (0.0.0.0/0 and ::/0 for anywhere)"
    ]
    assert faults(profiles=["admin"], networks=PHONES) == ["profile admin: say from where with admin_networks"]
    assert "or anybody: true" in faults(ports=[{"name": "a", "port": ["80"]}])[0]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"port": ["70000"]}, "port 70000 is outside 1..65535"),
        ({"port": ["0"]}, "port 0 is outside 1..65535"),
        ({"port": ["90-80"]}, "ends before it begins"),
        ({"port": ["1-x"]}, "neither a port nor a range"),
        ({"port": []}, "port is needed"),
        ({"port": ["80-90", "90"]}, "80-90/tcp and 90/tcp overlap; join them"),
        ({"port": ["80", "80"]}, "overlap"),
        ({"protocol": "tcpp"}, "protocol tcpp is not known; it is tcp or udp"),
        ({"name": "SIP"}, "lower-case letters"),
        ({"name": "sip"}, "is the name of a profile; choose another"),
        ({"networks": ["198.18.0.7/24"]}, "has host bits set; did you mean 198.18.0.0/24?"),
        ({"networks": ["reception"]}, "is no network in CIDR notation"),
        ({"interfaces": ["eth0; reboot"]}, "cannot be the name of an interface"),
        ({"interfaces": [".."]}, "cannot be the name of an interface"),
    ],
)
def test_what_is_wrong_with_a_port_is_said(entry: dict[str, Any], text: str) -> None:
    (fault,) = faults(ports=[{"name": "a", "port": ["80"], **entry}], networks=PHONES)
    assert fault.startswith("ports[0]: ")
    assert text in fault


def test_all_faults_at_once() -> None:
    ports = [
        {"name": "a", "port": ["70000"], "protocol": "x"},
        {"name": "b", "port": ["1"]},
        {"name": "b", "port": ["2"]},
    ]
    found = faults(profiles=["sipp"], ports=ports, networks=["x"], admin_networks=["y"])
    assert [item.partition(":")[0] for item in found] == [
        "networks", "admin_networks", "profiles", "ports[0]", "ports[0]", "ports[2]",
    ]  # fmt: skip
    assert "known are admin, dhcp" in found[2]
    assert found[5] == "ports[2]: the name b is used twice"


def test_ports_are_joined_into_few_ranges() -> None:
    ports = [PortRange("udp", 5, 9), PortRange("tcp", 7, 7), PortRange("udp", 10, 12), PortRange("udp", 1, 6)]
    assert list(map(str, joined(ports))) == ["7/tcp", "1-12/udp"]
    assert overlap(ports, PortRange("udp", 12, 20))
    assert not overlap(ports, PortRange("tcp", 5, 6))


def test_a_group_is_reached_from_networks_of_its_own_version() -> None:
    (fault,) = nobody(build_intent(profiles=["pnp_multicast"], networks=PHONES[1:]))
    assert "packets to 224.0.1.75 come from IPv4 networks only" in fault
    assert nobody(build_intent(profiles=["pnp_multicast"], networks=PHONES)) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("198.18.2.2 40000 198.18.2.1 22", ("198.18.2.2", "198.18.2.1", 22)),
        ("fe80::2%eth0 40000 fe80::1%eth0 2222", ("fe80::2%eth0", "fe80::1%eth0", 2222)),
        ("198.18.2.2 40000 22", None),
        ("198.18.2.2 40000 198.18.2.1 ssh", None),
    ],
)
def test_the_connection_ansible_came_over(said: str, expected: tuple[str, str, int] | None) -> None:
    found = engine.ansible_connection({"SSH_CONNECTION": said})
    assert (found and (found.source, found.address, found.port)) == expected
