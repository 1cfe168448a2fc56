# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time, read so that a window once closed stays closed.

A wall clock can be set back, and a machine without a battery wakes up in the past. Windows are therefore held against
three readings: the wall clock, the time since boot (which no one can set), and the latest wall time the database has
ever seen (the *high water*). Whatever disagrees closes the window; nothing re-opens it. On PostgreSQL the wall clock is
the database's. The time since boot counts where the window was opened, until that machine reboots; anywhere else every
window is closed while the wall clock is behind the high water.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of the time, as decisions use it."""

    wall: float
    """Seconds since 1970 UTC, never before the high water."""
    boot: float
    """Seconds since the machine booted, suspended time included; means nothing without ``boot_id``."""
    boot_id: str
    """Which boot of which machine that counts from."""
    behind: bool
    """The wall clock is behind the high water: it was set back, or lost its time."""


class Clock:
    """The clock of this machine."""

    boot_id: str

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()

    def wall(self) -> float:
        """Seconds since 1970 UTC, as this machine believes."""
        return time.time()

    def boot(self) -> float:
        """Seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def moment(self, high_water: float) -> Moment:
        """The time now, given the latest wall time ever recorded."""
        wall = self.wall()
        return Moment(max(wall, high_water), self.boot(), self.boot_id, behind=wall < high_water)


class DatabaseClock(Clock):
    """The clock of a database that several nodes work on: the only wall clock they share.

    Between two readings it goes on with this machine's monotonic clock. The time since boot is this machine's own: to
    a window that was opened through another node it says as little as after a reboot.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ahead = time.time() - time.monotonic()

    def observe(self, now: float) -> None:
        """Take a reading: seconds since 1970 UTC by the database."""
        self._ahead = now - time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970 UTC, as the database believes."""
        return time.monotonic() + self._ahead


def iso_time(at: float | None, timespec: str = "seconds") -> str | None:
    """Seconds since 1970 as a person reads them: ISO 8601, UTC, to the second or as ``datetime.isoformat`` has it."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec)
