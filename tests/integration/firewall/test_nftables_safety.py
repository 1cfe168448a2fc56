# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables when something goes wrong: the rules are the old ones, and the error says what to do."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from . import rulesets
from .nftables_site import ALLOWED, NETWORKS, OTHER

if TYPE_CHECKING:
    from .nftables_site import NftablesSite

pytestmark = pytest.mark.root

#: Something happens between the check of a plan and the change.
MEANWHILE = """
import subprocess
checked = nftables.Nftables.check
def check(self, plan):
    checked(self, plan)
    subprocess.run(["sh", "-c", %r], check=True)
nftables.Nftables.check = check
"""


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("nft delete chain inet filter input", "chain input of table inet filter is not there any more"),
        ("nft delete table inet filter", "chain input of table inet filter is not there any more"),
        ("nft flush chain inet filter input", "chain inet filter input was changed meanwhile"),
    ],
)
def test_a_chain_that_changes_meanwhile(nft_site: NftablesSite, command: str, fault: str) -> None:
    nft_site.load(rulesets.FINAL_REJECT)
    assert nft_site.apply("ntp").changed is True
    files = nft_site.files()
    done = nft_site.apply("sip", before=MEANWHILE % command)
    assert fault in done.fault
    assert "everything was taken back" in done.fault
    assert "autoprov:ntp" in nft_site.nft("list", "table", "inet", "autoprov"), "ours is the old one"
    assert "autoprov:sip" not in nft_site.rules()
    assert nft_site.files() == files
    assert nft_site.apply("sip").faults == [], "run again, it finds its way"
    assert nft_site.ask(ALLOWED, "5060/udp") == {"5060/udp": "open"}
    assert nft_site.ask(OTHER, "5060/udp")["5060/udp"] != "open"


BROKEN = """
text = nftables.OwnTable.text
nftables.OwnTable.text = lambda self: text(self).replace("ct state", "ct steak")
"""
UNCHECKED = """
nftables.Nftables.check = lambda self, plan: None
"""
NOT_THERE = """
def verify(self, plan):
    raise errors.FirewallError("it is not there")
nftables.Nftables.verify = verify
"""


@pytest.mark.parametrize(
    ("before", "fault"),
    [
        (BROKEN, "nftables would refuse the change: nft says"),
        (BROKEN + UNCHECKED, "nftables: nft says"),
        (NOT_THERE, "it is not there; everything was taken back"),
        (NOT_THERE.replace('errors.FirewallError("it is not there")', "ValueError(7)"), "ValueError: 7"),
    ],
    ids=["refused by the check", "refused when applied", "not there afterwards", "a fault of ours"],
)
@pytest.mark.parametrize("rules", ["", rulesets.BANNED], ids=["no rules", "rules of others"])
@pytest.mark.parametrize("was", [[], ["ntp", "rtp"]], ids=["nothing open", "something open"])
def test_after_an_error_the_rules_are_as_they_were(
    nft_site: NftablesSite, rules: str, was: list[str], before: str, fault: str
) -> None:
    nft_site.load(rules)
    nft_site.apply(*was)
    text, files = nft_site.rules(), nft_site.files()
    done = nft_site.apply("sip", "rtp", before=before)
    assert fault in done.fault, done.faults
    assert (nft_site.rules(), nft_site.files()) == (text, files)


def test_what_cannot_be_is_said_at_once(nft_site: NftablesSite) -> None:
    done = nft_site.apply("sip", "pnp_multicast", networks=["2001:db8::/64"], interfaces=["eth*"], zones=["voice"])
    assert len(done.faults) == 4, done.faults
    assert "nftables has no zones (voice)" in done.fault
    assert "eth* is a pattern" in done.fault
    assert "224.0.1.75 come from IPv4 networks only" in done.fault
    assert nft_site.rules() == ""
    nft_site.load("table inet firewalld { chain x { \n}\n}")
    assert "firewalld is active" in nft_site.apply("sip", backend="nftables").fault


