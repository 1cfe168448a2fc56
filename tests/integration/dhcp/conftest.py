# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site in two network namespaces: a real Kea in one, a client in the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
KEA = shutil.which("kea-dhcp4", path="/usr/sbin:/usr/local/sbin")
RUNTIME = Path("/run/kea")  # the only place where Kea 2.6 and later accept a control socket
MODULE = "ansible_collections.autoprov.appliance.plugins.modules.dhcp_options"

# An administrator's file: comments of all three kinds, odd spacing, everything that must stay.
CONFIG = """// The DHCP server of the voice network. Ask Jo before you change it!
{ "Dhcp4": {
    "interfaces-config": { "interfaces": [ "srv0" ] }, # the voice port
    "control-socket": { "socket-type": "unix", "socket-name": "%(socket)s" },
    "lease-database": { "type": "memfile", "persist": false },
    "option-data": [
        { "name":"ntp-servers",   "data": "198.18.0.1" } // our clock
    ],
    /* one subnet,
       for now */
    "subnet4": [ { "id": 1, "subnet": "198.18.0.0/24",
        "pools": [ { "pool": "198.18.0.50 - 198.18.0.250" } ]
    } ]
} }
"""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@dataclass
class Answer:
    """What the module answered, and how it ended."""

    code: int
    result: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.result.get("msg", ""))


@dataclass
class KeaSite:
    folder: Path
    prefix: str
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)
    config: Path = field(init=False)
    socket: Path = field(init=False)
    leases: Path = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.folder / "kea-dhcp4.conf"
        self.log = self.folder / "kea.log"
        self.leases = self.folder / "leases"
        self.socket = RUNTIME / f"{self.prefix}.sock"

    @property
    def server(self) -> str:
        return f"{self.prefix}_s"

    @property
    def client(self) -> str:
        return f"{self.prefix}_c"

    def build(self) -> None:
        for name in (self.server, self.client):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run(
            "ip",
            "link",
            "add",
            "srv0",
            "netns",
            self.server,
            "type",
            "veth",
            "peer",
            "name",
            "cli0",
            "netns",
            self.client,
        )
        _run("ip", "-n", self.server, "addr", "add", "198.18.0.1/24", "dev", "srv0")
        _run("ip", "-n", self.server, "link", "set", "srv0", "up")
        _run("ip", "-n", self.client, "link", "set", "cli0", "up")

    def tear_down(self) -> None:
        self.stop()
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        for path in RUNTIME.glob(f"{self.prefix}*"):
            path.unlink()

    def write(self, text: str = CONFIG) -> str:
        """Write the configuration; %(socket)s in it is this site's control socket."""
        text = text.replace("%(socket)s", str(self.socket))
        self.config.write_bytes(text.encode())
        return text

    def start(self) -> None:
        environment = dict(os.environ, KEA_LOCKFILE_DIR="none", KEA_PIDFILE_DIR=str(self.folder))
        environment["KEA_DHCP_DATA_DIR"] = str(self.leases)  # from Kea 2.6 on, leases may be nowhere else
        self.socket.unlink(missing_ok=True)  # Kea leaves it behind
        command = ["ip", "netns", "exec", self.server, str(KEA), "-c", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        end = time.monotonic() + 10
        while not self.socket.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def module(self, check: bool = False, **arguments: Any) -> Answer:
        """Run the module itself, in the server's network namespace, with the real argument specification."""
        arguments = {"config_file": str(self.config), **arguments}
        arguments |= {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.folder)}
        command = ["ip", "netns", "exec", self.server, sys.executable, "-m", MODULE]
        done = subprocess.run(
            command,
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections"), PYTHONWARNINGS="ignore"),
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, json.loads(done.stdout.strip().splitlines()[-1]))

    def offer(
        self, mac: str = "020000000001", vendor_class: str | None = None, request: list[int] | None = None
    ) -> dict[int, str]:
        """What a client on the other side is offered: options as text; empty when there is no offer."""
        script = (
            "import json, sys\n"
            "from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import options, probe\n"
            "mac, vendor_class, request = json.loads(sys.argv[1])\n"
            "client = probe.Client(mac, vendor_class, None if request is None else tuple(request))\n"
            "offers = probe.discover('cli0', client, timeout=3)\n"
            "print(json.dumps({c: options.display(d) for c, d in offers[0].options.items()} if offers else {}))\n"
        )
        done = subprocess.run(
            [
                "ip",
                "netns",
                "exec",
                self.client,
                sys.executable,
                "-c",
                script,
                json.dumps([mac, vendor_class, request]),
            ],
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections")),
            timeout=60,
        )
        return {int(code): value for code, value in json.loads(done.stdout).items()}

    def reloads(self) -> int:
        return self.log.read_text().count("DHCP4_DYNAMIC_RECONFIGURATION ")

    def files(self) -> dict[str, bytes]:
        """The configuration folder, without the log, the process id and the backup."""
        paths = [path for path in self.folder.iterdir() if path.suffix in (".conf", ".json") and path.is_file()]
        return {path.name: path.read_bytes() for path in sorted(paths)}


def require_namespaces() -> None:
    """Skip, and say what is missing, where there can be no site."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and a DHCP server")
    if KEA is None:
        pytest.skip("needs Kea: apt-get install kea-dhcp4-server")
    if shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        pytest.skip("needs ip: apt-get install iproute2")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[KeaSite]:
    """A running Kea with the administrator's configuration, and a client beside it."""
    require_namespaces()
    profiles = Path("/sys/kernel/security/apparmor/profiles")
    if profiles.exists() and "kea-dhcp4 (enforce)" in profiles.read_text():
        pytest.skip("AppArmor confines Kea to /etc/kea: aa-complain kea-dhcp4, or test in a container")
    if not RUNTIME.exists():
        RUNTIME.mkdir(mode=0o750)
    kea = KeaSite(tmp_path, f"apd{os.getpid()}")
    try:
        kea.build()
        kea.write()
        kea.start()
        yield kea
    finally:
        kea.tear_down()
