# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, over real SSH: what it answers, and what packets find."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.autoprov.appliance.plugins.modules import firewall_ports

from .controller import USER, Controller
from .nftables_host import NftablesHost
from .walled_host import NETWORKS, OTHERS, PHONES, REPOSITORY, WalledHost

pytestmark = pytest.mark.root

PORTS = [("tcp", 50080), ("udp", 5060), ("tcp", 5060), ("tcp", 8443)]
WANTED: dict[str, Any] = {"profiles": ["provisioning", "sip"], "networks": list(NETWORKS[PHONES])}


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    made = Controller(tmp_path / "controller")
    try:
        yield made
    finally:
        made.close()


def open_ports(host: WalledHost, sender: str, version: int = 4) -> set[tuple[str, int]]:
    with host.listening(PORTS):
        return {port for port, answer in host.ask(sender, PORTS, version, patience=0.5).items() if answer == "open"}


def test_open_change_and_take_back(any_host: WalledHost, controller: Controller) -> None:
    """Told in check mode, done, unchanged, changed, taken back: each as packets find it."""
    host = any_host
    controller.manage("box", host)
    before, files = host.rules(), host.files()

    told = controller.one("firewall_ports", "--check", "--diff", **WANTED)
    assert told["changed"] is True, told
    assert "confirmed" not in told
    assert host.rules() == before
    assert host.files() == files

    done = controller.one("firewall_ports", "--diff", **WANTED)
    assert (done["changed"], done["confirmed"], done["backend"]) == (True, "connection", host.backend), done
    assert "token" not in done
    assert done["diff"] == told["diff"], "check mode told the truth"
    assert "50080" in str(done["diff"])
    assert done["reason"]
    for version in (4, 6):
        assert open_ports(host, PHONES, version) == {("tcp", 50080), ("udp", 5060), ("tcp", 5060)}
        assert open_ports(host, OTHERS, version) == set()

    again = controller.one("firewall_ports", "--diff", **WANTED)
    assert again["changed"] is False
    assert again["diff"] == []
    assert "confirmed" not in again
    assert controller.one("firewall_ports", "--check", **WANTED)["changed"] is False

    custom = [{"name": "guests", "port": ["8443"], "anybody": True}]
    controller.one("firewall_ports", profiles=["provisioning"], networks=NETWORKS[PHONES], ports=custom)
    assert open_ports(host, PHONES) == {("tcp", 50080), ("tcp", 8443)}
    assert open_ports(host, OTHERS) == {("tcp", 8443)}

    gone = controller.one("firewall_ports", state="absent")
    assert gone["changed"] is True
    assert host.rules() == before
    assert controller.one("firewall_ports", state="absent")["changed"] is False


#: What SSH hangs on once the administrator's own rule for it is gone.
SSH = {"name": "ssh", "port": ["22"], "networks": list(NETWORKS[OTHERS])}


def hang_ssh_on_us(host: WalledHost) -> None:
    """Take away the administrator's own rule for SSH, and open it by the engine."""
    if host.backend == "nftables":
        listed = host.do("nft", "-a", "list", "chain", "inet", "filter", "input")
        handle = next(line.split()[-1] for line in listed.splitlines() if "administrators" in line)
        host.do("nft", "delete", "rule", "inet", "filter", "input", "handle", handle)
    elif host.backend == "firewalld":
        host.do("firewall-cmd", "--remove-service=ssh")
        host.do("firewall-cmd", "--permanent", "--remove-service=ssh")
    else:
        host.do("ufw", "delete", "allow", "22/tcp")
    assert host.engine(**WANTED, ports=[SSH]).faults == []


def test_a_change_that_would_cut_is_refused(any_host: WalledHost, controller: Controller) -> None:
    """Come over SSH that only our opening lets in: it cannot be taken back, neither really nor in check mode."""
    host = any_host
    controller.manage("box", host, user=USER)  # by sudo, which drops SSH_CONNECTION
    hang_ssh_on_us(host)
    before, files = host.rules(), host.files()
    for flags in ([], ["--check"]):
        result = controller.one("firewall_ports", *flags, **WANTED)
        assert result.get("failed") is True, result
        assert "would cut the connection Ansible came over (from 198.18.2.2 to port 22/tcp)" in result["msg"], result
        assert (host.rules(), host.files()) == (before, files)
    assert controller.one("firewall_ports", **WANTED, ports=[SSH])["changed"] is False