def test_the_connection_of_ansible_is_not_cut(nft_site: NftablesSite) -> None:
    """Only what is certain is refused, and it is named."""
    ssh = [{"name": "ssh", "port": ["22"], "networks": NETWORKS[ALLOWED]}]
    phones, others = ["198.18.1.2", "198.18.1.1", 22], ["198.18.2.2", "198.18.2.1", 22]

    def told(connection: list[Any], **more: Any) -> str:
        return nft_site.apply(ports=ssh, connection=connection, check_mode=True, **more).fault

    assert "our own table would drop it" in told(others)
    assert "autoprov closes this to everybody else" in told(others)
    assert "our own table would drop it" in told(["2001:db8:2::2", "2001:db8:2::1", 22])
    assert "our own table would drop it" in told(["::ffff:198.18.2.2", "::ffff:198.18.2.1", 22])
    assert told(phones) == ""
    assert told(["2001:db8:1::2", "2001:db8:1::1", 22]) == ""
    assert told(["198.18.2.2", "198.18.2.1", 2222]) == ""
    assert nft_site.rules() == ""

    # His chain drops, and only our rule there lets Ansible in.
    nft_site.load(rulesets.POLICY_DROPS.replace("tcp dport { 22, 80 }", "tcp dport 80"))
    assert nft_site.apply(ports=ssh).changed is True
    fault = nft_site.apply("sip", connection=phones).fault
    assert "chain input of table inet filter would drop it (its policy) without our rule there" in fault
    assert "autoprov:ssh" in fault
    fault = nft_site.apply("sip", ports=[dict(ssh[0], networks=NETWORKS[OTHER])], connection=phones).fault
    assert "its policy" in fault
    nft_site.nft("add", "rule", "inet", "filter", "input", "counter", "reject")
    fault = nft_site.apply("sip", connection=phones).fault
    assert "reject" in fault
    assert nft_site.apply("sip", ports=ssh, connection=phones).faults == []

    # What may let it in may do so: nobody can tell, and the timer decides.
    nft_site.nft("insert", "rule", "inet", "filter", "input", "iifname", "phones0", "tcp", "dport", "22", "accept")
    assert nft_site.apply("sip", connection=phones, check_mode=True).faults == []


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_opened_others_rules_stay(nft_site: NftablesSite, seed: int) -> None:
    """Random openings and withdrawals, and an administrator who changes his rules in between."""
    chance = random.Random(seed)
    rules = chance.choice([*rulesets.CLOSED.values(), "", "iptables"])
    if rules == "iptables":
        nft_site.load_iptables()
    else:
        nft_site.load(rules)
    nft_site.load(rulesets.FAIL2BAN)
    files = nft_site.files()
    for _ in range(5):
        others = nft_site.others()
        told: dict[str, Any] = {"networks": chance.sample(NETWORKS[ALLOWED] + NETWORKS[OTHER], chance.randint(1, 4))}
        if chance.random() < 0.3:
            told["interfaces"] = chance.sample(["phones0", "others0"], chance.randint(1, 2))
        told["ports"] = [
            {
                "name": f"own{number}",
                "protocol": chance.choice(["tcp", "udp"]),
                "port": [
                    f"{first}-{first + chance.randint(0, 50)}" for first in chance.sample(range(100, 60000, 60), 3)
                ],
                "anybody": chance.random() < 0.2,
            }
            for number in range(chance.randint(0, 4))
        ]
        if not any(":" not in network for network in told["networks"]):
            told["networks"].append("198.18.1.0/24")
        profiles = chance.sample(["sip", "rtp", "dhcp", "pnp_multicast", "tftp", "admin"], chance.randint(0, 4))
        done = nft_site.apply(*profiles, **told)
        assert done.faults == [], (profiles, told)
        assert nft_site.others() == others, (profiles, told)
        for network, device in ((ALLOWED, "phones0"), (OTHER, "others0")):
            if "sip" in profiles:
                named = NETWORKS[network][0] in told["networks"] and device in told.get("interfaces", [device])
                found = nft_site.ask(network, "5060/udp", "5060/tcp")
                assert {state == "open" for state in found.values()} == {named}, (found, told, nft_site.rules())
        again = nft_site.apply(*profiles, **told)
        assert (again.changed, again.diff) == (False, ""), (profiles, told)
        if chance.random() < 0.5:
            nft_site.load(
                f"table inet his{chance.randint(1, 2)} {{\n chain c {{\n type filter hook input priority 5; policy "
                f"{chance.choice(['drop', 'accept'])};\n tcp dport {chance.randint(1, 60000)} accept\n"
                f" {chance.choice(['reject', 'counter', 'ip saddr 1.2.3.4 drop'])}\n }}\n}}\n"
            )
    others = nft_site.others()
    assert nft_site.apply().faults == []
    assert nft_site.others() == others
    assert "autoprov" not in nft_site.rules()
    assert nft_site.files() == files


