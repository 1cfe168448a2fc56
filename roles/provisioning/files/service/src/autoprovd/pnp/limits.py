# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a source, and of all sources together, is listened to. What is too much is dropped, and not answered."""

from __future__ import annotations

from collections import OrderedDict

_MOST_SOURCES = 20_000


class Bucket:
    """So many at once, and so many a second from then on."""

    __slots__ = ("_at", "_burst", "_rate", "_room")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._room, self._at = burst, now

    def take(self, now: float) -> bool:
        """Whether there is room for one more; ``now`` is a monotonic clock's."""
        self._room = min(self._burst, self._room + (now - self._at) * self._rate)
        self._at = now
        if self._room < 1.0:
            return False
        self._room -= 1.0
        return True


class Limits:
    """The datagrams that are looked at."""

    def __init__(self, source_rate: float, source_burst: float, rate: float, now: float) -> None:
        """``source_rate`` and ``rate`` are datagrams a second, of one source and of all; ``source_burst`` at once."""
        self._source_rate, self._source_burst = source_rate, source_burst
        self._all = Bucket(rate, rate, now)
        self._replies = Bucket(2 * rate, 2 * rate, now)
        self._sources: OrderedDict[str, Bucket] = OrderedDict()

    def admits(self, source: str, now: float) -> bool:
        """Whether a datagram of that source is looked at. What its own limit refuses takes nothing from the others."""
        bucket = self._sources.get(source)
        if bucket is None:
            if len(self._sources) >= _MOST_SOURCES:
                self._sources.popitem(last=False)
            bucket = self._sources[source] = Bucket(self._source_rate, self._source_burst, now)
        else:
            self._sources.move_to_end(source)
        return bucket.take(now) and self._all.take(now)

    def admits_reply(self, now: float) -> bool:
        """Whether a datagram is looked at that should be a phone's reply; its source is compared where it is known."""
        return self._replies.take(now)
