# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database says of itself when a transaction begins."""

from __future__ import annotations

from typing import NamedTuple

from autoprovd.store.witness import Head


class Arrival(NamedTuple):
    """Who the database is, who it was, and how late it has ever been there."""

    identity: str | None
    """Its cluster, its number there and its timeline; None where a copy could not be told from the original."""
    known: str | None
    """The identity that the last writer found; another one means a failover or a restored copy."""
    high_water: float
    """The latest wall time ever recorded, seconds since 1970: of the last audit row, or of a tick after it."""
    head: Head
    """The last row of the audit log."""
