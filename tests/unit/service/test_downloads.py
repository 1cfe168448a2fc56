# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware as phones fetch it, through a real listener: ranges, conditions, and a few at a time."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
import uvicorn

from autoprovd.tls import generate_certificate
from autoprovd.web import downloads
from autoprovd.web.downloads import Downloads
from autoprovd.web.protocol import Protocol

CONTENT = os.urandom(3_000_001)
PATH = "/firmware/snom/10.1.184.15/snomD785.bin"
WORDS = "/firmware/yealink/1.0/phone_de.lang"

Start = Callable[..., httpx.Client]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a mirror serves, and things that lie around it."""
    files = tmp_path / "files"
    (files / "snom" / "10.1.184.15").mkdir(parents=True)
    (files / "yealink" / "1.0").mkdir(parents=True)
    (files / PATH.removeprefix("/firmware/")).write_bytes(CONTENT)
    (files / WORDS.removeprefix("/firmware/")).write_text("Anruf\n")
    (files / "manifest.json").write_text('{"files": []}')
    (tmp_path / "secret").write_text("a password")
    return files


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Start]:
    """The application behind the door that phones use."""
    running: list[tuple[uvicorn.Server, threading.Thread, httpx.Client]] = []

    def begin(at_a_time: int = 4, tls: bool = False, folder: Path = folder) -> httpx.Client:
        more = {}
        if tls:
            generate_certificate(["127.0.0.1"], tmp_path)
            more = {"ssl_certfile": str(tmp_path / "server.crt"), "ssl_keyfile": str(tmp_path / "server.key")}
        listener = socket.create_server(("127.0.0.1", 0))
        settings = uvicorn.Config(
            Downloads(folder, at_a_time), http=Protocol, ws="none", lifespan="off", log_config=None, loop="uvloop",
            timeout_graceful_shutdown=1, **more,
        )  # type: ignore[arg-type]  # fmt: skip
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        trusted = ssl.create_default_context(cafile=str(tmp_path / "server.crt")) if tls else True
        client = httpx.Client(base_url=url, verify=trusted, timeout=20)
        running.append((server, thread, client))
        return client

    yield begin
    for server, thread, client in running:
        client.close()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("tls", [False, True])
def test_whole_and_again_on_the_same_connection(start: Start, tls: bool) -> None:
    client = start(tls=tls)
    for _ in range(3):
        answer = client.get(PATH)
        assert (answer.status_code, answer.content == CONTENT) == (200, True)
        assert client.get(WORDS).text == "Anruf\n"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["accept-ranges"] == "bytes"
    head = client.head(PATH)
    assert (head.content, head.headers["content-length"], head.headers["etag"]) == (
        b"", str(len(CONTENT)), answer.headers["etag"],
    )  # fmt: skip


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("wanted", "start_at", "end_at"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, len(CONTENT)),
        ("bytes=1000000-", 1_000_000, len(CONTENT)),
        ("bytes=1000000-2999999", 1_000_000, 3_000_000),
        ("bytes=-100", len(CONTENT) - 100, len(CONTENT)),
        ("bytes=-9999999", 0, len(CONTENT)),
        ("bytes=2999999-9999999", 2_999_999, len(CONTENT)),
        ("Bytes=5-9", 5, 10),
    ],
)
def test_ranges(start: Start, wanted: str, start_at: int, end_at: int, tls: bool) -> None:
    answer = start(tls=tls).get(PATH, headers={"range": wanted})
    assert (answer.status_code, answer.content == CONTENT[start_at:end_at]) == (206, True)
    assert answer.headers["content-range"] == f"bytes {start_at}-{end_at - 1}/{len(CONTENT)}"


def test_ranges_that_are_none(start: Start) -> None:
    client = start()
    for wanted in ("bytes=9-5", "bytes=-", "bytes=a-b", "octets=0-5", "bytes=0-1,5-6", "bytes=٣-٤"):
        answer = client.get(PATH, headers={"range": wanted.encode()})
        assert (answer.status_code, len(answer.content)) == (200, len(CONTENT)), wanted
    for wanted in (f"bytes={len(CONTENT)}-", "bytes=-0"):
        answer = client.get(PATH, headers={"range": wanted})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


def test_conditions(start: Start, folder: Path) -> None:
    client = start()
    first = client.get(PATH)
    etag, date = first.headers["etag"], first.headers["last-modified"]
    earlier, later = formatdate(time.time() - 86400, usegmt=True), formatdate(time.time() + 86400, usegmt=True)

    def status(**headers: str) -> int:
        return client.get(PATH, headers={name.replace("_", "-"): value for name, value in headers.items()}).status_code

    assert [status(if_none_match=tag) for tag in (etag, f'"x", {etag}', f"W/{etag}", "*")] == [304] * 4
    assert [status(if_none_match='"x"'), status(if_none_match='"x"', if_modified_since=date)] == [200, 200]
    assert [status(if_modified_since=when) for when in (date, later, earlier, "yesterday")] == [304, 304, 200, 200]
    assert [status(if_match=tag) for tag in (etag, "*", '"x"', f"W/{etag}")] == [200, 200, 412, 412]
    assert [status(if_unmodified_since=when) for when in (date, earlier)] == [200, 412]
    assert [status(range="bytes=0-9", if_range=each) for each in (etag, date, '"x"', earlier)] == [206, 206, 200, 200]


def test_another_file_in_its_place_has_another_etag(start: Start, folder: Path) -> None:
    client = start()
    before = client.get(PATH).headers["etag"]
    path = folder / PATH.removeprefix("/firmware/")
    new = path.with_suffix(".new")
    new.write_bytes(CONTENT[::-1])
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.rename(path)
    answer = client.get(PATH, headers={"range": "bytes=10-", "if-range": before})
    assert (answer.status_code, answer.content == CONTENT[::-1]) == (200, True)


def test_nothing_else_is_served(start: Start, folder: Path, tmp_path: Path) -> None:
    client = start()
    here = folder / "snom" / "10.1.184.15"
    (here / "link.bin").symlink_to(tmp_path / "secret")
    (here / ".hidden").write_text("a password")
    (here / "folder.bin").mkdir()
    os.mkfifo(here / "pipe.bin")
    (folder / "other.json").write_text("a password")
    paths = [
        "link.bin", ".hidden", "folder.bin", "pipe.bin", "../../../secret", "..%2f..%2f..%2fsecret", "%2e%2e/secret",
        "",
        "snomD785.bin/", "snomD785.bin%00.txt", "%2fetc%2fpasswd",
    ]  # fmt: skip
    for path in (
        *(f"/firmware/snom/10.1.184.15/{name}" for name in paths),
        "/firmware/",
        "/firmware/other.json",
        "/firmware/../secret",
    ):
        answer = client.get(path)
        assert (answer.status_code, "password" in answer.text) == (404, False), path


def test_whoever_owns_the_mirror_cannot_have_other_files_served(start: Start, folder: Path, tmp_path: Path) -> None:
    """It handles what comes from the network: with its rights, nothing of the service's may be read."""
    own = tmp_path / "service" / "keys"
    (own / "files" / "snom" / "1").mkdir(parents=True)
    for place in (own / "sealing.key", own / "files" / "snom" / "1" / "sealing.key"):
        place.write_text("a password")
    release = tmp_path / "mirror" / "releases" / "1"
    release.mkdir(parents=True)
    folder.rename(release / "files")
    current = tmp_path / "mirror" / "current"
    current.symlink_to("releases/1")
    files = current / "files"
    (files / "x").symlink_to(tmp_path)
    (files / "snom" / "y").symlink_to(own)
    client = start(folder=files)
    assert client.get(PATH).content == CONTENT
    hostile = ["/firmware/x/service/keys", "/firmware/snom/y/sealing.key", "/firmware/x/mirror/current"]
    for target, paths in (
        ("releases/1", hostile),
        (str(own), ["/firmware/snom/1/sealing.key"]),
        ("../service/keys", ["/firmware/snom/1/sealing.key"]),
        ("releases/1/../../../service/keys", ["/firmware/snom/1/sealing.key"]),
        ("releases/2", ["/firmware/snom/1/sealing.key"]),
    ):
        (tmp_path / "mirror" / "releases" / "2").unlink(missing_ok=True)
        (tmp_path / "mirror" / "releases" / "2").symlink_to(own)
        current.unlink()
        current.symlink_to(target)
        for path in paths:
            assert client.get(path).status_code == 404, (target, path)
    current.unlink()
    current.symlink_to("releases/1")
    shutil.rmtree(release / "files")
    (release / "files").symlink_to(own / "files")
    assert client.get("/firmware/snom/1/sealing.key").status_code == 404


