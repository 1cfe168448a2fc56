# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a phone's credentials may be guessed.

The ID on a Gigaset's label has four characters, so what protects it is how many may be tried. Attempts are counted
before they are judged: however many come at once, no more are judged than are allowed. Some may be wrong at once, and
then one in a while: an allowance that comes back drop by drop has no period to wait for, and no rate to stay below.

Strangers share one allowance for each phone, whatever addresses they have. Who comes from the phone's own place is
counted apart, so that strangers do not shut the phone out: that is who has its MAC address, and the source that last
answered rightly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakValueDictionary

_OF_A_SOURCE, _OF_STRANGERS = 10, 30
"""Attempts allowed at once; the same number comes back within an hour."""
_BACK_SECONDS = 3600.0
_MANY = 20_000

_THE_PHONE, _STRANGERS = "the phone", "strangers"
"""Places beside the source addresses: all who have the phone's MAC address, and all who have not."""


@dataclass(slots=True)
class _Count:
    allowed: int
    attempts: float
    at: float
    """When that many were held against the place; they have become fewer since."""

    def settle(self, now: float) -> None:
        self.attempts = max(0.0, self.attempts - (now - self.at) * self.allowed / _BACK_SECONDS)
        self.at = now

    def wait(self) -> float:
        """Seconds until another attempt may be judged."""
        return max(0.0, (self.attempts + 1 - self.allowed) * _BACK_SECONDS / self.allowed)


class Attempt(NamedTuple):
    """An attempt that was counted."""

    mac: str
    source: str
    places: tuple[str, ...]
    wait: float
    """0 when it may be judged, otherwise the seconds until one may."""


class Guesses:
    """The attempts that were not right, by phone and place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], _Count] = {}
        self._own: dict[str, str] = {}
        """The source that last answered rightly, by phone."""
        self._judging: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def count(self, mac: str, source: str, is_phone: bool) -> Attempt:
        """Count an attempt. ``is_phone``: the network itself knows the source as the phone."""
        if is_phone:
            places: tuple[str, ...] = (_THE_PHONE,)
        elif self._own.get(mac) == source:
            places = (source,)
        else:
            places = (source, _STRANGERS)
        now = self._clock()
        counts = [self._count(mac, place, now) for place in places]
        wait = max(count.wait() for count in counts)
        if not wait:
            for count in counts:
                count.attempts += 1
        return Attempt(mac, source, places, wait)

    def take_back(self, attempt: Attempt) -> None:
        """That attempt was no guess, and is not held against anybody."""
        for place in attempt.places:
            count = self._counts.get((attempt.mac, place))
            if count is not None:
                count.attempts = max(0.0, count.attempts - 1)

    def was_right(self, attempt: Attempt) -> None:
        """It was right; those before it from that source are forgotten. Strangers' are not."""
        self.take_back(attempt)
        self.forgive(attempt.mac, attempt.source)

    def forgive(self, mac: str, source: str) -> None:
        """That source is the phone: it holds what could be guessed."""
        if mac not in self._own and len(self._own) >= _MANY:
            self._own.clear()
        self._own[mac] = source
        self._counts.pop((mac, source), None)
        self._counts.pop((mac, _THE_PHONE), None)

    def turn(self, mac: str) -> asyncio.Lock:
        """What is held while an answer for that phone is judged: one at a time, so that none takes all the threads."""
        return self._judging.setdefault(mac, asyncio.Lock())

    def _count(self, mac: str, place: str, now: float) -> _Count:
        count = self._counts.get((mac, place))
        if count is None:
            if len(self._counts) >= _MANY:
                self._make_room(now)
            allowed = _OF_STRANGERS if place == _STRANGERS else _OF_A_SOURCE
            count = self._counts[mac, place] = _Count(allowed, 0.0, now)
        else:
            count.settle(now)
        return count

    def _make_room(self, now: float) -> None:
        """Forget what has run off, and if that is not enough the sources: strangers' common count still holds them."""
        for count in self._counts.values():
            count.settle(now)
        self._counts = {key: count for key, count in self._counts.items() if count.attempts}
        if len(self._counts) >= _MANY // 2:
            common = (_THE_PHONE, _STRANGERS)
            self._counts = {key: count for key, count in self._counts.items() if key[1] in common}
