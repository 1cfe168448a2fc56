# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site in two network namespaces: a DHCP server in one, clients in the other. Each server has a class of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = "ansible_collections.autoprov.appliance.plugins.modules"
SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"


def run(*command: str) -> None:
    """Run a command that has to succeed."""
    subprocess.run(command, check=True, capture_output=True, text=True)


@dataclass
class Answer:
    """What the module answered, and how it ended."""

    code: int
    result: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.result.get("msg", ""))


class Site:
    """What is common to all servers: namespaces, the modules run beside the server, clients on the other side."""

    program: ClassVar[str]
    package: ClassVar[str]
    #: What modules are run with.
    python = sys.executable
    python_path = str(REPOSITORY / "collections")

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "server.log"
        self.config = folder / "server.conf"

    @property
    def server(self) -> str:
        """The namespace of the server, which has 198.18.0.1 on srv0."""
        return f"{self.prefix}_s"

    @property
    def client(self) -> str:
        """The namespace of the clients, which have cli0 and no address."""
        return f"{self.prefix}_c"

    @classmethod
    def require(cls) -> None:
        """Skip, and say what is missing, where there can be no site."""
        if os.geteuid() != 0:
            pytest.skip("needs root: network namespaces and a DHCP server")
        if shutil.which(cls.program, path=SBIN) is None:
            pytest.skip(f"needs {cls.program}: apt-get install {cls.package}")
        if shutil.which("ip", path=SBIN) is None:
            pytest.skip("needs ip: apt-get install iproute2")

    def build(self) -> None:
        """Make the namespaces and the cable between them."""
        for name in (self.server, self.client):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        ends = ["srv0", "netns", self.server, "type", "veth", "peer", "name", "cli0", "netns", self.client]
        run("ip", "link", "add", *ends)
        run("ip", "-n", self.server, "addr", "add", "198.18.0.1/24", "dev", "srv0")
        run("ip", "-n", self.server, "link", "set", "srv0", "up")
        run("ip", "-n", self.client, "link", "set", "cli0", "up")

    def tear_down(self) -> None:
        """End the server and remove the namespaces."""
        self.stop()
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def inside(self, *command: str) -> list[str]:
        """A command as the server's host runs it."""
        return ["ip", "netns", "exec", self.server, *command]

    def launch(self, command: list[str], ready: Callable[[], bool], **environment: str) -> None:
        """Start the server in its namespace and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.inside(*command), stdout=log, stderr=log, env=os.environ | environment)
        end = time.monotonic() + 10
        while not ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def module(self, name: str = "dhcp_options", check: bool = False, **arguments: Any) -> Answer:
        """Run a module itself, in the server's network namespace, with its real argument specification."""
        if name != "dhcp_probe":  # which asks from the network
            arguments = {"config_file": str(self.config), **arguments}
        arguments |= {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.folder)}
        done = subprocess.run(
            self.inside(*self.python.split(), "-m", f"{MODULES}.{name}"),
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, PYTHONPATH=self.python_path, PYTHONWARNINGS="ignore"),
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, json.loads(done.stdout.strip().splitlines()[-1]))

    def offer(
        self,
        mac: str = "020000000001",
        vendor_class: str | None = None,
        request: list[int] | None = None,
        interface: str = "cli0",
    ) -> dict[int, str]:
        """What a client on the other side is offered: options as text; empty when there is no offer."""
        _address, options = self._first_offer(mac, vendor_class, request, interface)
        return options

    def hardware_address(self) -> str:
        """That of srv0, as hexadecimal digits."""
        command = ["ip", "-json", "-n", self.server, "link", "show", "srv0"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return str(json.loads(told)[0]["address"]).replace(":", "")

    def offered_address(self, mac: str) -> str:
        """Which address a client on the other side is offered; empty when there is no offer."""
        address, _options = self._first_offer(mac, None, None, "cli0")
        return address

    def _first_offer(
        self, mac: str, vendor_class: str | None, request: list[int] | None, interface: str
    ) -> tuple[str, dict[int, str]]:
        script = (
            "import json, sys\n"
            "from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import options, probe\n"
            "mac, vendor_class, request, interface = json.loads(sys.argv[1])\n"
            "client = probe.Client(mac, vendor_class, None if request is None else tuple(request))\n"
            "offers = probe.discover(interface, client, timeout=3)\n"
            "got = {c: options.display(d) for c, d in offers[0].options.items()} if offers else {}\n"
            "print(json.dumps([offers[0].address if offers else '', got]))\n"
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
                json.dumps([mac, vendor_class, request, interface]),
            ],
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections")),
            timeout=60,
        )
        address, options = json.loads(done.stdout)
        return address, {int(code): value for code, value in options.items()}