def test_a_question_for_the_head_knows_no_ranges(start: Start) -> None:
    answer = start().head(PATH, headers={"range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(CONTENT)))


def test_no_descriptor_is_left_open(start: Start, folder: Path) -> None:
    client = start()
    (folder / "x").symlink_to(folder / "snom")
    paths = (PATH, WORDS, "/firmware/snom/none/x.bin", "/firmware/x/10.1.184.15/snomD785.bin", "/firmware/snom/1/x")
    for path in paths:
        client.get(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        for path in paths:
            client.get(path, headers={"range": "bytes=0-99"})
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_the_list_for_other_mirrors(start: Start) -> None:
    answer = start().get("/firmware/manifest.json")
    assert (answer.json(), answer.headers["content-type"]) == ({"files": []}, "application/json")


def test_a_few_at_a_time(start: Start) -> None:
    """The third waits for its turn, and comes to it."""
    client = start(at_a_time=2)
    slow = [_slow(client, source=f"127.0.0.{number}") for number in (2, 3)]
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(client.get, PATH)
        time.sleep(0.5)
        assert not third.done()
        assert client.head(PATH).status_code == 200, "what is no download waits for nobody"
        slow[0].close()
        assert third.result(10).content == CONTENT
    assert time.monotonic() - began < 5
    slow[1].close()


def test_who_hoards_turns_leaves_others_theirs(start: Start) -> None:
    client = start(at_a_time=4)
    hoarder = [_slow(client, source="127.0.0.2") for _ in range(2)]
    waits = _slow(client, source="127.0.0.2", begins=False)
    for _ in range(3):
        assert client.get(PATH).content == CONTENT
    waits.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waits.recv(10)
    hoarder[0].close()
    waits.settimeout(10)
    assert waits.recv(10).startswith(b"HTTP/1.1 2")
    for connection in (*hoarder, waits):
        connection.close()


def test_who_waits_too_long_is_told_when_to_come_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_PATIENCE_SECONDS", 0.2)
    client = start(at_a_time=1)
    slow = _slow(client)
    answer = client.get(PATH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    slow.close()


@pytest.mark.parametrize("tls", [False, True])
def test_who_takes_next_to_nothing_loses_its_turn(start: Start, monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    monkeypatch.setattr(downloads, "_STALL_SECONDS", 1.0)
    client = start(at_a_time=1, tls=tls)
    monkeypatch.setattr(downloads, "_LEAST", 512 * 1024)
    stalled = _slow(client, tls)
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.1):
            try:
                stalled.recv(100)
            except OSError:
                return

    reader = threading.Thread(target=trickle)
    reader.start()
    assert client.get(PATH).content == CONTENT
    over.set()
    reader.join()
    stalled.close()


def test_a_file_that_is_cut_while_it_is_sent_ends_the_connection(start: Start, folder: Path) -> None:
    client = start()
    path = folder / PATH.removeprefix("/firmware/")
    with path.open("r+b") as file:
        file.truncate(60_000_000)
    with client.stream("GET", PATH) as answer:
        pieces = answer.iter_raw(1000)
        next(pieces)
        os.truncate(path, 1_000_000)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in pieces:
                pass
    assert len(client.get(PATH).content) == 1_000_000


def _slow(client: httpx.Client, tls: bool = False, source: str = "127.0.0.1", begins: bool = True) -> socket.socket:
    """A download that has begun, of somebody who reads nothing more."""
    connection: socket.socket = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", client.base_url.port or 0))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    connection.sendall(f"GET {PATH} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    if begins:
        assert connection.recv(10).startswith(b"HTTP/1.1 2")
    return connection
