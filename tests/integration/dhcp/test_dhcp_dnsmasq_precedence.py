# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of who wins in dnsmasq is what clients get: random configurations, a real server, real offers."""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import Answer
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.config import (
    CommandLine,
    DnsmasqConfiguration,
)
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.model import DnsmasqModel
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.report import DnsmasqReport
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.packets import Client

if TYPE_CHECKING:
    from .dnsmasq_site import DnsmasqSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
ROUTES = [(f"srv{number}", ipaddress.IPv4Network(f"198.18.{number}.0/24")) for number in (0, 1)]
HEAD = """port=0
bind-dynamic
no-ping
dhcp-range=set:zero,198.18.0.50,198.18.0.99
dhcp-range=%s198.18.1.50,198.18.1.99
dhcp-vendorclass=set:snom,snom
dhcp-match=set:begins,60,73:6e:*:6d
dhcp-match=set:anywhere,60,"om"
dhcp-mac=set:oui,02:00:00:*:*:*
dhcp-host=02:00:00:00:00:07,set:host
tag-if=set:both,tag:snom,tag:oui
tag-if=set:here,tag:zero,tag:!host
"""
TAGS = ["zero", "one", "snom", "begins", "anywhere", "oui", "host", "both", "here", "srv0", "srv1", "known", "nobody"]
CLIENTS: list[tuple[str, str | None]] = [
    *(("020000000001", None), ("020000000007", "snomD785"), ("0a0000000001", "snom")),
    *(("0a0000000001", "xsnomx"), ("020000000001", "om")),
]
CODES = range(224, 249)


def random_lines(source: random.Random) -> list[str]:
    """Options with every value of its own."""
    lines = []
    for code in CODES:
        for number in range(source.randint(1, 5)):
            tags = source.sample(TAGS, source.choice([0, 0, 1, 1, 1, 2]))
            words = [f"tag:{source.choice(['', '', '', '!'])}{tag}" for tag in tags]
            name = source.choice(["dhcp-option", "dhcp-option-force"])
            lines.append(f'{name}={",".join([*words, str(code)])},"v{code}-{number}"')
    source.shuffle(lines)
    return lines


def check(answer: Answer, offered: str | None) -> None:
    """Does the offer agree with what was said? Where only the server can tell, with one of the possibilities."""
    possible = [item.value for item in answer.unless]
    if answer.winner is not None:
        possible.append(answer.winner.value)
    else:
        possible.append("")
    assert (offered or "") in possible, (answer, offered)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_said_is_what_clients_get(each_dnsmasq: DnsmasqSite, seed: int) -> None:
    site, source = each_dnsmasq, random.Random(seed)
    site.connect(1)
    lines = random_lines(source)
    (site.drop_ins / "half").write_text("\n".join(lines[::2]) + "\n")
    site.restarted(HEAD % source.choice(["", "set:one,"]) + "\n".join(lines[1::2]) + "\n")
    command = CommandLine((("conf-dir", str(site.drop_ins)),), str(site.config), True)
    report = DnsmasqReport(DnsmasqModel(DnsmasqConfiguration(command), ROUTES), ())
    certain = 0
    for number in (0, 1):
        for mac, vendor_class in CLIENTS:
            offered = site.offer(mac, vendor_class, list(CODES), f"cli{number}")
            assert offered
            for code in CODES:
                answer = report.answer(code, Client(mac, vendor_class), f"198.18.{number}.0/24")
                check(answer, offered.get(code))
                certain += not answer.unless
    assert certain > 2 * len(CLIENTS) * len(CODES) * 0.6, "most of it is certain, not only possible"


def hidden_by(result: dict[str, Any]) -> dict[str, list[str]]:
    return {item["scope"]: item["by"] for item in result["hidden"]}


def test_what_hides_us_is_named_and_true(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    text = site.config.read_text() + "dhcp-vendorclass=set:desk,D7\ndhcp-option=tag:desk,66,desk.example.com\n"
    text += "dhcp-userclass=set:lab,lab\ndhcp-option-force=tag:lab,66,lab.example.com\n"
    site.restarted(text)
    done = site.module(url=URL, vendors=["snom", "gigaset"])
    assert done.code == 0, done
    desk = f"dhcp-option for tag:desk at {site.config}:11 (desk.example.com)"
    lab = f"dhcp-option-force for tag:lab at {site.config}:13 (lab.example.com)"
    found = hidden_by(done.result)
    # It is read before the configuration, so of client tags theirs come later and win.
    assert set(found["global"]) == {desk, lab}
    assert set(found["vendor class snom"]) == {desk, lab}
    assert "of equals the last line" in done.result["hidden"][0]["advice"]
    assert site.offer("020000000001", "snomD785", [66])[66] == "0x" + (b"desk.example.com\0").hex(), (
        "the warning is true"
    )
    refused = site.module(url=URL + "x/", vendors=["snom"], on_hidden="fail")
    assert refused.code == 1
    assert refused.result["hidden"]


def test_dhcp_info(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    site.restarted(site.config.read_text() + "dhcp-option=66,boot.example.com\n")
    assert site.module(url=URL, vendors=["snom"], on_conflict="keep").code == 0
    (server,) = site.module("dhcp_info", server="dnsmasq", vendors=["snom", "gigaset"]).result["servers"]
    assert (server["server"], server["running"], server["fault"]) == ("dnsmasq", True, None)
    assert (server["config_file"], server["interfaces"]) == (str(site.config), ["srv0"])
    options = {(item["level"], item["code"]): item for item in server["options"]}
    theirs, ours = options["global", 66], options["class", 66]
    assert (theirs["value"], theirs["ours"], theirs["always_sent"]) == ("boot.example.com", False, False)
    assert theirs["where"] == f"{site.config}:10"
    assert (ours["value"], ours["ours"], ours["always_sent"]) == (URL, True, True)
    winners = {
        item["client"]: item["winner"]["value"] for item in server["answers"] if item["code"] == 66 and item["winner"]
    }
    assert sorted(winners.values()) == ["boot.example.com", URL]
