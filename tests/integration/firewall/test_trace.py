# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chain, rule or policy drops a packet: asked of the kernel, with packets that come from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from . import rulesets
from .nftables_site import FIREWALL

if TYPE_CHECKING:
    from .nftables_site import NftablesSite

pytestmark = pytest.mark.root

#: Traces on the host what a machine outside sends. Told: the packet, a command that sends it, seconds to wait.
TRACE = """
import json, subprocess, sys
from FIREWALL import errors, trace
packet, command, seconds = json.loads(sys.argv[1])
try:
    found = trace.explain(lambda: subprocess.run(command, capture_output=True), trace.Packet(**packet), seconds)
    print(json.dumps(dict(vars(found), text=str(found))))
except errors.FirewallError as exc:
    print(json.dumps({"fault": str(exc)}))
""".replace("FIREWALL", FIREWALL)

SEND = """
import socket, sys
protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as made:
    made.settimeout(0.1)
    try:
        made.connect((address, port))
        made.send(b"?")
    except OSError:
        pass
"""


def trace(site: NftablesSite, port: str, seconds: float = 3.0, **more: Any) -> dict[str, Any]:
    """What becomes of a packet from the phones' network to `5060/udp` (by IPv6: `5060/udp/6`)."""
    number, protocol, *version = port.split("/")
    address = "2001:db8:1::1" if version else "198.18.1.1"
    packet = {"protocol": protocol, "port": int(number), "source": address[:-1] + "2", "interface": "phones0", **more}
    assert site.phone is not None
    send = ["nsenter", f"--target={site.phone.pid}", "--net", sys.executable, "-c", SEND, protocol, address, number]
    return dict(json.loads(site.python(TRACE, json.dumps([packet, send, seconds]))))


def dropped(table: str, chain: str, rule: str | None) -> dict[str, Any]:
    return {"accepted": False, "table": table, "chain": chain, "rule": rule, "policy": None if rule else "drop"}


def answer(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("accepted", "table", "chain", "rule", "policy")}


def test_a_policy_a_rule_and_none(nft_site: NftablesSite) -> None:
    found = trace(nft_site, "5060/udp")
    assert found["accepted"] is True
    assert found["text"] == "no chain on the input hook drops it"
    nft_site.load(rulesets.POLICY_DROPS)
    before = nft_site.rules()
    found = trace(nft_site, "5060/udp")
    assert answer(found) == dropped("inet filter", "input", None)
    assert found["text"] == "the policy of chain input of table inet filter drops it"
    assert answer(trace(nft_site, "50080/tcp/6")) == dropped("inet filter", "input", None)
    assert trace(nft_site, "22/tcp")["accepted"] is True
    assert nft_site.rules() == before, "nothing is left"
    assert nft_site.apply("sip").changed is True
    assert trace(nft_site, "5060/udp")["accepted"] is True


def test_rules_of_all_kinds(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.FINAL_REJECT)
    rule = "reject with icmpx admin-prohibited"
    assert answer(trace(nft_site, "5060/udp")) == dropped("inet filter", "input", f"counter {rule}")
    nft_site.load(rulesets.ONE_TABLE_FOR_EACH_VERSION)
    assert answer(trace(nft_site, "5060/udp/6")) == dropped("ip6 guard", "last", "drop")
    nft_site.nft("flush", "ruleset")
    nft_site.load_iptables()
    found = answer(trace(nft_site, "5060/udp"))
    assert (found["table"], found["chain"], found["policy"]) == ("ip filter", "INPUT", None)
    assert "reject" in found["rule"]
    assert answer(trace(nft_site, "5060/udp/6")) == dropped("ip6 filter", "INPUT", None)


def test_our_own_table_is_named(nft_site: NftablesSite) -> None:
    nft_site.apply("sip", networks=["198.18.7.0/24"], ports=[{"name": "web", "port": ["8080"]}])
    found = trace(nft_site, "5060/udp")
    assert answer(found)["table"] == "inet autoprov"
    assert 'comment "autoprov closes this to everybody else"' in found["text"]


def test_what_does_not_arrive(nft_site: NftablesSite) -> None:
    found = trace(nft_site, "5060/udp", 0.3, source="198.18.1.99")
    assert found["accepted"] is None
    assert "did not arrive" in found["text"]
    found = trace(nft_site, "5060/udp", 0.3, interface="others0")
    assert "did not arrive" in found["text"]
    assert "tcpp" in trace(nft_site, "5060/tcpp")["fault"]
    assert "cannot be the name of an interface" in trace(nft_site, "5060/udp", interface='x" accept')["fault"]


def test_nothing_is_left_when_it_is_killed(nft_site: NftablesSite) -> None:
    assert nft_site.host is not None
    script = TRACE.replace("lambda: subprocess.run(command, capture_output=True)", "lambda: sys.stdin.read()")
    packet = [{"protocol": "udp", "port": 5060}, [], 1]
    enter = ["nsenter", f"--target={nft_site.host.pid}", "--mount", "--net", sys.executable, "-c", script]
    process = subprocess.Popen(
        [*enter, json.dumps(packet)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=nft_site.environment()
    )
    _wait_for(lambda: "nftrace set 1" in nft_site.rules())
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert process.stdin is not None
    process.stdin.close()
    _wait_for(lambda: nft_site.rules() == "")


def _wait_for(done: Any) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
