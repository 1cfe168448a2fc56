# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""port_probe: what it finds with packets is what is so, and who drops a packet is told by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .controller import Controller
from .nftables_host import NftablesHost
from .walled_host import OTHERS, PHONES, REPOSITORY, WalledHost

pytestmark = pytest.mark.root

RULES = """
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport { 22, 7001, 7002 } accept
    udp dport { 7001, 7002, 7006 } accept
    meta l4proto { tcp, udp } th dport 7004 drop comment "not this one"
    meta l4proto { tcp, udp } th dport 7005 reject with icmpx admin-prohibited
    tcp dport 7007 reject with tcp reset
  }
}
"""
#: 7001 answers, 7002 is let in and nobody listens, 7003 falls to the policy.
PORTS = [f"{port}/{protocol}" for protocol in ("tcp", "udp") for port in (7001, 7002, 7003, 7004, 7005)]
STATES = ["open", "closed", "filtered", "filtered", "filtered"] * 2


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NftablesHost]:
    NftablesHost.require()
    made = NftablesHost(tmp_path, f"app{os.getpid()}")
    try:
        made.build()
        (made.folder / "copies/etc/mtab").unlink(missing_ok=True)
        made.do("nft", "-f", "-", stdin=RULES)
        yield made
    finally:
        made.tear_down()


def module(host: WalledHost, **arguments: Any) -> dict[str, Any]:
    """Run the module itself on the host; its result."""
    name = "ansible_collections.autoprov.appliance.plugins.modules.port_probe"
    told = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_remote_tmp": "/tmp"}})
    environment = ["env", f"PYTHONPATH={REPOSITORY}/collections", "PYTHONWARNINGS=ignore"]
    (path := host.folder / "arguments.json").write_text(told)
    done = subprocess.run(
        [*host.inside, *environment, sys.executable, "-m", name, str(path)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def namespace(host: WalledHost, sender: str) -> str:
    """A path by which the host finds the senders' namespace; its own /run has no names."""
    process = subprocess.Popen([*host.senders(sender), "sleep", "60"])
    host.started.append(process)
    return f"/proc/{process.pid}/ns/net"


def found(result: dict[str, Any]) -> dict[str, str]:
    assert "ports" in result, result
    return {item["port"]: item["state"] for item in result["ports"]}


@pytest.mark.parametrize("address", ["198.18.1.1", "fd00:18:1::1"])
def test_states_and_who_drops(host: NftablesHost, address: str) -> None:
    """From a namespace, over IPv4 and IPv6."""
    before = host.rules()
    with host.listening([("tcp", 7001), ("udp", 7001)]):
        path = namespace(host, PHONES)
        host.wait(lambda: Path(path).exists(), "the namespace")
        result = module(host, address=address, ports=PORTS, namespace=path, timeout=0.5)
    assert found(result) == dict(zip(PORTS, STATES, strict=True)), result
    why = {item["port"]: item for item in result["ports"]}
    for protocol in ("tcp", "udp"):
        policy, rule, reject = (why[f"{port}/{protocol}"] for port in (7003, 7004, 7005))
        assert (policy["table"], policy["chain"], policy["policy"]) == ("inet filter", "input", "drop")
        assert "policy of chain input of table inet filter drops it" in policy["why"]
        assert "not this one" in rule["rule"]
        assert rule["policy"] is None
        assert "reject" in str(reject["rule"])
        assert why[f"7002/{protocol}"]["why"] == "no chain on the input hook drops it"
    assert host.rules() == before, "the trace has left nothing"


def test_a_silent_service_is_told_from_a_drop(host: NftablesHost) -> None:
    """UDP says nothing in both cases; without a trace that is what is said."""
    path = namespace(host, PHONES)
    silent = (
        "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7006));"
        " print(1, flush=True); time.sleep(60)"
    )
    process = host.start(sys.executable, "-c", silent, log="silent.log")
    host.wait(lambda: (host.folder / "silent.log").read_text() or process.poll() is not None, "the silent one")
    asked: dict[str, Any] = {"address": "198.18.1.1", "ports": ["7006/udp", "7003/udp"], "namespace": path}
    assert found(module(host, **asked, timeout=0.4)) == {"7006/udp": "open", "7003/udp": "filtered"}
    assert set(found(module(host, **asked, timeout=0.4, explain=False)).values()) == {"silent"}
    # A reset by a rule looks as if nobody listened, but for the trace.
    reset: dict[str, Any] = {"address": "198.18.1.1", "ports": ["7007/tcp"], "namespace": path}
    assert found(module(host, **reset, timeout=0.4, explain=False)) == {"7007/tcp": "closed"}
    assert found(module(host, **reset, timeout=0.4)) == {"7007/tcp": "filtered"}


def test_expectations_and_bad_input(host: NftablesHost) -> None:
    path = namespace(host, PHONES)
    result = module(host, address="198.18.1.1", ports=PORTS[:3], namespace=path, expect="reachable", timeout=0.4)
    assert result["failed"] is True
    assert "7003/tcp of 198.18.1.1 is filtered and not reachable (the policy of chain input" in result["msg"]
    assert "7001/tcp of" not in result["msg"]
    bad = module(host, address="nowhere", ports=["70000/tcp", "80/tcpp", "9-8/udp"], profiles=["sipp"])
    assert len(bad["faults"]) == 5, bad
    for text in ("nowhere is no IP address", "70000", "tcpp", "ends before it begins", "sipp is not known"):
        assert text in bad["msg"]
    assert "passes no firewall" in module(host, address="198.18.1.1", ports=["22/tcp"])["msg"]
    assert "cannot be entered" in module(host, address="198.18.1.1", ports=["22/tcp"], namespace="nobody")["msg"]
    assert "route" in module(host, address="203.0.113.9", ports=["22/tcp"], namespace=path)["msg"]


def test_another_host_asks(host: NftablesHost, tmp_path: Path) -> None:
    """Two hosts of the inventory: one asks by its own connection, the firewall's host tells who drops."""
    controller = Controller(tmp_path / "controller")
    try:
        controller.manage("box", host)
        play = [
            {
                "hosts": "box",
                "gather_facts": False,
                "tasks": [
                    {
                        "autoprov.appliance.port_probe": {
                            "address": "198.18.2.1",
                            "from_host": "desk",
                            "ports": PORTS,
                            "timeout": 0.5,
                        }
                    }
                ],
            }
        ]
        asker = namespace(host, OTHERS)
        # Ansible enters the asker's network by a shell of its own, as if by a login there.
        shell = tmp_path / "shell"
        shell.write_text(f'#!/bin/sh\nexec nsenter --net={asker} /bin/sh "$@"\n')
        shell.chmod(0o755)
        controller.hosts["desk"] = {
            "ansible_connection": "local",
            "ansible_shell_executable": str(shell),
            "ansible_python_interpreter": sys.executable,
        }
        with host.listening([("tcp", 7001), ("udp", 7001)]):
            output = controller.play(play)
        results = [json.loads(line) for line in (controller.folder / "results.jsonl").read_text().splitlines()]
        ((name, result),) = results
        assert name == "box"
        assert found(result) == dict(zip(PORTS, STATES, strict=True)), output
        why = {item["port"]: item["why"] for item in result["ports"]}
        assert "policy of chain input of table inet filter" in why["7003/udp"]
        assert "not this one" in why["7004/tcp"]
    finally:
        controller.close()
