# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that serves DHCP itself: when it refuses to begin, what survives, and what is put back."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any

import pytest

from .kea_site import CONFIG, KeaSite
from .machines import Machine
from .sites import SBIN, Answer, run

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
SUBNET: dict[str, Any] = {"subnet": "198.18.0.0/24", "pools": ["198.18.0.50 - 198.18.0.250"]}
FILE = "/etc/kea/kea-dhcp4.conf"
# As the role's runit script does, without runit.
START = (
    "install -d -o _kea -g _kea -m 0750 /run/kea; rm -f /run/kea/kea4-ctrl-socket*;"
    " KEA_LOCKFILE_DIR=none setsid -f kea-dhcp4 -c /etc/kea/kea-dhcp4.conf >>/var/log/kea-test.log 2>&1;"
    " for _ in $(seq 100); do if [ -S /run/kea/kea4-ctrl-socket ]; then exit 0; fi; sleep 0.05; done; exit 1"
)


def serve(machine: Machine, check: bool = False, state: str = "present", **service: Any) -> Answer:
    wanted = {"interfaces": ["srv0"], "subnets": [SUBNET], **service}
    return machine.module("dhcp_options", check, state=state, url=URL, vendors=["snom"], serve=wanted)


def start(machine: Machine) -> None:
    done = machine.run("sh", "-c", START)
    assert done.returncode == 0, machine.run("cat", "/var/log/kea-test.log").stdout


def stop(machine: Machine) -> None:
    machine.run("pkill", "-x", "kea-dhcp4")
    end = time.monotonic() + 10
    while machine.run("pgrep", "-x", "kea-dhcp4").returncode == 0:
        assert time.monotonic() < end
        time.sleep(0.05)


def text(machine: Machine, path: str = FILE) -> str:
    return machine.run("cat", path).stdout


