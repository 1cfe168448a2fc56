# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements of a phone's claim: what it has, and the one conditional UPDATE that claims.

They run within a transaction of the one writer, and are prepared: a claim is what a site does most when it boots.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Integer, String, and_, bindparam, case, func, or_, select, tuple_, update

from autoprovd.clock import Moment
from autoprovd.model import Audience, SecretClass, SecretKey
from autoprovd.policy import Mode, Proof
from autoprovd.store.prepared import Prepared
from autoprovd.store.schema import grants, secrets
from autoprovd.windows import BOOT, BOOT_NOW, IN_TIME, WALL, at

_G = grants.c
_MAC = bindparam("phone", type_=String)
_WHO = bindparam("who", type_=String)


class Standing(NamedTuple):
    """A grant of a phone as it stands before the claim, and the sealed secret it is for."""

    claimant: str | None
    networks: str | None
    """JSON list of the networks it is released to; None for any."""
    key_id: str
    box: bytes
    version: int


class Taken(NamedTuple):
    """A grant that was claimed just now."""

    generation: int
    releases: int
    """How often this generation has been released, this time included."""
    mode: Mode
    shred: bool


def standing_of(connection: Connection, mac: str) -> dict[SecretKey, Standing]:
    """The grants a phone has for itself."""
    rows = _STANDING.run(connection, {"phone": mac})
    return {SecretKey(line, SecretClass(name)): Standing(*standing) for line, name, *standing in rows}


def take(
    connection: Connection, moment: Moment, mac: str, keys: Sequence[SecretKey], who: str, proof: Proof, address: str
) -> dict[SecretKey, Taken]:
    """Claim for a phone what it may have of these, and bind it to that claimant. What was claimed, and nothing else."""
    if not keys:
        return {}
    parameters = at(moment) | {"phone": mac, "who": who, "address": address, "proof": int(proof)}
    for number, (line, secret_class) in enumerate(keys):
        parameters[f"line{number}"], parameters[f"class{number}"] = line, secret_class.value
    rows = _take(len(keys)).run(connection, parameters)
    return {
        SecretKey(line, SecretClass(name)): Taken(generation, releases, Mode(mode), bool(shred))
        for line, name, generation, releases, mode, shred in rows
    }


_STANDING = Prepared(
    select(
        _G.line, _G.secret_class, _G.claimant, _G.networks, secrets.c.key_id, secrets.c.box, secrets.c.version
    ).where(
        _G.mac == _MAC,
        _G.audience == Audience.PHONE.value,
        secrets.c.mac == _G.mac,
        secrets.c.line == _G.line,
        secrets.c.secret_class == _G.secret_class,
    )
)


@functools.cache
def _take(keys: int) -> Prepared:
    """The claim of so many secrets of one phone."""
    these = [
        (bindparam(f"line{number}", type_=Integer), bindparam(f"class{number}", type_=String)) for number in range(keys)
    ]
    return Prepared(
        update(grants)
        .where(
            _G.mac == _MAC,
            _G.audience == Audience.PHONE.value,
            tuple_(_G.line, _G.secret_class).in_([tuple_(*this) for this in these]),
            _G.min_proof <= bindparam("proof", type_=Integer),
            or_(
                and_(_G.state == "armed", or_(_G.expires_at.is_(None), IN_TIME)),
                and_(_G.state == "open", _G.mode == Mode.WINDOW.value, _G.claimant == _WHO, IN_TIME),
                and_(_G.state == "open", _G.mode == Mode.ALWAYS.value),
            ),
        )
        .values(
            state="open",
            claimant=_WHO,
            claimed_from=bindparam("address", type_=String),
            releases=_G.releases + 1,
            released_at=WALL,
            expires_at=func.coalesce(_G.expires_at, WALL + _G.window_seconds),
            expires_boot=func.coalesce(_G.expires_boot, BOOT + _G.window_seconds),
            boot_id=case((_G.expires_at.is_(None), BOOT_NOW), else_=_G.boot_id),
        )
        .returning(_G.line, _G.secret_class, _G.generation, _G.releases, _G.mode, _G.shred)
    )
