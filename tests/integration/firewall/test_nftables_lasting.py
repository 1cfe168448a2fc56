# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was opened on nftables is open after the host, or nftables.service, started again; or gone without a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import rulesets
from .nftables_site import ALLOWED, OTHER

if TYPE_CHECKING:
    from .nftables_site import NftablesSite

pytestmark = pytest.mark.root

DEBIAN = "#!/usr/sbin/nft -f\n\nflush ruleset\n"
UNIT = "/etc/systemd/system/autoprov-nft.service"
OPEN = {"5060/udp": "open", "50080/tcp": "open", "5060/udp/6": "open"}


def is_right(site: NftablesSite) -> bool:
    """Whether the phones get in, and others do not."""
    others = site.ask(OTHER, *OPEN)
    return site.ask(ALLOWED, *OPEN) == OPEN and "open" not in others.values()


def has_unit(site: NftablesSite) -> bool:
    return UNIT in site.files()


@pytest.mark.parametrize(
    ("rules", "by_hand", "unit"),
    [
        ("", True, False),
        (rulesets.POLICY_DROPS, True, False),
        (rulesets.POLICY_DROPS.rstrip(), True, False),
        (rulesets.FINAL_REJECT, True, True),
        (rulesets.BANNED, False, True),
        (rulesets.SEVERAL_CHAINS, True, False),
    ],
    ids=["Debian's own", "a policy", "no line end", "a final reject", "bans before a final reject", "several chains"],
)
def test_where_the_service_loads_rules(nft_site: NftablesSite, rules: str, by_hand: bool, unit: bool) -> None:
    nft_site.enable_service(DEBIAN + rules)
    text, files = nft_site.rules(), nft_site.files()
    done = nft_site.apply("provisioning", "sip")
    assert (done.changed, done.faults) == (True, [])
    assert has_unit(nft_site) is unit
    assert any("by hand" in note for note in done.notes) is unit
    assert is_right(nft_site)
    ours = nft_site.rules()
    for again in (nft_site.restart_service, nft_site.reboot, nft_site.restart_service):
        again()
        assert is_right(nft_site), nft_site.rules()
        assert sorted(nft_site.rules().splitlines()) == sorted(ours.splitlines())
        assert nft_site.apply("provisioning", "sip").changed is False
    nft_site.nft("-f", "/etc/nftables.conf")
    assert is_right(nft_site) is by_hand
    assert nft_site.apply("provisioning", "sip").changed is not by_hand
    assert is_right(nft_site)

    done = nft_site.apply()
    assert (done.changed, done.faults) == (True, [])
    assert (nft_site.rules(), nft_site.files()) == (text, files), "byte for byte"
    nft_site.reboot()
    assert nft_site.rules() == text


def test_the_service_of_red_hat(nft_site: NftablesSite) -> None:
    path = "/etc/sysconfig/nftables.conf"
    unit = f"[Service]\nType=oneshot\nExecStart=/sbin/nft -f {path}\nExecStop=/sbin/nft flush ruleset\n"
    nft_site.enable_service(DEBIAN)
    nft_site.run("sh", "-c", "cat > /etc/systemd/system/nftables.service", stdin=unit)
    nft_site.run("sh", "-c", f"mkdir -p /etc/sysconfig; cat > {path}; chmod 600 {path}", stdin=rulesets.POLICY_DROPS)
    nft_site.nft("-f", path)
    files = nft_site.files()
    assert nft_site.apply("provisioning", "sip").faults == []
    after = nft_site.files()
    assert after["/etc/nftables.conf"] == files["/etc/nftables.conf"]
    assert after[path] != files[path]
    assert after[path].startswith("100600 "), "its mode stays"
    nft_site.nft("flush", "ruleset")
    nft_site.nft("-f", path)
    assert is_right(nft_site)
    assert nft_site.apply().changed is True
    assert nft_site.files() == files


def test_where_nobody_loads_rules(nft_site: NftablesSite) -> None:
    """Rules of iptables are loaded by something else; ours have a unit of their own."""
    nft_site.load_iptables()
    files = nft_site.files()
    assert nft_site.apply("provisioning", "sip").faults == []
    assert has_unit(nft_site)
    for _ in range(2):
        nft_site.nft("flush", "ruleset")
        nft_site.load_iptables()
        nft_site.start_units()
        assert is_right(nft_site), nft_site.rules()
        assert nft_site.apply("provisioning", "sip").changed is False
    nft_site.nft("flush", "ruleset")
    nft_site.start_units()
    assert "chain INPUT" not in nft_site.rules(), "a chain that is not there is not made"
    assert nft_site.apply().changed is True
    assert nft_site.files() == files


