# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HTTP can do to a claim: lost, repeated, halved and slow answers. Whole answers are searched for every secret."""

from __future__ import annotations

import socket
import struct
import subprocess
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
