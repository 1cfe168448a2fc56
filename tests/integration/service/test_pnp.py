# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP between two hosts: a real service, real multicast, and a phone that asks and acknowledges."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pnp_phones import PHONES, mutilated
from tests.postgres import Cluster
from tests.proofs.appliance import Appliance
from tests.proofs.databases import make
from tests.proofs.namespaces import Cable, requires_root

pytestmark = pytest.mark.root
PHONE, OTHER, STRANGER = "00041392d001", "00041392d002", "805e0c4d796d"

# Each line on the standard input is a list of datagrams (hex) and how long to listen for answers (seconds); each line
# that comes back is the answers, with where they came from. A NOTIFY is acknowledged, as a phone does.
_PHONE = """
import json, socket, sys, time
own = sys.argv[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
s.bind((own, 5060))
print("ready", flush=True)
for line in sys.stdin:
    datagrams, seconds, pause = json.loads(line)
    for number, datagram in enumerate(datagrams):
        s.sendto(bytes.fromhex(datagram), ("224.0.1.75", 5060))
        if pause and number % 50 == 49:
            time.sleep(pause)
    heard, end = [], time.monotonic() + seconds
    while len(heard) < 2 and (left := end - time.monotonic()) > 0:
        s.settimeout(left)
        try:
            data, source = s.recvfrom(65536)
        except TimeoutError:
            break
        text = data.decode()
        if text.startswith("NOTIFY"):
            lines = text.split("\\r\\n")
            kept = [each for each in lines if each.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
            s.sendto("\\r\\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode(), source)
        heard.append([text, source[0], source[1]])
    print(json.dumps(heard), flush=True)
"""

_FETCH = """
import sys, urllib.request as u
print(u.urlopen(u.Request(sys.argv[1], headers={"User-Agent": sys.argv[2]})).status)
"""

