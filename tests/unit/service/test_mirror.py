# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware mirror against servers that lie, cut, drip and replace."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from autoprovd.faults import Refused
from autoprovd.mirror import manifest as words
from autoprovd.mirror.fetch import Limits
from autoprovd.mirror.store import MirrorStore
from autoprovd.mirror.sync import Outcome, Settings, sync
from tests.unit.service.hostile_server import Hostile, cut, drip, head, moved, raw, whole

FILE = bytes(range(256)) * 4000
OTHER = FILE[::-1]
QUICK = Limits(pause=0.01, silence=0.5, patience=0.3, slowest=1000)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as hostile:
        yield hostile


@pytest.fixture
def store(tmp_path: Path) -> MirrorStore:
    return MirrorStore(tmp_path / "mirror")


def entry(url: str, content: bytes | None = FILE, **changes: Any) -> dict[str, Any]:
    made = {"vendor": "snom", "models": ["D785"], "version": "10.1.184.14", "url": url, "insecure": True}
    if content is not None:
        made |= {"size": len(content), "sha256": digest(content)}
    return made | changes


def run(store: MirrorStore, *files: dict[str, Any], limits: Limits = QUICK, **options: Any) -> Outcome:
    settings = {name: options.pop(name) for name in ("keep", "allow_downgrade", "trusted_keys") if name in options}
    serial = options.pop("serial", 0)
    content = words.take({"serial": serial, "files": list(files)})
    return sync(store, content, Settings(limits=limits, **settings), **options)


def served(store: MirrorStore) -> dict[str, bytes]:
    """What phones would get, by path."""
    root = store.folder / "current" / "files"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("*/**/*")) if path.is_file()}


PATH = "snom/10.1.184.14/fw.bin"


# -- a good server ---


