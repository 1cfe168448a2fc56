# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones that asked and are none of this site's: remembered until a person takes them in, or forgets them."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from autoprovd import log, metrics
from autoprovd.clock import iso_time
from autoprovd.faults import Refused
from autoprovd.site import Site
from autoprovd.store import fact, set_fact
from autoprovd.vendors import agent_of, models_of
from autoprovd.vendors.base import Model, Vendor

_FACT = "discovered"
MOST = 500
"""Who floods the network with MAC addresses fills this list, and nothing else: the earliest seen stay."""
MOST_CREATED = 100
"""As many phones are added by themselves while the service runs; a person adds the rest."""


class Found(NamedTuple):
    """A phone as it told of itself."""

    mac: str
    vendor: str
    model: str
    version: str
    user_agent: str
    source: str
    interface: str
    first_at: float
    last_at: float


class Discovered:
    """The list; in memory, and written to the database by :meth:`save`."""

    def __init__(self, site: Site, knows: Callable[[str], bool], create: bool) -> None:
        """``knows`` tells whether the site has a phone; ``create`` adds what is found, without account, unarmed."""
        self._site = site
        self._knows = knows
        self._create = create
        self._created = 0
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Found] = OrderedDict()
        self._fresh: set[str] = set()
        self._forgotten: set[str] = set()
        with site.reading() as connection:
            self._found.update(_read(fact(connection, _FACT)))

    def add(self, found: Found) -> bool:
        """Remember a phone; whether it is new here. Never waits for the database."""
        with self._lock:
            known = self._found.get(found.mac)
            if known is None and len(self._found) >= MOST:
                metrics.count_pnp("not remembered")
                return False
            self._found[found.mac] = found._replace(first_at=known.first_at) if known else found
            self._fresh.add(found.mac)
            metrics.pnp_discovered.set(len(self._found))
            return known is None

    def listed(self) -> list[dict[str, Any]]:
        """The phones found that this site still does not have, the latest first, each with what it may be added as."""
        with self._lock:
            found = [phone for phone in self._found.values() if not self._knows(phone.mac)]
        shown = []
        for phone in sorted(found, key=lambda phone: -phone.last_at):
            room = room_named(phone)
            shown.append(
                phone._asdict()
                | {"first_at": iso_time(phone.first_at), "last_at": iso_time(phone.last_at)}
                | {"add_as": {"vendor": room[0].name, "model": room[1].name} if room else None}
            )
        return shown

    def forget(self, macs: Collection[str] | None) -> list[str]:
        """Forget these phones, or all; those that were there."""
        with self._lock:
            gone = [mac for mac in self._found if macs is None or mac in macs]
            for mac in gone:
                del self._found[mac]
            self._fresh.difference_update(gone)
            self._forgotten.update(gone)
            metrics.pnp_discovered.set(len(self._found))
        self.save()
        return gone

    def save(self) -> None:
        """Write what is new, and add phones where that is wanted; blocks."""
        with self._lock:
            fresh = [self._found[mac] for mac in self._fresh if mac in self._found]
            gone = self._forgotten | {mac for mac in self._found if self._knows(mac)}
            self._fresh, self._forgotten = set(), set()
            for mac in gone:
                self._found.pop(mac, None)
            metrics.pnp_discovered.set(len(self._found))
        if not fresh and not gone:
            return
        try:
            self._write(fresh, gone)
        except Refused:
            with self._lock:
                self._fresh.update(phone.mac for phone in fresh)
                self._forgotten |= gone
            raise
        if self._create:
            self._add_to_site(fresh)

    def _write(self, fresh: Collection[Found], gone: Collection[str]) -> None:
        with self._site.writing() as change:
            # Another node may have written meanwhile.
            kept = _read(fact(change.connection, _FACT))
            kept.update((phone.mac, phone) for phone in fresh)
            for mac in gone:
                kept.pop(mac, None)
            rows = sorted(kept.values(), key=lambda phone: phone.first_at)[:MOST]
            set_fact(change.connection, _FACT, json.dumps(rows))

    def _add_to_site(self, found: Collection[Found]) -> None:
        for phone in found:
            room = room_named(phone)
            if room is None or self._knows(phone.mac) or self._created >= MOST_CREATED:
                continue
            self._created += 1
            vendor, model = room
            wanted = {"mac": phone.mac, "vendor": vendor.name, "model": model.name, "name": "found by SIP PnP"}
            try:
                self._site.apply_phones([wanted], purge=False, dry_run=False, actor="SIP PnP", arm=False)
            except Refused as refusal:
                log.event("phone not added", 30, mac=phone.mac, reason=refusal.message)


def room_named(found: Found) -> tuple[Vendor, Model] | None:
    """The vendor's room and the model a phone says it is; None where it says too little, or what nobody knows.

    The User-Agent is believed before the event, where many phones read ``OEM``.
    """
    agent = agent_of(found.user_agent)
    if agent is not None:
        rooms = models_of(agent.vendor, agent.model)
        if rooms:
            return rooms[0]
    said = {found.user_agent.partition("/")[0].strip().lower(), found.model.lower()}
    for vendor, model in models_of(None, None):
        fits = found.vendor.lower() in (vendor.name, "oem", "")
        if fits and said & {model.name.lower(), f"{vendor.name}{model.name}".lower()}:
            return vendor, model
    return None


def _read(text: str | None) -> dict[str, Found]:
    return {row[0]: Found(*row) for row in json.loads(text)} if text else {}
