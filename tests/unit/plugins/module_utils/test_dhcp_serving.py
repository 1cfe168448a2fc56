# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host that serves DHCP itself is asked to serve: every fault at once, and the configuration that follows."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import serving
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import serving as kea_serving
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import text as kea_text
from ansible_collections.autoprov.appliance.plugins.plugin_utils._reservations import dhcp_reservations

NET: dict[str, Any] = {"subnet": "198.18.0.0/24", "pools": ["198.18.0.50 - 198.18.0.99"], "gateway": "198.18.0.1"}
MAC = "00:04:13:00:00:01"


def params(**changed: Any) -> dict[str, Any]:
    return {"interfaces": ["eth1"], "subnets": [NET], "lease_seconds": 3600, **changed}


def subnet(**changed: Any) -> dict[str, Any]:
    return {"subnets": [{**NET, **changed}]}


def reserved(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"reservations": [{"mac": mac, "address": address} for mac, address in pairs]}


def faults(**changed: Any) -> list[str]:
    with pytest.raises(DhcpError) as caught:
        serving.parse(params(**changed))
    return caught.value.faults


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"interfaces": []}, "at least one is needed"),
        ({"subnets": []}, "at least one is needed"),
        ({"lease_seconds": 5}, "is not between"),
        (subnet(subnet="198.18.0.0"), "up to /30"),
        (subnet(subnet="voice"), "is not a network in CIDR notation"),
        (subnet(subnet="198.18.0.7/24"), "the network is 198.18.0.0/24"),
        (subnet(subnet="0.0.0.0/8"), "no clients can be"),
        (subnet(subnet="127.0.0.0/8"), "no clients can be"),
        (subnet(subnet="224.0.0.0/24"), "no clients can be"),
        (subnet(subnet="255.255.255.252/30"), "no clients can be"),
        ({"subnets": [NET, {"subnet": "198.18.0.128/25"}]}, "overlaps subnets[0]"),
        ({"subnets": [{"subnet": "198.18.0.128/25"}, {"subnet": "198.19.0.0/24"}, NET]}, "overlaps subnets[2]"),
        ({"subnets": [NET, NET]}, "overlaps"),
        (subnet(gateway="198.18.1.1"), "the gateway 198.18.1.1 is outside"),
        (subnet(gateway="router"), "router is not an IPv4 address"),
        (subnet(dns_servers=["198.18.0.1", "dns"]), "dns_servers: dns is not"),
        (subnet(pools=["198.18.0.50 to 99"]), "is not of the form"),
        (subnet(pools=["198.18.0.9 - 198.18.0.1"]), "ends before it begins"),
        (subnet(pools=["198.18.0.50 - 198.18.1.9"]), "is not inside the network"),
        (subnet(pools=["198.18.0.50 - 198.18.0.60", "198.18.0.60 - 198.18.0.70"]), "overlap"),
        (subnet(reservations=[{"mac": MAC}]), "neither address nor hostname"),
        (subnet(reservations=[{"mac": "phone", "address": "198.18.0.9"}]), "is not a MAC address"),
        (subnet(reservations=[{"mac": MAC, "address": "198.18.1.9"}]), "is not inside the network"),
        (reserved((MAC, "198.18.1.9")), "is in none of the subnets (198.18.0.0/24)"),
        (reserved((MAC, "198.18.0.0")), "is no host's address"),
        (reserved((MAC, "198.18.0.255")), "is no host's address"),
        (reserved((MAC, "198.18.0.1")), "is the gateway"),
        (reserved((MAC, "here")), "here is not an IPv4 address"),
        (reserved((MAC, "198.18.0.9"), ("00:04:13:00:00:02", "198.18.0.9")), "is already reserved, by reservations[0]"),
        (reserved((MAC, "198.18.0.9"), ("000413000001", "198.18.0.10")), "has another reservation"),
        ({**subnet(reservations=[{"mac": MAC, "address": "198.18.0.9"}]), **reserved((MAC, "198.18.0.8"))}, "another"),
    ],
)
def test_every_fault_has_its_words(changed: dict[str, Any], fault: str) -> None:
    found = faults(**changed)
    assert len(found) == 1, found
    assert fault in found[0]


def test_all_faults_come_at_once() -> None:
    wrong = {"subnets": [{**NET, "gateway": "x", "pools": ["y"]}, {"subnet": "z"}], **reserved((MAC, "192.0.2.1"))}
    assert len(faults(interfaces=[], **wrong)) == 5


