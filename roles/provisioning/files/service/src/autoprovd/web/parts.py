# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the admin API works with."""

from __future__ import annotations

from autoprovd.bans import Bans
from autoprovd.firmware.rollouts import Rollouts
from autoprovd.keys import Keys
from autoprovd.leases import Leases
from autoprovd.lending import Lending
from autoprovd.neighbours import Neighbours
from autoprovd.overview import Overview
from autoprovd.pnp.service import PnpService
from autoprovd.release import Release
from autoprovd.sealing import Keyring
from autoprovd.sip.resync import Resync
from autoprovd.site import Site
from autoprovd.store import Store
from autoprovd.tokens import Tokens


class Parts:
    """The service behind the API."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        release: Release,
        site: Site,
        overview: Overview,
        tokens: Tokens,
        keys: Keys | None = None,
        rollouts: Rollouts | None = None,
        bans: Bans | None = None,
        resync: Resync | None = None,
        pnp: PnpService | None = None,
    ) -> None:
        self.store = store
        self.keyring = keyring
        self.release = release
        self.lending = Lending(store, keyring)
        self.site = site
        self.overview = overview
        self.tokens = tokens
        self.keys = keys or Keys(store, keyring)
        self.rollouts = rollouts or Rollouts(site)
        self.bans = bans or Bans()
        self.resync = resync or Resync(store, keyring, overview, Neighbours(), Leases([]))
        self.pnp = pnp
        """Absent where nothing runs besides the API, as in tests."""
