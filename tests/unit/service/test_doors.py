# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers try at the phones' doors: heads and bodies without end, guesses, and floods."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from autoprovd import audit, metrics, neighbours
from autoprovd.site import Selection
from autoprovd.web import api, protocol
from autoprovd.web.protocol import Protocol

from .conftest import SNOM, SNOM_FILE, Box, snom
from .test_phone_files import GIGASET_AGENT, GIGASET_FILE, SECRETS, ask, gigaset, secrets_in, served

__all__ = ["served"]
GIGASET, LABEL, STRANGER = "7C2F80E0D605", "A1B2", "198.18.0.66"


# -- heads and bodies -------------------------------------------------------------------------------------------------


async def _length(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"%9d" % length})


Ask = Callable[..., Any]


@asynccontextmanager
async def _door() -> AsyncIterator[Ask]:
    settings = uvicorn.Config(_length, http=Protocol, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(settings)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)

    async def ask(*pieces: bytes, seconds: float = 5.0) -> bytes:
        """What comes until the service closes; the pieces are sent apart."""
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
            return await asyncio.wait_for(reader.read(), seconds)
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()

    try:
        yield ask
    finally:
        server.should_exit = True
        await serving


def through_the_door(*pieces: bytes, **how: float) -> bytes:
    async def go() -> bytes:
        async with _door() as ask:
            answer: bytes = await ask(*pieces, **how)
            return answer

    return asyncio.run(go())


HEAD = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
FAST = 0.2


def test_a_request_in_pieces_is_answered() -> None:
    assert b" 200 " in through_the_door(HEAD[:7], HEAD[7:30], HEAD[30:], b"\r\n")


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD, *[b"x: " + b"a" * 1000 + b"\r\n"] * 40],
        [HEAD, b"x: ", *[b"a" * 1000] * 40],
        [b"GET /", *[b"a" * 1000] * 40],
        [HEAD + b"x: " + b"a" * 20_000 + b"\r\n\r\n"],
        [HEAD + b"x: a\r\n" * 200 + b"\r\n"],
    ],
    ids=["many headers", "one header", "path", "at once", "number"],
)
def test_a_head_without_end_is_refused(pieces: list[bytes]) -> None:
    answer = through_the_door(*pieces)
    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b"reset"
    assert b"200 OK" not in answer


def test_a_large_body_in_the_piece_of_its_head_is_no_large_head() -> None:
    head = b"PUT /phones HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n"
    assert through_the_door(head + b"a" * 60_000).endswith(b"    60000")
    assert through_the_door(head, *[b"a" * 10_000] * 6).endswith(b"    60000")


