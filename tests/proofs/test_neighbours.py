# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking, by the kernel's own neighbour table: two hosts and a cable."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.proofs.appliance import Appliance
from tests.proofs.namespaces import Cable, requires_root
from tests.proofs.phones import Phone

pytestmark = pytest.mark.root
ALL = frozenset(Phone(1).secrets)
NONE: frozenset[object] = frozenset()
STRANGER = "02aabbccdd01"
OVER = {"IPv4": "198.18.7", "IPv6": "fd00:7:", "link-local": "fe80:"}
_ARP_IGNORE = "/proc/sys/net/ipv4/conf/all/arp_ignore"

# The first half of the request makes the connection; what happens then is told by lines from the proof.
_CLIENT = """
import socket, sys
host, port, request = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
s = socket.create_connection((host, port), timeout=20)
s.sendall(request[:20])
print("connected", flush=True)
sys.stdin.readline()
s.sendall(request[20:])
print("asked", flush=True)
sys.stdin.readline()
answer = b""
while piece := s.recv(65536):
    answer += piece
print(answer.hex(), flush=True)
"""


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Two hosts and a cable between them, with IPv6 as well."""
    requires_root()
    made = Cable()
    try:
        for within, number in ((made.in_first, 1), (made.in_second, 2)):
            for network in ("fd00:7:", "fe80:"):
                address = f"{network}:{number}/64"
                subprocess.run([*within, "ip", "addr", "add", address, "dev", "cable", "nodad"], check=True)
        yield made
    finally:
        made.remove()


class _Asker:
    """A device at the second end, halfway through its request."""

    def __init__(self, cable: Cable, appliance: Appliance, phone: Phone, network: str) -> None:
        dot = "." if network.count(".") else ":"
        self._cable, self._address = cable, f"{network}{dot}2"
        host = f"{network}{dot}1" + ("%cable" if network == "fe80:" else "")
        command = [*cable.in_second, sys.executable, "-c", _CLIENT, host, str(appliance.port), phone.request().hex()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._tell("connected")

    def answer(self, silent: bool = False) -> bytes:
        """The whole answer; a silent device tells nobody its MAC address until it has asked."""
        if silent:
            self._hear(False)
        forget = [*self._cable.in_first, "ip", "neigh", "del", self._address, "dev", "cable"]
        subprocess.run(forget, check=True)
        self._say()
        self._tell("asked")
        if silent:
            subprocess.run(["sleep", "2"], check=True)
            self._hear(True)
        self._say()
        output, _errors = self._process.communicate(timeout=30)
        return bytes.fromhex(output.strip())

    def _hear(self, whether: bool) -> None:
        # Both families: ARP is not answered, and questions of IPv6 do not come in.
        script = f"echo {0 if whether else 8} > {_ARP_IGNORE}; " + (
            "nft delete table ip6 silent"
            if whether
            else "nft 'table ip6 silent { chain in { type filter hook input priority 0; "
            "icmpv6 type nd-neighbor-solicit drop; }; chain out { type filter hook output priority 0; "
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop; }; }'"
        )
        subprocess.run([*self._cable.in_second, "sh", "-c", script], check=True)

    def _say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _tell(self, what: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == what


@pytest.fixture
def appliance(appliances: Callable[..., Appliance], cable: Cable) -> Appliance:
    """A service at the first end."""
    made = appliances(listen="[::]")
    made.start(within=cable.in_first)
    made.set_up([Phone(1), Phone(2)])
    return made


@pytest.mark.parametrize("network", OVER.values(), ids=OVER)
def test_a_device_that_hides_its_mac_address_gets_nothing_and_the_phone_does(
    appliance: Appliance, cable: Cable, network: str
) -> None:
    """Neither a MAC address of its own nor none at all gets a device another phone's passwords; the phone, forgotten by
    the kernel in the middle of its request, is asked for and gets them.
    """
    phone = Phone(1)
    cable.set_mac(STRANGER)
    assert phone.secrets_in(_Asker(cable, appliance, phone, network).answer()) == NONE
    if network == OVER["IPv4"] or _has_nft(cable):
        assert phone.secrets_in(_Asker(cable, appliance, phone, network).answer(silent=True)) == NONE
        told = appliance.api("GET", f"/phones/{phone.mac}/why")["requests"][-1]["reason"]
        assert "vouches for nobody there" in told
    assert set(appliance.states(phone).values()) == {"armed"}
    cable.set_mac(phone.mac)
    if network == "fe80:":
        subprocess.run([*cable.in_second, "ip", "addr", "replace", "fe80::2/64", "dev", "cable", "nodad"], check=True)
    assert phone.secrets_in(_Asker(cable, appliance, phone, network).answer()) == ALL


def _has_nft(cable: Cable) -> bool:
    found = subprocess.run([*cable.in_second, "nft", "list", "ruleset"], capture_output=True, check=False)
    return found.returncode == 0
