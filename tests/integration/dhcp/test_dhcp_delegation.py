# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/site.yml where another host serves DHCP: options are set there, and asked for from here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kea_site import CONFIG, KeaSite
from .machines import Machine
from .sites import REPOSITORY

pytestmark = pytest.mark.root

URL = "http://198.18.0.9:50080/"
FILE = "/etc/kea/kea-dhcp4.conf"
START = (
    "install -d -m 0750 /run/kea;"
    " KEA_LOCKFILE_DIR=none setsid -f kea-dhcp4 -c /etc/kea/kea-dhcp4.conf >/var/log/kea-test.log 2>&1;"
    " for _ in $(seq 100); do if [ -S /run/kea/kea4-ctrl-socket ]; then exit 0; fi; sleep 0.05; done; exit 1"
)


@pytest.fixture
def appliance(network: KeaSite) -> Iterator[Machine]:
    """A machine where phones are, with an address but no DHCP server."""
    machine = Machine(network, network.client)
    try:
        machine.run("ip", "address", "add", "198.18.0.9/24", "dev", "cli0")
        machine.run("ip", "route", "add", "default", "via", "198.18.0.1")
        yield machine
    finally:
        machine.stop()


def test_another_host_is_told(network: KeaSite, machine: Machine, appliance: Machine, tmp_path: Path) -> None:
    theirs = CONFIG.replace("%(socket)s", "/run/kea/kea4-ctrl-socket")
    machine.run("tee", FILE, text=theirs)
    assert machine.run("sh", "-c", START).returncode == 0
    common = {
        "ansible_connection": "machine",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_become": False,
    }
    box = {
        "machine_pid": int(appliance.first),
        "site_provisioning": False,
        "site_firewall": False,
        "provisioning_public_host": "198.18.0.9",
        "dhcp_host": "router",
        "dhcp_probe": "required",
    }
    groups = {"autoprov_appliances": {"hosts": {"box": box}}}
    inventory = {"all": {"vars": common, "hosts": {"router": {"machine_pid": int(machine.first)}}, "children": groups}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))

    def play(*arguments: str, **variables: Any) -> tuple[int, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_CONNECTION_PLUGINS": str(REPOSITORY / "demo" / "connection_plugins"),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = ["ansible-playbook", "-i", str(tmp_path / "hosts.json"), "playbooks/site.yml", *arguments]
        command += ["-e", json.dumps(variables)]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=240
        )
        return done.returncode, done.stdout + done.stderr

    status, output = play("--check")
    assert status == 0, output
    assert re.search(r"box +: ok=\d+ +changed=1 ", output), output
    assert "check mode has changed nothing" in output
    assert machine.run("cat", FILE).stdout == theirs

    status, output = play()
    assert status == 0, output
    assert "not probed" not in output
    assert network.offer("000413000001", "snomD785")[66] == URL
    assert appliance.run("ls", FILE.replace("kea-dhcp4.conf", "autoprov-kea-dhcp4-options.json")).returncode != 0
    status, output = play()
    assert status == 0, output
    assert re.search(r"box +: ok=\d+ +changed=0 ", output), output

    # Somebody's hand: the options are there, and a phone on this wire is not told them. That is found from here.
    running = machine.run("cat", FILE).stdout
    hidden = running.replace('"pools"', '"option-data": [{"name": "tftp-server-name", "data": "http://old/"}], "pools"')
    machine.run("tee", FILE, text=hidden)
    machine.run("sh", "-c", f"pkill -x kea-dhcp4; sleep 1; rm -f /run/kea/*; {START}")
    status, output = play()
    assert status != 0, output
    assert "http://old/" in output
    machine.run("tee", FILE, text=running)
    machine.run("sh", "-c", f"pkill -x kea-dhcp4; sleep 1; rm -f /run/kea/*; {START}")

    status, output = play(dhcp_state="absent")
    assert status == 0, output
    assert machine.run("cat", FILE).stdout == theirs

    # Nobody answers where the appliance is: with auto that is said, and no failure.
    network_down = ["ip", "-n", network.server, "link", "set", "srv0", "down"]
    subprocess.run(network_down, check=True)
    status, output = play(dhcp_probe="auto")
    assert status == 0, output
    assert "Whether phones are told was not proved" in output

    status, output = play(dhcp_host="nobody")
    assert status != 0
    assert "host of the inventory" in output
