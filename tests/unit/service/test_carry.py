# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported mirrors that somebody on the way has changed: nothing of theirs is believed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from autoprovd.faults import Refused
from autoprovd.mirror.carry import carry_in
from autoprovd.mirror.store import MirrorStore

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
