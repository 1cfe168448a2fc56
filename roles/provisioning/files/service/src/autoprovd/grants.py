# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A grant, the right to fetch one secret of one phone for one audience: how it stands now, and why, in words.

How it changes is in :mod:`autoprovd.release` and :mod:`autoprovd.lending`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from autoprovd.clock import Moment, iso_time
from autoprovd.model import Audience, SecretClass
from autoprovd.policy import Mode, Proof, is_inside
from autoprovd.store.schema import grants

_G = grants.c
MOST_LENDINGS = 3
"""How often one arming may be lent to an Ansible run before a person has to look at it."""


class Claimant(NamedTuple):
    """Who claims: an identity that stays the same for the same claimant, and how it is known."""

    identity: str
    proof: Proof
    address: str
    """Source address, or the name of the token for a controller."""


class GrantKey(NamedTuple):
    """Which grant: secret and audience of a phone."""

    mac: str
    line: int
    secret_class: SecretClass
    audience: Audience


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as it stands, with the state a person is told."""

    key: GrantKey
    state: str
    """sealed, armed, open, lent, released, expired, revoked or suspect."""
    generation: int
    mode: Mode
    min_proof: Proof
    armed_at: float | None
    expires_at: float | None
    expires_boot: float | None
    boot_id: str | None
    """Which boot of which machine ``expires_boot`` counts from; None while no window runs."""
    claimant: str | None
    claimed_from: str | None
    released_at: float | None
    releases: int
    confirmed_at: float | None
    lendings: int
    """How often this generation was lent to an Ansible run."""
    lent_at: float | None
    window_seconds: float = 0.0
    networks: tuple[str, ...] = ()
    on_theft: str = "report"
    shred: bool = False

    def in_time(self, moment: Moment) -> bool:
        """Whether its window has started and not ended, by every clock there is."""
        if self.expires_at is None or self.expires_at <= moment.wall:
            return False
        if self.boot_id is not None and self.boot_id == moment.boot_id:
            return self.expires_boot is not None and self.expires_boot > moment.boot
        return not moment.behind

    def lease_over(self, moment: Moment) -> bool:
        """Whether a lease has surely ended. Where the clocks disagree, it is neither over nor in time."""
        if self.boot_id is not None and self.boot_id == moment.boot_id:
            return self.expires_boot is not None and self.expires_boot <= moment.boot
        return self.expires_at is not None and self.expires_at <= moment.wall and not moment.behind

    def state_at(self, moment: Moment) -> str:
        """The stored state, or what the end of the window has made of it."""
        if self.state == "lent" and self.lease_over(moment):
            return "armed" if self.lendings < MOST_LENDINGS else "sealed"
        if self.mode is not Mode.ALWAYS and self.expires_at is not None and not self.in_time(moment):
            return {"armed": "expired", "open": "released"}.get(self.state, self.state)
        return self.state

    def concerns(self, claimant: Claimant, moment: Moment) -> bool:
        """Whether a claim could change it or be answered; the database decides, this saves asking it in vain."""
        state = self.state_at(moment)
        if state == "armed":
            return self.falls_short(claimant) is None
        if state == "open" and self.mode is Mode.ALWAYS:
            return self.falls_short(claimant) is None
        if state == "open" and claimant.identity == self.claimant:
            return self.mode is Mode.WINDOW
        return state == "open" or (state == "released" and self.is_suspicious(claimant))

    def is_suspicious(self, claimant: Claimant) -> bool:
        """Whether, once this was released, that claimant asking for it is an event a person should see."""
        if claimant.identity == self.claimant or claimant.proof >= Proof.NEIGHBOUR:
            return False
        return claimant.address != self.claimed_from or claimant.proof is Proof.NONE

    def falls_short(self, claimant: Claimant) -> str | None:
        """What that claimant lacks for it by its terms, in words for a person; None when it lacks nothing."""
        if claimant.proof < self.min_proof:
            return f"its policy wants the proof {self.min_proof.name.lower()}, and there was {_had(claimant.proof)}"
        if self.networks and not is_inside(claimant.address, self.networks):
            return f"the source address is outside {', '.join(self.networks)}, where its policy releases"
        return None

    def because(self) -> str:
        """Why it stands so, in words for a person."""
        return _BECAUSE[self.state](self)


def _had(proof: Proof) -> str:
    return "none" if proof is Proof.NONE else f"only {proof.name.lower()}"


_BECAUSE: dict[str, Callable[[Grant], str]] = {
    "sealed": lambda grant: (
        f"lent {grant.lendings} times and never confirmed, {_last_lent(grant)}; find out why the PBX is not told, then "
        "arm it for the controller"
        if grant.lendings >= MOST_LENDINGS
        else "it was never armed"
        if grant.armed_at is None
        else "the database came back from a backup or a failover, or a person sealed the site; arm it again"
    ),
    "armed": lambda grant: (
        "released each time the phone asks, with proof"
        if grant.mode is Mode.ALWAYS
        else "waiting for an Ansible run to ask"
        + (f"; lent before, {_last_lent(grant)}, and not confirmed" if grant.lendings else "")
        if grant.key.audience is Audience.CONTROLLER
        else "waiting for the phone to ask" + ("" if grant.expires_at else "; the window starts when it does")
    ),
    "open": lambda grant: (
        f"released each time, last to {grant.claimed_from}"
        if grant.mode is Mode.ALWAYS
        else f"released to {grant.claimed_from}; arm it to release it again"
        if grant.mode is Mode.ONCE
        else f"released to {grant.claimed_from}; the same claimant may still repeat its request"
    ),
    "lent": lambda grant: (
        f"lent to {grant.claimed_from} at {iso_time(grant.lent_at)} until {iso_time(grant.expires_at)}, and not "
        f"confirmed yet; lending {grant.lendings} of {MOST_LENDINGS}"
    ),
    "released": lambda grant: f"already released to {grant.claimed_from}; arm it to release it again",
    "expired": lambda grant: "the window ended before the phone asked; arm it again",
    "revoked": lambda grant: (
        ("revoked by a person; " if grant.on_theft == "report" else "revoked by a person, or because of a theft; ")
        + "arm it to release it again"
    ),
    "suspect": lambda grant: (
        f"someone other than {grant.claimed_from} asked for it; find out who, then arm it with a new password"
    ),
}


def _last_lent(grant: Grant) -> str:
    return f"last to {grant.claimed_from} at {iso_time(grant.lent_at)}, lending {grant.lendings} of {MOST_LENDINGS}"


def grants_of(connection: Connection, moment: Moment, macs: Iterable[str] | None = None) -> dict[str, list[Grant]]:
    """The grants of these phones, or of all, by MAC address."""
    query = select(grants).order_by(_G.mac, _G.line, _G.secret_class, _G.audience)
    if macs is not None:
        query = query.where(_G.mac.in_(list(macs)))
    found: dict[str, list[Grant]] = {}
    for row in connection.execute(query):
        found.setdefault(row.mac, []).append(_grant(row, moment))
    return found


def key_of(row: Any) -> GrantKey:
    return GrantKey(row.mac, row.line, SecretClass(row.secret_class), Audience(row.audience))


def _grant(row: Row[Any], moment: Moment) -> Grant:
    grant = Grant(
        key=key_of(row),
        state=row.state,
        generation=row.generation,
        mode=Mode(row.mode),
        min_proof=Proof(row.min_proof),
        armed_at=row.armed_at,
        expires_at=row.expires_at,
        expires_boot=row.expires_boot,
        boot_id=row.boot_id,
        claimant=row.claimant,
        claimed_from=row.claimed_from,
        released_at=row.released_at,
        releases=row.releases,
        confirmed_at=row.confirmed_at,
        lendings=row.lendings,
        lent_at=row.lent_at,
        window_seconds=row.window_seconds,
        networks=tuple(json.loads(row.networks)) if row.networks else (),
        on_theft=row.on_theft,
        shred=row.shred,
    )
    return replace(grant, state=grant.state_at(moment))