def test_a_reservation_is_not_written_twice() -> None:
    both = {
        **subnet(reservations=[{"mac": MAC, "address": "198.18.0.9"}]),
        **reserved(("00-04-13-00-00-01", "198.18.0.9")),
    }
    (only,) = serving.parse(params(**both)).subnets
    assert [(item.mac, str(item.address)) for item in only.reservations] == [("000413000001", "198.18.0.9")]


def configuration(**changed: Any) -> dict[str, Any]:
    """The configuration as Kea would read it."""
    text = kea_serving.render(serving.parse(params(**changed)))
    value = kea_text.Reader(lambda _path: text, lambda _path: False).read("/x").value()
    assert isinstance(value, dict)
    return dict(value["Dhcp4"])


def test_the_configuration_says_what_was_asked() -> None:
    networks = [
        {**NET, "dns_servers": ["198.18.0.2", "198.18.0.3"], "domain": "voice.example"},
        {"subnet": "198.18.1.0/24", "shared_network": 'a "wire"'},
        {"subnet": "198.18.2.0/24", "shared_network": 'a "wire"', "pools": ["198.18.2.64/26"]},
    ]
    made = configuration(subnets=networks, **reserved((MAC, "198.18.2.9")))
    (alone,) = made["subnet4"]
    assert {item["name"]: item["data"] for item in alone["option-data"]} == {
        "routers": "198.18.0.1",
        "domain-name-servers": "198.18.0.2, 198.18.0.3",
        "domain-name": "voice.example",
    }
    (wire,) = made["shared-networks"]
    assert wire["name"] == 'a "wire"'
    assert wire["subnet4"][1]["pools"] == [{"pool": "198.18.2.64 - 198.18.2.127"}]
    assert wire["subnet4"][1]["reservations"] == [{"hw-address": MAC, "ip-address": "198.18.2.9"}]
    assert made["valid-lifetime"] == 3600


def test_a_subnet_keeps_its_number_wherever_it_stands() -> None:
    def ids(*networks: str) -> dict[str, int]:
        made = configuration(subnets=[{"subnet": network} for network in networks])["subnet4"]
        return {item["subnet"]: item["id"] for item in made}

    first = ids("198.18.0.0/24", "10.0.0.0/8", "1.0.0.0/30", "223.255.255.252/30")
    assert ids(*reversed(first)) == first
    assert len(set(first.values())) == len(first)
    assert first["198.18.0.0/24"] == 0xC6120000, "leases on disk carry it: it can never be made otherwise"
    # Kea 2.2 takes any 32 bits but 0; from 2.4 on, the greatest is kept for itself too.
    assert all(0 < number < 2**32 - 1 for number in first.values())


def test_the_revision_changes_with_the_service_and_only_then() -> None:
    def revision(**changed: Any) -> str:
        return str(configuration(**changed)["user-context"]["revision"])

    assert revision() == revision()
    assert revision() != revision(lease_seconds=7200)


def test_a_large_site_is_checked_in_no_time() -> None:
    networks = [{"subnet": f"10.{n // 250}.{n % 250}.0/24"} for n in range(5000)]
    items = [(f"0004{n:08x}", f"10.{n % 20}.{n // 200}.{n % 200 + 1}") for n in range(10_000)]
    started = time.process_time()
    serving.parse(params(subnets=networks, **reserved(*items)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "phones",
    [
        [{"mac": MAC, "address": "198.18.0.9", "web_password": "planted"}, {"mac": "00:04:13:00:00:02"}],
        '[{"mac": "00:04:13:00:00:01", "address": "198.18.0.9", "web_password": "planted"}]',
        f"- mac: '{MAC}'\n  web_password: planted\n  address: 198.18.0.9\n",
    ],
)
def test_the_phone_list_gives_addresses_and_nothing_else(phones: Any) -> None:
    assert dhcp_reservations(phones) == [{"mac": MAC, "address": "198.18.0.9"}]


@pytest.mark.parametrize("phones", ["address: [planted", {"address": "planted"}, ["planted"]])
def test_a_list_that_is_none_is_refused_without_its_words(phones: Any) -> None:
    with pytest.raises(ValueError) as refused:
        dhcp_reservations(phones)
    assert "planted" not in str(refused.value)
