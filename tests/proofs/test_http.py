# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HTTP can do to a claim: lost, repeated, halved and slow answers. Whole answers are searched for every secret."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.appliance import Appliance, dying
from tests.proofs.databases import make
from tests.proofs.namespaces import Cable, requires_root
from tests.proofs.phones import Phone, ask_at_once, connect, read_all

ALL = frozenset(Phone(1).secrets)
NONE: frozenset[object] = frozenset()
BURNED = "released to {}; arm it to release it again"
REPEATABLE = "released to {}; the same claimant may still repeat its request"


_KINDS = [
    pytest.param((database, mode), id=f"{database}-{mode}", marks=[pytest.mark.long] if database != "sqlite" else [])
    for database in ("sqlite", "postgresql")
    for mode in ("once", "window")
]


@dataclass
class Served:
    """A running service, and phones that nobody has asked for yet."""

    appliance: Appliance
    mode: str
    fresh: Iterator[Phone]

    @property
    def repeated(self) -> frozenset[object]:
        """What the same claimant gets the second time."""
        return NONE if self.mode == "once" else ALL

    def ask(self, phone: Phone, source: str = "127.0.0.1", **how: Any) -> frozenset[object]:
        """The secrets in the whole answer to a phone's request."""
        return phone.secrets_in(self.appliance.ask(phone, source, **how))


def _set_up(appliance: Appliance, mode: str) -> Served:
    phones = [Phone(index) for index in range(1, 41)]
    appliance.set_up(phones, strict=mode == "once", window_seconds=3600)
    return Served(appliance, mode, iter(phones))


