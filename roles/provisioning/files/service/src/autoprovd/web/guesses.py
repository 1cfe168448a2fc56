# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a phone's credentials may be guessed.

The ID on a Gigaset's label has four characters, so what protects it is how many may be tried. Attempts are counted
before they are judged: however many come at once, no more are judged than are allowed. Who comes from the phone's own
place is counted apart, so that a stranger's guesses do not shut the phone out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_ALLOWED_OF_A_SOURCE, _ALLOWED_OF_STRANGERS = 10, 30
_SECONDS, _MOST_SECONDS = 60.0, 3600.0
_MANY = 20_000

STRANGERS = ""
"""Stands for every source that is not known as the phone."""


@dataclass(slots=True)
class _Count:
    attempts: int
    since: float
    seconds: float
    """How long they are remembered; longer each time the allowance is used up."""


class Guesses:
    """The attempts that were not right, by phone and source."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], _Count] = {}

    def wait(self, mac: str, source: str, is_phone: bool) -> float:
        """Count an attempt; 0 when it may be judged, otherwise the seconds until one may.

        ``is_phone`` says that the network itself knows the source as the phone.
        """
        places = [(source, _ALLOWED_OF_A_SOURCE)]
        if not is_phone:
            places.append((STRANGERS, _ALLOWED_OF_STRANGERS))
        now = self._clock()
        counts = [(self._count(mac, place, now), allowed) for place, allowed in places]
        waits = [count.since + count.seconds - now for count, allowed in counts if count.attempts >= allowed]
        if waits:
            return max(waits)
        for count, allowed in counts:
            count.attempts += 1
            if count.attempts == allowed:
                count.since = now
        return 0.0

    def was_right(self, mac: str, source: str, is_phone: bool) -> None:
        """The attempt that was counted last was right; it, and those before it from there, are forgotten."""
        self._counts.pop((mac, source), None)
        strangers = self._counts.get((mac, STRANGERS))
        if strangers is not None and not is_phone and strangers.attempts:
            strangers.attempts -= 1

    def _count(self, mac: str, place: str, now: float) -> _Count:
        count = self._counts.get((mac, place))
        if count is None:
            if len(self._counts) >= _MANY:
                self._counts = {key: it for key, it in self._counts.items() if now - it.since < 2 * it.seconds}
            count = self._counts[mac, place] = _Count(0, now, _SECONDS)
        elif now - count.since >= count.seconds:
            used_up = count.attempts >= (_ALLOWED_OF_STRANGERS if place == STRANGERS else _ALLOWED_OF_A_SOURCE)
            count.seconds = min(2 * count.seconds, _MOST_SECONDS) if used_up else _SECONDS
            count.attempts, count.since = 0, now
        return count
