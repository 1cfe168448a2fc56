# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with nftables between two networks, in namespaces of its own: its rules, its files, and real packets.

The host's files are its own, too: what is written to /etc, /usr/local and /run is seen by this host only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from . import packets, rulesets

REPOSITORY = Path(__file__).resolve().parents[3]
FIREWALL = "ansible_collections.autoprov.appliance.plugins.module_utils._firewall"
SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
GROUP = "224.0.1.75"
ALLOWED, OTHER = "phones", "others"
NETWORKS = {ALLOWED: ["198.18.1.0/24", "2001:db8:1::/64"], OTHER: ["198.18.2.0/24", "2001:db8:2::/64"]}
TCP = [22, 389, 636, 5060, 5061, 50080, 50081, 50082, 8080]
UDP = [67, 69, 123, 5060, 9999, 10000, 15000, 20000]
WAIT = 0.25  # seconds until a packet counts as lost: the other end is the same machine

#: What a host of its own is: files written here are seen here only. $1: a folder for them.
_HOST = """
set -e
mount -t tmpfs tmpfs "$1"
for folder in etc usr/local; do
    name=$(echo $folder | tr / _)
    mkdir "$1/$name" "$1/$name.work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$name,workdir=$1/$name.work" "/$folder"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
rm -rf /etc/systemd/system/*.wants/nftables.service /etc/nftables.d
echo ready
exec sleep infinity
"""

#: Runs the engine as the module does. Told: the intent, and the request; `before` is run first (Python).
_ENGINE = """
import json, sys, time
from FIREWALL import engine, errors, intent, rollback
from FIREWALL.nftables import adapter as nftables
told = json.loads(sys.argv[1])
connection = told.pop("connection", None)
exec(told.pop("before", ""))
request = {name: told.pop(name) for name in ("check_mode", "backend", "confirm_seconds") if name in told}
began = time.monotonic()
try:
    if connection:
        request["connection"] = engine.Connection(*connection)
    found = engine.run(engine.Request(intent.build_intent(**told), **request))
    found = dict(vars(found), faults=[])
except errors.FirewallError as exc:
    found = {"faults": exc.faults, "details": exc.details, "changed": None}
print(json.dumps(dict(found, seconds=time.monotonic() - began)))
""".replace("FIREWALL", FIREWALL)


@dataclass
class Outcome:
    """What the engine answered."""

    changed: bool | None
    faults: list[str]
    seconds: float
    notes: list[str] = field(default_factory=list)
    diff: str = ""
    token: str | None = None
    backend: str = ""
    reason: str = ""

    @property
    def fault(self) -> str:
        return "; ".join(self.faults)