_PBX = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5060))
print(flush=True)
input()
"""


def _no_cluster() -> Cluster:
    raise AssertionError("SQLite needs none")


class Rig:
    """An appliance at one end of a cable, a phone at the other."""

    def __init__(self, cable: Cable, folder: Path) -> None:
        self.cable = cable
        self.appliance = Appliance(folder / "node", make("sqlite", folder, _no_cluster), listen="0.0.0.0")
        self.client: subprocess.Popen[str] | None = None
        cable.set_mac(PHONE)

    def start(self, wait: bool = True, **settings: str | float) -> None:
        """Start the service with these settings of SIP PnP, and the phone."""
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        with (self.appliance.folder / "autoprovd.toml").open("a") as stream:
            stream.write(f'[pnp]\ninterfaces = ["cable"]\n{lines}')
        self.appliance.start(within=self.cable.in_first)
        self.api("PUT", "/settings", json={"settings": {"public_host": Cable.first, "http_port": self.appliance.port}})
        phones = [{"mac": mac, "vendor": "snom", "model": "D785"} for mac in (PHONE, OTHER)]
        self.api("PUT", "/phones", json={"phones": phones})
        if wait:
            until(lambda: self.api("GET", "/pnp")["answers_on"] == ["cable"])
        command = [*self.cable.in_second, sys.executable, "-c", _PHONE, Cable.second]
        self.client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.client.stdout is not None
        assert self.client.stdout.readline() == "ready\n"

    def api(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """Call the admin API."""
        transport = httpx.HTTPTransport(uds=str(self.appliance.folder / "admin.sock"))
        with httpx.Client(transport=transport, base_url="http://appliance/api/v1", timeout=60) as client:
            answer = client.request(method, path, **how)
            assert answer.is_success, answer.text
            told: dict[str, Any] = answer.json()
            return told

    def send(self, datagrams: list[bytes], seconds: float = 2, pause: float = 0) -> list[tuple[str, str, int]]:
        """What the phone hears after it sent that: texts and where each came from."""
        assert self.client is not None
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps([[each.hex() for each in datagrams], seconds, pause]) + "\n")
        self.client.stdin.flush()
        return [(text, host, port) for text, host, port in json.loads(self.client.stdout.readline())]

    def ask(self, mac: str = PHONE, kind: str = "snom D120", call: str = "1", seconds: float = 2) -> list[Any]:
        """What a phone of that kind hears."""
        return self.send([PHONES[kind].datagram(mac, Cable.second, call=call)], seconds)

    def outcome(self, mac: str) -> list[tuple[str, str]]:
        """What is known of its questions."""
        requests = self.api("GET", f"/phones/{mac}/why")["requests"]
        return [(each["outcome"], each["reason"]) for each in requests if each["file"] == "SIP PnP"]

    def hindrance(self, mac: str) -> str | None:
        """The first condition that does not hold."""
        found = self.api("GET", f"/phones/{mac}")["zero_touch"]["hindrance"]
        return found and str(found["condition"])

    def stop(self) -> None:
        """End both."""
        if self.client is not None:
            self.client.kill()
            self.client.communicate()
        self.appliance.stop()


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    requires_root()
    cable = Cable()
    made = Rig(cable, tmp_path)
    try:
        yield made
    finally:
        made.stop()
        cable.remove()


def test_each_kind_of_phone_is_told_its_address_and_a_phone_comes_to_it(rig: Rig) -> None:
    rig.start()
    assert rig.hindrance(PHONE) == "heard"
    url = f"http://{Cable.first}:{rig.appliance.port}/"
    for number, kind in enumerate(PHONES):
        (accepted, *from_where), (told, host, port) = rig.ask(PHONE, kind, call=str(number))
        assert accepted.startswith("SIP/2.0 200 OK\r\n"), kind
        assert from_where == [Cable.first, 5060]
        assert told.startswith(f"NOTIFY sip:{Cable.second}:5060 SIP/2.0\r\n"), kind
        assert told.endswith(f"\r\n\r\n{url}")
        assert (host, port) != (Cable.first, 5060), "it is acknowledged where nobody else listens"
    until(lambda: bool(rig.outcome(PHONE)))
    assert rig.outcome(PHONE) == [("told the address", f"configuration at {url}")]
    agent = f"Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 {PHONE.upper()} SXM:0 UXM:0)"
    command = [*rig.cable.in_second, sys.executable, "-c", _FETCH, f"{url}snomD785-{PHONE.upper()}.htm", agent]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "200\n"
    assert [each["met"] for each in rig.api("GET", f"/phones/{PHONE}/why")["zero_touch"]] == [True] * 6
    assert rig.hindrance(PHONE) is None


def test_who_asks_in_the_name_of_another_phone_hears_nothing(rig: Rig) -> None:
    rig.start()
    assert rig.ask(OTHER) == []
    assert rig.outcome(OTHER) == [("refused", "the neighbour table knows the source address with another MAC address")]
    assert rig.hindrance(OTHER) == "told"
    assert len(rig.ask(PHONE, call="2")) == 2


def test_a_phone_nobody_knows_is_listed_taken_in_and_then_answered(rig: Rig) -> None:
    rig.cable.set_mac(STRANGER)
    rig.start(accept_unknown="record")
    assert rig.ask(STRANGER, "yealink T53W") == []
    found = rig.api("GET", "/pnp")["discovered"]
    assert [(each["mac"], each["source"], each["interface"]) for each in found] == [(STRANGER, Cable.second, "cable")]
    assert found[0]["add_as"] == {"vendor": "yealink", "model": "T53W"}
    rig.api("POST", "/pnp/add", json={"mac": STRANGER})
    assert len(rig.ask(STRANGER, "yealink T53W", call="2")) == 2
    assert rig.api("GET", "/pnp")["discovered"] == []


def test_without_being_told_so_a_phone_nobody_knows_leaves_no_trace(rig: Rig) -> None:
    rig.cable.set_mac(STRANGER)
    rig.start()
    assert rig.ask(STRANGER) == []
    assert rig.api("GET", "/pnp")["discovered"] == []


def test_a_pbx_that_holds_the_port_is_named_and_phones_are_answered_once_it_is_gone(rig: Rig) -> None:
    command = [*rig.cable.in_first, sys.executable, "-c", _PBX]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pbx:
        assert pbx.stdout is not None
        assert pbx.stdin is not None
        pbx.stdout.readline()
        rig.start(wait=False)
        until(lambda: "5060/UDP" in rig.api("GET", "/pnp")["hindrance"])
        assert rig.hindrance(PHONE) == "service"
        assert rig.ask() == []
        pbx.stdin.close()
        pbx.wait(10)
    until(lambda: rig.api("GET", "/pnp")["answers_on"] == ["cable"])
    assert len(rig.ask(call="2")) == 2


def test_an_interface_may_go_and_come(rig: Rig) -> None:
    rig.start()
    assert len(rig.ask()) == 2
    rig.cable.cut()
    until(lambda: rig.api("GET", "/pnp")["answers_on"] == [])
    assert "cable" in rig.api("GET", "/pnp")["hindrance"]
    rig.cable.mend()
    until(lambda: rig.api("GET", "/pnp")["answers_on"] == ["cable"])
    until(lambda: len(rig.ask(call=str(time.monotonic_ns()))) == 2)


def _resident_kibibytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def _survives(rig: Rig, number: int) -> None:
    rig.start(per_source_rate=100_000, per_source_burst=100_000, rate=100_000, accept_unknown="record")
    assert len(rig.ask()) == 2
    heard = _heard(rig)
    at_first = _resident_kibibytes(rig.appliance.pid)
    rig.send(list(mutilated(number, PHONE, Cable.second)), seconds=0, pause=0.01)
    until(lambda: _heard(rig) - heard >= 0.9 * number, 60)  # what came while nobody read is lost, as on any network
    until(lambda: len(rig.ask(call=str(time.monotonic_ns()))) == 2, 30)
    assert _resident_kibibytes(rig.appliance.pid) - at_first < 64 * 1024
    assert "Traceback" not in rig.appliance.log()


_JUDGED = (
    "answered", "repeated", "malformed", "ignored", "unknown", "discovered", "contradicted", "unseen", "limited"
)  # fmt: skip


def _heard(rig: Rig) -> int:
    """How many datagrams were judged, by the service's own count."""
    return sum(_counted(rig, outcome) for outcome in _JUDGED)


