# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a window or a lease, as statements compare it: the readings of :class:`autoprovd.clock.Moment`.

Where the clocks disagree, a window is neither in time nor over: nobody may use it, and nobody else may take it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Float, String, and_, bindparam, false, or_

from autoprovd.clock import Moment
from autoprovd.store.schema import grants

_G = grants.c
WALL = bindparam("wall", type_=Float)
BOOT = bindparam("boot", type_=Float)
BOOT_NOW = bindparam("boot_now", type_=String)
_STEADY = bindparam("behind", type_=Boolean).is_(false())
_THIS_BOOT = _G.boot_id == BOOT_NOW
# There is no time since boot to count by, so the wall clock has to be steady.
_OTHER_BOOT = or_(_G.boot_id.is_(None), _G.boot_id != BOOT_NOW)

IN_TIME = and_(
    _G.expires_at > WALL,
    or_(and_(_THIS_BOOT, _G.expires_boot > BOOT), and_(_OTHER_BOOT, _STEADY)),
)
OVER = or_(
    and_(_THIS_BOOT, _G.expires_boot <= BOOT),
    and_(_OTHER_BOOT, _G.expires_at <= WALL, _STEADY),
)


def at(moment: Moment) -> dict[str, Any]:
    """The parameters of these comparisons."""
    return {"wall": moment.wall, "boot": moment.boot, "boot_now": moment.boot_id, "behind": moment.behind}
