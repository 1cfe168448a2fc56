# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks that are set back, jump, and lose their time: the service, or PostgreSQL, runs under libfaketime."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoprovd.model import SecretClass
from tests import postgres
from tests.proofs.appliance import Appliance
from tests.proofs.conftest import Extent
from tests.proofs.databases import Database
from tests.proofs.namespaces import after_a_reboot, requires_root
from tests.proofs.phones import Phone

HOUR, DAY = 3600.0, 86400.0
WINDOW = 10
"""Seconds; the shortest the service takes."""
FOREVER = frozenset({SecretClass.WEB, SecretClass.PROVISIONING})
"""The classes without a window."""


class FalseClock:
    """A wall clock that a test sets; clocks that count from the boot go on as they are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
        if library is None:
            pytest.skip("libfaketime is missing; run make setup as root")
        self.environment = {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }  # fmt: skip

    def set(self, seconds: float) -> None:
        """Set it so many seconds ahead of the true time, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.1f}\n")
        new.chmod(0o644)
        new.rename(self._file)

    def set_to(self, year: int) -> None:
        """Set it to the first of January of a year, as a clock that lost its time."""
        self.set(time.mktime((year, 1, 1, 0, 0, 0, 0, 1, 0)) - time.time())


@pytest.fixture
def clock(folder: Path) -> FalseClock:
    """A clock that runs true until it is set."""
    folder.chmod(0o755)  # PostgreSQL's user reads the file in it
    return FalseClock(folder / "clock")


def released(appliance: Appliance, phone: Phone) -> frozenset[SecretClass]:
    """Which classes of passwords a phone gets now."""
    return frozenset(key.secret_class for key in phone.secrets_in(appliance.ask(phone)))


def all_classes() -> frozenset[SecretClass]:
    """Every class of passwords a phone has."""
    return frozenset(key.secret_class for key in Phone(1).secrets)


sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_libfaketime_turns_the_wall_clock_alone(clock: FalseClock) -> None:
    """What these tests set reaches a program's wall clock, and neither of the clocks that count from the boot."""
    clock.set(-DAY)
    program = "import time; print(time.time(), *map(time.clock_gettime, (time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC)))"
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=os.environ | clock.environment, capture_output=True, text=True, check=True)
    wall, boot, monotonic = map(float, told.stdout.split())
    assert wall == pytest.approx(time.time() - DAY, abs=30)
    assert boot == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=30)
    assert monotonic == pytest.approx(time.monotonic(), abs=30)


@pytest.mark.long
@sqlite_only
def test_a_clock_set_back_does_not_lengthen_a_window(appliance: Appliance, clock: FalseClock) -> None:
    """However the wall clock is set back, inside a window or behind it, nothing is released once its time is over."""
    inside, early, late = Phone(1), Phone(2), Phone(3)
    appliance.start(environment=clock.environment)
    appliance.set_up([inside, early, late], window_seconds=WINDOW)
    armed = time.monotonic()
    clock.set(-HOUR)
    assert released(appliance, inside) == all_classes(), "the window is open by every clock but one that went back"
    time.sleep(max(0.0, armed + WINDOW + 0.5 - time.monotonic()))
    assert released(appliance, early) == FOREVER
    clock.set(-DAY)
    assert released(appliance, late) == FOREVER
    assert released(appliance, inside) == frozenset(), "the same claimant may not repeat it any more"


@sqlite_only
def test_a_clock_that_jumps_ahead_closes_windows_for_good(appliance: Appliance, clock: FalseClock) -> None:
    """A clock that jumps behind the end of a window closes it, and setting it right again does not open it."""
    appliance.start(environment=clock.environment)
    appliance.set_up([Phone(1)])
    clock.set(DAY)
    assert released(appliance, Phone(1)) == FOREVER
    clock.set(0)
    assert SecretClass.SIP not in released(appliance, Phone(1))
    assert appliance.states(Phone(1))["sip"] == "expired"


