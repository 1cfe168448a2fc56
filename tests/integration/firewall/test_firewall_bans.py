# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bans of the service beside each firewall: they drop whom the firewall lets in, and neither harms the other."""

from __future__ import annotations

import time

import pytest

from autoprovd import ban_set

from .walled_host import NETWORKS, OTHERS, PHONES, WalledHost

pytestmark = pytest.mark.root

PORT, SIP = ("tcp", 50080), ("tcp", 5060)
BANNED = {"198.18.1.2": 600, "fd00:18:1::/64": 600}
WANTED = {"profiles": ["provisioning", "sip"], "networks": list(NETWORKS[PHONES])}


def opened(host: WalledHost) -> list[tuple[str, str]]:
    """What the phones find at the ports for provisioning and SIP, over each version of IP."""
    with host.listening([PORT, SIP]):
        found = [host.ask(PHONES, [PORT, SIP], version, patience=0.5) for version in (4, 6)]
    return [(answers[PORT], answers[SIP]) for answers in found]


def ban(host: WalledHost, bans: dict[str, int]) -> None:
    host.do("nft", "-f", "-", stdin=ban_set.script(bans, [50080, 50081]))


def test_bans_count_beside_each_firewall(any_host: WalledHost) -> None:
    host = any_host
    before = host.rules()
    done = host.engine(**WANTED)
    assert (done.changed, done.faults) == (True, [])
    assert opened(host) == [("open", "open")] * 2

    ban(host, BANNED)
    assert opened(host) == [("filtered", "open")] * 2, "nothing but the ports of the service"
    again = host.engine(**WANTED)
    assert (again.changed, again.faults) == (False, []), again.shown
    more = host.engine(**WANTED, ports=[{"name": "menus", "port": ["8443"]}])
    assert (more.changed, more.faults) == (True, []), "an opening is not refused for a ban"
    assert opened(host) == [("filtered", "open")] * 2

    assert host.engine().changed is True
    assert ban_set.TABLE in host.rules()
    host.do("nft", "delete", "table", "inet", ban_set.TABLE)
    assert host.rules() == before


def test_ports_are_opened_where_bans_stand_already(any_host: WalledHost) -> None:
    host = any_host
    ban(host, {})
    done = host.engine(**WANTED)
    assert (done.changed, done.faults) == (True, [])
    assert opened(host) == [("open", "open")] * 2
    with host.listening([PORT]):
        assert host.ask(OTHERS, [PORT], patience=0.5)[PORT] != "open"
    ban(host, BANNED)
    assert opened(host) == [("filtered", "open")] * 2
    ban(host, {"198.18.1.2": 2})
    assert opened(host)[1] == ("open", "open")
    time.sleep(2.5)
    assert opened(host) == [("open", "open")] * 2


def test_a_reload_of_the_firewall_keeps_bans(any_host: WalledHost) -> None:
    host = any_host
    host.engine(**WANTED)
    ban(host, BANNED)
    reload = {
        "firewalld": ["firewall-cmd", "--reload"],
        "ufw": ["ufw", "reload"],
        "nftables": ["nft", "flush", "ruleset"],
    }
    host.do(*reload[host.backend])
    if host.backend == "nftables":
        # Its unit flushes everything, whoever wrote it. The service has the bans told anew within five minutes.
        ban(host, BANNED)
        assert opened(host) == [("filtered", "open")] * 2
        return
    assert opened(host) == [("filtered", "open")] * 2