@pytest.fixture(scope="module", params=_KINDS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """One service for all cases of a database and a mode."""
    with tempfile.TemporaryDirectory(prefix="autoprov-", dir="/tmp") as name:
        kind, mode = request.param
        appliance = Appliance(Path(name) / "node", make(kind, Path(name), lambda: request.getfixturevalue("cluster")))
        try:
            appliance.start()
            yield _set_up(appliance, mode)
        finally:
            appliance.kill()


@pytest.fixture
def phone(served: Served) -> Phone:
    """A phone that nobody has asked for yet."""
    return next(served.fresh)


def test_requests_that_are_no_plain_get_release_nothing(served: Served) -> None:
    """HEAD, Range, conditional requests, other methods and unknown agents get no secret and use nothing up."""
    for how in (
        {"method": "HEAD"}, {"method": "POST"}, {"Range": "bytes=0-99"}, {"If_None_Match": '"x"'},
        {"If_None_Match": "*"}, {"If_Modified_Since": "Sat, 01 Jan 2028 00:00:00 GMT"}, {"If_Range": '"x"'},
        {"User_Agent": "curl/8.0"}, {"User_Agent": ""}, {"method": "HEAD", "version": "1.0"},
    ):  # fmt: skip
        phone = next(served.fresh)
        answer = served.appliance.ask(phone, **how)
        assert answer.startswith(b"HTTP/1.1 "), how
        assert phone.secrets_in(answer) == NONE, how
        assert set(served.appliance.states(phone).values()) == {"armed"}, how
        assert served.ask(phone) == ALL, how


def test_http_1_0_is_answered_like_1_1(served: Served, phone: Phone) -> None:
    """A phone that speaks HTTP/1.0 gets its passwords under the same terms."""
    assert served.ask(phone, version="1.0") == ALL
    assert served.ask(phone, version="1.0") == served.repeated


def test_a_duplicated_request_is_one_claimant(served: Served, phone: Phone) -> None:
    """The same request on two connections at once is answered once, in a window twice, and suspects nobody."""
    request = (served.appliance.port, "127.0.0.7", phone.request())
    answered = [phone.secrets_in(answer) for answer in ask_at_once([request, request])]
    assert sorted(answered, key=len) == [served.repeated, ALL]
    assert "suspect" not in served.appliance.states(phone).values()


def test_pipelined_requests_are_claims_of_their_own(served: Served, phone: Phone) -> None:
    """Of two requests in one packet the first is answered, and the second only where repetition is allowed."""
    with connect(served.appliance.port) as connection:
        connection.sendall(phone.request(keep=True) + phone.request())
        first, second = read_all(connection).split(b"HTTP/1.1 200 OK")[1:]
    assert phone.secrets_in(first) == ALL
    assert phone.secrets_in(second) == served.repeated


def test_two_phones_with_one_mac_are_told_apart_and_reported(served: Served, phone: Phone) -> None:
    """Of two devices that say they are one phone, the first gets the passwords, and a person is told of the other."""
    assert served.ask(phone, "127.0.0.7") == ALL
    assert served.ask(phone, "127.0.0.8") == NONE
    assert set(served.appliance.states(phone).values()) == {"suspect"}
    assert "someone other than 127.0.0.7 asked for it" in served.appliance.why(phone)
    assert served.ask(phone, "127.0.0.7") == NONE, "who came first may have been the thief"


def test_a_slow_reader_holds_nobody_up(served: Served, phone: Phone) -> None:
    """A phone that reads its answer byte by byte gets all of it, and others are served meanwhile."""
    with socket.socket() as slow:
        slow.settimeout(20)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.connect(("127.0.0.1", served.appliance.port))
        slow.sendall(phone.request())
        answer = slow.recv(1)
        for _times in range(3):
            assert served.ask(next(served.fresh)) == ALL
        while piece := slow.recv(1):
            answer += piece
    assert phone.secrets_in(answer) == ALL


def test_who_resets_at_once_uses_up_nothing(served: Served) -> None:
    """A request whose connection was reset before anybody looked has no source address: it claims nothing."""
    phones = [next(served.fresh) for _times in range(5)]
    for phone in phones:
        connection = connect(served.appliance.port, "127.0.0.66")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(phone.request())
        connection.close()
    time.sleep(0.5)
    rows = served.appliance.database.rows("SELECT actor, detail FROM audit WHERE event = 'released'")
    assert not [row for row in rows if row.actor == "address:" or '"from": ""' in row.detail]


def test_an_endless_head_is_cut_off(served: Served) -> None:
    """A head that does not end is answered with 431, long before it costs memory; others are served meanwhile."""
    with connect(served.appliance.port) as connection:
        connection.sendall(b"GET /snomD785.htm HTTP/1.1\r\nHost: appliance\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 10_000_000:
                connection.sendall(b"X-More: " + b"x" * 4000 + b"\r\n")
                sent += 4010
        assert sent < 10_000_000, "all of it was taken"
    assert served.ask(next(served.fresh)) == ALL


@pytest.mark.long
def test_half_a_request_is_not_waited_for(served: Served) -> None:
    """Who does not finish a request within ten seconds is cut off; nothing was used up."""
    phone = next(served.fresh)
    with connect(served.appliance.port) as connection:
        started = time.monotonic()
        connection.sendall(phone.request()[:-2])
        assert read_all(connection) == b""
        assert time.monotonic() - started == pytest.approx(10, abs=3)
    assert served.ask(phone) == ALL


def test_guesses_at_once_are_counted_before_they_are_judged(served: Served) -> None:
    """However many wrong credentials come in the same instant, from however many addresses, thirty are judged."""
    phone = next(served.fresh)
    guess = phone.request(Authorization='Digest username="x", realm="autoprov", nonce="x", uri="/", response="x"')
    guess = guess.replace(phone.path.encode(), f"/a{phone.path}".encode())
    port = served.appliance.port
    answers = ask_at_once([(port, f"127.0.1.{number % 20 + 1}", guess) for number in range(200)])
    assert sum(answer.startswith(b"HTTP/1.1 401") for answer in answers) == 30
    assert sum(answer.startswith(b"HTTP/1.1 429") for answer in answers) == 170
    assert served.ask(phone) == ALL, "the open folder wants no credentials"


@pytest.mark.parametrize("mode", ["once", "window"])
def test_a_reset_behind_the_commit_burns_or_may_be_repeated(appliance: Appliance, mode: str) -> None:
    """A phone whose connection breaks once its claim is committed gets nothing more in mode once, and is told so; in a
    window it may ask again.
    """
    phone, held = Phone(1), appliance.folder / "held"
    appliance.start(dying(phone, "after COMMIT", f"wait:{held}"))
    served = _set_up(appliance, mode)
    connection = connect(appliance.port, "127.0.0.7")
    connection.sendall(phone.request())
    _wait_for(held)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()  # a reset
    held.unlink()
    _assert_lost(served, phone, "127.0.0.7", lambda: appliance.ask(phone, "127.0.0.7"))


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Two hosts and a cable between them."""
    requires_root()
    made = Cable()
    try:
        yield made
    finally:
        made.remove()


@pytest.mark.root
@pytest.mark.parametrize("mode", ["once", "window"])
def test_a_cut_cable_behind_the_commit_burns_or_may_be_repeated(
    appliances: Callable[..., Appliance], mode: str, cable: Cable
) -> None:
    """A phone whose cable is cut once its claim is committed gets nothing more in mode once, and is told so; in a
    window it, known by its MAC address, may ask again.
    """
    appliance = appliances(listen="0.0.0.0")
    phone, held = Phone(1), appliance.folder / "held"
    cable.set_mac(phone.mac)
    program = dying(phone, "after COMMIT", f"wait:{held}")
    appliance.start(program, within=cable.in_first)
    served = _set_up(appliance, mode)

    def fetch(seconds: float) -> bytes:
        agent = f"snomD785-SIP 10.1.33.33 {phone.mac.upper()}"
        url = f"http://{cable.first}:{appliance.port}{phone.path}"
        command = [*cable.in_second, "curl", "-si", "-A", f"Mozilla/4.0 (compatible; {agent})", "-m", str(seconds), url]
        return subprocess.run(command, capture_output=True, check=False).stdout

    got: list[bytes] = []
    first = threading.Thread(target=lambda: got.append(fetch(1)))
    first.start()
    _wait_for(held)
    cable.cut()
    held.unlink()
    first.join()
    assert got == [b""], "the cable was not cut in time"
    cable.mend()
    _assert_lost(served, phone, cable.second, lambda: fetch(10))


@pytest.mark.root
@pytest.mark.long
def test_who_does_not_answer_the_kernel_is_no_phone(appliances: Callable[..., Appliance], cable: Cable) -> None:
    """A device with another MAC address that falls silent towards ARP until the kernel has forgotten whose address that
    is gets as little as before.
    """
    appliance = appliances(listen="0.0.0.0")
    phone = Phone(1)
    appliance.start(within=cable.in_first)
    _set_up(appliance, "window")
    script = (
        "import socket, sys, time\n"
        "request = bytes.fromhex(sys.argv[2])\n"
        "peer = socket.create_connection((sys.argv[1], int(sys.argv[3])), timeout=30)\n"
        "open('/proc/sys/net/ipv4/conf/all/arp_ignore', 'w').write('8')\n"
        "time.sleep(1)\n"
        "peer.sendall(request)\n"
        "time.sleep(4)\n"
        "open('/proc/sys/net/ipv4/conf/all/arp_ignore', 'w').write('0')\n"
        "while piece := peer.recv(65536):\n"
        "    sys.stdout.buffer.write(piece)\n"
    )
    command = [sys.executable, "-c", script, cable.first, phone.request().hex(), str(appliance.port)]
    # What the kernel forgets within a minute or so, it is told to forget at once.
    forget = [*cable.in_first, "sh", "-c", "sleep 0.7; while ! ip neigh flush all; do :; done; ip neigh"]
    with subprocess.Popen(forget, stdout=subprocess.DEVNULL) as forgetting:
        done = subprocess.run([*cable.in_second, *command], capture_output=True, check=True, timeout=60)
        forgetting.wait(20)
    assert done.stdout.startswith(b"HTTP/1.1 200")
    assert phone.secrets_in(done.stdout) == NONE
    assert set(appliance.states(phone).values()) == {"armed"}
    told = appliance.api("GET", f"/phones/{phone.mac}/why")["requests"][-1]["reason"]
    assert told == "the source address is on this network, and the neighbour table vouches for nobody there"


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not come"
        time.sleep(0.005)


def _assert_lost(served: Served, phone: Phone, source: str, ask_again: Callable[[], bytes]) -> None:
    told = (BURNED if served.mode == "once" else REPEATABLE).format(source)
    deadline = time.monotonic() + 5
    while told not in served.appliance.why(phone):
        assert time.monotonic() < deadline, served.appliance.why(phone)
        time.sleep(0.05)
    assert phone.secrets_in(ask_again()) == served.repeated
    assert phone.secrets_in(served.appliance.why(phone).encode()) == NONE
    served.appliance.assert_audit_whole()