def test_the_responder_survives_5_000_mutilated_datagrams(rig: Rig) -> None:
    _survives(rig, 5_000)


@pytest.mark.long
def test_the_responder_survives_100_000_mutilated_datagrams(rig: Rig) -> None:
    _survives(rig, 100_000)


def test_a_flood_of_one_source_is_dropped_and_leaves_other_work_alone(rig: Rig) -> None:
    rig.start()
    flood = [PHONES["snom D120"].datagram(PHONE, Cable.second, call=str(number)) for number in range(2000)]
    rig.send(flood, seconds=0, pause=0.01)
    started = time.monotonic()
    rig.api("GET", "/phones")
    assert time.monotonic() - started < 2
    until(lambda: _counted(rig, "limited") >= 1800)
    assert _counted(rig, "answered") < 50
    until(lambda: len(rig.ask(call=str(time.monotonic_ns()))) == 2, 30)


def _counted(rig: Rig, outcome: str) -> int:
    transport = httpx.HTTPTransport(uds=str(rig.appliance.folder / "admin.sock"))
    with httpx.Client(transport=transport) as client:
        text = client.get("http://appliance/metrics").text
    found = [line for line in text.splitlines() if line.startswith("autoprov_pnp") and f'"{outcome}"' in line]
    return sum(int(float(line.split()[-1])) for line in found)