#: Rules as administrators write them, of every kind that decides differently about different packets.
RULES = """
ct state established,related accept
ct state vmap { established : accept, related : accept, invalid : drop }
ct state new accept
ct state != new accept
ct direction reply accept
iif "lo" accept
iifname "lo" accept
iifname "phones0" drop
iifname { "phones0", "eth*" } reject
iifname vmap { "lo" : accept, "phones0" : jump sub, "others0" : drop }
iifname != "others0" drop
tcp dport 22 accept
tcp dport { 22, 5060 } accept
tcp dport != { 22, 80 } drop
tcp dport vmap { 22 : accept, 5060 : drop, 5061 : jump sub }
udp dport 5000-6000 drop
udp dport < 6000 drop
udp dport >= 5060 goto sub
meta l4proto { tcp, udp } th dport 5060 drop
meta l4proto tcp reject with tcp reset
meta l4proto udp counter jump sub
ip protocol udp drop
meta nfproto ipv4 jump sub
meta nfproto ipv6 drop
ip saddr 198.18.1.0/24 accept
ip saddr 198.18.1.0/24 return
ip saddr 198.18.0.0/16 jump sub
ip saddr 198.18.1.128/25 drop
ip saddr { 1.1.1.1, 198.18.1.99 } drop
ip saddr @bad drop
ip saddr @good accept
ip saddr != 198.18.0.0/16 drop
ip daddr 224.0.0.0/4 drop
ip daddr 198.18.1.1 udp dport 5060 drop
limit rate 1/minute burst 5 packets reject
limit rate over 1000/second drop
tcp flags & (fin | syn) == (fin | syn) drop
tcp flags & (fin | syn | rst | ack) == syn jump sub
tcp flags syn drop
pkttype { broadcast, multicast } drop
pkttype host reject
fib daddr type != local drop
fib daddr type local jump sub
fib saddr . iif oif missing drop
meta mark 7 accept
meter m { ip saddr limit rate over 1000/second } drop
log prefix "x" counter
return
accept
drop
reject with icmpx admin-prohibited
goto sub
jump sub
""".strip().splitlines()


HIS = """table inet his {
    set bad { type ipv4_addr; flags interval; elements = { 198.18.1.77, 198.18.2.0/24 }; }
    set good { type ipv4_addr; flags interval; elements = { 198.18.1.0/24 }; }
    chain sub {
        SUB
    }
    chain input {
        type filter hook input priority PRIORITY; policy POLICY;
        icmpv6 type >= 133 accept
        ct state established,related accept
        MAIN
    }
}
"""


@pytest.mark.parametrize("seed", range(4))
def test_it_is_open_or_it_says_why_not(nft_site: NftablesSite, seed: int) -> None:
    """Chains of random rules: the phones get in, or a note names the rule that keeps them out to protect."""
    chance = random.Random(seed)
    inner = [rule for rule in RULES if "sub" not in rule]
    for _ in range(6):
        text = HIS.replace("SUB", "\n        ".join(chance.choices(inner, k=chance.randint(0, 4))))
        text = text.replace("MAIN", "\n        ".join(chance.choices(RULES, k=chance.randint(1, 7))))
        text = text.replace("PRIORITY", chance.choice(["-10", "0", "10"]))
        text = text.replace("POLICY", chance.choice(["drop", "accept"]))
        nft_site.load(text)
        closed = [port for port, state in nft_site.ask(OTHER, "5060/udp", "5060/tcp").items() if state != "open"]
        done = nft_site.apply("sip", networks=NETWORKS[ALLOWED][:1])
        print(nft_site.rules(), *done.notes, sep="\n")
        assert done.faults == []
        found = nft_site.ask(ALLOWED, "5060/udp", "5060/tcp")
        assert any("drops sip" in note for note in done.notes) or set(found.values()) == {"open"}
        assert "open" not in [nft_site.ask(OTHER, port)[port] for port in closed]
        assert nft_site.apply("sip", networks=NETWORKS[ALLOWED][:1]).changed is False
        assert nft_site.apply().changed is True
        nft_site.nft("delete", "table", "inet", "his")
        assert nft_site.rules() == ""
