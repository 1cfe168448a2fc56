# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which secret is released how: once, inside which window, and to what proof of identity."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

from autoprovd.model import Audience, ReleaseSettings, SecretClass
from autoprovd.vendors import asks_for_label


class Proof(IntEnum):
    """How sure it is that a request comes from the phone it names; stronger is greater."""

    NONE = 0
    """The network itself contradicts the claim."""
    ADDRESS = 10
    """Nothing but the source address."""
    NEIGHBOUR = 20
    """The neighbour table knows the source address with the phone's MAC address."""
    LABEL = 30
    """The phone knows the ID on its label (Gigaset MAC-ID)."""
    CREDENTIALS = 40
    """The phone knows the provisioning credentials that were released to it."""


class Mode(StrEnum):
    """How often one arming may be answered."""

    ONCE = "once"
    WINDOW = "window"
    """Again to the same claimant, until it is confirmed or the window ends."""
    ALWAYS = "always"
    """Each time, for phones that forget their passwords when they are left out."""


class Policy(NamedTuple):
    """The terms a grant is armed under."""

    mode: Mode
    window_seconds: float
    starts_at_arming: bool
    """False: the window starts with the first claim; until then the grant waits."""
    min_proof: Proof
    networks: tuple[str, ...] = ()
    """The networks (CIDR) a claimant's address must be in; empty: any."""
    on_theft: str = "report"
    """What follows when someone else asks: ``report``, ``revoke`` or ``rekey``."""
    shred: bool = False
    """Destroy the sealed secret once it was released and nobody else waits for it."""


_WINDOWED = frozenset({SecretClass.SIP, SecretClass.MENU})


def policy_for(
    vendor: str, model: str, secret_class: SecretClass, audience: Audience, settings: ReleaseSettings
) -> Policy:
    """The terms for one secret of a phone of that vendor and model."""
    if audience is Audience.CONTROLLER:
        return Policy(Mode.WINDOW, settings.window_seconds, False, Proof.NONE)
    if asks_for_label(vendor, model):
        return Policy(Mode.ALWAYS, settings.window_seconds, False, Proof.LABEL)
    return Policy(
        Mode.ONCE if settings.strict else Mode.WINDOW,
        settings.window_seconds,
        secret_class in _WINDOWED and settings.window_starts == "arming",
        Proof.ADDRESS,
    )
