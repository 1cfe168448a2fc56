# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each profile on each firewall, from the allowed network and another one; what is refused; changes under load."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import PROFILES

from .matrix import assert_open_to_phones_only, intent
from .walled_host import NETWORKS, PHONES, REPOSITORY, WalledHost

pytestmark = pytest.mark.root

_REPLACE = """
import sys
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import engine
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.intent import build_intent
backend, network, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
changed = 0
for number in range(rounds):
    ports = [{"name": "other", "port": [str(20000 + number)]}]
    wanted = build_intent(profiles=["provisioning"], networks=[network], ports=ports)
    changed += engine.run(engine.Request(wanted, backend=backend)).changed
print(changed)
"""
_CONNECT = """
import json, socket, sys, time
lost = made = 0
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end and not sys.stdin.closed:
    try:
        with socket.create_connection((sys.argv[1], 50080), 0.9) as own:
            made += own.recv(4) == b"here"
    except OSError:
        lost += 1
    import select
    if select.select([sys.stdin], [], [], 0)[0]:
        break
print(json.dumps([made, lost]))
"""


@pytest.mark.parametrize("profile", PROFILES)
def test_profile(any_host: WalledHost, profile: str) -> None:
    """With real packets: IPv4, IPv6, the group, and who has no address."""
    answer = any_host.engine(**intent(profile))
    assert answer.faults == []
    assert answer.changed
    assert_open_to_phones_only(any_host, [profile])


def test_all_profiles_and_none(any_host: WalledHost) -> None:
    before = any_host.rules()
    assert any_host.engine(**intent(*PROFILES)).changed
    assert_open_to_phones_only(any_host, list(PROFILES))
    assert any_host.engine().changed
    assert any_host.rules() == before
    assert_open_to_phones_only(any_host, [])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "port": ({"ports": [{"name": "a", "port": ["70000"]}]}, "port 70000 is outside 1..65535"),
    "protocol": ({"ports": [{"name": "a", "port": ["80"], "protocol": "tcpp"}]}, "protocol tcpp is not known"),
    "overlap": ({"ports": [{"name": "a", "port": ["80-90", "85"]}]}, "overlap"),
    "zone": ({"profiles": ["provisioning"], "zones": ["nowhere"]}, "nowhere"),
    "network": ({"profiles": ["provisioning"], "networks": ["198.18.1.7/24"]}, "did you mean 198.18.1.0/24"),
    "interface": ({"ports": [{"name": "a", "port": ["80"], "interfaces": ["a b"]}]}, "cannot be the name"),
}


def module(host: WalledHost, **arguments: Any) -> dict[str, Any]:
    """The module itself, as it runs on the host."""
    told = {"confirm": "now", "backend": host.backend, **arguments, "_ansible_remote_tmp": "/tmp"}
    (path := host.folder / "arguments.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": told}))
    name = "ansible_collections.autoprov.appliance.plugins.modules.firewall_ports"
    environment = ["env", f"PYTHONPATH={REPOSITORY}/collections", "PYTHONWARNINGS=ignore"]
    done = subprocess.run(
        [*host.inside, *environment, sys.executable, "-m", name, str(path)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def test_bad_input_leaves_the_rules(any_host: WalledHost) -> None:
    """A clear error, all faults at once, and rules and files as they were."""
    host = any_host
    assert host.engine(**intent("sip")).changed
    before, files = host.rules(), host.files()
    for arguments, text in BAD.values():
        result = module(host, **{"networks": list(NETWORKS[PHONES]), **arguments})
        assert result.get("failed") is True, result
        assert text in result["msg"], result["msg"]
        assert (host.rules(), host.files()) == (before, files)
    ports = [{"name": "a", "port": ["70000", "1-x"], "protocol": "tcpp"}]
    result = module(host, ports=ports, networks=["x"], profiles=["sipp"], confirm_seconds=1)
    assert len(result["faults"]) == 6, result["faults"]
    result = module(host, profiles=["sip"], networks=list(NETWORKS[PHONES]), confirm="connection")
    assert "without its action plugin" in result["msg"]
    assert (host.rules(), host.files()) == (before, files)


def test_what_an_administrator_deleted_comes_back(any_host: WalledHost) -> None:
    """A chain, a service, a rule of ours is gone: the next run puts it back."""
    host = any_host
    assert host.engine(**intent("provisioning")).changed
    if host.backend == "nftables":
        host.do("nft", "flush", "chain", "inet", "autoprov", "input")
        host.do("nft", "delete", "chain", "inet", "autoprov", "openings", check=False)
    elif host.backend == "firewalld":
        for rule in host.do("firewall-cmd", "--list-rich-rules").splitlines():
            host.do("firewall-cmd", f"--remove-rich-rule={rule}")
    else:
        host.do("iptables", "-F", "ufw-user-input")
    answer = host.engine(**intent("provisioning"))
    assert answer.faults == []
    assert answer.changed
    assert_open_to_phones_only(host, ["provisioning"])


def test_replacements_under_constant_connects(any_host: WalledHost) -> None:
    """200 replacements on nftables, fewer where each takes a tenth of a second: no connect is lost."""
    host = any_host
    rounds = {"nftables": 200, "firewalld": 25, "ufw": 25}[host.backend]
    assert host.engine(**intent("provisioning")).changed
    with host.listening([("tcp", 50080)]):
        command = [*host.senders(PHONES), sys.executable, "-c", _CONNECT, "198.18.1.1", "250"]
        asking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert asking.stdout is not None
        assert asking.stdout.readline() == "ready\n"
        done: list[subprocess.CompletedProcess[str]] = []
        environment = ["env", f"PYTHONPATH={REPOSITORY}/collections"]
        replace = [*host.inside, *environment, sys.executable, "-c", _REPLACE, host.backend, "198.18.1.0/24"]
        work = threading.Thread(
            target=lambda: done.append(
                subprocess.run([*replace, str(rounds)], capture_output=True, text=True, check=False)
            )
        )
        work.start()
        work.join(240)
        output, _ = asking.communicate("stop\n", timeout=10)
    assert done, "the replacements took too long"
    assert done[0].stdout == f"{rounds}\n", done[0].stderr
    made, lost = json.loads(output.splitlines()[-1])
    assert lost == 0, f"{lost} of {made + lost} connects"
    assert made > rounds