@pytest.mark.root
@sqlite_only
def test_a_reboot_keeps_a_window_only_with_a_good_clock(
    appliance: Appliance, clock: FalseClock, folder: Path, extent: Extent
) -> None:
    """After a reboot a window goes on where the wall clock does, and is closed where that was set back, or lost."""
    requires_root()
    appliance.start(environment=clock.environment)
    appliance.set_up([Phone(index) for index in range(5)])
    boots = [
        ("in 1970", 1970),
        ("in 2000", 2000),
        ("an hour back", -HOUR),
        ("a minute later", 60),
        ("a day later", DAY),
    ]
    if extent.factor == 1:
        boots = [boots[1], boots[3]]
    for index, (name, when) in enumerate(boots):
        appliance.kill()
        (folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        clock.set_to(int(when)) if name.startswith("in") else clock.set(when)
        appliance.start(environment=clock.environment, within=after_a_reboot(folder / "boot_id", 20))
        expected = all_classes() if name == "a minute later" else FOREVER
        assert released(appliance, Phone(index)) == expected, f"rebooted {name}"


# -- PostgreSQL: the clock that counts is the database's --------------------------------------------------------------


@pytest.fixture
def clocked(clock: FalseClock, folder: Path) -> Iterator[tuple[Appliance, postgres.Cluster]]:
    """A service on a PostgreSQL whose wall clock the test sets."""
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL 15 or newer is missing; run make setup as root")
    with postgres.folder() as path:
        cluster = postgres.Cluster(path / "c", durable=False, environment=clock.environment)
        cluster.create()
        appliance = Appliance(folder / "node", Database("postgresql", cluster.url))
        try:
            appliance.start()
            appliance.set_up([Phone(index) for index in range(1, 5)], window_seconds=WINDOW)
            yield appliance, cluster
        finally:
            appliance.kill()
            cluster.kill()


@pytest.mark.long
def test_the_clock_of_postgresql_set_back_does_not_lengthen_a_window(
    clocked: tuple[Appliance, postgres.Cluster], clock: FalseClock
) -> None:
    """However PostgreSQL's clock is set back, far or by less than since its last write, no window grows longer."""
    appliance, _cluster = clocked
    armed = time.monotonic()
    time.sleep(6)
    clock.set(-4)
    assert released(appliance, Phone(1)) == all_classes(), "the window is open by every clock but one that went back"
    time.sleep(max(0.0, armed + WINDOW + 0.5 - time.monotonic()))
    assert released(appliance, Phone(2)) == FOREVER
    clock.set(-HOUR)
    assert released(appliance, Phone(3)) == FOREVER


@pytest.mark.long
def test_the_clock_of_postgresql_that_jumps_ahead_closes_windows_for_good(
    clocked: tuple[Appliance, postgres.Cluster], clock: FalseClock
) -> None:
    """A PostgreSQL whose clock jumps behind the end of a window closes it, and setting it right does not open it."""
    appliance, _cluster = clocked
    clock.set(DAY)
    assert released(appliance, Phone(1)) == FOREVER
    clock.set(0)
    assert SecretClass.SIP not in released(appliance, Phone(1))


@pytest.mark.long
@pytest.mark.root
def test_a_postgresql_that_lost_its_clock_releases_nothing_with_a_window(
    clocked: tuple[Appliance, postgres.Cluster], clock: FalseClock, folder: Path
) -> None:
    """When PostgreSQL comes back in the year 2000, only the node where a window was opened knows how long ago that was;
    to any other, and after a reboot, it is closed.
    """
    requires_root()
    appliance, cluster = clocked
    cluster.kill()
    clock.set_to(2000)
    cluster.start()
    appliance.arm(Phone(1), Phone(2))
    assert released(appliance, Phone(1)) == all_classes(), "opened here, and open by the time since boot"
    appliance.stop()
    (folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
    appliance.start(within=after_a_reboot(folder / "boot_id", 20))
    assert released(appliance, Phone(2)) == FOREVER
