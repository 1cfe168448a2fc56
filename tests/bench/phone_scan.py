# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A search of a /22 behind one hop: 1,022 agents of net-snmp answer; the module beside nmap with snmp-sysdescr.

Whole commands, in turns: the search in a Python of its own, without what Ansible adds to any module; nmap as people
run it to be quick.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.service import REPOSITORY
from tests.proofs.namespaces import Cable

NETWORK, HOSTS = "198.18.64.0/22", 1022
ROUNDS = 5
AIM_SECONDS = 0.75
_SNMPD = """
agentaddress udp:161
rocommunity search
sysDescr snomD785-SIP 10.1.33.33
"""
_MODULE = """
import json, sys, time
from ansible_collections.autoprov.appliance.plugins.module_utils._scan import engine
search = engine.Search([sys.argv[1]], [], 1024, ["snmp"], "search", float(sys.argv[2]), 0.5, [])
print(json.dumps([phone["model"] for phone in engine.scan(search)["phones"]]))
"""


def run() -> None:
    """Measure and print."""
    if missing := [tool for tool in ("nmap", "snmpd") if shutil.which(tool) is None]:
        raise SystemExit(f"{' and '.join(missing)} missing; run make setup as root")
    if os.geteuid() != 0:
        raise SystemExit("the benchmark phone_scan needs root, for network namespaces")
    cable = Cable()
    try:
        with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name, answering(cable, Path(name)):
            _measure(cable, Path(name))
    finally:
        cable.remove()


@contextlib.contextmanager
def answering(cable: Cable, folder: Path) -> Iterator[None]:
    """One agent that answers at every address of the network, behind the cable."""
    for command in (
        [*cable.in_second, "ip", "link", "set", "lo", "up"],
        [*cable.in_second, "ip", "route", "add", "local", NETWORK, "dev", "lo"],
        [*cable.in_first, "ip", "route", "add", NETWORK, "via", Cable.second],
    ):
        subprocess.run(command, check=True)
    configuration = folder / "snmpd.conf"
    configuration.write_text(_SNMPD)
    command = [
        *cable.in_second,
        "snmpd",
        "-f",
        "-Lf",
        "/dev/null",
        "-C",
        "-c",
        str(configuration),
        "-p",
        f"{folder}/pid",
    ]
    with subprocess.Popen(command, env=os.environ | {"SNMP_PERSISTENT_DIR": str(folder)}) as agent:
        try:
            deadline = time.monotonic() + 10
            while not _found(cable, ["198.18.64.1/32", "0"])[0]:
                if time.monotonic() > deadline:
                    raise SystemExit("snmpd does not answer")
            yield
        finally:
            agent.terminate()


def _found(cable: Cable, arguments: list[str]) -> tuple[int, float]:
    """How many were found and identified, and the seconds of the whole command."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "collections")}
    started = time.monotonic()
    command = [*cable.in_first, sys.executable, "-c", _MODULE, *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout).count("D785"), time.monotonic() - started


def _nmap(cable: Cable, folder: Path) -> tuple[int, float]:
    started = time.monotonic()
    command = [
        *cable.in_first, "nmap", "-sU", "-p161", "-n", "-Pn", "-T5", "--min-parallelism", "256", "--script",
        "snmp-sysdescr", "--script-args", "creds.snmp=search", "-oN", str(folder / "nmap"), NETWORK,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    took = time.monotonic() - started
    return len(re.findall("snmp-sysdescr: *snomD785", (folder / "nmap").read_text())), took


def _measure(cable: Cable, folder: Path) -> None:
    ours, peer = [], []
    for _round in range(ROUNDS):
        ours.append(_found(cable, [NETWORK, "0"]))
        peer.append(_nmap(cable, folder))
    print(f"\nphone search: {HOSTS} addresses of a /22 behind one hop, all answering; {ROUNDS} rounds in turn, medians")
    print(f"{'':14}{'found':>8}{'seconds':>10}   aim")
    for name, rounds, aim in (("autoprov", ours, f"<= {AIM_SECONDS} s, {HOSTS} found"), ("nmap", peer, "")):
        fewest = min(found for found, _took in rounds)
        print(f"{name:14}{fewest:8}{statistics.median(took for _found, took in rounds):10.2f}   {aim}")
