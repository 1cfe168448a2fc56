# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans in the kernel: a real service, real packets between two hosts, and a helper that has one capability."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from autoprovd import ban_set
from tests.postgres import Cluster
from tests.proofs.appliance import Appliance
from tests.proofs.databases import make
from tests.proofs.namespaces import Cable, requires_root

pytestmark = pytest.mark.root
PHONE = "805e0c4d796d"
AGENT = "Yealink SIP-T54W 96.87.0.15 80:5e:0c:4d:79:6d"
NETWORK = "fd00:7:1:2"

# Each line on the standard input is a path; each line that comes back is a status, or what the network said.
_CLIENT = """
import http.client, sys
host, port, agent = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for line in sys.stdin:
    try:
        c = http.client.HTTPConnection(host, port, timeout=0.7)
        c.request("GET", line.strip(), headers={"User-Agent": agent})
        print(c.getresponse().status)
    except TimeoutError:
        print("timeout")
    except OSError as error:
        print(error.strerror)
"""


def _no_cluster() -> Cluster:
    raise AssertionError("SQLite needs none")


class Rig:
    """An appliance at one end of a cable, somebody at the other, and the helper."""

    def __init__(self, cable: Cable, folder: Path) -> None:
        self.cable = cable
        self.folder = folder
        self.kernel_file = folder / "bans"
        self.appliance = Appliance(folder / "node", make("sqlite", folder, _no_cluster), listen="[::]")

    def start(self, **limits: float) -> None:
        """Start the service with these limits."""
        settings = "".join(f"{name} = {value}\n" for name, value in {"guesses": 5, **limits}.items())
        with (self.appliance.folder / "autoprovd.toml").open("a") as stream:
            stream.write(f'[limits]\nkernel_file = "{self.kernel_file}"\n{settings}')
        self.appliance.start(within=self.cable.in_first)
        account = {"line": 1, "user": "1001", "registrar": "198.18.7.5"}
        phone = {"mac": PHONE, "vendor": "yealink", "model": "T54W", "accounts": [account]}
        self.api("PUT", "/settings", json={"settings": {"public_host": Cable.first}})
        self.api("PUT", "/phones", json={"phones": [phone]})

    def api(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        transport = httpx.HTTPTransport(uds=str(self.appliance.folder / "admin.sock"))
        with httpx.Client(transport=transport, base_url="http://appliance/api/v1", timeout=30) as client:
            answer = client.request(method, path, **how)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content

    def ask(self, *paths: str, host: str = Cable.first, port: int | None = None) -> list[str]:
        """What came of each request from the other end."""
        command = [*self.cable.in_second, sys.executable, "-c", _CLIENT, host, str(port or self.appliance.port), AGENT]
        done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def guess(self, host: str = Cable.first, first: int = 0) -> None:
        """Be banned."""
        asked = self.ask(*[f"/00156588{first + index:04x}.cfg" for index in range(7)], host=host)
        assert asked[0] == "404"
        assert asked[-1] == "429"

    def wait_for_file(self, *sources: str) -> None:
        """Return when the service has written these bans, and no others."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.kernel_file.exists():
                told = [line.partition(" ")[0] for line in self.kernel_file.read_text().splitlines()]
                if sorted(told) == sorted(sources):
                    return
            time.sleep(0.1)
        raise AssertionError(f"never written: {sources}")

    def help(self, text: str | None = None, capability: str = "net_admin", *more: str) -> tuple[int, str]:
        """Run the helper as its unit does: another user, one capability, the file as its standard input."""
        given = f"-all,+{capability}" if capability else "-all"
        command = [
            *self.cable.in_first, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
            f"--bounding-set={given}", f"--inh-caps={given}", f"--ambient-caps={given}",
            "/usr/bin/python3", "-I", str(self.program), "--ports", f"{self.appliance.port},50081", *more,
        ]  # fmt: skip
        content = self.kernel_file.read_bytes() if text is None else text.encode()
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        return done.returncode, done.stderr.decode()

    @property
    def program(self) -> Path:
        """The helper, where another user can read it: a checkout may be in a home that is closed to others."""
        copy = Path("/run") / f"autoprov-ban-set-{id(self)}.py"
        if not copy.exists():
            shutil.copy(ban_set.__file__, copy)
            copy.chmod(0o644)
        return copy

    def rules(self) -> str:
        """The table as nft shows it."""
        command = [*self.cable.in_first, "nft", "list", "table", "inet", ban_set.TABLE]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        """Leave nothing."""
        self.appliance.kill()
        Path(f"/run/autoprov-ban-set-{id(self)}.py").unlink(missing_ok=True)


@pytest.fixture
def rig() -> Iterator[Rig]:
    requires_root()
    for tool in ("nft", "setpriv"):
        if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"{tool} is missing; run make setup as root")
    cable = Cable()
    with tempfile.TemporaryDirectory(prefix="autoprov-", dir="/tmp") as name:
        made = Rig(cable, Path(name))
        try:
            for within, number in ((cable.in_first, 1), (cable.in_second, 2)):
                address = f"{NETWORK}::{number}/64"
                subprocess.run([*within, "ip", "addr", "add", address, "dev", "cable", "nodad"], check=True)
            yield made
        finally:
            made.close()
            cable.remove()


def test_the_kernel_drops_who_guesses_until_the_ban_is_lifted(rig: Rig) -> None:
    rig.start()
    rig.guess()
    rig.wait_for_file(Cable.second)
    assert rig.help() == (0, "")
    assert rig.ask("/healthz") == ["timeout"]
    assert "packets 0" not in rig.rules().partition("counter dropped")[2].partition("}")[0]
    assert rig.ask("/healthz", host=f"{NETWORK}::1") == ["200"], "another source"
    # Nothing but the phones' ports: what else this host has is reached as before.
    listener = subprocess.Popen(
        [*rig.cable.in_first, sys.executable, "-m", "http.server", "8022", "--bind", Cable.first, "-d", rig.folder],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while (asked := rig.ask("/", port=8022)) != ["200"] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert asked == ["200"]
    finally:
        listener.terminate()
        listener.wait(10)
    assert rig.api("POST", "/bans/lift", json={"source": Cable.second})["lifted"] == [Cable.second]
    rig.wait_for_file()
    assert rig.help() == (0, "")
    assert rig.ask("/healthz") == ["200"]


def test_a_whole_ipv6_network_is_dropped(rig: Rig) -> None:
    rig.start()
    rig.guess(host=f"{NETWORK}::1")
    rig.wait_for_file(f"{NETWORK}::/64")
    assert rig.help() == (0, "")
    for number in (2, 0xBEEF):
        if number != 2:
            moved = f"{NETWORK}::{number:x}/64"
            subprocess.run([*rig.cable.in_second, "ip", "addr", "del", f"{NETWORK}::2/64", "dev", "cable"], check=True)
            subprocess.run([*rig.cable.in_second, "ip", "addr", "add", moved, "dev", "cable", "nodad"], check=True)
        assert rig.ask("/healthz", host=f"{NETWORK}::1") == ["timeout"]
    assert rig.ask("/healthz") == ["200"], "its IPv4 address is another source"


def test_phones_behind_the_address_are_never_dropped(rig: Rig) -> None:
    rig.start()
    assert rig.ask(f"/{PHONE}.cfg") == ["200"]
    rig.guess()
    rig.guess(host=f"{NETWORK}::1", first=100)
    rig.wait_for_file(f"{NETWORK}::/64")
    assert rig.help() == (0, "")
    assert rig.ask(f"/{PHONE}.cfg", "/805e0c000000.cfg") == ["200", "429"]


def test_the_kernel_ends_a_ban_by_itself(rig: Rig) -> None:
    rig.start()
    until = int(time.time()) + 4
    assert rig.help(f"{Cable.second} {until}\n{NETWORK}::/64 {until}\n") == (0, "")
    assert rig.ask("/healthz") == rig.ask("/healthz", host=f"{NETWORK}::1") == ["timeout"]
    deadline = time.monotonic() + 15
    while rig.ask("/healthz") != ["200"] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert rig.ask("/healthz") == rig.ask("/healthz", host=f"{NETWORK}::1") == ["200"]


def test_a_service_that_starts_again_still_bans(rig: Rig) -> None:
    rig.start(first_ban_seconds=600)
    assert rig.ask(f"/{PHONE}.cfg") == ["200"]
    rig.guess()
    rig.guess(host=f"{NETWORK}::1", first=100)
    rig.wait_for_file(f"{NETWORK}::/64")
    rig.appliance.stop()
    rig.kernel_file.unlink()
    rig.appliance.start(within=rig.cable.in_first)
    told = {entry["source"]: entry["phones_at_home"] for entry in rig.api("GET", "/bans")["bans"]}
    assert told == {Cable.second: 1, f"{NETWORK}::/64": 0}
    assert rig.ask(f"/{PHONE}.cfg", "/805e0c000000.cfg") == ["200", "429"]
    rig.wait_for_file(f"{NETWORK}::/64")


@pytest.mark.parametrize(
    "spoilt",
    [
        "10.0.0.0/8 {until}\n", "0.0.0.0/0 {until}\n", "::/0 {until}\n", "2001:db8::/32 {until}\n",
        "198.18.7.9 {until} }}; flush ruleset; #\n", "198.18.7.9 timeout\n", "$(reboot) {until}\n", "198.18.7.9\n",
        "198.18.7.300 {until}\n", "\x00\n", "\u00e9\n", "10.0.0.1 {until}\n" * 20_001,
    ],
    ids=["network", "all", "all of IPv6", "large", "nft", "no time", "shell", "half", "300", "null", "letter", "many"],
)  # fmt: skip
def test_a_service_that_was_taken_over_gets_no_rule_in(rig: Rig, spoilt: str) -> None:
    until = int(time.time()) + 600
    assert rig.help(f"203.0.113.9 {until}\n") == (0, "")
    before = rig.rules().replace("s expires", "")
    status, told = rig.help(spoilt.format(until=until))
    assert status == 1
    assert "the bans in the kernel are as before" in told
    assert "Traceback" not in told
    assert "203.0.113.9" in rig.rules()
    assert rig.rules().count("elements") == before.count("elements") == 1


def test_without_its_capability_the_helper_says_so(rig: Rig) -> None:
    status, told = rig.help("", capability="")
    assert status == 1
    assert "Operation not permitted" in told
    assert "Traceback" not in told


def test_it_is_taken_away_and_what_others_wrote_stays(rig: Rig) -> None:
    others = "table inet site {\n chain input {\n type filter hook input priority filter; policy accept;\n}\n}"
    subprocess.run([*rig.cable.in_first, "nft", "-f", "-"], input=f"{others}\n", text=True, check=True)
    assert rig.help("") == (0, "")
    assert rig.help("", "net_admin", "--remove") == (0, "")
    assert rig.help("", "net_admin", "--remove") == (0, ""), "twice"
    command = [*rig.cable.in_first, "nft", "list", "tables"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "table inet site\n"


def test_as_many_bans_as_there_can_be(rig: Rig) -> None:
    until = int(time.time()) + 600
    lines = [f"10.{index >> 16}.{index >> 8 & 255}.{index & 255} {until}" for index in range(10_000)]
    lines += [f"2001:db8:{index:x}::/64 {until}" for index in range(10_000)]
    started = time.monotonic()
    assert rig.help("\n".join(lines) + "\n") == (0, "")
    print(f"20,000 bans in {time.monotonic() - started:.2f} s")
    assert rig.rules().count("expires") == 20_000
