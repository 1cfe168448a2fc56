# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit rows of what happens too often to be written each time: refusals, and readings of whole lists.

Counting costs a look-up. What is counted for the first time is written by the next :meth:`Tally.flush`, and from then
on once an hour, with the number since. A stranger who varies what he can does not fill the disk: of each phone a few
callers are told apart, and the rest are counted together.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from autoprovd import audit
from autoprovd.audit import Event
from autoprovd.sealing import Keyring
from autoprovd.store import Store

_AT_ONCE_SECONDS = 60.0
_WRITTEN_SECONDS = 3600.0
_MOST_OF_A_PHONE = 12
_MOST_OF_NO_PHONE = 200
_MOST = 20_000
_OTHERS = "others"


class _Counted(NamedTuple):
    name: str
    mac: str | None
    actor: str
    source: str
    what: str

    def event(self, times: int) -> Event:
        detail: dict[str, object] = {"what": self.what, "times": times}
        if self.source:
            detail["from"] = self.source
        return Event(self.name, self.actor, self.mac, detail=detail)


class _Tally:
    __slots__ = ("times", "written")

    def __init__(self) -> None:
        self.times = 0
        self.written: float | None = None
        """When a row told of it, by the monotonic clock."""


class Tally:
    """Counts events, and writes them."""

    def __init__(self, store: Store, keyring: Keyring, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: dict[_Counted, _Tally] = {}
        self._of_phones: Counter[str | None] = Counter()

    def count(self, name: str, mac: str | None, actor: str, source: str, what: str) -> None:
        """It happened once more: an event of that name, by that actor, coming from there, for that reason."""
        # Phones that ask in vain come through here: a bare tuple finds a named one, and costs a third of it.
        with self._lock:
            tally = self._tallies.get((name, mac, actor, source, what))  # type: ignore[call-overload]
            if tally is None:
                tally = self._tally(_Counted(name, mac, actor, source, what))
            tally.times += 1

    def now(self, name: str, mac: str | None, actor: str, source: str, what: str) -> list[Event]:
        """The same where a transaction is at hand: the row to write in it, or nothing when one told of it just now."""
        with self._lock:
            counted = _Counted(name, mac, actor, source, what)
            tally = self._tally(counted)
            tally.times += 1
            now = self._clock()
            if tally.written is not None and now - tally.written < _AT_ONCE_SECONDS:
                return []
            times, tally.times, tally.written = tally.times, 0, now
            return [counted.event(times)]

    def flush(self, everything: bool = False) -> int:
        """Write what is due, or all there is; the number of rows. Blocks.

        Raises ``Refused`` when the database takes nothing; then it stays counted.
        """
        with self._lock:
            due = self._due(everything)
        if not due:
            return 0
        try:
            with self._store.write() as connection:
                moment = self._store.moment(connection)
                events = [counted.event(times) for counted, times in due.items()]
                audit.append(connection, self._keyring.audit_key, moment.wall, events)
        except BaseException:
            with self._lock:
                for counted, times in due.items():
                    tally = self._tally(counted)
                    tally.times += times
                    tally.written = None
            raise
        return len(due)

    def _tally(self, counted: _Counted) -> _Tally:
        tally = self._tallies.get(counted)
        if tally is not None:
            return tally
        if counted.actor != _OTHERS:
            if len(self._tallies) >= _MOST:
                return self._tally(counted._replace(mac=None, actor=_OTHERS, source=""))
            if self._of_phones[counted.mac] >= (_MOST_OF_NO_PHONE if counted.mac is None else _MOST_OF_A_PHONE):
                return self._tally(counted._replace(actor=_OTHERS, source=""))
            self._of_phones[counted.mac] += 1
        made = self._tallies[counted] = _Tally()
        return made

    def _due(self, everything: bool) -> dict[_Counted, int]:
        now = self._clock()
        due: dict[_Counted, int] = {}
        for counted, tally in list(self._tallies.items()):
            lately = tally.written is not None and now - tally.written < _WRITTEN_SECONDS
            if lately and not (everything and tally.times):
                continue
            if tally.times:
                due[counted] = tally.times
                tally.times, tally.written = 0, now
            else:
                del self._tallies[counted]
                if counted.actor != _OTHERS:
                    self._of_phones[counted.mac] -= 1
                    if not self._of_phones[counted.mac]:
                        del self._of_phones[counted.mac]
        return due