def test_a_body_without_a_length_is_refused() -> None:
    head = b"PUT /phones HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert through_the_door(head).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize(
    "pieces",
    [[], [b"GET /"], [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /"]],
    ids=["nothing", "half a request", "half a second request"],
)
def test_who_does_not_ask_is_not_waited_for(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", FAST)
    through_the_door(*pieces, seconds=3)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_BODY_SECONDS", FAST)
    through_the_door(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1", b"2", seconds=3)


def test_a_site_behind_one_address_is_served_and_a_flood_from_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(number: int) -> Counter[bool]:
        async with _door() as ask:
            answers = await asyncio.gather(*(ask(HEAD, b"\r\n") for _ in range(number)))
        assert not Protocol._open, "each connection is counted off again"
        return Counter(b" 200 " in answer for answer in answers)

    assert asyncio.run(go(300)) == {True: 300}
    monkeypatch.setattr(protocol, "_MOST_CONNECTIONS", 20)
    assert asyncio.run(go(100))[False] >= 50


# -- guesses ----------------------------------------------------------------------------------------------------------


def answer(nonce: str, password: str, count: str = "00000001") -> str:
    def hashed(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    response = hashed(
        f"{hashed(f'{GIGASET}:autoprov:{password}')}:{nonce}:{count}:x:auth:{hashed('GET:' + GIGASET_FILE)}"
    )
    return (
        f'Digest username="{GIGASET}", realm="autoprov", nonce="{nonce}", uri="{GIGASET_FILE}", algorithm=MD5, '
        f'qop=auth, nc={count}, cnonce="x", response="{response}"'
    )


@pytest.fixture
def dect(served: Box) -> Box:
    """With a base that is asked for the ID on its label."""
    served.site.apply_phones([gigaset()], False, False, "test")
    return served


def nonce_of(response: httpx.Response) -> str:
    found = re.search('nonce="([^"]+)"', response.headers["www-authenticate"])
    assert found
    return found[1]


async def fetch(box: Box, source: str = STRANGER, authorization: str | None = None) -> httpx.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return await box.get(GIGASET_FILE, agent=GIGASET_AGENT, source=source, **headers)


def guess(box: Box, passwords: list[str], source: str = STRANGER) -> list[httpx.Response]:
    """All of them at once."""

    async def go() -> list[httpx.Response]:
        nonce = nonce_of(await fetch(box, source))
        return await asyncio.gather(*(fetch(box, source, answer(nonce, password)) for password in passwords))

    return asyncio.run(go())


def test_guesses_at_once_are_not_more_than_guesses(dect: Box) -> None:
    for _round in range(3):
        answers = guess(dect, [f"G{number:03d}" for number in range(200)] + [LABEL])
        assert "sip-secret" not in answers[-1].text
        assert answers[-1].status_code == 429
    assert Counter(response.status_code for response in answers) == {429: 201}


def test_ten_guesses_are_judged_and_the_rest_is_told_and_written_down(dect: Box) -> None:
    answers = guess(dect, [f"G{number:03d}" for number in range(50)])
    assert Counter(response.status_code for response in answers) == {401: 10, 429: 40}
    assert 300 < int(answers[-1].headers["retry-after"]) <= 361
    dect.release.tally.flush()
    with dect.store.read() as connection:
        told = [row["detail"] for row in audit.page(connection, 0, 10_000) if row["event"] == "refused"]
    assert {"what": "too many wrong passwords", "times": 40, "from": STRANGER} in told


def test_a_phone_is_not_shut_out_by_a_strangers_guesses(dect: Box) -> None:
    dect.neighbours.table["198.18.0.30"] = GIGASET.lower()
    for number in range(5):
        guess(dect, ["WRNG"] * 40, f"198.18.1.{number}")
    assert "sip-secret" in guess(dect, [LABEL], "198.18.0.30")[0].text


def test_one_answer_of_a_phone_is_judged_at_a_time(dect: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0
    load = dect.phone_files._passwords

    def slow(entry: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            time.sleep(0.01)
            return load(entry)
        finally:
            under_way -= 1

    monkeypatch.setattr(dect.phone_files, "_passwords", slow)
    guess(dect, ["WRNG"] * 9)
    assert most == 1


def test_an_overheard_answer_sent_again_buys_no_guesses(dect: Box) -> None:
    async def go() -> list[int]:
        nonce = nonce_of(await fetch(dect))
        overheard = answer(nonce, LABEL)
        assert (await fetch(dect, "198.18.0.30", overheard)).status_code == 200
        told = []
        for number in range(40):
            told.append((await fetch(dect, STRANGER, answer(nonce, f"G{number:03d}"))).status_code)
            await fetch(dect, STRANGER, overheard)
        return told

    assert Counter(asyncio.run(go())) == {401: 10, 429: 30}


def test_who_was_just_given_new_passwords_may_use_them(served: Box) -> None:
    """A phone that tried its old ones until the limit."""
    wrong = httpx.DigestAuth(SNOM, "outdated")
    for _ in range(12):
        ask(served, "/a" + SNOM_FILE, source="198.18.0.21", auth=wrong)
    assert secrets_in(ask(served, source="198.18.0.21")) == list(SECRETS)
    right = httpx.DigestAuth(SNOM, "provisioning-secret")
    assert ask(served, "/a" + SNOM_FILE, source="198.18.0.21", auth=right).status_code == 200


def test_an_answer_is_good_once_however_its_nonce_is_spelled(dect: Box) -> None:
    async def go() -> list[httpx.Response]:
        nonce = nonce_of(await fetch(dect))
        first = answer(nonce, LABEL)
        return [await fetch(dect, authorization=first) for _ in range(2)] + [
            await fetch(dect, authorization=first.replace(nonce, nonce + "!"))
        ]

    first, *again = asyncio.run(go())
    assert "sip-secret" in first.text
    assert all(response.status_code == 401 and "sip-secret" not in response.text for response in again)


# -- what is not worth a transaction ----------------------------------------------------------------------------------


def test_hopeless_requests_are_counted_without_the_database(served: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    claims: list[str] = []
    claim = served.release.claim
    monkeypatch.setattr(served.release, "claim", lambda *how: claims.append("") or claim(*how))
    for _ in range(20):
        assert secrets_in(ask(served, source=STRANGER)) == []
    assert not claims
    assert served.events().count("refused") == 0
    served.release.tally.flush()
    assert served.events().count("refused") == 1
    assert secrets_in(ask(served)) == list(SECRETS)
    ask(served, source=STRANGER)
    assert len(claims) == 2, "a theft is always written down"
    assert "suspect" in served.events()


@pytest.mark.parametrize("line", ["²", "١", "1²", "9" * 30, ""])
def test_what_is_no_line_is_told_as_such(box: Box, line: str) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    client = TestClient(api.application(box.parts, on_socket=True), raise_server_exceptions=False)
    body = {"run_key": "awx-job/17/workflow/none", "accounts": [f"{SNOM}/{line}"]}
    answer = client.post("/api/v1/claims", json=body)
    assert 400 <= answer.status_code < 500, answer.text


# -- the kernel -------------------------------------------------------------------------------------------------------


class Kernel(neighbours._Kernel):
    """One that is answered by a test."""

    def __init__(self, *answers: bytes, told: int = 0) -> None:
        super().__init__()
        self.closed = 0
        self._answers = list(answers)
        self._told = told
        self._route._socket = self  # type: ignore[assignment]

    def send(self, question: bytes) -> None:
        self.question = question

    def recvmsg(self, _size: int) -> tuple[bytes, list[Any], int, None]:
        if not self._answers:
            raise TimeoutError("timed out")
        return self._answers.pop(0), [], self._told, None

    def close(self) -> None:
        self.closed += 1


def message(kind: int, body: bytes, flags: int = 0, number: int = 1) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body


DONE, ERROR = message(3, bytes(4)), message(2, b"\xea\xff\xff\xff" + bytes(16))


@pytest.mark.parametrize(
    "kernel",
    [
        Kernel(ERROR),
        Kernel(),
        Kernel(message(28, bytes(12))),
        Kernel(DONE, told=socket.MSG_TRUNC),
        Kernel(*[message(3, bytes(4), 0x10, number) for number in (1, 2, 3)]),
    ],
    ids=["an error", "silence", "half a table", "cut off", "never at rest"],
)
def test_a_table_that_is_not_told_whole_is_not_told(kernel: Kernel) -> None:
    with pytest.raises(OSError):
        kernel.neighbours()


def test_a_whole_table_is_told() -> None:
    kernel = Kernel(message(28, bytes(12), number=9), DONE)
    assert kernel.neighbours() == {}
    assert not kernel.closed, "the socket is kept"


def test_what_two_interfaces_know_differently_is_vouched_for_by_none() -> None:
    table = neighbours._told_alike([("a", "1"), ("b", "2"), ("a", "3"), None, ("b", "2")])
    assert table == {"b": "2"}


def test_an_unreadable_table_does_not_matter_to_who_proves_more(dect: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_address: str) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(dect.neighbours, "mac_of", fail)
    monkeypatch.setattr(dect.neighbours, "look", fail)
    assert secrets_in(ask(dect)) == []
    refused = ask(dect)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert "sip-secret" in guess(dect, [LABEL])[0].text


def test_one_who_is_not_seen_is_called_and_counted(served: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoprovd.web.phones._UNSEEN_SECONDS", (0.0,))
    served.neighbours.network.add("198.18.0.99")
    before = metrics.unproven.labels("unseen")._value.get()
    assert secrets_in(ask(served, source="198.18.0.99")) == []
    assert served.neighbours.called == ["198.18.0.99"]
    assert metrics.unproven.labels("unseen")._value.get() == before + 1
    assert set(served.states(SNOM).values()) == {"armed"}
    served.site.apply_phones([snom()], False, False, "test")
    served.site.arm([Selection(SNOM)], False, False, "test")
    served.neighbours.table["198.18.0.99"] = SNOM
    assert secrets_in(ask(served, source="198.18.0.99")) == list(SECRETS)
    assert len(served.neighbours.called) == 1, "who is known is not waited for"
