# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option 66 at every level, for clients that ask for it, for other options, or for none: on every server.

Each cell is read twice: from the packet on the other side of the cable, and by dhcp_probe on the server's own
interface. In every cell the client gets option 66 with the URL, byte for byte. By themselves the servers do otherwise:
Kea omits what was not asked for, dnsmasq moves it into the field sname, and dhcpd sends it to those who ask, or who
send no list. What dhcp_options writes makes them send it (always-send, dhcp-option-force, a longer request list).
"""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import engine

from .sites import Site

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/voice/"
#: What a server sends beside the URL itself, and no setting changes it.
BEHIND = {"kea-dhcp4": b"", "dnsmasq": b"\0", "dhcpd": b""}
STRANGER = ("020000000099", "MSFT 5.0")
#: Where 66 is set; MAC and vendor class (option 60) of a client there; whether a stranger gets it too.
LEVELS: dict[str, tuple[dict[str, str], tuple[str, str | None], bool]] = {
    "global": ({}, ("020000000001", None), True),
    "class by option 60": ({"vendor_class": "yealink"}, ("020000000002", "yealink"), False),
    "class by OUI": ({"oui": "80:5e:c0"}, ("805ec0000002", "something else"), False),
    "class of a vendor": ({"vendor": "snom"}, ("020000000003", "snomD785"), False),
    "subnet": ({"subnet": "198.18.0.0/24"}, ("020000000004", None), True),
    "host": ({"mac": "02:00:00:00:00:05"}, ("020000000005", None), False),
}
#: The parameter request list (option 55).
ASKS: dict[str, list[int] | None] = {"asks for 66": [1, 3, 66], "asks for others": [1, 3], "sends no list": None}


#: The site of each server that has an adapter.
SITES = {"kea": "site", "dnsmasq": "dnsmasq_site", "dhcpd": "dhcpd_site"}


@pytest.fixture(params=[name for name in engine.SERVERS if name != "auto"])
def server(request: pytest.FixtureRequest) -> Site:
    """Each server in turn, running with its administrator's configuration."""
    site: Site = request.getfixturevalue(SITES[request.param])
    return site


def shown(site: Site, text: str) -> str:
    """Text as Site.offer shows it, with what the server puts behind."""
    behind = BEHIND[site.program]
    return "0x" + (text.encode() + behind).hex() if behind else text


@pytest.mark.parametrize("level", LEVELS)
def test_option_66_reaches_whoever_is_meant(server: Site, level: str) -> None:
    scope, (mac, vendor_class), everybody = LEVELS[level]
    done = server.module(options=[{**scope, "code": 66, "value": URL}])
    assert (done.code, done.result["changed"]) == (0, True), done
    for name, asked in ASKS.items():
        offered = server.offer(mac, vendor_class, asked)
        assert offered.get(66) == shown(server, URL), (name, offered)

        probed = probe(server, mac, vendor_class, asked, expect=[{"code": 66, "value": URL}])
        (offer,) = probed["offers"]
        assert offer["options"]["66"]["hex"] == (URL.encode() + BEHIND[server.program]).hex(), name
        assert offer["options"]["66"]["value"] == URL, name
        assert (probed["provisioning_url"], probed["provisioning_source"]) == (URL, "option 66"), name

        stranger = server.offer(*STRANGER, asked)
        assert stranger, "a stranger is served as before"
        assert (66 in stranger) == everybody, (name, stranger)


def test_a_level_taken_back_is_gone(server: Site) -> None:
    assert server.module(options=[{"code": 66, "value": URL}]).code == 0
    assert server.module(state="absent").code == 0
    for asked in ASKS.values():
        offered = server.offer("020000000001", None, asked)
        assert offered
        assert 66 not in offered
        probed = probe(server, "020000000001", None, asked)
        assert probed["provisioning_url"] is None, "in no other field either"


def probe(site: Site, mac: str, vendor_class: str | None, asked: list[int] | None, **arguments: Any) -> dict[str, Any]:
    """What dhcp_probe says about one client on the server's own interface."""
    codes = [str(code) for code in asked or []]
    if vendor_class:
        arguments["vendor_class"] = vendor_class
    answer = site.module("dhcp_probe", interfaces=["srv0"], mac=mac, request_list=codes, wait=0, **arguments)
    assert (answer.code, answer.result.get("changed")) == (0, False), answer
    (client,) = answer.result["clients"]
    assert isinstance(client, dict)
    return client