def test_a_change_that_does_cut_is_taken_back(any_host: WalledHost, controller: Controller) -> None:
    """The never-locked-out test: what gets past the check in advance cuts new connections, and takes itself back."""
    host = any_host
    controller.manage("box", host)
    hang_ssh_on_us(host)
    before, files = host.rules(), host.files()
    began = time.monotonic()
    # The module is told that Ansible came from the phones' network by another port, so it sees no harm.
    elsewhere = {"SSH_CONNECTION": "198.18.1.2 40000 198.18.1.1 50080"}
    result = controller.one("firewall_ports", environment=elsewhere, **WANTED, confirm_seconds=10)
    seconds = time.monotonic() - began
    assert result.get("failed") is True, result
    assert result["rolled_back"] is True, result
    assert "no second connection to this host could be made" in result["msg"]
    assert "firewall is as it was" in result["msg"]
    assert 9 < seconds < 60
    # firewalld tells rules of one priority in any order, and they come back in that one. All of them let somebody in.
    assert sorted(host.rules().splitlines()) == sorted(before.splitlines())
    assert host.files() == files
    assert controller.one("firewall_ports", **WANTED, ports=[SSH])["changed"] is False, "and Ansible comes in as before"


def test_several_hosts_at_once(tmp_path: Path, controller: Controller) -> None:
    """Three hosts in parallel, one of them by sudo; each change is confirmed by its own second connection."""
    NftablesHost.require()
    hosts = [NftablesHost(tmp_path / str(number), f"ap{number}{os.getpid()}") for number in range(3)]
    try:
        for number, host in enumerate(hosts):
            host.folder.mkdir()
            host.build()
            host.start_firewall()
            controller.manage(f"box{number}", host, user=USER if number == 2 else "root")
        results = controller.task("firewall_ports", **WANTED)
        assert {name: result.get("confirmed") for name, result in results.items()} == dict.fromkeys(
            ("box0", "box1", "box2"), "connection"
        ), results
        for host in hosts:
            assert open_ports(host, PHONES) == {("tcp", 50080), ("udp", 5060), ("tcp", 5060)}
            logins = (host.folder / "sshd.log").read_text().count("Accepted publickey")
            assert logins == 2, "the one Ansible has kept open, and a new one that confirmed"
    finally:
        for host in hosts:
            host.tear_down()