class NftablesSite:
    """The host (`host`), and a machine in each of the two networks (`phones`, `others`)."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.processes: list[subprocess.Popen[str]] = []
        self.host: subprocess.Popen[str] | None = None
        #: A process in the phones' network, by which those on the host reach it.
        self.phone: subprocess.Popen[str] | None = None
        self.heard = folder / "heard"

    @classmethod
    def require(cls) -> None:
        """Skip, and say what is missing, where there can be no site."""
        if os.geteuid() != 0:
            pytest.skip("needs root: network namespaces and nftables")
        for program, package in (("nft", "nftables"), ("ip", "iproute2"), ("iptables-nft", "iptables")):
            if shutil.which(program, path=SBIN) is None:
                pytest.skip(f"needs {program}: apt-get install {package}")

    def namespace(self, name: str) -> str:
        return f"{self.prefix}_{name}"

    def build(self) -> None:
        """Make the namespaces, the cables, the host's own files, and whoever answers on its ports."""
        for name in ("host", ALLOWED, OTHER):
            _run("ip", "netns", "add", self.namespace(name))
            _run("ip", "-n", self.namespace(name), "link", "set", "lo", "up")
        for number, name in ((1, ALLOWED), (2, OTHER)):
            ends = [f"{name}0", "netns", self.namespace("host"), "type", "veth"]
            _run("ip", "link", "add", *ends, "peer", "name", "uplink", "netns", self.namespace(name))
            for namespace, device, last in (("host", f"{name}0", 1), (name, "uplink", 2)):
                where = ["-n", self.namespace(namespace), "addr", "add"]
                _run("ip", *where, f"198.18.{number}.{last}/24", "dev", device)
                _run("ip", *where, f"2001:db8:{number}::{last}/64", "dev", device, "nodad")
                _run("ip", "-n", self.namespace(namespace), "link", "set", device, "up")
        private = self.folder / "host"
        private.mkdir()
        self.host = self._start(
            "host", "unshare", "--mount", "--propagation", "private", "sh", "-c", _HOST, "sh", str(private)
        )
        self.phone = self._start(ALLOWED, "sh", "-c", "echo ready; exec sleep infinity")
        told = {"tcp": TCP, "udp": UDP, "group": GROUP, "heard": str(self.heard)}
        told["interfaces"] = ["198.18.1.1", "198.18.2.1"]
        self._start("host", sys.executable, "-c", packets.ANSWER, json.dumps(told))

    def tear_down(self) -> None:
        """End what was started, and remove the namespaces."""
        for process in self.processes:
            process.kill()
            process.wait(10)
            for stream in (process.stdout, process.stdin):
                if stream is not None:
                    stream.close()
        self.processes = []
        for name in ("host", ALLOWED, OTHER):
            subprocess.run(["ip", "netns", "del", self.namespace(name)], check=False, capture_output=True)

    def _start(self, namespace: str, *command: str) -> subprocess.Popen[str]:
        """Start a program in a namespace and wait until it says that it is ready."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace(namespace), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    # ------------------------------------------------------------------ the host

    def run(self, *command: str, stdin: str = "", check: bool = True, **environment: str) -> str:
        """Run a command on the host; its output."""
        assert self.host is not None
        enter = ["nsenter", f"--target={self.host.pid}", "--mount", "--net"]
        done = subprocess.run(
            [*enter, *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=self.environment() | environment,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment in which Python finds the collection."""
        return dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections"))

    def python(self, script: str, *words: str) -> str:
        """Run Python on the host."""
        return self.run(sys.executable, "-c", script, *words)

    def apply(self, *profiles: str, **told: Any) -> Outcome:
        """Have exactly these profiles open from the phones' networks; `told`: more of the intent and the request."""
        told = {"networks": NETWORKS[ALLOWED], "admin_networks": NETWORKS[ALLOWED][:1], **told, "profiles": profiles}
        found = json.loads(self.python(_ENGINE, json.dumps(told)).splitlines()[-1])
        found["diff"] = "".join(item["prepared"] for item in found.get("diff", []))
        known = {name: value for name, value in found.items() if name in Outcome.__dataclass_fields__}
        return Outcome(**known)

    def nft(self, *words: str, stdin: str = "") -> str:
        return self.run("nft", *words, stdin=stdin)

    def load(self, text: str) -> None:
        """Have the administrator load rules, over whatever there is."""
        self.nft("-f", "-", stdin=text)

    def load_iptables(self) -> None:
        """Have iptables-nft load its rules: Docker's and fail2ban's among them."""
        self.run("iptables-nft-restore", stdin=rulesets.IPTABLES)
        self.run("ip6tables-nft-restore", stdin=rulesets.IP6TABLES)

    def rules(self) -> str:
        """All rules as nft prints them, without what counts by itself."""
        text = re.sub(r"counter packets \d+ bytes \d+", "counter", self.nft("-s", "list", "ruleset"))
        return re.sub(r"(flags [a-z,]*dynamic\S*\n)\s*elements = \{[^}]*\}\n", r"\1", text)

    def others(self) -> list[Any]:
        """All rules of others in their order, without handles, which say when each was made."""
        found = []
        for item in json.loads(self.nft("-j", "list", "ruleset"))["nftables"]:
            ((kind, what),) = item.items()
            comment = str(what.get("comment", "")) if kind == "rule" else ""
            ours = (what.get("family"), what.get("table" if kind != "table" else "name")) == ("inet", "autoprov")
            if kind == "set" and "dynamic" in what.get("flags", ()):
                what.pop("elem", None)
            if kind != "metainfo" and not ours and not comment.startswith("autoprov:"):
                found.append([kind, _without(what)])
        return found

    def files(self) -> dict[str, str]:
        """What was written on this host: the hash of each file, folders too."""
        script = r"""
import hashlib, json, os, sys
found = {}
for top in ("/etc", "/usr/local/lib"):
    for folder, folders, names in os.walk(top):
        if "python3" in folder or "/ssl" in folder or "/containers" in folder:  # other tests make containers
            continue
        found[folder] = "folder"
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[path] = os.readlink(path)
            else:
                with open(path, "rb") as stream:
                    found[path] = "%o " % os.stat(path).st_mode + hashlib.sha256(stream.read()).hexdigest()
print(json.dumps(found))
"""
        return dict(json.loads(self.python(script)))

    def enable_service(self, text: str) -> None:
        """Have nftables.service load the administrator's file at the start of the host, and load it now."""
        link = "/etc/systemd/system/sysinit.target.wants/nftables.service"
        self.run("sh", "-c", f"mkdir -p $(dirname {link}) && ln -s /lib/systemd/system/nftables.service {link}")
        self.run("sh", "-c", "cat > /etc/nftables.conf && chmod 755 /etc/nftables.conf", stdin=text)
        self.restart_service()

    def restart_service(self) -> None:
        """What `systemctl restart nftables.service` does: it flushes everything, and loads the file."""
        unit = Path("/lib/systemd/system/nftables.service").read_text()
        for step in ("ExecStop", "ExecStart"):
            command = re.search(rf"^{step}=(.+)$", unit, re.MULTILINE)
            assert command is not None
            self.run("sh", "-c", command[1])
        self.start_units()

    def start_units(self) -> None:
        """What systemd runs after that: our unit, where it is enabled for nftables.service or the host's start."""
        for wanted_by in ("nftables.service", "sysinit.target"):
            path = f"/etc/systemd/system/{wanted_by}.wants/autoprov-nft.service"
            text = self.run("sh", "-c", f"cat {path} 2>/dev/null || true")
            command = re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)
            if command is not None:
                self.run("sh", "-c", command[1])
                return

    def reboot(self) -> None:
        """Nothing of what runs survives; what is enabled starts."""
        self.nft("flush", "ruleset")
        self.run("sh", "-c", "rm -rf /run/*; mkdir -p /run/lock")
        enabled = self.run("sh", "-c", "ls /etc/systemd/system/*.wants/nftables.service 2>/dev/null || true")
        if enabled:
            self.nft("-f", "/etc/nftables.conf")
        self.start_units()

    # ------------------------------------------------------------------ packets

    def ask(self, network: str, *ports: str, wait: float = WAIT) -> dict[str, str]:
        """What a machine in a network gets from `5060/udp`: open, refused, filtered. `…/6` asks by IPv6,
        `…/group` the multicast group."""
        return self.ask_from(network, "", *ports, wait=wait)

    def ask_from(self, network: str, source: str, *ports: str, wait: float = WAIT) -> dict[str, str]:
        """The same from another address of that machine."""
        number = 1 if network == ALLOWED else 2
        told = []
        for text in ports:
            port, protocol, *how = text.split("/")
            address, own = (f"198.18.{number}.1", source or f"198.18.{number}.2")
            if how == ["6"]:
                address, own = (f"2001:db8:{number}::1", f"2001:db8:{number}::2")
            elif how == ["group"]:
                address = GROUP
            told.append([protocol, int(port), address, own])
        done = subprocess.run(
            [
                "ip",
                "netns",
                "exec",
                self.namespace(network),
                sys.executable,
                "-c",
                packets.ASK,
                json.dumps(told),
                str(wait),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return dict(zip(ports, json.loads(done.stdout), strict=True))

    def add_address(self, network: str, address: str) -> None:
        """Give the machine in a network another address."""
        _run("ip", "-n", self.namespace(network), "addr", "add", f"{address}/24", "dev", "uplink")

    def discover(self, network: str) -> bool:
        """Whether the host hears a phone in that network that asks for an address."""
        before = self._heard()
        command = ["ip", "netns", "exec", self.namespace(network), sys.executable, "-c", packets.DISCOVER, "uplink"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        subprocess.run(["sleep", str(WAIT)], check=True)
        return self._heard() > before

    def _heard(self) -> int:
        return self.heard.read_text().count("67 0.0.0.0") if self.heard.exists() else 0

    def connecting(self, network: str, port: int) -> subprocess.Popen[str]:
        """Somebody who connects over and over; ends with its standard input."""
        number = 1 if network == ALLOWED else 2
        return self._start(network, sys.executable, "-c", packets.CONNECT, f"198.18.{number}.1", str(port))


def _without(found: Any) -> Any:
    """Without handles, and without what counts by itself."""
    if isinstance(found, dict):
        return {
            name: None if name == "counter" else _without(value) for name, value in found.items() if name != "handle"
        }
    return [_without(item) for item in found] if isinstance(found, list) else found


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