def test_a_file_comes_once_and_is_served(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", whole(FILE))
    checked = run(store, entry(url), dry_run=True)
    assert (checked.changed, checked.bytes_to_fetch, server.asked) == (True, len(FILE), [])
    assert store.current() is None
    done = run(store, entry(url))
    assert (done.changed, done.failed, done.fetched_bytes) == (True, {}, len(FILE))
    assert served(store) == {PATH: FILE}
    again = run(store, entry(url))
    assert (again.changed, again.fetched_bytes, server.times("/fw.bin")) == (False, 0, 1)
    assert list(store.parts.iterdir()) == []


def test_releases_change_places_and_old_ones_go(store: MirrorStore, server: Hostile) -> None:
    for number in range(5):
        content = FILE + bytes([number])
        run(store, entry(server.on("/fw.bin", whole(content)), content), keep=3)
    assert store.numbers() == [3, 4, 5]
    assert served(store) == {PATH: FILE + b"\4"}
    store.serve(3)
    assert served(store) == {PATH: FILE + b"\2"}
    assert store.prune(1) == [digest(FILE + b"\3")]
    assert store.numbers() == [3, 5]
    with pytest.raises(Refused, match="there is no release 4; kept are 3, 5"):
        store.release(4)


def test_what_was_fetched_for_an_earlier_release_is_not_fetched_again(store: MirrorStore, server: Hostile) -> None:
    first, second = server.on("/fw.bin", whole(FILE)), server.on("/other.bin", whole(OTHER))
    run(store, entry(first))
    run(store, entry(second, OTHER))
    back = run(store, entry(first))
    assert (back.changed, server.times("/fw.bin")) == (True, 1)
    assert served(store) == {PATH: FILE}


def test_one_that_fails_stops_no_other_and_takes_no_ones_place(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", whole(FILE))
    run(store, entry(url))
    broken = server.on("/new.bin", raw(head(404, {"Content-Length": "0"})))
    lang = {"kind": "language", "language": "de", "models": []}
    done = run(store, entry(broken, OTHER, version="11"), entry(server.on("/de.xml", whole(b"<x/>")), b"<x/>", **lang))
    assert done.failed == {"snom/11/new.bin": "the server answers 404 Not Found"}
    assert served(store) == {PATH: FILE, "snom/10.1.184.14/de.xml": b"<x/>"}
    assert {change.path: change.action for change in done.changes}[PATH] == "kept"
    server.on("/new.bin", whole(OTHER))
    assert run(store, entry(broken, OTHER, version="11")).failed == {}
    assert served(store) == {"snom/11/new.bin": OTHER}


# -- servers that cut, lie and drip ---


@pytest.mark.parametrize("tenth", range(10))
def test_a_connection_cut_at_every_tenth_is_gone_on_with(store: MirrorStore, server: Hostile, tenth: int) -> None:
    url = server.on("/fw.bin", cut(FILE, len(FILE) * tenth // 10), whole(FILE))
    done = run(store, entry(url))
    assert done.failed == {}
    assert done.fetched_bytes == len(FILE), "what was fetched is not fetched again"
    assert served(store) == {PATH: FILE}


def test_a_run_that_gave_up_is_gone_on_with_by_the_next(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", cut(FILE, 100_000))
    limits = Limits(pause=0.01, attempts=2)
    assert (
        "the connection was cut after 200,000 of 1,024,000 bytes" in run(store, entry(url), limits=limits).failed[PATH]
    )
    server.on("/fw.bin", whole(FILE))
    assert run(store, entry(url)).fetched_bytes == len(FILE) - 200_000
    assert served(store) == {PATH: FILE}


def test_without_an_etag_only_a_hash_lets_it_go_on(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", cut(FILE, 500_000, etag=None), whole(FILE, etag=None))
    assert run(store, entry(url)).fetched_bytes == len(FILE)
    url = server.on("/pinned.bin", cut(FILE, 500_000, etag=None), whole(FILE, etag=None))
    pinned = entry(url, None, pin=True)
    assert run(store, pinned).fetched_bytes == len(FILE) + 500_000, "the second half could be of another file"


def test_a_changed_file_under_the_same_etag_is_noticed_and_fetched_whole(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", cut(OTHER, 500_000), whole(FILE))
    done = run(store, entry(url))
    assert done.failed == {}
    assert served(store) == {PATH: FILE}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(whole(OTHER), "it is not the file that is meant", id="another file"),
        pytest.param(whole(FILE + b"x"), "the server has 1,024,001 bytes, the manifest says 1,024,000", id="too long"),
        pytest.param(whole(FILE[:-1]), "the server has 1,023,999 bytes", id="too short"),
        pytest.param(
            raw(head(200, {"ETag": '"v1"'}) + FILE + b"more"), "more comes than the 1,024,000 bytes", id="no length"
        ),
        pytest.param(
            raw(head(200, {"Content-Type": "application/octet-stream"}) + b"<!DOCTYPE html><title>Sign in</title>"),
            "a web page came instead of a file ('Sign in')",
            id="a web page",
        ),
        pytest.param(whole(FILE, **{"Content-Encoding": "gzip"}), "packed as 'gzip', which was not", id="encoded"),
        pytest.param(raw(head(403, {"Content-Length": "0"})), "the server answers 403 Forbidden", id="forbidden"),
        pytest.param(raw(head(503, {"Content-Length": "0"})), "the server answers 503", id="unavailable"),
        pytest.param(raw(b""), "the server cannot be reached", id="nothing"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "the server cannot be reached", id="no HTTP"),
        pytest.param(moved("file:///etc/passwd"), "the server sends us on to file", id="a file"),
        pytest.param(moved("/fw.bin"), "round in circles", id="a loop"),
        pytest.param(drip(FILE, 0.05), "less than 1,000 bytes a second", id="slow"),
        pytest.param(raw(head(206, {"Content-Range": "bytes 5-9/10"}) + b"12345"), "206", id="a part unasked"),
    ],
)
def test_what_is_no_good_is_told_and_never_served(
    store: MirrorStore, server: Hostile, answer: Any, reason: str
) -> None:
    good = server.on("/good.bin", whole(OTHER))
    limits = Limits(pause=0.01, silence=0.5, patience=0.3, slowest=1000, attempts=2)
    done = run(store, entry(server.on("/fw.bin", answer)), entry(good, OTHER), limits=limits)
    assert list(done.failed) == [PATH]
    assert reason in done.failed[PATH]
    assert served(store) == {"snom/10.1.184.14/good.bin": OTHER}


def test_a_server_that_falls_silent(store: MirrorStore, server: Hostile) -> None:
    def silent(_asked: Any, client: Any) -> None:
        client.sendall(head(200, {"Content-Length": str(len(FILE))}) + FILE[:1000])
        threading.Event().wait(1.5)

    done = run(store, entry(server.on("/fw.bin", silent)), limits=Limits(silence=0.2, attempts=1))
    assert "fell silent after 1,000 of 1,024,000 bytes" in done.failed[PATH]


def test_from_https_it_never_goes_to_http() -> None:
    with pytest.raises(Refused) as refused:
        words.take([entry("http://198.18.0.1/fw.bin", insecure=False)])
    assert "plain http" in str(refused.value.faults[0])


def test_a_length_that_nobody_tells_is_not_trusted(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", raw(head(200, {}) + FILE))
    assert "does not say how long it is" in run(store, entry(url, None, pin=True)).failed[PATH]
    assert run(store, entry(url, None, sha256=digest(FILE))).failed == {}


def test_a_size_beyond_all_bounds(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", whole(FILE))
    limits = Limits(most_bytes=1000, attempts=1)
    assert "are more than any file may have (1,000)" in run(store, entry(url), limits=limits).failed[PATH]


# -- without a hash ---


def test_pinned_at_first_sight_and_an_alarm_when_it_changes(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", whole(FILE))
    pinned = entry(url, None, pin=True)
    assert run(store, pinned).alarms == []
    assert run(store, pinned).changed is False
    server.on("/fw.bin", whole(OTHER + b"!"))
    later = run(store, pinned)
    assert later.alarms
    assert "the address has 1,024,001 bytes now, pinned is a file of 1,024,000" in later.alarms[0]
    assert served(store) == {PATH: FILE}
    shutil.rmtree(store.objects)
    store.current()
    lost = run(store, pinned)
    assert "what comes now is not what was pinned" in " ".join(lost.alarms)


def _minisign(key: Ed25519PrivateKey, content: bytes, number: bytes = b"12345678") -> tuple[str, str]:
    """(public key, signature) as minisign writes them."""
    public = base64.b64encode(b"Ed" + number + key.public_key().public_bytes_raw()).decode()
    signed = key.sign(hashlib.blake2b(content).digest())
    return public, base64.b64encode(b"ED" + number + signed).decode()


def test_a_signature_says_which_file_is_meant(store: MirrorStore, server: Hostile) -> None:
    public, signature = _minisign(Ed25519PrivateKey.generate(), FILE)
    url = server.on("/fw.bin", whole(FILE))
    signed = entry(url, None, signature=signature)
    assert "not among the trusted keys" in run(store, signed).failed[PATH]
    stranger, _signature = _minisign(Ed25519PrivateKey.generate(), FILE)
    assert "the signature is of another file" in run(store, signed, trusted_keys=(stranger,)).failed[PATH]
    assert run(store, signed, trusted_keys=(public,)).failed == {}
    assert run(store, signed, trusted_keys=(public,)).changed is False
    assert served(store) == {PATH: FILE}


# -- archives ---


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


def _tar(members: dict[str, bytes], link: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        if link:
            info = tarfile.TarInfo("fw/fw.bin")
            info.type, info.linkname = tarfile.SYMTYPE, link
            packed.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("pack", [_zip, _tar])
def test_a_file_in_an_archive(store: MirrorStore, server: Hostile, pack: Any) -> None:
    packed = pack({"../../evil": b"x", "/etc/passwd": b"x", "fw/fw.bin": FILE, "fw/other.bin": OTHER})
    url = server.on("/fw.zip", whole(packed))
    both = [entry(url, packed, member="fw/fw.bin"), entry(url, packed, member="fw/other.bin", models=["D717"])]
    assert run(store, *both).failed == {}
    assert served(store) == {PATH: FILE, "snom/10.1.184.14/other.bin": OTHER}
    assert server.times("/fw.zip") == 1
    assert run(store, *both).changed is False
    assert server.times("/fw.zip") == 1
    assert not list(store.folder.parent.rglob("evil"))


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        pytest.param(_zip({"other": b"x"}), "there is no fw/fw.bin in the archive; there is other", id="absent"),
        pytest.param(_tar({}, link="/etc/passwd"), "fw/fw.bin is no file in the archive", id="link"),
        pytest.param(_zip({"fw/fw.bin": bytes(3_000_000)}), "is larger (3,000,000 bytes)", id="zip bomb"),
        pytest.param(_tar({"pad": bytes(9_000_000), "fw/fw.bin": FILE}), "is not among what the first", id="tar bomb"),
        pytest.param(_tar({"fw/fw.bin": bytes(3_000_000)}), "unpacks to more than any file may have", id="large"),
        pytest.param(gzip.compress(b"no archive"), "the archive is damaged", id="no archive"),
        pytest.param(_zip({"fw/fw.bin": FILE})[:-40], "the archive is damaged", id="cut off"),
    ],
)
def test_an_archive_that_is_no_good(store: MirrorStore, server: Hostile, packed: bytes, reason: str) -> None:
    url = server.on("/fw.zip", whole(packed))
    done = run(store, entry(url, packed, member="fw/fw.bin"), limits=Limits(most_bytes=2_000_000, attempts=1))
    assert reason in done.failed[PATH]
    assert served(store) == {}


# -- lists ---


def test_all_faults_of_a_list_at_once() -> None:
    with pytest.raises(Refused) as refused:
        words.take(
            {
                "serial": -1,
                "files": [
                    entry("ftp://x/fw.bin"),
                    entry("https://x/fw.bin", sha256="12", size=0),
                    entry("https://x/fw.bin", vendor="acme", version=10.1),
                    entry("https://x/", None),
                    entry("https://u:p@x/fw.bin"),
                    entry("https://x/a.bin"),
                    entry("https://y/a.bin"),
                    entry("https://x/b.bin", models=["D999"]),
                    entry("https://x/../..", member="../etc/passwd"),
                    entry("https://x/tlh.xml", kind="language", language="tlh"),
                    entry("https://x/de.xml", kind="language", language="de", vendor="gigaset", models=["N670"]),
                    entry("https://x/none.xml", kind="language"),
                    entry("https://x/c.bin", language="de", interface="web"),
                ],
            }
        )
    told = "\n".join(map(str, refused.value.faults))
    for text in (
        "is not an https address",
        "is not a SHA-256",
        "'acme' is not a vendor; known are",
        "put it in quotes, or 10.10 becomes 10.1",
        "neither sha256 nor signature",
        "holds a user name or a password",
        "snom/10.1.184.14/a.bin stands in the list twice, first as files[5]",
        "has no model 'D999'",
        "member is a path inside the archive",
        "files[9].language",
        "Gigaset phones take no file for the language 'de'; leave the file out",
        "files[11]: a language file, and no other, names its language",
        "files[12]: a language file, and no other, names its language, and only a language file is for an interface",
        "serial",
    ):
        assert text in told, told
    assert "u:p" not in told


def test_the_catalogue_of_the_role_is_a_manifest() -> None:
    """And each entry says where it was read, and when."""
    file = Path(__file__).parents[3] / "roles" / "firmware" / "files" / "catalogue.yml"
    found = words.read(file.read_bytes(), str(file))
    assert found.files
    for listed in found.files:
        assert re.search(r", read \d{4}-\d{2}-\d{2}$", listed.source or ""), listed.path
        assert (listed.kind, listed.insecure, bool(listed.size)) == (words.Kind.FIRMWARE, False, True), listed.path


def test_an_older_list_is_refused(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", whole(FILE))
    run(store, entry(url), serial=7)
    with pytest.raises(Refused, match="serial 6, the mirror was made from 7"):
        run(store, entry(url), serial=6)
    assert run(store, entry(url), serial=6, allow_downgrade=True).changed is True


def test_a_list_that_has_expired_warns(store: MirrorStore) -> None:
    content = words.take({"expires": "2026-01-01", "files": []})
    done = sync(store, content, Settings(), today=lambda: date(2026, 1, 1))
    assert done.warnings == ["the manifest expired on 2026-01-01; get the newer one, which somebody may keep from you"]


# -- the folder ---


def test_two_runs_at_once(store: MirrorStore) -> None:
    with store.locked(), pytest.raises(Refused, match="another run works on the mirror"):
        run(store)


def test_what_a_dead_run_left_half_made_is_cleared_away(store: MirrorStore, server: Hostile) -> None:
    url = server.on("/fw.bin", whole(FILE))
    run(store, entry(url))
    half = store.folder / "releases" / ".new-0000002" / "files"
    half.mkdir(parents=True)
    (store.folder / ".new-current-1").symlink_to("releases/9")
    run(store, entry(url))
    assert sorted(path.name for path in store.folder.rglob(".new-*")) == []
    assert served(store) == {PATH: FILE}


def test_no_room_on_the_disk(store: MirrorStore, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(store.folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1_000_000))
    with pytest.raises(Refused, match="1 MB are to be fetched and 1 MB are free"):
        run(store, entry(server.on("/fw.bin", whole(FILE))))
    assert server.asked == []


def test_damage_is_found_by_reading_everything(store: MirrorStore, server: Hostile) -> None:
    run(store, entry(server.on("/fw.bin", whole(FILE))))
    assert list(store.damaged()) == []
    file = store.object(digest(FILE))
    os.chmod(file, 0o644)
    file.write_bytes(OTHER)
    assert [stored.path for stored in store.damaged()] == [PATH]