def test_it_never_keeps_the_administrators_rules_from_being_loaded(nft_site: NftablesSite) -> None:
    for rules in (rulesets.POLICY_DROPS, rulesets.FINAL_REJECT, rulesets.SEVERAL_CHAINS):
        nft_site.run("sh", "-c", "rm -rf /etc/systemd/system/*.wants/nftables.service")
        nft_site.enable_service(DEBIAN + rules)
        assert nft_site.apply("provisioning", "sip").faults == []
        written = nft_site.run("cat", "/etc/nftables.conf")
        for old, new in (("inet filter", "inet mine"), ("chain input", "chain incoming"), ("chain a ", "chain c ")):
            nft_site.run("sh", "-c", "cat > /etc/nftables.conf", stdin=written.replace(old, new))
            nft_site.restart_service()
            assert "tcp dport" in nft_site.rules()
        # An administrator who makes rules behind our line.
        nft_site.run("sh", "-c", "cat > /etc/nftables.conf", stdin=written + rules)
        nft_site.restart_service()
        assert nft_site.apply("provisioning", "sip").changed is True, "our line is the last again"
        assert is_right(nft_site)
        # One who takes our file away.
        nft_site.run("rm", "/etc/nftables.d/autoprov.nft")
        nft_site.restart_service()
        assert "tcp dport" in nft_site.rules()
        assert nft_site.apply().faults == []


def test_a_change_that_nobody_confirmed_is_gone_after_a_reboot(nft_site: NftablesSite) -> None:
    nft_site.enable_service(DEBIAN + rulesets.POLICY_DROPS)
    assert nft_site.apply("provisioning").changed is True
    before, files = nft_site.rules(), nft_site.files()
    done = nft_site.apply("provisioning", "sip", confirm_seconds=300)
    assert done.token
    assert nft_site.files() == files, "what lasts is written when it is confirmed"
    assert nft_site.ask(ALLOWED, "5060/udp") == {"5060/udp": "open"}
    nft_site.reboot()
    assert nft_site.rules() == before


def test_a_change_that_nobody_confirms_is_taken_back(nft_site: NftablesSite) -> None:
    nft_site.enable_service(DEBIAN + rulesets.BANNED)
    assert nft_site.apply("provisioning").changed is True
    before, files = nft_site.rules(), nft_site.files()
    done = nft_site.apply("provisioning", "sip", "rtp", confirm_seconds=1)
    assert done.token
    assert nft_site.rules() != before
    script = (
        "import sys\n"
        "from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import rollback\n"
        "print(rollback.wait_until_taken_back(sys.argv[1], 20))\n"
    )
    assert nft_site.python(script, done.token).strip() == "[]"
    assert (nft_site.rules(), nft_site.files()) == (before, files)


def test_a_change_that_cannot_last_is_taken_back(nft_site: NftablesSite) -> None:
    nft_site.enable_service(DEBIAN + rulesets.BANNED)
    assert nft_site.apply("provisioning").changed is True
    before, files = nft_site.rules(), nft_site.files()
    nft_site.run("mount", "--bind", "-o", "ro", "/etc/nftables.d", "/etc/nftables.d")
    nft_site.run("mount", "-o", "remount,ro,bind", "/etc/nftables.d")
    done = nft_site.apply("provisioning", "sip")
    assert "could not be made to last" in done.fault, done.faults
    nft_site.run("umount", "/etc/nftables.d")
    assert (nft_site.rules(), nft_site.files()) == (before, files)


def test_a_file_that_cannot_be_loaded_is_named(nft_site: NftablesSite) -> None:
    nft_site.enable_service(DEBIAN + rulesets.POLICY_DROPS)
    nft_site.run("sh", "-c", "echo 'table inet broken { oops' >> /etc/nftables.conf")
    before, files = nft_site.rules(), nft_site.files()
    done = nft_site.apply("sip")
    assert "/etc/nftables.conf cannot be loaded as it is" in done.fault
    assert "oops" in done.fault
    assert (nft_site.rules(), nft_site.files()) == (before, files)


def test_an_include_of_the_administrator_is_enough(nft_site: NftablesSite) -> None:
    text = DEBIAN + 'include "/etc/nftables.d/*.nft"\n' + rulesets.POLICY_DROPS
    nft_site.enable_service(text)
    nft_site.run("mkdir", "/etc/nftables.d")
    files = nft_site.files()
    assert nft_site.apply("provisioning", "sip").faults == []
    assert nft_site.run("cat", "/etc/nftables.conf") == text
    nft_site.reboot()
    assert is_right(nft_site)
    assert nft_site.apply("provisioning", "sip").changed is False
    assert nft_site.apply().changed is True
    assert nft_site.files() == files, "the administrator's folder stays"
