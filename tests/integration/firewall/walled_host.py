# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a firewall of its own, and two networks of senders: namespaces for packets, and for everything in /etc.

The host is a network namespace and a mount namespace. Its /run is empty, and the folders its firewall writes to are
copies, so nothing here can reach the machine's own firewall.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
#: Names of namespaces and what they are: the phones' network, and another one.
PHONES, OTHERS = "phones", "others"
NETWORKS = {PHONES: ("198.18.1.0/24", "fd00:18:1::/64"), OTHERS: ("198.18.2.0/24", "fd00:18:2::/64")}
INTERFACES = {PHONES: "voice0", OTHERS: "office0"}
Port = tuple[str, int]

_LISTENER = """
import asyncio, json, socket, struct, sys
ports, groups = json.loads(sys.argv[1])
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, sender):
        print(json.dumps([data.decode(errors="replace"), sender[0]]), flush=True)
        self.transport.sendto(b"here", sender)
async def serve(reader, writer):
    writer.write(b"here"); writer.close()
async def main():
    loop = asyncio.get_running_loop(); keep = []
    for protocol, port in ports:
        if protocol == "tcp":
            keep.append(await asyncio.start_server(serve, None, port))
            continue
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            own = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6: own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            own.bind((address, port))
            for group, interface in groups if family == socket.AF_INET else []:
                request = struct.pack("4s4si", socket.inet_aton(group), b"", socket.if_nametoindex(interface))
                own.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            keep.append(await loop.create_datagram_endpoint(Echo, sock=own))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

_PROBE = """
import asyncio, json, socket, sys
address, ports, patience = json.loads(sys.argv[1])
class Asked(asyncio.DatagramProtocol):
    def __init__(self): self.done = asyncio.get_running_loop().create_future()
    def datagram_received(self, data, sender): self.done.done() or self.done.set_result("open")
    def error_received(self, exc): self.done.done() or self.done.set_result("rejected")
async def ask(protocol, port):
    try:
        if protocol == "tcp":
            reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), patience)
            data = await asyncio.wait_for(reader.read(4), patience); writer.close()
            return "open" if data == b"here" else "strange"
        loop = asyncio.get_running_loop()
        transport, asked = await loop.create_datagram_endpoint(Asked, remote_addr=(address, port))
        transport.sendto(b"hello")
        try:
            return await asyncio.wait_for(asked.done, patience)
        finally:
            transport.close()
    except asyncio.TimeoutError:
        return "filtered"
    except OSError:
        return "rejected"
async def main():
    return await asyncio.gather(*(ask(*item) for item in ports))
print(json.dumps(asyncio.run(main())))
"""

_SENDER = """
import json, socket, struct, sys
what, group, port, word = json.loads(sys.argv[1])
if what == "group":
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    own.sendto(word.encode(), (group, port))
else:  # who has no address yet: 0.0.0.0 to everybody on the cable
    data = struct.pack("!HHHH", 68, port, 8 + len(word), 0) + word.encode()
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 1, 0, 64, 17, 0, bytes(4), b"\\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    own = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    own.bind(("eth0", 0x0800))
    own.send(b"\\xff" * 6 + own.getsockname()[4] + b"\\x08\\x00" + head + data)
"""

_ENGINE = """
import json, sys, traceback
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import engine, rollback
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.backend import Connection
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.errors import FirewallError
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.intent import build_intent
wanted = json.load(sys.stdin)
try:
    if wanted.get("token"):
        getattr(rollback, wanted["verb"])(wanted["token"])
        answer = {}
    else:
        openings = build_intent(**wanted["intent"])
        if wanted.get("connection"):
            wanted["request"]["connection"] = Connection(*wanted["connection"])
        answer = vars(engine.run(engine.Request(openings=openings, **wanted["request"])))
except FirewallError as exc:
    answer = {"faults": exc.faults, "details": exc.details}
