# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a source may ask for what is not here: who guesses MAC addresses is banned, longer each time.

A guess is counted once, however often it is repeated, so that a phone nobody told the service about is one guess and
not one for each file and each day. What was counted is forgotten drop by drop: there is no period to wait for, and no
rate to stay below. What a banned source still gets is decided in ``web/banned.py``.

Everything is kept in memory, for a bounded number of sources; bans are written down, and survive a restart.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from autoprovd import log, metrics
from autoprovd.clock import iso_time
from autoprovd.config import Limits
from autoprovd.faults import Refused
from autoprovd.homes import Homes

_MOST_SOURCES = 10_000
_MOST_SEEN, _SEEN_FOR_EACH = 1000, 4
"""How many guesses of a source are known again: so many for each that is allowed, and no more than that."""
_PHONES_FOR_ONE_MORE = 10
"""For so many phones at home at a place, one guess more is allowed there: a large site has more phones unlisted."""
_LONGEST_NAME = 60
_SHOWN = 100
_NETWORK_BITS = 64
_MOST_IN_KERNEL = 20_000
_AGAIN_SECONDS = 300.0
"""How often the kernel is told anew while there are bans, since a reload of a firewall may have taken them away; how
often new homes of phones are written down."""


@lru_cache(maxsize=16384)
def place_of(source: str) -> str:
    """Whom a limit holds: an IPv4 address, or the /64 of an IPv6 address, which one customer or one cable has.

    All neighbours on a cable share the link-local network, so there each address counts.
    """
    if ":" not in source:
        return source
    address = ipaddress.IPv6Address(source.partition("%")[0])
    if address.is_link_local:
        return str(address)
    return str(ipaddress.IPv6Network((int(address) >> _NETWORK_BITS << _NETWORK_BITS, _NETWORK_BITS)))


@dataclass(slots=True)
class _Source:
    """What is held against a place."""

    at: float
    """When that many guesses were held against it; they have become fewer since."""
    guesses: float = 0.0
    seen: array[int] = field(default_factory=lambda: array("q"))
    """What it guessed lately, as digests, the oldest first."""
    total: int = 0
    refused: int = 0
    last: str = ""
    user_agent: str = ""
    bans: int = 0
    since: float = 0.0
    until: float = 0.0
    """The end of the ban, by the monotonic clock."""
    length: float = 0.0
    """How long the ban is that it has, or had."""


