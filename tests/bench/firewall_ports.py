# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""1,000 ports opened in one call of ``firewall_ports``, and again; beside the usual modules that loop over them.

Each firewall is the real one, in namespaces of its own, and Ansible comes over real SSH. What a play costs that does
nothing is taken off from both. The loops take minutes, so they go over a sample and are scaled in proportion; each
step gets dearer with the rules there are, so that the scaling is in their favour. nftables has no other module.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from tests.integration.firewall.controller import Controller
from tests.integration.firewall.firewalld_site import FirewalldHost
from tests.integration.firewall.nftables_host import NftablesHost
from tests.integration.firewall.ufw_site import UfwHost
from tests.integration.firewall.walled_host import NETWORKS, PHONES, REPOSITORY, WalledHost

PORTS, OPENINGS, SAMPLE, ROUNDS = 1000, 10, 20, 3
AIM_RATIO, AIM_UNCHANGED = 50, 1.0
NETWORK = NETWORKS[PHONES][0]
#: Not one beside the other, so that nothing can be joined into a range.
NUMBERS = [20001 + 2 * index for index in range(PORTS)]
CACHE = REPOSITORY / ".cache" / "bench-firewall"

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "firewalld": (
        "ansible.posix.firewalld",
        {
            "rich_rule": f'rule family="ipv4" source address="{NETWORK}"'
            ' port port="{{ item }}" protocol="tcp" accept',
            "zone": "public",
            "permanent": True,
            "immediate": True,
            "state": "enabled",
        },
    ),
    "ufw": (
        "community.general.ufw",
        {"rule": "allow", "from_ip": NETWORK, "to_port": "{{ item }}", "proto": "tcp"},
    ),
}


class _Bench(Controller):
    """A controller that has the other collections too, and tells how long a play took."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"ANSIBLE_COLLECTIONS_PATH": f"{REPOSITORY / 'collections'}:{CACHE}"}

    def seconds(self, task: dict[str, Any], changed: bool | None = None) -> float:
        play = [{"hosts": "all", "gather_facts": False, "tasks": [{"name": "Measure", **task}]}]
        started = time.monotonic()
        told = self.play(play)
        took = time.monotonic() - started
        if "failed=0" not in told or "unreachable=0" not in told:
            raise SystemExit(told[-3000:])
        if changed is not None and ("changed=0" not in told) is not changed:
            raise SystemExit(f"expected changed to be {changed}:\n{told[-3000:]}")
        return took


def run() -> None:
    """Measure and print."""
    _fetch()
    print(f"\n{PORTS} ports in {OPENINGS} openings, over SSH, {ROUNDS} rounds; loops over {SAMPLE} of them, scaled")
    columns = f"{'one call s':>12}{'unchanged s':>13}{'loop s':>10}{'unchanged s':>13}{'ratio':>8}{'unchanged':>11}"
    print(f"{'':12}{columns}   aim")
    for kind in (NftablesHost, FirewalldHost, UfwHost):
        kind.require()
        with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name:
            host: NftablesHost | FirewalldHost | UfwHost = kind(Path(name) / "host", "apbench")
            (Path(name) / "host").mkdir()
            try:
                host.build()
                host.start_firewall()
                if isinstance(host, UfwHost):
                    host.ufw("allow", "22/tcp")
                _measure(host, Path(name) / "controller")
            finally:
                host.tear_down()


def _measure(host: WalledHost, folder: Path) -> None:
    controller = _Bench(folder)
    try:
        controller.manage("box", host)
        ping: dict[str, Any] = {"ansible.builtin.ping": {}}
        controller.seconds(ping)
        nothing = statistics.median(controller.seconds(ping) for _round in range(3))
        per = PORTS // OPENINGS
        ports = [
            {"name": f"bench{number}", "port": [str(port) for port in NUMBERS[number * per : (number + 1) * per]]}
            for number in range(OPENINGS)
        ]
        wanted = {"autoprov.appliance.firewall_ports": {"ports": ports, "networks": [NETWORK], "confirm_seconds": 300}}
        first, again = [], []
        for _round in range(ROUNDS):
            first.append(controller.seconds(wanted, changed=True) - nothing)
            again.append(controller.seconds(wanted, changed=False) - nothing)
            controller.seconds({"autoprov.appliance.firewall_ports": {"state": "absent"}}, changed=True)
        own = statistics.median(first), statistics.median(again)
        text = f"{host.backend:12}{own[0]:12.2f}{own[1]:13.2f}"
        if host.backend in LOOPS:
            module, arguments = LOOPS[host.backend]
            loop = {module: arguments, "loop": [str(port) for port in NUMBERS[:SAMPLE]]}
            theirs = [
                (controller.seconds(loop, changed=changed) - nothing) * PORTS / SAMPLE for changed in (True, False)
            ]
            text += f"{theirs[0]:10.0f}{theirs[1]:13.0f}{theirs[0] / own[0]:8.0f}{theirs[1] / max(own[1], 0.01):11.0f}"
            print(f"{text}   >= {AIM_RATIO}, unchanged <= {AIM_UNCHANGED:g} s", flush=True)
        else:
            print(f"{text}{'':42}   unchanged <= {AIM_UNCHANGED:g} s", flush=True)
    finally:
        controller.close()


def _fetch() -> None:
    """The two collections, out of the package that carries them; nothing is installed."""
    if (CACHE / "ansible_collections" / "community" / "general").exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    pinned = REPOSITORY / "requirements" / "bench-firewall.txt"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", str(CACHE), "-r", str(pinned)], check=True)
    (wheel,) = CACHE.glob("ansible-*.whl")
    wanted = tuple(f"ansible_collections/{name}/" for name in ("ansible/posix", "community/general"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(CACHE, [name for name in packed.namelist() if name.startswith(wanted)])
    wheel.unlink()
