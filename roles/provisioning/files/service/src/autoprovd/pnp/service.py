# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP as a part of the running service: what it needs to know, kept in memory, and its life."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import select

from autoprovd import log
from autoprovd.clock import Clock
from autoprovd.config import Pnp
from autoprovd.directory import Directory
from autoprovd.neighbours import Neighbours
from autoprovd.pnp.conditions import Standing
from autoprovd.pnp.discovered import Discovered
from autoprovd.pnp.ledger import Ledger
from autoprovd.pnp.limits import Limits
from autoprovd.pnp.responder import Responder
from autoprovd.pnp.sockets import PortTaken, Sockets
from autoprovd.site import Site, settings_of
from autoprovd.store.schema import phones
from autoprovd.vendors import VENDORS

_TICK_SECONDS = 0.05
_AGAIN_SECONDS = 10.0
"""When to try again to open the sockets, to look at the interfaces, and at what other nodes wrote."""


class KnownAddresses:
    """The URL each phone of the site is told: a look-up, kept up with each change of the site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._urls: dict[str, str] = {}
        self.refresh(None)
        site.on_change(self.refresh)

    def url(self, mac: str) -> str | None:
        """See :class:`~autoprovd.pnp.responder.Addresses`."""
        return self._urls.get(mac)

    def refresh(self, macs: Collection[str] | None) -> None:
        """These phones changed, or any; blocks."""
        with self._lock, self._site.reading() as connection:
            settings = settings_of(connection)
            query = select(phones.c.mac, phones.c.vendor, phones.c.model)
            some = macs is not None and len(macs) <= 500
            if some:
                query = query.where(phones.c.mac.in_(list(macs or ())))
            urls = {}
            for mac, vendor, model in connection.execute(query):
                room = VENDORS[vendor]
                known = room.model(model)
                if known is not None:
                    urls[mac] = room.pnp_address(known, settings, mac)
            if some:
                kept = dict(self._urls)
                for mac in macs or ():
                    kept.pop(mac, None)
                urls = kept | urls
            self._urls = urls


class PnpService:
    """Opens the sockets, keeps them open, and answers."""

    def __init__(
        self,
        config: Pnp,
        site: Site,
        directory: Directory,
        neighbours: Neighbours,
        clock: Clock,
    ) -> None:
        self._config = config
        self._directory = directory
        self._addresses = KnownAddresses(site)
        self._neighbours = neighbours
        accepts = config.accept_unknown
        self.discovered = Discovered(site, directory.knows, create=accepts == "create")
        self._ledger = Ledger(directory.note, None if accepts == "no" else self.discovered, clock.wall, time.monotonic)
        self._limits = Limits(config.per_source_rate, config.per_source_burst, config.rate, time.monotonic())
        self._sockets: Sockets | None = None
        self._hindrance = "" if config.interfaces else "no interface is named (pnp.interfaces)"

    def standing(self) -> Standing:
        """Where phones are answered now, for what is said about each of them; other threads may ask."""
        networks = self._sockets.networks if self._sockets else []
        return Standing(self._config.interfaces, tuple(networks), self.status()["hindrance"])

    def status(self) -> dict[str, Any]:
        """Whether it answers, and where; if not, why."""
        joined = self._sockets.joined if self._sockets else []
        missing = sorted(set(self._config.interfaces) - set(joined))
        hindrance = self._hindrance
        if not hindrance and missing:
            hindrance = f"no interface of that name is up with an IPv4 address: {', '.join(missing)}"
        return {
            "interfaces": list(self._config.interfaces),
            "answers_on": joined,
            "hindrance": hindrance,
            "accept_unknown": self._config.accept_unknown,
        }

    async def run(self) -> None:
        """Answer until cancelled. What hinders it is logged and tried again: phones are served meanwhile."""
        while self._config.interfaces:
            try:
                sockets = Sockets(self._config.interfaces, self._config.share_port)
            except (PortTaken, OSError) as error:
                reason = str(error)
                if reason != self._hindrance:
                    log.event("SIP PnP is not answered", 40, reason=reason)
                self._hindrance = reason
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            self._hindrance = ""
            await self._answer(sockets)

    async def _answer(self, sockets: Sockets) -> None:
        responder = Responder(self._addresses, self._neighbours, self._limits, self._ledger, sockets, time.monotonic)
        self._sockets = sockets
        sockets.attend(responder.hear, responder.hear_reply)
        looked = time.monotonic()
        try:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                responder.tick()
                self._ledger.tick()
                if time.monotonic() - looked >= _AGAIN_SECONDS:
                    looked = time.monotonic()
                    sockets.refresh()
                    if self._directory.shared:
                        await asyncio.to_thread(self._catch_up)
        finally:
            sockets.leave()
            sockets.close()
            self._sockets = None

    def _catch_up(self) -> None:
        try:
            self._addresses.refresh(None)
        except Exception as failure:  # told without its text; what is known goes on being told
            log.event("phones not read", 30, failure=failure)