class Bans:
    """What sources guessed, and which of them are banned."""

    def __init__(
        self,
        limits: Limits | None = None,
        state_file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.homes = Homes(clock)
        self._limits = limits or Limits()
        self._allowed = [ipaddress.ip_network(text) for text in self._limits.allow]
        self._state_file = state_file
        self._kernel_file = self._limits.kernel_file
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._sources: dict[str, _Source] = {}
        self._banned: dict[str, _Source] = {}
        """Those of the sources whose ban had not ended when they were looked at last."""
        self._unsaved = self._unexported = False
        self._exported_at = self._saved_at = 0.0
        self._told_failure = ""
        metrics.banned_sources.set_function(lambda: len(self._current()))

    # -- what happens when a phone asks -------------------------------------------------------------------------------

    def wait(self, source: str) -> float:
        """Seconds until the ban of that source ends; 0 when it is not banned."""
        if not self._banned:
            return 0.0
        place = place_of(source)
        found = self._banned.get(place)
        if found is None:
            return 0.0
        left = found.until - self._clock()
        if left > 0:
            return left
        with self._lock:
            if found.until <= self._clock():
                self._banned.pop(place, None)
        return 0.0

    def guess(self, source: str, guessed: str, user_agent: str = "") -> bool:
        """That source asked for what is not here. Whether it is banned for it now, or for longer than before."""
        if not self._limits.guesses or self._is_allowed(source):
            return False
        digest = hash(guessed)
        place = place_of(source)
        with self._lock:
            now = self._clock()
            found = self._sources.pop(place, None) or _Source(now)
            if len(self._sources) >= _MOST_SOURCES:
                self._make_room(now)
            self._sources[place] = found  # at the end: it was seen last
            found.refused += found.until > now
            if digest in found.seen:
                return False
            metrics.guesses.inc()
            self._settle(found, now)
            found.guesses += 1
            found.total += 1
            found.last, found.user_agent = guessed[:_LONGEST_NAME], user_agent[:_LONGEST_NAME]
            found.seen.append(digest)
            more = self.homes.count(place) // _PHONES_FOR_ONE_MORE
            if len(found.seen) > min(_MOST_SEEN, _SEEN_FOR_EACH * (self._limits.guesses + more)):
                del found.seen[0]
            # Who was banned there of late was no phone that nobody listed.
            if found.guesses <= self._limits.guesses + (0 if found.bans else more):
                return False
            had, seconds = found.length, self._ban(place, found, now)
        if seconds <= had:
            return False  # it goes on at the longest ban: nothing new to tell
        metrics.bans.inc()
        log.event("banned for guessing MAC addresses", 30, source=place, seconds=seconds, count=found.total)
        return True

    def _ban(self, place: str, found: _Source, now: float) -> float:
        if not found.bans:
            found.since = self._wall()
        # A shift, not a power: it is cut at the longest ban, and may not become too large to be cut before.
        seconds = min(self._limits.longest_ban_seconds, self._limits.first_ban_seconds * (1 << min(found.bans, 32)))
        found.bans += 1
        found.guesses = 0.0
        found.length = seconds
        found.until = now + seconds
        self._banned[place] = found
        self._unsaved = self._unexported = True
        return seconds

    def _settle(self, found: _Source, now: float) -> None:
        gone = (now - found.at) * self._limits.guesses / self._limits.forget_seconds
        found.guesses = max(0.0, found.guesses - gone)
        found.at = now
        if found.bans and now - found.until >= self._limits.longest_ban_seconds:
            found.bans, found.length = 0, 0.0

    def _is_allowed(self, source: str) -> bool:
        if not self._allowed:
            return False
        address = ipaddress.ip_address(source.partition("%")[0])
        return any(address in network for network in self._allowed)

    def _make_room(self, now: float) -> None:
        """Forget an eighth: first who was never banned, the longest unseen first; then whose ban ends soonest."""
        # The dictionary is in the order in which sources were seen, and sorting keeps it where nothing else differs.
        order = sorted(self._sources, key=lambda place: (self._sources[place].bans > 0, self._sources[place].until))
        for place in order[: _MOST_SOURCES // 8]:
            del self._sources[place]
            self._banned.pop(place, None)

    # -- what people ask ----------------------------------------------------------------------------------------------

    def listed(self) -> dict[str, Any]:
        """The bans, and who else guesses, the worst first; plain data."""
        now, wall = self._clock(), self._wall()
        with self._lock:
            banned = [(place, found) for place, found in self._sources.items() if found.until > now]
            watched = [(place, found) for place, found in self._sources.items() if found.until <= now]
            for _place, found in watched:
                self._settle(found, now)
        watched = sorted((entry for entry in watched if entry[1].guesses > 0), key=lambda entry: -entry[1].guesses)
        in_kernel = set(self._exported(now))
        return {
            "bans": [
                {
                    "source": place,
                    "since": iso_time(found.since),
                    "until": iso_time(wall + found.until - now),
                    "bans": found.bans,
                    "guesses": found.total,
                    "refused": found.refused,
                    "last": found.last,
                    "user_agent": found.user_agent,
                    "phones_at_home": self.homes.count(place),
                    "in_kernel": place in in_kernel,
                }
                for place, found in sorted(banned, key=lambda entry: -entry[1].total)[:_SHOWN]
            ],
            "watched": [
                {
                    "source": place,
                    "guesses": round(found.guesses, 1),
                    "last": found.last,
                    "user_agent": found.user_agent,
                }
                for place, found in watched[:_SHOWN]
            ],
            "counts": {"banned": len(banned), "watched": len(watched)},
        }

    def lift(self, source: str | None) -> list[str]:
        """Forget what is held against that source, or with None against all; the places whose ban ended by it.

        Raises ``Refused`` when the source is no address, or is not banned.
        """
        if source is not None:
            try:
                text = source.removesuffix(f"/{_NETWORK_BITS}")
                place = place_of(str(ipaddress.ip_address(text)))
            except ValueError:
                raise Refused("invalid", f"{source[:60]!r} is not an address") from None
        with self._lock:
            now = self._clock()
            wanted = list(self._sources) if source is None else [place]
            lifted = [name for name in wanted if name in self._sources and self._sources[name].until > now]
            if source is not None and not lifted:
                raise Refused("not_found", f"{place} is not banned; who is: autoprov ban list")
            for name in wanted:
                self._sources.pop(name, None)
                self._banned.pop(name, None)
            self._unsaved = self._unexported = True
        for name in lifted:
            log.event("ban lifted", source=name)
        return lifted

    def _current(self) -> list[str]:
        now = self._clock()
        return [place for place, found in list(self._banned.items()) if found.until > now]

    # -- what outlives the service ------------------------------------------------------------------------------------

    def save(self, at_once: bool = False) -> None:
        """Write down what changed since the last call, for the next start and for the kernel; blocks.

        New homes of phones are written in a while, or ``at_once``.
        Raises ``Refused`` when a file cannot be written, once for each reason; the next call tries again.
        """
        with self._lock:
            now, wall = self._clock(), self._wall()
            for place in [place for place, found in self._banned.items() if found.until <= now]:
                del self._banned[place]  # else nobody is banned, and files are written all the same
            unsaved, self._unsaved = self._unsaved, False
            unsaved = unsaved or (self.homes.changed and (at_once or now - self._saved_at >= _AGAIN_SECONDS))
            unexported, self._unexported = self._unexported, False
            unexported = unexported or (bool(self._banned) and now - self._exported_at >= _AGAIN_SECONDS)
            bans = [
                {
                    "source": place, "until": wall + found.until - now, "since": found.since,
                    "bans": found.bans, "guesses": found.total, "last": found.last,
                }
                for place, found in self._sources.items()
                if found.bans
            ]  # fmt: skip
        try:
            if unsaved and self._state_file is not None:
                self.homes.changed = False
                _replace(self._state_file, json.dumps({"version": 1, "bans": bans, "homes": self.homes.kept()}))
                self._saved_at = now
            if unexported and self._kernel_file is not None:
                _replace(self._kernel_file, self._kernel_text(now, wall))
                self._exported_at = now
        except OSError as error:
            self._unsaved, self._unexported = unsaved or self._unsaved, unexported or self._unexported
            failure = f"cannot write {error.filename2 or error.filename}: {error.strerror}"
            if failure != self._told_failure:
                self._told_failure = failure
                raise Refused("unavailable", failure) from None
        else:
            self._told_failure = ""

    def restore(self, is_known: Callable[[str], bool] = lambda mac: True) -> None:
        """Take up the bans of the service before this one, and where phones are at home that are still ``known``.

        What cannot be read is told in the log, and forgotten.
        """
        if self._state_file is None:
            return
        try:
            state = json.loads(self._state_file.read_text("utf-8"), parse_constant=_refuse)
            self.homes.restore(state["homes"], is_known)
            now, wall = self._clock(), self._wall()
            for entry in state["bans"][:_MOST_SOURCES]:
                source = entry["source"].partition("/")[0]
                # Cut, for a clock that was set back would make a ban longer.
                left = min(entry["until"] - wall, self._limits.longest_ban_seconds)
                if self._is_allowed(source) or left <= -self._limits.longest_ban_seconds:
                    continue
                found = _Source(now, total=max(0, int(entry["guesses"])), bans=max(1, int(entry["bans"])))
                found.last = str(entry["last"])[:_LONGEST_NAME]
                found.since, found.until = max(0.0, min(wall, float(entry["since"]))), now + left
                place = place_of(source)
                self._sources[place] = found
                if left > 0:
                    self._banned[place] = found
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            log.event("bans of before not read", 30, path=str(self._state_file), reason=type(error).__name__)
        self._unexported = True

    def _exported(self, now: float) -> dict[str, float]:
        """The bans a kernel may keep, with the seconds they last: of places where no phone is at home."""
        with self._lock:
            left = {place: found.until - now for place, found in self._banned.items() if found.until > now}
        if self._kernel_file is None:
            return {}
        for place in self.homes.among(left):
            del left[place]
        longest = sorted(left, key=lambda place: -left[place])[:_MOST_IN_KERNEL]
        return {place: left[place] for place in longest}

    def _kernel_text(self, now: float, wall: float) -> str:
        return "".join(f"{place} {wall + left:.0f}\n" for place, left in self._exported(now).items())


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no time and no number of guesses")


def _replace(file: Path, text: str) -> None:
    """Replace a file in one step; a reader sees the old text or the new."""
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
