# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware mirror when its process is killed at any step, or the disk is full: old or new, never a mix."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoprovd.faults import Refused
from autoprovd.mirror import manifest as words
from autoprovd.mirror.carry import carry_in, export
from autoprovd.mirror.fetch import Limits
from autoprovd.mirror.store import MirrorStore
from autoprovd.mirror.sync import Settings, sync
from tests.unit.service.hostile_server import Hostile, whole

LIMITS = Limits(pause=0.01, silence=2.0, attempts=1)
STEPS = ("link", "rename", "replace", "fsync", "unlink", "symlink", "mkdir", "rmdir", "truncate", "chmod")
"""What changes a disk: the process is killed before each of them in turn, and after it."""


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as hostile:
        yield hostile


def listed(server: Hostile, version: str, names: str) -> words.Manifest:
    """A list of files of one version; each has its own content."""
    files = []
    for name in names:
        content = f"{version} {name} ".encode() * 20_000
        url = server.on(f"/{version}/{name}", whole(content))
        told = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        entry = {"vendor": "snom", "kind": "ringtone", "version": version, "url": url, "insecure": True}
        files.append(entry | told)
    return words.take({"files": files})


def read(store: MirrorStore) -> dict[str, bytes]:
    root = (store.folder / "current").resolve() / "files"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("*/**/*")) if path.is_file()}


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed at that step; whether it lived long enough to be."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = function(*arguments, **named)
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return call

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_each_step_of_an_update(tmp_path: Path, server: Hostile) -> None:
    """Readers see the old release or the new one, and the next run ends the work, whatever the step."""
    old, new = listed(server, "1.0", "abc"), listed(server, "2.0", "abd")
    settings = Settings(workers=1, keep=1, limits=LIMITS)
    for step in itertools.count(1):
        store = MirrorStore(tmp_path / str(step))
        sync(store, old, settings)
        before = read(store)
        server.asked.clear()
        killed = dies_at(step, lambda store=store: sync(store, new, settings))  # type: ignore[misc]
        seen = read(store)
        present = set(store.objects.glob("*/*"))
        done = sync(store, new, settings)
        after = read(store)
        assert done.failed == {}
        assert seen in (before, after), f"a mix at step {step}"
        assert len(after) == 3
        assert list(store.damaged()) == []
        assert list(store.folder.rglob(".new-*")) == []
        for name in "abd":
            expected = hashlib.sha256(f"2.0 {name} ".encode() * 20_000).hexdigest()
            there = store.object(expected) in present
            assert not there or server.times(f"/2.0/{name}") == 1, "what was fetched is not fetched again"
        if not killed:
            break
    assert step > 60, "fewer steps than there are: nothing was tried"


def test_killed_at_each_step_of_an_import(tmp_path: Path, server: Hostile) -> None:
    """The same for what another mirror exported."""
    settings = Settings(workers=1, limits=LIMITS)
    central = MirrorStore(tmp_path / "central")
    sync(central, listed(server, "2.0", "abd"), settings)
    with (tmp_path / "carried.tar").open("wb") as stream:
        export(central, stream)

    def carried(store: MirrorStore) -> None:
        with (tmp_path / "carried.tar").open("rb") as stream:
            carry_in(store, stream, keep=2)

    for step in itertools.count(1):
        store = MirrorStore(tmp_path / str(step))
        sync(store, listed(server, "1.0", "abc"), settings)
        before = read(store)
        killed = dies_at(step, lambda store=store: carried(store))  # type: ignore[misc]
        seen = read(store)
        carried(store)
        assert seen in (before, read(store)), f"a mix at step {step}"
        assert read(store) == read(central)
        assert list(store.damaged()) == []
        if not killed:
            break
    assert step > 40


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_disk_that_fills_up(tmp_path: Path, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is told, and what phones are served stays."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], check=True)
    try:
        store = MirrorStore(disk / "mirror")
        monkeypatch.setattr("autoprovd.mirror.store._SPARE_BYTES", -(10**9))  # the disk is checked before; go on anyway
        settings = Settings(workers=1, limits=LIMITS)
        sync(store, listed(server, "1.0", "ab"), settings)
        before = read(store)
        with pytest.raises(Refused, match=r"No space left on device\. What phones are served is as it was"):
            sync(store, listed(server, "2.0", "abcdef"), settings)
        assert read(store) == before
        subprocess.run(["mount", "-o", "remount,size=5m", disk], check=True)
        assert sync(store, listed(server, "2.0", "abcdef"), settings).failed == {}
        assert len(read(store)) == 6
        assert list(store.damaged()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