print(json.dumps(answer))
"""


def run(*command: str) -> None:
    """Run a command that has to succeed."""
    subprocess.run(command, check=True, capture_output=True, text=True)


@dataclass
class Answer:
    """What the engine answered."""

    changed: bool = False
    backend: str = ""
    reason: str = ""
    version: str = ""
    openings: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    token: str | None = None
    faults: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """All differences, as Ansible shows them."""
        return "".join(item["prepared"] for item in self.diff)


class WalledHost:
    """What is common to all firewalls."""

    backend: ClassVar[str]
    #: Programs that must be there, and the package each is in.
    programs: ClassVar[dict[str, str]] = {"ip": "iproute2", "nft": "nftables", "unshare": "util-linux"}
    #: What the host gets a copy of.
    copied: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.holder: subprocess.Popen[bytes] | None = None
        self.started: list[subprocess.Popen[bytes]] = []

    @classmethod
    def require(cls) -> None:
        """Skip, and say what is missing, where there can be no such host."""
        if os.geteuid() != 0:
            pytest.skip("needs root: network namespaces and a firewall")
        for program, package in cls.programs.items():
            if shutil.which(program, path=SBIN) is None:
                pytest.skip(f"needs {program}: apt-get install {package}")

    # The host

    def build(self) -> None:
        """Make the namespaces, the cables between them, and the copies."""
        host = f"{self.prefix}_h"
        run("ip", "netns", "add", host)
        run("ip", "-n", host, "link", "set", "lo", "up")
        for name, networks in NETWORKS.items():
            inside, cable = f"{self.prefix}_{name[0]}", INTERFACES[name]
            run("ip", "netns", "add", inside)
            run("ip", "-n", inside, "link", "set", "lo", "up")
            run("ip", "link", "add", cable, "netns", host, "type", "veth", "peer", "name", "eth0", "netns", inside)
            for network in map(ipaddress.ip_network, networks):
                more = ["nodad"] if network.version == 6 else []
                mask = f"/{network.prefixlen}"
                run("ip", "-n", host, "addr", "add", str(network[1]) + mask, "dev", cable, *more)
                run("ip", "-n", inside, "addr", "add", str(network[2]) + mask, "dev", "eth0", *more)
            run("ip", "-n", host, "link", "set", cable, "up")
            run("ip", "-n", inside, "link", "set", "eth0", "up")
        mounts = ["mount -t tmpfs tmpfs /run", "mkdir /run/lock /run/dbus"]
        for path in map(Path, self.copied):
            copy = self.folder / "copies" / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, copy, symlinks=True) if path.is_dir() else shutil.copy2(path, copy)
            mounts.append(f"mount --bind {copy} {path}")
        ready = self.folder / "ready"
        script = "set -e; " + "; ".join([*mounts, f"touch {ready}", "exec sleep infinity"])
        self.holder = subprocess.Popen(["ip", "netns", "exec", host, "unshare", "--mount", "sh", "-c", script])
        self.wait(ready.exists, "the host's namespaces")

    def tear_down(self) -> None:
        """End what was started, and remove the namespaces."""
        for process in [*reversed(self.started), self.holder]:
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for name in ("h", *(name[0] for name in NETWORKS)):
            # Whatever a daemon has left behind in there (a helper of D-Bus, the timer) is ours too.
            pids = subprocess.run(["ip", "netns", "pids", f"{self.prefix}_{name}"], capture_output=True, text=True)
            for pid in pids.stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            subprocess.run(["ip", "netns", "del", f"{self.prefix}_{name}"], check=False, capture_output=True)

    @staticmethod
    def wait(ready: Any, what: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, f"{what}: not ready within {seconds} seconds"
            time.sleep(0.02)

    @property
    def inside(self) -> list[str]:
        """What a command begins with to be run on the host."""
        assert self.holder is not None
        return ["nsenter", "--target", str(self.holder.pid), "--mount", "--net"]

    def do(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """Run a command on the host. Returns what it prints."""
        done = subprocess.run(
            [*self.inside, *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=dict(os.environ, PATH=SBIN, LC_ALL="C"),
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        """Start a daemon on the host."""
        with (self.folder / log).open("ab") as stream:
            process = subprocess.Popen(
                [*self.inside, *command], stdout=stream, stderr=stream, env=dict(os.environ, PATH=SBIN)
            )
        self.started.append(process)
        return process

    def files(self) -> dict[str, bytes]:
        """Everything in the copies."""
        root = self.folder / "copies"
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    def rules(self) -> str:
        """Everything the kernel filters by, without what it counts."""
        return self.do("nft", "--stateless", "list", "ruleset")

    # What is under test

    def engine(self, check_mode: bool = False, **wanted: Any) -> Answer:
        """Open what is wanted (as for build_intent), and nothing else of ours."""
        request: dict[str, Any] = {"backend": wanted.pop("backend", self.backend), "check_mode": check_mode}
        request["confirm_seconds"] = wanted.pop("confirm_seconds", None)
        return self._ask(request=request, connection=wanted.pop("connection", None), intent=wanted)

    def decide(self, verb: str, token: str) -> Answer:
        """Confirm a change, or take it back."""
        return self._ask(verb=verb, token=token)

    def _ask(self, **wanted: Any) -> Answer:
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", _ENGINE],
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections")),
        )
        assert done.returncode == 0, done.stderr
        return Answer(**json.loads(done.stdout))

    # Packets

    @contextmanager
    def listening(self, ports: Iterable[Port], groups: Iterable[str] = ()) -> Iterator[Path]:
        """Have the host answer on these ports; yields the file of what came in by UDP, and from whom."""
        log = self.folder / f"heard-{time.monotonic_ns()}"
        joined = [(group, interface) for group in groups for interface in INTERFACES.values()]
        process = self.start(sys.executable, "-c", _LISTENER, json.dumps([list(ports), joined]), log=log.name)
        try:
            self.wait(lambda: b"ready" in log.read_bytes() or process.poll() is not None, "the listener")
            assert process.poll() is None, log.read_text()
            yield log
        finally:
            process.terminate()
            process.wait(10)
            self.started.remove(process)

    def ask(self, sender: str, ports: Iterable[Port], version: int = 4, patience: float = 1.0) -> dict[Port, str]:
        """What a sender in a network finds on the host: each port is open, rejected or filtered."""
        return self.ask_all([(sender, version)], ports, patience)[0]

    def ask_all(
        self, askers: Iterable[tuple[str, int]], ports: Iterable[Port], patience: float = 1.0
    ) -> list[dict[Port, str]]:
        """The same for several senders, each over a version of IP, at once."""
        wanted = list(ports)
        asked = []
        for sender, version in askers:
            address = str(ipaddress.ip_network(NETWORKS[sender][0 if version == 4 else 1])[1])
            command = [*self.senders(sender), sys.executable, "-c", _PROBE, json.dumps([address, wanted, patience])]
            asked.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return [dict(zip(wanted, json.loads(process.communicate(timeout=120)[0]), strict=True)) for process in asked]

    def heard(self, log: Path, messages: Iterable[tuple[str, str, int, str]], patience: float = 1.0) -> list[bool]:
        """Whether the host hears each of these: sender, to a `group` or from `nobody` with an address, port, group."""
        words = []
        for sender, what, port, group in messages:
            words.append(f"word-{time.monotonic_ns()}")
            run(*self.senders(sender), sys.executable, "-c", _SENDER, json.dumps([what, group, port, words[-1]]))
        end = time.monotonic() + patience
        while time.monotonic() < end and not all(word in log.read_text() for word in words):
            time.sleep(0.02)
        return [word in log.read_text() for word in words]

    def senders(self, name: str) -> list[str]:
        """What a command begins with to be run in a network of senders."""
        return ["ip", "netns", "exec", f"{self.prefix}_{name[0]}"]
