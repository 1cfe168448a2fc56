# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that somebody else may edit, under no lock, while they are replaced."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import files
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import EditedMeanwhile


def test_who_has_it_open_may_still_write(tmp_path: Path) -> None:
    """`echo … >> FILE` opened the old file before it was replaced, and writes only then: the edit is kept."""
    path = tmp_path / "x.conf"
    path.write_bytes(b"theirs\n")
    with path.open("ab") as stream:
        writer = threading.Timer(0.2, lambda: (stream.write(b"edit\n"), stream.close()))
        writer.start()
        with pytest.raises(EditedMeanwhile):
            files.replace_unchanged(str(path), b"theirs\n", b"ours\n", like=str(path))
        writer.join()
    assert path.read_bytes() == b"theirs\nedit\n"
    assert [item.name for item in tmp_path.iterdir()] == ["x.conf"]


def test_who_only_reads_it_is_not_waited_for_long(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(b"theirs\n")
    with path.open("rb"):
        started = time.monotonic()
        files.replace_unchanged(str(path), b"theirs\n", b"ours\n", like=str(path))
    assert time.monotonic() - started < 3
    assert path.read_bytes() == b"ours\n"


def test_an_edit_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(b"theirs, edited\n")
    for after in (b"ours\n", None):
        with pytest.raises(EditedMeanwhile):
            files.replace_unchanged(str(path), b"theirs\n", after, like=str(path))
    with pytest.raises(EditedMeanwhile):
        files.replace_unchanged(str(path), None, b"ours\n", like=str(path))
    assert path.read_bytes() == b"theirs, edited\n"
