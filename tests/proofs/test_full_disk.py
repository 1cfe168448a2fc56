# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the database is full, before a claim and in the middle of one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proofs import tally
from tests.proofs.appliance import SERVE, Appliance, dying
from tests.proofs.databases import Database
from tests.proofs.dying_service import fill
from tests.proofs.namespaces import on_small_disk, requires_root
from tests.proofs.phones import Phone

pytestmark = pytest.mark.root
PHONES = [Phone(1), Phone(2)]
ALL = frozenset(PHONES[0].secrets)


class _Disk:
    """A service whose database lies on a disk of its own, seen through the service's mount namespace."""

    def __init__(self, folder: Path) -> None:
        self.inside = folder / "disk"
        self._copies = folder / "copies"
        self._copies.mkdir()
        self.appliance = Appliance(folder / "node", Database("sqlite", f"sqlite:///{self.inside}/autoprov.sqlite"))

    def start(self, program: tuple[str, ...]) -> None:
        """Start the service on a new disk of one mebibyte, with the phones armed."""
        self.appliance.start(program, within=on_small_disk(self.inside, 1024))
        self.appliance.set_up(PHONES, strict=True, window_seconds=3600)

    @property
    def outside(self) -> Path:
        """The disk as this process sees it."""
        return Path(f"/proc/{self.appliance.pid}/root{self.inside}")

    def database(self) -> Database:
        """A copy of the database as it is now. SQLite would follow the path outside to the folder under the disk."""
        copy = self._copies / str(len(list(self._copies.iterdir())))
        copy.mkdir()
        for file in self.outside.glob("autoprov.sqlite*"):
            shutil.copy(file, copy)
        return Database("sqlite", f"sqlite:///{copy}/autoprov.sqlite")

    def make_room(self) -> None:
        """Remove what filled it."""
        (self.outside / "filler").unlink()


@pytest.fixture
def disk(folder: Path) -> Iterator[_Disk]:
    """A disk and a service on it, not started."""
    requires_root()
    made = _Disk(folder)
    yield made
    made.appliance.kill()


def test_a_full_disk_releases_nothing_and_keeps_everything(disk: _Disk) -> None:
    """While the database's disk is full no claim is answered and none is used up; with room again, each is, once."""
    disk.start(SERVE)
    fill(disk.outside)
    for _times in range(3):
        for phone in PHONES:
            answer = disk.appliance.ask(phone)
            assert answer.startswith(b"HTTP/1.1 503"), answer[:200]
            assert phone.secrets_in(answer) == frozenset()
    assert "the disk is full; free some space" in disk.appliance.log()
    disk.make_room()
    _assert_released_once(disk, "a full disk", refused=6)


def test_a_disk_that_fills_up_in_the_middle_of_a_claim(disk: _Disk) -> None:
    """A disk that is full from between the UPDATE and the COMMIT on takes the claim back, and nothing was released."""
    disk.start(dying(PHONES[0], "after the UPDATE", f"fill:{disk.inside}"))
    answer = disk.appliance.ask(PHONES[0])
    assert (disk.outside / "filler").exists(), "the step was never reached"
    assert answer.startswith(b"HTTP/1.1 503"), answer[:200]
    assert PHONES[0].secrets_in(answer) == frozenset()
    disk.make_room()
    _assert_released_once(disk, "a disk that fills up", refused=1)


def _assert_released_once(disk: _Disk, name: str, refused: int) -> None:
    for phone in PHONES:
        assert disk.database().released(phone.mac) == {}
        assert phone.secrets_in(disk.appliance.ask(phone)) == ALL
        assert phone.secrets_in(disk.appliance.ask(phone)) == frozenset()
        assert list(disk.database().released(phone.mac).values()) == [1] * len(ALL)
    disk.database().assert_sound()
    disk.appliance.assert_audit_whole()
    tally.count(f"sqlite: {name}", claims=refused + 4, released=2, burned=0, doubles=0)
