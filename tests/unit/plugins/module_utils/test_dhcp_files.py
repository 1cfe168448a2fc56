# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that somebody else may edit, under no lock, while they are replaced."""

from __future__ import annotations

import os
import struct
import subprocess
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


def test_a_copy_is_as_open_as_its_original_is_now(tmp_path: Path) -> None:
    """An older copy may be more open than the file has become since."""
    original, copy = tmp_path / "x.conf", tmp_path / "x.conf.copy"
    for path, mode in ((original, 0o600), (copy, 0o644)):
        path.write_bytes(b"older\n")
        path.chmod(mode)
    files.write_copy(str(copy), b"a password\n", of=str(original))
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (b"a password\n", 0o600)


def test_access_control_lists_stay(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(b"theirs\n")
    path.chmod(0o640)
    # rw- owner, r-- user 65534, r-- group, r-- mask, --- others; in the words of the kernel: tag, permissions, id
    entries = [(1, 6, 0xFFFFFFFF), (2, 4, 65534), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    given = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", given)
    except OSError:
        pytest.skip("this file system has no access control lists")
    files.replace_unchanged(str(path), b"theirs\n", b"ours\n", like=str(path))
    assert path.read_bytes() == b"ours\n"
    assert os.getxattr(path, "system.posix_acl_access") == given


def test_what_a_killed_run_has_left_is_swept(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    kept = [f".autoprov-tmp-{os.getpid()}-abc", f".autoprov-test-{os.getpid()}-0.json", "x.conf", ".x.autoprov-backup"]
    for name in [*kept, f".autoprov-tmp-{gone.pid}-abc", f".autoprov-test-{gone.pid}-0.json"]:
        (tmp_path / name).write_bytes(b"a password\n")
    files.sweep(str(tmp_path))
    files.sweep(str(tmp_path / "nowhere"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
