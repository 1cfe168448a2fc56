# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_probe sees what each server does by itself with an option 66 that its administrator has set.

Asked on the server's own interface, and on a neighbour's: both must be told the same. What the servers do differs,
which is why dhcp_options exists (test_dhcp_matrix.py), and why the probe looks into the field sname.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kea_site import CONFIG, KeaSite
from .sites import MODULES, REPOSITORY, Answer, Site

pytestmark = pytest.mark.root

URL = "http://site/"
DNSMASQ = """port=0
interface=srv0
%(bind)s
%(ping)s
dhcp-range=198.18.0.50,198.18.0.250,1h
dhcp-option=66,"%(url)s"
"""
DHCPD = """ping-check false;
option tftp-server-name "%(url)s";
subnet 198.18.0.0 netmask 255.255.255.0 { range 198.18.0.50 198.18.0.250; }
"""


class DnsmasqAlone(Site):
    """dnsmasq, which listens on a UDP socket."""

    program, package = "dnsmasq", "dnsmasq-base"
    bind, ping = "bind-dynamic", "no-ping"

    def start(self) -> None:
        """Start dnsmasq and wait until it listens."""
        self.config.write_text(DNSMASQ % {"url": URL, "bind": self.bind, "ping": self.ping})
        leases = f"--dhcp-leasefile={self.folder}/leases"
        command = ["dnsmasq", "--keep-in-foreground", "--user=root", leases, "--pid-file=", f"-C{self.config}"]
        self.launch(command, lambda: self.listens())

    def listens(self) -> bool:
        """Is port 67 open there?"""
        assert self.process is not None
        table = Path(f"/proc/{self.process.pid}/net/udp")
        return ":0043 " in table.read_text()


class DhcpdAlone(DnsmasqAlone):
    """ISC dhcpd, which listens on a packet socket."""

    program, package = "dhcpd", "isc-dhcp-server"

    def start(self) -> None:
        self.config.write_text(DHCPD % {"url": URL})
        leases = self.folder / "leases"
        leases.touch()
        own = ["-lf", str(leases), "-pf", str(self.folder / "dhcpd.pid"), "-cf", str(self.config)]
        self.launch(["dhcpd", "-4", "-f", "-q", *own, "srv0"], lambda: self.listens())


class KeaAlone(KeaSite):
    """Kea, which listens on a packet socket."""

    def start(self) -> None:
        mark = '"ntp-servers",   "data": "198.18.0.1" }'
        self.write(CONFIG.replace(mark, f'{mark}, {{ "code": 66, "data": "{URL}" }}'))
        super().start()


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """The server that the test names, running."""
    kind: type[Any] = request.param
    kind.require()
    site = kind(tmp_path, f"aps{os.getpid()}")
    try:
        site.build()
        site.start()
        yield site
    finally:
        site.tear_down()


def ask(namespace: str, interface: str, **arguments: Any) -> dict[str, Any]:
    """What dhcp_probe says there: of the first client, of all, and its findings."""
    arguments = {"interfaces": [interface], "wait": 0, "timeout": 5, **arguments}
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-m", f"{MODULES}.dhcp_probe"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections"), PYTHONWARNINGS="ignore"),
        timeout=60,
    )
    answer = Answer(done.returncode, json.loads(done.stdout.strip().splitlines()[-1]))
    assert answer.code == 0, answer
    client = answer.result["clients"][0]
    return {**answer.result, **client}


NOTHING = (None, None)
OPTION, SNAME = (URL, "option 66"), (URL, "sname")
#: By server: what a client takes that asks for 66, that asks for others, that sends no list.
BY_THEMSELVES = [
    pytest.param(KeaAlone, (OPTION, NOTHING, NOTHING), id="kea"),
    pytest.param(DnsmasqAlone, (OPTION, SNAME, SNAME), id="dnsmasq"),
    pytest.param(DhcpdAlone, (OPTION, NOTHING, OPTION), id="dhcpd"),
]


@pytest.mark.parametrize(("server", "taken"), BY_THEMSELVES, indirect=["server"])
def test_what_servers_do_by_themselves(server: Site, taken: tuple[tuple[str | None, str | None], ...]) -> None:
    for asked, expected in zip((["1", "66"], ["1", "3"], []), taken, strict=True):
        own = ask(server.server, "srv0", request_list=asked)
        neighbour = ask(server.client, "cli0", request_list=asked)
        for seen in (own, neighbour):
            assert len(seen["offers"]) == 1, (asked, seen)
            assert (seen["provisioning_url"], seen["provisioning_source"]) == expected, (asked, seen)
            assert bool([line for line in seen["findings"] if "in the field sname" in line]) == (expected == SNAME)
        for offer in (own["offers"][0], neighbour["offers"][0]):
            del offer["seconds"], offer["address"]
        assert own["offers"] == neighbour["offers"], asked
        nul = b"\0" if server.program == "dnsmasq" else b""
        if expected == OPTION:
            assert own["offers"][0]["options"]["66"]["hex"] == (URL.encode() + nul).hex()
            assert own["offers"][0]["options"]["66"]["value"] == URL


class DnsmasqOnEverything(DnsmasqAlone):
    """As Debian installs it: one socket for all interfaces, and a ping before each offer."""

    bind, ping = "", ""


@pytest.mark.parametrize("server", [DnsmasqOnEverything], indirect=True)
def test_a_server_that_pings_first_is_waited_for(server: Site) -> None:
    """dnsmasq sends a ping and waits three seconds for it; three phones at once wait for one another."""
    report = ask(server.server, "srv0", vendors=["snom", "yealink", "gigaset"])
    assert report["offers"][0]["seconds"] >= 2
    assert all(client["offers"] for client in report["clients"])
    assert report["provisioning_url"] == URL
    assert ask(server.server, "srv0", vendors=["gigaset"], mac="7c2f80617001")["provisioning_url"] == URL
