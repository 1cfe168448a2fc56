# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on a machine of its own: this host's file system, copied on write, in fresh namespaces, run by runit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kea_site import KEA, KeaSite
from .sites import REPOSITORY

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
VARIABLES: dict[str, Any] = {
    "ansible_python_interpreter": "/usr/bin/python3",
    "provisioning_public_host": "198.18.0.1",
    "dhcp_serve": True,
    "dhcp_interfaces": ["srv0"],
    "dhcp_subnets": [
        {
            "subnet": "198.18.0.0/24",
            "pools": ["198.18.0.50 - 198.18.0.250"],
            "gateway": "198.18.0.1",
            "ntp_servers": ["198.18.0.1", "198.18.0.2"],
            "reservations": [{"mac": "00:04:13:00:00:20", "address": "198.18.0.20", "hostname": "door"}],
        }
    ],
    "dhcp_options": [{"subnet": "198.18.0.0/24", "code": 132, "value": "20"}],
    "dhcp_probe": "required",
}


class Machine:
    def __init__(self, site: KeaSite) -> None:
        folder = site.folder / "machine"
        folder.mkdir()
        seen = [str(REPOSITORY), sys.prefix]  # A checkout below /tmp, as CI may have it, stays visible.
        boot = [str(REPOSITORY / "demo" / "boot-machine.sh"), str(folder), site.prefix, *seen]
        namespaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        self.output = site.folder / "machine.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", site.server, *namespaces, *boot],
                stdout=output,
                stderr=output,
            )
        self.first = self._first_process()

    def _first_process(self) -> str:
        end = time.monotonic() + 15
        while time.monotonic() < end and self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text() == "runsvdir\n":
                return children[0]
            time.sleep(0.1)
        pytest.fail(f"the machine does not boot: {self.output.read_text()}")

    def run(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "-t", self.first, "-m", "-n", "-p", "-u", "-i", "-r", "-w"]
        environment = [
            "env",
            "-i",
            f"PATH={Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            f"ANSIBLE_CONFIG={REPOSITORY}/ansible.cfg",
            "ANSIBLE_NOCOLOR=1",
        ]
        return subprocess.run(
            [*enter, *environment, *command], input=text, capture_output=True, text=True, check=False, timeout=240
        )

    def play(self, *flags: str, **variables: Any) -> str:
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {**VARIABLES, **variables},
            "roles": ["autoprov.appliance.dhcp"],
        }
        self.run("tee", "/srv/play.yml", text=json.dumps([play]))
        done = self.run("ansible-playbook", "-i", "localhost,", *flags, "/srv/play.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        self.process.kill()  # --kill-child: the first process goes too, and with it all others
        self.process.wait(10)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[KeaSite]:
    KeaSite.require()
    for program in ("runsvdir", "unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install runit util-linux")
    site = KeaSite(tmp_path, "apdr")
    try:
        site.build()
        yield site
    finally:
        site.tear_down()


@pytest.fixture
def machine(network: KeaSite) -> Iterator[Machine]:
    machine = Machine(network)
    try:
        assert machine.run("python", "-c", "import ansible").returncode == 0, "the tests' own Python is visible"
        assert KEA is not None
        yield machine
    finally:
        machine.stop()


def test_the_role_makes_a_server(network: KeaSite, machine: Machine) -> None:
    assert "failed=0" in machine.play("--check")
    assert network.offer() == {}

    assert "failed=0" in machine.play()
    offered = network.offer("000413000001", "snomD785", [3, 42])
    assert {code: offered[code] for code in (66, 132)} == {66: URL, 132: "20"}
    assert offered[42] == "0xc6120001c6120002"
    assert network.offer("7c2f80000001")[114] == URL + "%MACD.xml"
    assert machine.run("stat", "-c", "%a %U", "/run/kea").stdout == "750 _kea\n"

    assert "changed=0" in machine.play()
    assert "changed=0" in machine.play("--check")

    # A broken list of subnets must not reach the server that runs.
    broken = [{**VARIABLES["dhcp_subnets"][0], "pools": ["198.18.0.50 - 198.18.1.250"]}]
    with pytest.raises(AssertionError, match=r"198\.18\.1\.250"):
        machine.play(dhcp_subnets=broken)
    assert network.offer("000413000001", "snomD785")[66] == URL

    machine.play(dhcp_state="absent", dhcp_options=[])
    assert 66 not in network.offer("000413000001", "snomD785")
    assert machine.run("sh", "-c", "ls /etc/kea/autoprov-*").returncode != 0
    assert "changed=0" in machine.play(dhcp_state="absent", dhcp_options=[])