def play_role(host: WalledHost, controller: Controller, *flags: str, **variables: Any) -> str:
    """Apply the role on the host itself, by a local connection; what is printed."""
    told = {"ansible_python_interpreter": sys.executable, **variables}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": told}
    (path := controller.folder / "role.yml").write_text(
        json.dumps([{**play, "roles": ["autoprov.appliance.firewall"]}])
    )
    done = subprocess.run(
        [*host.inside, "ansible-playbook", "-i", "localhost,", *flags, str(path)],
        cwd=REPOSITORY, env=controller.environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_role_on_the_host_itself(any_host: WalledHost, controller: Controller) -> None:
    """The role opens, is unchanged the second time, and takes back."""
    host, named = any_host, {"firewall_networks": list(NETWORKS[PHONES])}
    before = host.rules()
    assert "changed=1" in play_role(host, controller, "--check", **named)
    assert host.rules() == before
    output = play_role(host, controller, **named)
    assert "changed=1" in output
    assert f"{host.backend}: " in output
    assert "Nobody named the networks" not in output
    assert open_ports(host, PHONES) == {("tcp", 50080)}
    assert open_ports(host, OTHERS) == set()
    assert "changed=0" in play_role(host, controller, **named)
    play_role(host, controller, firewall_state="absent", **named)
    assert host.rules() == before


@pytest.fixture
def bare_host(tmp_path: Path) -> Iterator[NftablesHost]:
    """A host where nobody has made a rule yet."""
    NftablesHost.require()
    host = NftablesHost(tmp_path, f"apb{os.getpid()}")
    try:
        host.build()
        (host.folder / "copies/etc/mtab").unlink(missing_ok=True)
        yield host
    finally:
        host.tear_down()


def test_the_role_where_nobody_named_the_networks_of_phones(bare_host: NftablesHost, controller: Controller) -> None:
    """It takes the host's own network, and says so. Nothing but the ports of phones is touched."""
    host = bare_host
    host.do("ip", "route", "add", "default", "via", "198.18.1.2")
    assert ("tcp", 8443) in open_ports(host, OTHERS)
    output = " ".join(play_role(host, controller).split())
    assert "only 198.18.1.0/24 is let in" in output, output
    assert "say so with firewall_networks" in output
    assert open_ports(host, PHONES) == set(PORTS)
    assert open_ports(host, OTHERS) == set(PORTS) - {("tcp", 50080)}
    assert "changed=0" in play_role(host, controller)
    play_role(host, controller, firewall_state="absent")
    assert host.rules() == ""


def test_the_role_where_there_is_no_firewall(bare_host: NftablesHost, controller: Controller) -> None:
    """It says so, and the rest of a site goes on; a firewall that was named is another matter."""
    host = bare_host
    host.do("mount", "--bind", "/dev/null", "/usr/sbin/nft")
    named = {"firewall_networks": list(NETWORKS[PHONES])}
    for flags in ([], ["--check"]):
        output = play_role(host, controller, *flags, **named)
        assert "There is no firewall on this host, so nothing is closed and nothing was opened." in output
        assert "changed=0" in output
        assert "failed=0" in output
    with pytest.raises(AssertionError, match="there is no nft on this host; install nftables"):
        play_role(host, controller, firewall_backend="nftables", **named)


def test_the_examples_of_the_module_run(any_host: WalledHost, controller: Controller) -> None:
    """As they stand in its documentation: each is made, and once more in check mode it changes nothing."""
    host = any_host
    controller.manage("box", host)
    if host.backend == "firewalld":
        host.do("firewall-cmd", "--permanent", "--new-zone=voice")
        host.do("firewall-cmd", "--reload")
    before = host.rules()
    tasks = [
        task
        for task in yaml.safe_load(firewall_ports.EXAMPLES)
        if task["autoprov.appliance.firewall_ports"].get("backend", host.backend) == host.backend
    ]
    assert len(tasks) == (4 if host.backend == "firewalld" else 3)
    play = {"hosts": "all", "gather_facts": False}
    twice = [
        copy
        for task in tasks
        for copy in (task, task | {"check_mode": True, "failed_when": "again is changed", "register": "again"})
    ]
    output = controller.play([{**play, "tasks": twice}])
    assert "failed=0" in output, output
    assert f"changed={len(tasks)} " in output, output
    assert host.rules() == before


def test_one_change_at_a_time(tmp_path: Path) -> None:
    """A run waits while an earlier change waits for its confirmation; a timer that died is made up for."""
    NftablesHost.require()
    host = NftablesHost(tmp_path, f"apo{os.getpid()}")
    try:
        host.build()
        host.start_firewall()
        before = host.rules()
        first = host.engine(**WANTED, confirm_seconds=4.0)
        assert first.token
        began = time.monotonic()
        second = host.engine(profiles=["ntp"], networks=list(NETWORKS[PHONES]))
        assert time.monotonic() - began > 2
        assert second.changed
        assert "50080" not in host.rules(), "the first took itself back before the second began"
        with pytest.raises(AssertionError, match="taken back"):
            assert not host.decide("confirm", first.token).faults
        host.engine()
        assert host.rules() == before

        third = host.engine(**WANTED, confirm_seconds=2.0)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if third.token and f"/run/autoprov-firewall/{third.token}".encode() in words:
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(2.5)
        assert "50080" in host.rules()
        assert host.engine(profiles=["ntp"], networks=list(NETWORKS[PHONES])).changed
        assert "50080" not in host.rules()
    finally:
        host.tear_down()