def test_it_does_not_begin_beside_another_server(network: KeaSite, machine: Machine) -> None:
    dnsmasq = shutil.which("dnsmasq", path=SBIN)
    if dnsmasq is None:
        pytest.skip("needs dnsmasq: apt-get install dnsmasq-base")
    before = text(machine)
    run("ip", "-n", network.client, "addr", "add", "198.18.0.2/24", "dev", "cli0")
    command = [dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=cli0", "--no-ping"]
    command += ["--dhcp-range=198.18.0.60,198.18.0.70", f"--dhcp-leasefile={network.folder}/rival.leases"]
    rival = subprocess.Popen(
        ["ip", "netns", "exec", network.client, *command, "--pid-file"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 10
        while network.offer() == {} and time.monotonic() < end:
            time.sleep(0.1)
        for check in (True, False):
            refused = serve(machine, check)
            assert refused.code == 1
            assert "another DHCP server (198.18.0.2) answers on srv0" in refused.message.lower().replace("dhcp", "DHCP")
            assert "allow_other_servers" in refused.message
        assert text(machine) == before

        assert serve(machine, allow_other_servers=True).result["changed"]
        start(machine)
        # Whoever comes later to an interface that is served is not this run's doing.
        assert not serve(machine).result["changed"]
    finally:
        rival.terminate()
        rival.wait(10)


def test_somebody_elses_file_is_not_replaced(network: KeaSite, machine: Machine) -> None:
    theirs = CONFIG.replace("%(socket)s", "/run/kea/kea4-ctrl-socket")
    machine.run("tee", FILE, text=theirs)
    start(machine)
    assert network.offer(request=[42])[42] == "0xc6120001"
    for check in (True, False):
        refused = serve(machine, check)
        assert refused.code == 1
        assert "was written by somebody" in refused.message
        assert "take_over" in refused.message
    assert text(machine) == theirs

    # The Kea that runs is our own rival by no means: it is the one that is taken over, without a pause.
    taken = serve(machine, take_over=True)
    assert taken.result["changed"], taken.message
    assert taken.result["reloaded"]
    assert text(machine, taken.result["backup_file"]) == theirs
    assert network.offer("000413000001", "snomD785")[66] == URL
    assert 42 not in network.offer(request=[42])
    assert not serve(machine).result["changed"]


def test_leases_survive(network: KeaSite, machine: Machine) -> None:
    """A change, a restart, another list: a phone that has an address keeps it."""
    dhclient = shutil.which("dhclient", path=SBIN)
    if dhclient is None:
        pytest.skip("needs dhclient: apt-get install isc-dhcp-client")
    assert serve(machine).result["changed"]
    start(machine)
    script = network.folder / "dhclient-script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    # AppArmor lets dhclient write in its own folder only.
    bound = f"mount -t tmpfs lease /var/lib/dhcp; mount --bind {script} /sbin/dhclient-script; exec {dhclient}"
    client = f"{bound} -4 -1 --no-pid -sf /sbin/dhclient-script -lf /var/lib/dhcp/leases -d cli0"
    renewing = subprocess.Popen(
        ["ip", "netns", "exec", network.client, "unshare", "-m", "sh", "-c", client],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 15
        while len(leases(machine)) == 0:
            assert time.monotonic() < end, "no lease"
            time.sleep(0.1)
    finally:
        renewing.kill()
        renewing.wait(10)
    (lease,) = leases(machine)
    address, mac = lease[0], lease[1].replace(":", "")
    assert network.offered_address(mac) == address

    # In front of it in the list, another one in a shared network, and more reservations.
    others = [
        {"subnet": "198.18.7.0/24", "shared_network": "far", "pools": ["198.18.7.4-198.18.7.9"]},
        {"subnet": "198.18.6.0/24", "shared_network": "far"},
    ]
    fixed = [{"mac": "000413000033", "address": "198.18.0.33"}]
    assert serve(machine, subnets=[*others, SUBNET], reservations=fixed).result["reloaded"]
    assert network.offered_address(mac) == address
    assert network.offered_address("000413000033") == "198.18.0.33"
    stop(machine)
    start(machine)
    assert network.offered_address(mac) == address
    assert leases(machine) == [lease]

    # The same network cut otherwise has another id; the lease goes with its address.
    wider = {"subnet": "198.16.0.0/12", "pools": ["198.18.0.50 - 198.18.0.250"]}
    assert serve(machine, subnets=[wider]).result["reloaded"]
    assert network.offered_address(mac) == address


def leases(machine: Machine) -> list[list[str]]:
    """Address, MAC address and subnet of each lease that Kea has written down, the last word on each."""
    rows = [line.split(",") for line in text(machine, "/var/lib/kea/kea-leases4.csv").splitlines()[1:]]
    return list({row[0]: [row[0], row[1], row[5]] for row in rows}.values())


def test_doubt_puts_the_old_state_back(network: KeaSite, machine: Machine) -> None:
    assert serve(machine).result["changed"]
    start(machine)
    assert not serve(machine, check=True).result["changed"]
    before, files = text(machine), machine.run("ls", "/etc/kea").stdout
    process = machine.run("pgrep", "-x", "kea-dhcp4").stdout

    # Kea takes it, and its own checker too; but nobody on this wire would be answered any more.
    failed = serve(machine, subnets=[{"subnet": "198.18.99.0/24", "pools": ["198.18.99.4 - 198.18.99.9"]}])
    assert failed.code == 1
    assert failed.result["rolled_back"], failed.message
    assert "nothing is offered" in failed.message
    assert text(machine) == before
    assert machine.run("ls", "/etc/kea").stdout.replace("kea-dhcp4.conf.autoprov-backup\n", "") == files.replace(
        "kea-dhcp4.conf.autoprov-backup\n", ""
    )
    assert network.offer("000413000001", "snomD785")[66] == URL

    # Kea's own checker says no.
    refused = serve(machine, interfaces=["srv0", "nosuch0"])
    assert refused.code == 1
    assert "nosuch0" in refused.message
    assert text(machine) == before

    # Somebody has written the file back and Kea has not read it: the file says nothing about what runs.
    assert serve(machine, lease_seconds=7200).result["changed"]
    machine.run("tee", FILE, text=before)
    again = serve(machine)
    assert again.result["changed"]
    assert again.result["reloaded"]
    assert machine.run("pgrep", "-x", "kea-dhcp4").stdout == process


def test_an_interface_that_comes_up_later_is_served(network: KeaSite, machine: Machine) -> None:
    assert serve(machine).result["changed"]
    run("ip", "-n", network.server, "link", "set", "srv0", "down")
    start(machine)
    run("ip", "-n", network.server, "link", "set", "srv0", "up")
    end = time.monotonic() + 15
    while network.offer() == {}:
        assert time.monotonic() < end, machine.run("cat", "/var/log/kea-test.log").stdout


def test_all_faults_at_once(machine: Machine) -> None:
    before = text(machine)
    wrong = machine.module(
        "dhcp_options",
        url="nonsense",
        vendors=["snom"],
        serve={
            "interfaces": ["srv0"],
            "subnets": [SUBNET, {"subnet": "198.18.0.9/24"}],
            "reservations": [
                {"mac": "00:04:13:00:00:01", "address": "198.18.0.20"},
                {"mac": "00:04:13:00:00:02", "address": "198.18.0.20"},
                {"mac": "00:04:13:00:00:03", "address": "203.0.113.9"},
            ],
        },
    )
    assert wrong.code == 1
    for fault in ("nonsense", "the network is 198.18.0.0/24", "already reserved", "203.0.113.9 is in none"):
        assert fault in wrong.message
    assert text(machine) == before
