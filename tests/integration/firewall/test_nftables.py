# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables with real packets: what is opened is open to the phones and closed to others, whoever else has rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import PROFILES

from . import rulesets
from .nftables_site import ALLOWED, NETWORKS, OTHER

if TYPE_CHECKING:
    from .nftables_site import NftablesSite

pytestmark = pytest.mark.root

ALL = sorted(PROFILES)
#: Ports that nobody asked for.
UNASKED = ("8080/tcp", "9999/udp", "8080/tcp/6", "9999/udp/6")


def asked(*profiles: str) -> list[str]:
    """How a machine asks for each port of these profiles, by both versions of IP."""
    found = []
    for name in profiles:
        for item in PROFILES[name].ports:
            for port in dict.fromkeys([item.first, (item.first + item.last) // 2, item.last]):
                if PROFILES[name].group is not None:
                    found.append(f"{port}/{item.protocol}/group")
                elif name != "dhcp":
                    # Administrators are given by an IPv4 network only.
                    found += [f"{port}/{item.protocol}"] + ([] if name == "admin" else [f"{port}/{item.protocol}/6"])
    return found


def states(found: dict[str, str]) -> dict[str, bool]:
    return {port: state == "open" for port, state in found.items()}


def expect(site: NftablesSite, network: str, ports: list[str], is_open: bool) -> None:
    """See that all these ports are open from there, or that none is."""
    if ports:
        found = site.ask(network, *ports)
        assert states(found) == dict.fromkeys(ports, is_open), (network, found, site.rules())


@pytest.mark.parametrize("profile", ALL)
def test_a_profile_where_nobody_else_has_rules(nft_site: NftablesSite, profile: str) -> None:
    done = nft_site.apply(profile)
    assert (done.changed, done.faults, done.backend) == (True, [], "nftables")
    others = [port for port in asked(*ALL) if port not in asked(profile)]
    if profile == "sip":  # the same port, and a group of addresses is among all addresses
        others.remove("5060/udp/group")
    expect(nft_site, ALLOWED, asked(profile), True)
    expect(nft_site, OTHER, asked(profile), False)
    expect(nft_site, OTHER, [*others, *UNASKED], True)
    expect(nft_site, ALLOWED, [*others, *UNASKED], True)
    assert nft_site.discover(ALLOWED)
    assert nft_site.discover(OTHER), "who asks for an address has none yet, so nobody is shut out"
    assert nft_site.apply(profile).changed is False
    assert nft_site.apply().changed is True
    assert nft_site.rules() == ""


@pytest.mark.parametrize("rules", rulesets.CLOSED.values(), ids=rulesets.CLOSED)
def test_where_others_close(nft_site: NftablesSite, rules: str) -> None:
    nft_site.load(rules)
    text, others, files = nft_site.rules(), nft_site.others(), nft_site.files()
    profiles = [name for name in ALL if name != "dhcp"]
    expect(nft_site, ALLOWED, [*asked(*profiles), *UNASKED], False)
    assert not nft_site.discover(ALLOWED)

    checked = nft_site.apply(*ALL, check_mode=True)
    assert (checked.changed, checked.faults) == (True, [])
    assert (nft_site.rules(), nft_site.files()) == (text, files), "check mode changes nothing"
    done = nft_site.apply(*ALL)
    assert (done.changed, done.faults, done.diff) == (True, [], checked.diff)
    expect(nft_site, ALLOWED, asked(*profiles), True)
    expect(nft_site, OTHER, asked(*profiles), False)
    expect(nft_site, ALLOWED, list(UNASKED), False)
    assert nft_site.discover(ALLOWED)
    assert nft_site.others() == others
    again = nft_site.apply(*ALL)
    assert (again.changed, again.diff, again.faults) == (False, "", [])

    # Fewer ports: the others are closed again.
    assert nft_site.apply("provisioning").changed is True
    expect(nft_site, ALLOWED, asked("provisioning"), True)
    expect(nft_site, ALLOWED, [port for port in asked(*profiles) if port not in asked("provisioning")], False)
    assert not nft_site.discover(ALLOWED)

    assert nft_site.apply().changed is True
    assert (nft_site.rules(), nft_site.files()) == (text, files), "everything is as it was"
    assert nft_site.apply().changed is False


def test_next_to_iptables_docker_and_fail2ban(nft_site: NftablesSite) -> None:
    nft_site.load_iptables()
    nft_site.load(rulesets.FAIL2BAN)
    saved = nft_site.run("iptables-nft-save"), nft_site.run("ip6tables-nft-save")
    banned, others = nft_site.nft("list", "table", "inet", "f2b-table"), nft_site.others()
    done = nft_site.apply(*ALL)
    assert (done.changed, done.faults) == (True, [])
    profiles = [name for name in ALL if name != "dhcp"]
    expect(nft_site, ALLOWED, asked(*profiles), True)
    expect(nft_site, OTHER, asked(*profiles), False)
    assert nft_site.discover(ALLOWED)
    assert nft_site.others() == others
    assert nft_site.apply(*ALL).changed is False

    # iptables reads every rule of ours, and writes back what it read.
    listed = nft_site.run("iptables-nft-save")
    assert listed.count("autoprov:") == sum(
        1 for line in listed.splitlines() if line.startswith("-A INPUT") and "198.18.1.0/24" in line
    ) + listed.count("autoprov:dhcp")
    ours = [line for line in listed.splitlines() if "autoprov:" not in line]
    assert _plain(ours) == _plain(saved[0].splitlines())
    nft_site.run("iptables-nft-restore", stdin=listed)
    expect(nft_site, ALLOWED, asked(*profiles), True)
    expect(nft_site, OTHER, asked(*profiles), False)
    assert nft_site.apply(*ALL).changed is False, "a tag that iptables wrote is known as well"
    nft_site.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "99", "-j", "ACCEPT")
    nft_site.run("iptables-nft", "-D", "INPUT", "-p", "tcp", "--dport", "99", "-j", "ACCEPT")

    assert nft_site.apply().changed is True
    assert _plain(nft_site.run("iptables-nft-save").splitlines()) == _plain(saved[0].splitlines())
    assert _plain(nft_site.run("ip6tables-nft-save").splitlines()) == _plain(saved[1].splitlines())
    assert "autoprov" not in nft_site.rules()
    assert nft_site.nft("list", "table", "inet", "f2b-table") == banned


def _plain(lines: list[str]) -> list[str]:
    """Without the time, and without what counts."""
    return [line.partition(" [")[0] for line in lines if not line.startswith("#")]


def test_who_is_banned_stays_banned(nft_site: NftablesSite) -> None:
    for address in ("198.18.1.66", "198.18.1.77"):
        nft_site.add_address(ALLOWED, address)
    nft_site.load_iptables()
    nft_site.load(rulesets.FAIL2BAN)
    nft_site.load(rulesets.BANNED.replace("inet filter", "inet mine"))
    assert nft_site.apply("provisioning", "sip").changed is True
    assert nft_site.ask(ALLOWED, "50080/tcp", "5060/udp") == {"50080/tcp": "open", "5060/udp": "open"}
    assert set(nft_site.ask_from(ALLOWED, "198.18.1.66", "50080/tcp", "5060/udp").values()) <= {"refused", "filtered"}
    # fail2ban bans somebody later: at the top of INPUT, before us, as its actions do.
    nft_site.run("iptables-nft", "-N", "f2b-asterisk")
    nft_site.run("iptables-nft", "-A", "f2b-asterisk", "-s", "198.18.1.77", "-j", "DROP")
    nft_site.run("iptables-nft", "-I", "INPUT", "-p", "udp", "-j", "f2b-asterisk")
    found = nft_site.ask_from(ALLOWED, "198.18.1.77", "50080/tcp", "5060/udp")
    assert found == {"50080/tcp": "open", "5060/udp": "filtered"}
    assert nft_site.apply("provisioning", "sip").changed is False
    # A ban that is added behind ours: the next run goes behind it.
    nft_site.run("iptables-nft", "-D", "INPUT", "-p", "udp", "-j", "f2b-asterisk")
    rules = nft_site.run("iptables-nft", "-S", "INPUT").splitlines()
    last = next(number for number, line in enumerate(rules) if "REJECT" in line)
    nft_site.run("iptables-nft", "-I", "INPUT", str(last), "-p", "udp", "-j", "f2b-asterisk")
    assert nft_site.ask_from(ALLOWED, "198.18.1.77", "5060/udp") == {"5060/udp": "open"}, "the test's own premise"
    assert nft_site.apply("provisioning", "sip").changed is True
    assert nft_site.ask_from(ALLOWED, "198.18.1.77", "5060/udp") == {"5060/udp": "filtered"}
    assert nft_site.ask(ALLOWED, "50080/tcp", "5060/udp") == {"50080/tcp": "open", "5060/udp": "open"}


def test_the_administrators_own_accepts_stay_in_force(nft_site: NftablesSite) -> None:
    """His chain drops, so who else may come in is his decision: a provider's trunk is not cut off."""
    trunk = 'ip saddr 198.18.2.0/24 udp dport 5060 accept comment "our trunk"'
    nft_site.load(rulesets.POLICY_DROPS.replace("tcp dport { 22", trunk + "\n        tcp dport { 22"))
    assert nft_site.apply("sip").changed is True
    assert nft_site.ask(OTHER, "5060/udp", "5060/tcp") == {"5060/udp": "open", "5060/tcp": "filtered"}
    assert nft_site.ask(ALLOWED, "5060/udp", "5060/tcp") == {"5060/udp": "open", "5060/tcp": "open"}


def test_who_opens_to_everybody_is_named(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.POLICY_DROPS.replace("{ 22, 80 }", "{ 22, 50080 }"))
    done = nft_site.apply("provisioning", "sip")
    assert any("opens provisioning to everybody" in note and "50080" in note for note in done.notes), done.notes
    assert nft_site.ask(OTHER, "50080/tcp") == {"50080/tcp": "filtered"}
    assert nft_site.ask(ALLOWED, "50080/tcp") == {"50080/tcp": "open"}
    assert "autoprov:provisioning" not in nft_site.nft("list", "table", "inet", "filter"), "it is not needed there"
    assert "autoprov:sip" in nft_site.nft("list", "table", "inet", "filter")


def test_it_moves_with_the_administrators_chain(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.POLICY_DROPS)
    assert nft_site.apply("sip").changed is True
    nft_site.nft("insert", "rule", "inet", "filter", "input", "ip", "saddr", "1.2.3.4", "drop")
    nft_site.nft("add", "rule", "inet", "filter", "input", "tcp", "dport", "7", "accept")
    assert nft_site.apply("sip").changed is False, "ours are where they count still"
    others = nft_site.others()
    # He puts a reject before ours: they go before that.
    listed = json.loads(nft_site.nft("-j", "list", "chain", "inet", "filter", "input"))["nftables"]
    first = next(item["rule"] for item in listed if str(item.get("rule", {}).get("comment")).startswith("autoprov:"))
    nft_site.nft("insert", "rule", "inet", "filter", "input", "position", str(first["handle"]), "reject")
    assert states(nft_site.ask(ALLOWED, "5060/udp")) == {"5060/udp": False}
    assert nft_site.apply("sip").changed is True
    assert states(nft_site.ask(ALLOWED, "5060/udp", "5060/tcp/6")) == {"5060/udp": True, "5060/tcp/6": True}
    assert len(nft_site.others()) == len(others) + 1
    # He makes his chain anew, without ours.
    nft_site.nft("flush", "chain", "inet", "filter", "input")
    assert nft_site.apply("sip").changed is True
    assert states(nft_site.ask(ALLOWED, "5060/udp")) == {"5060/udp": True}
    # He deletes it.
    nft_site.nft("delete", "table", "inet", "filter")
    assert nft_site.apply("sip").changed is True, "now nobody closes, so we do"
    assert nft_site.ask(OTHER, "5060/udp") == {"5060/udp": "filtered"}
    assert nft_site.apply("sip").changed is False


def test_by_interfaces(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.FINAL_REJECT)
    assert nft_site.apply("sip", networks=[], interfaces=["phones0"]).changed is True
    assert states(nft_site.ask(ALLOWED, "5060/udp", "5060/tcp/6")) == {"5060/udp": True, "5060/tcp/6": True}
    assert states(nft_site.ask(OTHER, "5060/udp", "5060/tcp/6")) == {"5060/udp": False, "5060/tcp/6": False}
    assert nft_site.apply("sip", networks=[], interfaces=["phones0"]).changed is False
    done = nft_site.apply("sip", networks=NETWORKS[OTHER], interfaces=["phones0", "others0"])
    assert done.changed is True
    assert states(nft_site.ask(ALLOWED, "5060/udp")) == {"5060/udp": False}
    assert states(nft_site.ask(OTHER, "5060/udp", "5060/tcp/6")) == {"5060/udp": True, "5060/tcp/6": True}
    assert nft_site.apply("sip", networks=NETWORKS[OTHER], interfaces=["others0", "phones0"]).changed is False


def test_to_everybody(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.POLICY_DROPS)
    assert nft_site.apply("sip", networks=["0.0.0.0/0", "::/0"]).changed is True
    for network in (ALLOWED, OTHER):
        expect(nft_site, network, asked("sip"), True)
    assert nft_site.apply("sip", networks=["0.0.0.0/0", "::/0"]).changed is False


def test_two_hundred_replacements_lose_no_connection(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.FINAL_REJECT)
    assert nft_site.apply("provisioning").changed is True
    phone = nft_site.connecting(ALLOWED, 50080)
    script = (
        "import json, sys\n"
        "from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import engine, intent\n"
        "changed = 0\n"
        "for number in range(200):\n"
        "    more = ['sip', 'rtp'] if number % 2 else ['ntp']\n"
        "    openings = intent.build_intent(profiles=['provisioning', *more], networks=json.loads(sys.argv[1]))\n"
        "    backend = engine.Nftables()\n"
        "    backend.read()\n"
        "    plan = backend.plan(openings)\n"
        "    engine.rollback.do(plan.now)\n"
        "    backend.verify(plan)\n"
        "    changed += bool(plan.now)\n"
        "print(changed)\n"
    )
    assert nft_site.python(script, json.dumps(NETWORKS[ALLOWED])).split() == ["200"]
    count, lost, longest = json.loads(phone.communicate("", timeout=30)[0])
    assert (lost, count > 1000) == (0, True), (count, lost, longest)


def test_a_thousand_ports(nft_site: NftablesSite) -> None:
    nft_site.load(rulesets.FINAL_REJECT)
    ports = [{"name": f"p{number}", "protocol": "tcp", "port": [str(20000 + 2 * number)]} for number in range(1000)]
    assert nft_site.apply(ports=ports).changed is True
    again = [nft_site.apply(ports=ports) for _ in range(3)]
    assert [item.changed for item in again] == [False] * 3
    assert min(item.seconds for item in again) <= 1.0, again
