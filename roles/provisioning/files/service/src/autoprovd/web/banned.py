# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody still gets whose source address is banned for guessing.

Phones may stand behind the same address as who guesses. They must not be locked out, and who guesses must not learn
from an answer whether a phone exists. So the answer hangs on what the request shows, not on which phones there are:

* who proves to be the phone, by certificate, credentials or label, is served as ever; whoever could prove it is asked
  for the proof, whether the phone exists or not;
* a phone that was served at this address before is served there, without passwords unless the network itself knows it;
* all others get one answer.

docs/rate-limits.md has the reasons.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum

REASON = "its source address is banned for guessing; see: autoprov ban list"
_FLOOR_SECONDS = 0.1
"""How long a wrong answer takes at least. What is looked up for a phone that exists takes less, and does not show."""


class Way(Enum):
    """How to go on with a request."""

    AS_EVER = "as ever"
    AT_HOME = "at home"
    """Served, but an address alone proves nothing."""
    JUDGED = "judged"
    """Served when its credentials are right."""
    ASKED = "asked"
    """Asked for credentials, whoever it names."""
    REFUSED = "refused"


def way(*, certified: bool, may_prove: bool, answers: bool, at_home: bool) -> Way:
    """How to go on with a request from a banned source.

    ``certified``: it came with the certificate of the phone it names. ``may_prove``: what asks like this is asked for
    credentials where it exists. ``answers``: it brings some. ``at_home``: the phone it names was served there before.
    """
    if certified:
        return Way.AS_EVER
    if may_prove:
        return Way.JUDGED if answers else Way.ASKED
    return Way.AT_HOME if at_home else Way.REFUSED


async def hide_time_since(started: float) -> None:
    """Wait until a wrong answer has taken as long as all of them do (``started`` by the performance counter)."""
    await asyncio.sleep(max(0.0, started + _FLOOR_SECONDS - time.perf_counter()))
