# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running service does besides answering: every half a minute, when told to, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from autoprovd import audit, log
from autoprovd.bans import Bans
from autoprovd.config import Config
from autoprovd.directory import Directory
from autoprovd.faults import Refused
from autoprovd.firmware.decide import LOOK_SECONDS
from autoprovd.firmware.rollouts import Rollouts
from autoprovd.keys import Keys
from autoprovd.pnp.discovered import Discovered
from autoprovd.release import Release
from autoprovd.store import Store
from autoprovd.store.witness import START

_ATTEND_SECONDS = 5.0


class Upkeep:
    """The regular work of a service, off the event loop; what fails is logged and tried again."""

    def __init__(
        self,
        config: Config,
        store: Store,
        directory: Directory,
        release: Release,
        keys: Keys,
        rollouts: Rollouts,
        bans: Bans,
        discovered: Discovered,
    ) -> None:
        self._store = store
        self._directory = directory
        self._release = release
        self._keys = keys
        self._rollouts = rollouts
        self._bans = bans
        self._discovered = discovered
        self._url = config.database.url
        self._told_head = START
        self._wake = asyncio.Event()
        self._read_keys = False

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.to_thread(self._reseal)
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
            except TimeoutError:
                await asyncio.to_thread(self.save)
            self._wake.clear()
            if self._read_keys:
                self._read_keys = False
                await asyncio.to_thread(self._keys.reload)
            await asyncio.to_thread(self._reseal)

    async def attend(self) -> None:
        """Look after the database and the time every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_ATTEND_SECONDS)
            await asyncio.to_thread(lambda: self._try("bans not written", self._bans.save))
            await asyncio.to_thread(lambda: self._try("discovered phones not written", self._discovered.save))
            with suppress(Refused):  # a hindrance was logged when it arose
                await asyncio.to_thread(self._store.attend)
                await asyncio.to_thread(lambda: self._try("time not written down", self._release.tick))

    def reload(self) -> None:
        """Read the sealing keys again, and seal everything with the newest; returns at once."""
        self._read_keys = True
        self._wake.set()

    def save(self) -> None:
        """Write what was only remembered so far, and tell the journal how far the audit log goes; blocks."""
        self._try("recent requests not saved", self._directory.save)
        self._try("rollouts not looked at", self._rollouts.advance)
        self._try("refusals not written", self._release.tally.flush)
        self._try("released secrets not destroyed", lambda: self._release.shred(self._url))
        self._try("head of the audit log not read", self._tell_head)

    def end(self) -> None:
        """The same for the last time; blocks."""
        self._keys.end()
        self._try("bans not written", lambda: self._bans.save(at_once=True))
        self._try("discovered phones not written", self._discovered.save)
        self._try("refusals not written", lambda: self._release.tally.flush(everything=True))
        self.save()

    def _reseal(self) -> None:
        self._try("not sealed anew", self._keys.reseal)

    def _tell_head(self) -> None:
        with self._store.read() as connection:
            head = audit.head(connection)
        if head != self._told_head:
            log.event("audit head", head=str(head))
            self._told_head = head

    @staticmethod
    def _try(what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Refused as refusal:
            log.event(what, 30, reason=refusal.message)
        except Exception as failure:  # a fault of this program must not end the rest of the work
            log.event("fault in the service", 40, failure=failure, path=what)
