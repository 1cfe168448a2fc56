# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on a machine of its own, run by runit: it makes a DHCP server, changes it, and takes its options back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .kea_site import KeaSite
from .machines import Machine

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
SUBNET: dict[str, Any] = {
    "subnet": "198.18.0.0/24",
    "pools": ["198.18.0.50 - 198.18.0.250"],
    "gateway": "198.18.0.1",
    "ntp_servers": ["198.18.0.1", "198.18.0.2"],
    "reservations": [{"mac": "00:04:13:00:00:20", "address": "198.18.0.20", "hostname": "door"}],
}
VARIABLES: dict[str, Any] = {
    "ansible_python_interpreter": "/usr/bin/python3",
    "provisioning_public_host": "198.18.0.1",
    # What else is in the list is the provisioning role's business; the one without an address gets any.
    "provisioning_phones": [
        {"mac": "00-04-13-00-00-21", "vendor": "snom", "model": "D785", "address": "198.18.0.21"},
        {"mac": "00:04:13:00:00:22", "vendor": "snom", "model": "D785", "web_password": "planted"},
    ],
    "dhcp_serve": True,
    "dhcp_interfaces": ["srv0"],
    "dhcp_subnets": [SUBNET],
    "dhcp_options": [{"subnet": "198.18.0.0/24", "code": 132, "value": "20"}],
    "dhcp_probe": "required",
}


def test_the_role_makes_a_server(network: KeaSite, machine: Machine) -> None:
    """From nothing to a server, to another subnet, to no options: a story, since each step needs the one before."""

    def play(*flags: str, **variables: Any) -> str:
        return machine.play(*flags, **{**VARIABLES, **variables})

    assert "failed=0" in play("--check")
    assert network.offer() == {}

    output = play("-v", "--diff")
    assert "planted" not in output
    assert "WARNING" not in output
    assert "Ask as phones do" in output
    offered = network.offer("000413000001", "snomD785", [3, 42])
    assert {code: offered[code] for code in (66, 132)} == {66: URL, 132: "20"}
    assert offered[42] == "0xc6120001c6120002"
    assert network.offer("7c2f80000001")[114] == URL + "%MACD.xml"
    assert machine.run("stat", "-c", "%a %U", "/run/kea").stdout == "750 _kea\n"
    assert network.offered_address("000413000020") == "198.18.0.20"
    assert network.offered_address("000413000021") == "198.18.0.21", "from the list of phones"

    assert "changed=0" in play()
    assert "changed=0" in play("--check")

    # Another subnet and another phone: read anew by the Kea that runs.
    process = machine.run("pgrep", "kea-dhcp4").stdout
    subnets = [{"subnet": "198.18.8.0/24", "pools": ["198.18.8.9 - 198.18.8.20"], "shared_network": "far"}, SUBNET]
    phones = [{"mac": "00:04:13:00:00:22", "address": "198.18.0.22"}]
    change: dict[str, Any] = {"dhcp_subnets": subnets, "provisioning_phones": phones}
    foretold = play("--check", "--diff", **change)
    assert re.search(r'\+ +\{"hw-address": "00:04:13:00:00:22", "ip-address": "198\.18\.0\.22"\}', foretold)
    assert network.offered_address("000413000022") != "198.18.0.22"
    play(**change)
    assert network.offered_address("000413000022") == "198.18.0.22"
    assert network.offered_address("000413000021") != "198.18.0.21"
    assert machine.run("pgrep", "kea-dhcp4").stdout == process

    # A broken list of subnets must not reach the server that runs.
    broken = [{**SUBNET, "pools": ["198.18.0.50 - 198.18.1.250"]}]
    with pytest.raises(AssertionError, match=r"198\.18\.1\.250"):
        play(dhcp_subnets=broken)
    assert network.offer("000413000001", "snomD785")[66] == URL

    play(dhcp_state="absent", dhcp_options=[])
    assert 66 not in network.offer("000413000001", "snomD785")
    assert machine.run("sh", "-c", "ls /etc/kea/autoprov-*").returncode != 0
    assert "changed=0" in play(dhcp_state="absent", dhcp_options=[])
    assert machine.run("pgrep", "kea-dhcp4").stdout == process
