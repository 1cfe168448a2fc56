# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of each question, for people: counted, and noted for ``why`` where it is about a phone of this site.

Nothing here waits for a disk: notes go into the directory's memory, which writes them in batches, and the phones
nobody knows into a list with an end. A flood is one line of the log a minute for each kind of refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from autoprovd import log, metrics
from autoprovd.directory import PNP_FILE, Request
from autoprovd.pnp.discovered import Discovered, Found
from autoprovd.pnp.enquiry import Enquiry

TOLD, UNHEARD, REFUSED = "told the address", "not acknowledged", "refused"
"""Outcomes of a question."""
_AGAIN_SECONDS = 60.0
_MOST_NOTED = 20_000


class Ledger:
    """Counts and notes."""

    def __init__(
        self,
        note: Callable[[str, Request], None],
        discovered: Discovered | None,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``discovered`` takes phones nobody knows, if it is wanted; ``clock`` is monotonic, ``wall`` is for people."""
        self._note = note
        self._discovered = discovered
        self._wall = wall
        self._clock = clock
        self._noted: dict[str, tuple[str, str, float]] = {}
        self._refused: dict[str, tuple[int, str, str]] = {}
        self._told_at = clock()

    @property
    def wants_strangers(self) -> bool:
        """Whether phones this site does not have are recorded."""
        return self._discovered is not None

    def count(self, outcome: str) -> None:
        """It happened once more."""
        metrics.count_pnp(outcome)

    def refuse(self, outcome: str, source: str, reason: str = "") -> None:
        """A datagram was not answered; nobody can say which phone it was."""
        metrics.count_pnp(outcome)
        times, _source, _reason = self._refused.get(outcome, (0, "", ""))
        self._refused[outcome] = (times + 1, source, reason)

    def told(self, enquiry: Enquiry, source: str, url: str, well: bool) -> None:
        """A phone was told its address, and acknowledged it or did not."""
        metrics.count_pnp("acknowledged" if well else "unacknowledged")
        reason = f"configuration at {url}" if well else "the phone did not answer the NOTIFY with its address"
        self._remember(enquiry, source, "neighbour", TOLD if well else UNHEARD, reason)

    def contradicted(self, enquiry: Enquiry, source: str, seen: str | None, is_known: bool) -> None:
        """The neighbour table has another MAC address there (``seen``), or none."""
        self.refuse("contradicted" if seen else "unseen", source)
        if not is_known:
            return
        if seen is None:
            reason = "the neighbour table has nobody at its source address"
        else:
            reason = "the neighbour table knows the source address with another MAC address"
        self._remember(enquiry, source, "none", REFUSED, reason)

    def discovered(self, enquiry: Enquiry, source: str, interface: str) -> None:
        """A phone this site does not have asked, and is who it claims to be."""
        metrics.count_pnp("discovered")
        if self._discovered is not None:
            wall = self._wall()
            told = (enquiry.vendor, enquiry.model, enquiry.version, enquiry.user_agent)
            if self._discovered.add(Found(enquiry.mac, *told, source, interface, wall, wall)):
                log.event("phone discovered", mac=enquiry.mac, source=source, user_agent=enquiry.user_agent)

    def _remember(self, enquiry: Enquiry, source: str, proof: str, outcome: str, reason: str) -> None:
        now = self._clock()
        known, from_there, at = self._noted.get(enquiry.mac, ("", "", 0.0))
        if (known, from_there) == (outcome, source) and now - at < _AGAIN_SECONDS:
            return
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[enquiry.mac] = (outcome, source, now)
        agent = enquiry.user_agent or f"{enquiry.vendor} {enquiry.model} {enquiry.version}".strip()
        self._note(enquiry.mac, Request(self._wall(), source, PNP_FILE, agent, proof, outcome, reason))
        level = logging.INFO if outcome == TOLD else logging.WARNING
        log.event("asked by SIP PnP", level, mac=enquiry.mac, source=source, proof=proof, outcome=outcome)

    def tick(self) -> None:
        """Once a minute, tell the log what was refused."""
        now = self._clock()
        if now - self._told_at < _AGAIN_SECONDS:
            return
        self._told_at = now
        refused, self._refused = self._refused, {}
        for outcome, (times, source, reason) in sorted(refused.items()):
            log.event("SIP PnP not answered", outcome=outcome, count=times, source=source, reason=reason)
