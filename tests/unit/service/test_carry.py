# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported mirrors that somebody on the way has changed: nothing of theirs is believed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from autoprovd.faults import Refused
from autoprovd.mirror import carry
from autoprovd.mirror.store import MirrorStore, Release

FILE = bytes(range(256)) * 100


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed(name: str = "fw.bin", content: bytes = FILE, **changes: Any) -> dict[str, Any]:
    """A file as the list of an exported mirror has it."""
    entry = {
        "vendor": "snom", "kind": "ringtone", "version": "1.0", "url": f"https://mirror.example/{name}",
        "sha256": digest(content),
    }  # fmt: skip
    return {
        "path": f"snom/1.0/{name}",
        "sha256": digest(content),
        "size": len(content),
        "entry": entry | changes.pop("entry", {}),
    } | changes


def member(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for what, value in changes.items():
        setattr(info, what, value)
    return info, content


def carried(folder: Path, content: object, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """An exported mirror with this list, and these members behind it."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    with tarfile.open(folder / "carried.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in (member("release.json", text), *members):
            archive.addfile(info, io.BytesIO(data))
    return folder / "carried.tar"


@pytest.fixture
def store(tmp_path: Path) -> MirrorStore:
    return MirrorStore(tmp_path / "mirror")


def carry_in(store: MirrorStore, source: Path, **options: Any) -> tuple[bool, Release]:
    with source.open("rb") as stream:
        return carry.carry_in(store, stream, **options)


def test_a_long_list_takes_no_longer_for_each_file(tmp_path: Path, store: MirrorStore) -> None:
    files = [listed(f"ring{number}.wav") for number in range(40_000)]
    source = carried(tmp_path, {"serial": 1, "files": files})
    begun = time.process_time()
    changed, release = carry_in(store, source, dry_run=True)
    assert (changed, len(release.files)) == (True, 40_000)
    assert time.process_time() - begun < 6, "the list is looked through once for each of its files"


def test_a_file_that_stands_in_the_list_twice(tmp_path: Path, store: MirrorStore) -> None:
    source = carried(tmp_path, {"serial": 1, "files": [listed(), listed()]})
    with pytest.raises(Refused) as refused:
        carry_in(store, source)
    assert [str(fault) for fault in refused.value.faults] == ["files[1]: snom/1.0/fw.bin stands in the list twice"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"[" * 100_000, "the list of the exported mirror is damaged", id="deep"),
        pytest.param(b"[]", "the list of the exported mirror is damaged", id="a list"),
        pytest.param(b'{"serial": 1e999, "files": []}', "the list of the exported mirror is damaged", id="endless"),
        pytest.param(b"\xff", "the list of the exported mirror is damaged", id="no text"),
        pytest.param({"serial": 1, "files": [5]}, "the list of the exported mirror is damaged", id="a number"),
        pytest.param({"serial": 1, "files": [listed(path=5)]}, "the list of the exported", id="path is a number"),
        pytest.param({"serial": 1, "files": [listed(path="snom/1.0/../x")]}, "is no file of a mirror", id="escape"),
        pytest.param({"serial": 1, "files": [listed(path="/etc/cron.d/x")]}, "is no file of a mirror", id="absolute"),
        pytest.param({"serial": 1, "files": [listed(sha256="../../x")]}, "is no file of a mirror", id="hash escapes"),
        pytest.param({"serial": 1, "files": [listed(sha256="A" * 64)]}, "is no file of a mirror", id="hash capitals"),
        pytest.param({"serial": 1, "files": [listed(entry={"name": "x"})]}, "has faults", id="another name"),
        pytest.param({"serial": 1, "files": [listed(size=3 * 1024**3)]}, "has faults", id="too large"),
    ],
)  # fmt: skip
def test_a_list_that_is_no_good(tmp_path: Path, store: MirrorStore, content: object, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        carry_in(store, carried(tmp_path, content))
    assert store.current() is None


OBJECT = f"objects/{digest(FILE)}"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param([], "the file ends before snom/1.0/fw.bin", id="none"),
        pytest.param([member(OBJECT, FILE[::-1])], "is damaged; copy the file again", id="other content"),
        pytest.param([member(OBJECT, FILE[:-1])], "is not the file the list means", id="too short"),
        pytest.param(
            [member(OBJECT, type=tarfile.SYMTYPE, linkname="/etc/passwd")], "is not the file the list", id="link"
        ),
        pytest.param(
            [member(OBJECT, type=tarfile.LNKTYPE, linkname="release.json")], "is not the file", id="hard link"
        ),
        pytest.param([member(OBJECT, type=tarfile.CHRTYPE, devmajor=1, devminor=5)], "is not the file", id="device"),
        pytest.param([member(OBJECT, type=tarfile.FIFOTYPE)], "is not the file the list means", id="pipe"),
        pytest.param([member(OBJECT.upper(), FILE)], "the file ends before", id="capitals"),
        pytest.param([member(f"./{OBJECT}", FILE)], "the file ends before", id="spelled otherwise"),
    ],
)
def test_members_that_are_no_good(tmp_path: Path, store: MirrorStore, members: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        carry_in(store, carried(tmp_path, {"serial": 1, "files": [listed()]}, *members))
    assert store.current() is None
    assert list(store.parts.iterdir()) == []


def test_nothing_but_what_the_list_names_is_written(tmp_path: Path, store: MirrorStore) -> None:
    more = [member(name, b"x") for name in ("../evil", "/evil", "objects/../../evil", "pins.json", "objects/evil")]
    members = [*more, member(OBJECT, FILE), member(OBJECT, FILE[::-1]), *more]
    carry_in(store, carried(tmp_path, {"serial": 1, "files": [listed()]}, *members))
    assert [path.read_bytes() for path in store.objects.glob("*/*")] == [FILE]
    assert not list(tmp_path.rglob("*evil*"))
    assert store.pins() == {}


def test_a_sparse_file_is_no_file(tmp_path: Path, store: MirrorStore) -> None:
    """A gibibyte out of a few bytes."""
    zeros = bytes(1024 * 1024)
    source = carried(tmp_path, {"serial": 1, "files": [listed(content=zeros)]})
    name = f"objects/{digest(zeros)}"
    # The form of GNU tar 1.0: the map of what is there stands in the headers, the name and the size as well.
    headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": name, "GNU.sparse.size": str(len(zeros)),
        "GNU.sparse.realsize": str(len(zeros)), "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1",
    }  # fmt: skip
    with tarfile.open(source, "a", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.size, info.pax_headers = 1, headers
        archive.addfile(info, io.BytesIO(b"\0"))
    with tarfile.open(source) as archive:
        assert [info.issparse() for info in archive] == [False, True]
    with pytest.raises(Refused, match="is not the file the list means"):
        carry_in(store, source)


def test_more_than_there_is_room_for(tmp_path: Path, store: MirrorStore) -> None:
    files = [listed(f"{number}.bin", b"%d" % number, size=2 * 1024**3) for number in range(5000)]
    source = carried(tmp_path, {"serial": 1, "files": files})
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"10,737,418 MB are to be imported and [0-9,]+ MB are free"):
            carry_in(store, source, dry_run=dry_run)
    assert store.current() is None


def test_words_the_list_leaves_out(tmp_path: Path, store: MirrorStore) -> None:
    """What is kept is whole, so that the next run can read it."""
    source = carried(tmp_path, {"serial": 1, "files": [listed()]}, member(OBJECT, FILE))
    assert carry_in(store, source)[0] is True
    assert carry_in(store, source)[0] is False
    (stored,) = store.served().files
    assert (stored.entry["models"], stored.entry["signature"], stored.entry["member"]) == ([], None, None)


def test_a_hostile_tail_costs_no_memory(tmp_path: Path, store: MirrorStore) -> None:
    source = carried(
        tmp_path, {"serial": 1, "files": [listed()]}, member(OBJECT, FILE), *(member(f"{n}") for n in range(40_000))
    )
    tracemalloc.start()
    try:
        carry_in(store, source)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
