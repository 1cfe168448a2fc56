# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where phones are at home: the sources each was served at, so that a ban of one of them leaves its phones alone.

Of each phone a few sources are kept. The first ones stay as long as they are used; only the last place goes to whoever
came last. So nobody can make the service forget where a phone is, by asking in its name from elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

_MOST_OF_A_PHONE = 4
_UNUSED_SECONDS = 30 * 86400.0
_NOTED_SECONDS = 3600.0
"""How exactly it is known when a place was used last."""


class Homes:
    """The sources at which known phones were served; places as :func:`autoprovd.bans.place_of` has them.

    As large as the site: only MAC addresses of its phones come here.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used: dict[str, dict[str, float]] = {}
        """When a place was used, by MAC address and place, the oldest place first."""
        self._phones_at: dict[str, int] = {}
        """How many phones are at home at a place: asked for each guess behind a large site's address."""
        self.changed = False
        """Whether a place was added since somebody set this to False."""

    def served(self, mac: str, place: str) -> None:
        """The phone was served there just now."""
        places = self._used.get(mac)
        if places is None:
            places = self._used[mac] = {}
        used, now = places.get(place), self._clock()
        if used is not None and now - used < _NOTED_SECONDS:
            return
        if used is None and len(places) >= _MOST_OF_A_PHONE:
            idle = [known for known, at in places.items() if now - at >= _UNUSED_SECONDS]
            for known in idle or [next(reversed(places))]:
                del places[known]
                self._left(known)
        places[place] = now
        if used is None:
            self._phones_at[place] = self._phones_at.get(place, 0) + 1
            self.changed = True

    def _left(self, place: str) -> None:
        self._phones_at[place] -= 1
        if not self._phones_at[place]:
            del self._phones_at[place]

    def knows(self, mac: str, place: str) -> bool:
        """Whether the phone was served there."""
        return place in self._used.get(mac, ())

    def count(self, place: str) -> int:
        """How many phones are at home there."""
        return self._phones_at.get(place, 0)

    def among(self, places: Collection[str]) -> set[str]:
        """Those of the places at which any phone is at home."""
        return {place for place in places if place in self._phones_at}

    def kept(self) -> dict[str, list[str]]:
        """All places by MAC address, for :meth:`restore`."""
        return {mac: list(places) for mac, places in list(self._used.items())}

    def restore(self, kept: Mapping[str, Collection[str]], is_known: Callable[[str], bool]) -> None:
        """What was kept before the service started, of the phones that are still here."""
        for mac, places in kept.items():
            for place in places if is_known(mac) else ():
                self.served(str(mac), str(place))
        self.changed = False
