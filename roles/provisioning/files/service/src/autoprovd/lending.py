# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords for an Ansible run that tells the PBX: handed out at once, or lent until the run says that it has told it.

The grants of the audience ``controller``. A run is known by its key, and within its lease it gets the same answer as
often as it asks; every other run is refused meanwhile::

    armed ──claim──▶ open ──confirm, or end of the lease──▶ released        (one phase: the lookup)
    armed ──lend───▶ lent ──confirm──▶ released                             (two phases: credential_claim)
      ▲                └──return, or end of the lease──▶ armed, after the last lending of a generation: sealed
      └────────────────────────────────────────┘

So a run that broke off between claim and delivery burns nothing. Each lending shows the password to one run; that is
why a generation has few of them. Each step is a conditional UPDATE, in one transaction with its audit rows, for all
accounts of a call or for none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Row,
    String,
    Update,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)

from autoprovd import audit
from autoprovd.audit import Event
from autoprovd.clock import Moment
from autoprovd.faults import Fault, Refused
from autoprovd.grants import MOST_LENDINGS, Claimant, Grant, GrantKey, grants_of
from autoprovd.model import Audience, SecretClass, SecretKey
from autoprovd.policy import Mode
from autoprovd.sealing import Keyring, Sealed, place
from autoprovd.store import Store
from autoprovd.store.schema import grants, secrets
from autoprovd.windows import BOOT, BOOT_NOW, IN_TIME, OVER, WALL, at

_G = grants.c
Account = tuple[str, SecretKey]
"""MAC address, and which of the phone's secrets."""


class HandedOut(NamedTuple):
    """What a run gets."""

    secrets: dict[Account, str]
    until: float
    """Seconds since 1970: how long the same run may ask again, and in two phases how long they are its own."""


class Lending:
    """The controllers' side of the release."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    def claim(
        self, wanted: Collection[Account], claimant: Claimant, lease_seconds: float, two_phase: bool = False
    ) -> HandedOut:
        """Hand passwords to a run: all of them, or none of them and ``Refused`` with the reasons.

        In two phases they are lent: the run says later, with :meth:`confirm` or :meth:`give_back`, what became of them.
        """
        keys = _keys(wanted)
        with self._step(claimant) as (connection, moment):
            parameters = _parameters(moment, claimant) | {
                "lease": lease_seconds,
                "new_state": "lent" if two_phase else "open",
                "lent": int(two_phase),
            }
            again = _run(connection, _REPEAT, parameters, keys)
            first = _run(connection, _LEND, parameters, [key for key in keys if key not in again])
            lost = [key for key in keys if key not in again and key not in first]
            if lost:
                faults = _faults(connection, moment, lost)
                raise Refused("conflict", "not released, and nothing was consumed", faults)
            detail = {"from": claimant.address}
            events = _events("repeated", claimant, again, detail)
            if two_phase:
                events += _events("lent", claimant, first, {**detail, "lease_seconds": lease_seconds})
            else:
                events += _events("released", claimant, first, {**detail, "proof": claimant.proof.name.lower()})
            self._write_down(connection, moment, events)
            taken = again | first
            sealed = _sealed(connection, taken)
        # Opened only now: what takes it out of the others' reach is committed.
        return HandedOut(
            {(key.mac, SecretKey(key.line, key.secret_class)): self._open(key, row) for key, row in sealed.items()},
            min((row.expires_at for row in taken.values()), default=moment.wall),
        )

    def confirm(self, wanted: Collection[Account], claimant: Claimant) -> list[Account]:
        """The PBX has them: released for good. The accounts that were not confirmed before; ``Refused`` if one is not
        this run's.

        The run's lease may have ended, as long as nobody has borrowed since: to close is always safe.
        """
        keys = _keys(wanted)
        with self._step(claimant) as (connection, moment):
            parameters = _parameters(moment, claimant)
            lent = _run(connection, _CONFIRM, parameters | {"old_state": "lent"}, keys)
            claimed = _run(connection, _CONFIRM, parameters | {"old_state": "open"}, keys)
            done = _held_by(connection, claimant, ("released",), keys)
            _refuse_strangers(connection, moment, [key for key in keys if key not in lent | claimed | done])
            detail = {"from": claimant.address}
            events = _events("released", claimant, lent, detail) + _events("confirmed", claimant, claimed, detail)
            self._write_down(connection, moment, events)
        return [(key.mac, SecretKey(key.line, key.secret_class)) for key in keys if key in lent | claimed]

    def give_back(self, wanted: Collection[Account], claimant: Claimant) -> list[Account]:
        """The PBX was not told: the next run may ask. The accounts that this changed; ``Refused`` if one is not this
        run's."""
        keys = _keys(wanted)
        with self._step(claimant) as (connection, moment):
            returned = _run(connection, _RETURN, _parameters(moment, claimant), keys)
            done = _held_by(connection, claimant, ("armed", "sealed"), keys)
            _refuse_strangers(connection, moment, [key for key in keys if key not in returned | done])
            events = _events("returned", claimant, returned, {"from": claimant.address})
            self._write_down(connection, moment, events)
        return [(key.mac, SecretKey(key.line, key.secret_class)) for key in keys if key in returned]

    @contextmanager
    def _step(self, claimant: Claimant) -> Iterator[tuple[Connection, Moment]]:
        """One transaction; what is refused in it is undone, and then written down."""
        try:
            with self._store.write() as connection:
                yield connection, self._store.moment(connection)
        except Refused as refusal:
            if refusal.code == "conflict" and refusal.faults:
                with self._store.write() as connection:
                    events = [Event("refused", claimant.identity, detail={"what": str(it)}) for it in refusal.faults]
                    audit.append(connection, self._keyring.audit_key, self._store.moment(connection).wall, events)
            raise

    def _write_down(self, connection: Connection, moment: Moment, events: Sequence[Event]) -> None:
        audit.append(connection, self._keyring.audit_key, moment.wall, events)
        self._store.advance(connection, moment)

    def _open(self, key: GrantKey, row: Row[Any]) -> str:
        return self._keyring.open(
            Sealed(row.key_id, row.box), place(key.mac, SecretKey(key.line, key.secret_class), row.version)
        )


def _keys(wanted: Collection[Account]) -> list[GrantKey]:
    return [GrantKey(mac, key.line, key.secret_class, Audience.CONTROLLER) for mac, key in dict.fromkeys(wanted)]


def _events(name: str, claimant: Claimant, changed: Mapping[GrantKey, Row[Any]], detail: dict[str, Any]) -> list[Event]:
    return [Event(name, claimant.identity, *key, row.generation, detail) for key, row in changed.items()]


def _run(
    connection: Connection, statement: Update, parameters: dict[str, Any], keys: Collection[GrantKey]
) -> dict[GrantKey, Row[Any]]:
    """The grants that the statement changed."""
    if not keys:
        return {}
    rows = connection.execute(statement, parameters | {"keys": [tuple(key) for key in keys]})
    return {GrantKey(row.mac, row.line, SecretClass(row.secret_class), Audience(row.audience)): row for row in rows}


def _held_by(
    connection: Connection, claimant: Claimant, states: Collection[str], keys: Collection[GrantKey]
) -> dict[GrantKey, Row[Any]]:
    query = select(grants).where(_THESE, _G.claimant == claimant.identity, _G.state.in_(states))
    rows = connection.execute(query, {"keys": [tuple(key) for key in keys]})
    return {GrantKey(row.mac, row.line, SecretClass(row.secret_class), Audience(row.audience)): row for row in rows}


def _sealed(connection: Connection, keys: Collection[GrantKey]) -> dict[GrantKey, Row[Any]]:
    wanted = {(key.mac, key.line, key.secret_class.value): key for key in keys}
    place_of = tuple_(secrets.c.mac, secrets.c.line, secrets.c.secret_class)
    rows = connection.execute(select(secrets).where(place_of.in_(list(wanted))))
    return {wanted[row.mac, row.line, row.secret_class]: row for row in rows}


def _refuse_strangers(connection: Connection, moment: Moment, keys: Sequence[GrantKey]) -> None:
    if keys:
        fix = "claim it again, and tell the PBX what you get"
        faults = [
            Fault(fault.where, f"this run does not hold it: {fault.what}", fix)
            for fault in _faults(connection, moment, keys)
        ]
        raise Refused("conflict", "nothing was changed", faults)


def _faults(connection: Connection, moment: Moment, keys: Sequence[GrantKey]) -> list[Fault]:
    """Why a run may not have these."""
    known = {
        grant.key: grant for found in grants_of(connection, moment, {k.mac for k in keys}).values() for grant in found
    }
    return [
        Fault(f"{key.mac}/{key.line} {key.secret_class}", *_reason(connection, key, known.get(key))) for key in keys
    ]


def _reason(connection: Connection, key: GrantKey, grant: Grant | None) -> tuple[str, str]:
    if grant is not None:
        others = "let that run confirm or return it, wait until then, or " if grant.state == "lent" else ""
        return grant.because(), f"{others or 'to hand it out again, '}arm it for the controller"
    held = connection.execute(select(secrets.c.mac).where(secrets.c.mac == key.mac, secrets.c.line == key.line))
    if held.first() is None:
        return "there is no such account", "check the MAC address and the line"
    return "its password was given, not generated here", "take it from where it was given"


def _parameters(moment: Moment, claimant: Claimant) -> dict[str, Any]:
    return at(moment) | {"who": claimant.identity, "address": claimant.address}


_THESE = tuple_(_G.mac, _G.line, _G.secret_class, _G.audience).in_(bindparam("keys", expanding=True))
_WHO = bindparam("who", type_=String)
_TOUCHED = (_G.mac, _G.line, _G.secret_class, _G.audience, _G.generation, _G.expires_at)

_REPEAT = (
    update(grants)
    .where(
        _THESE,
        _G.claimant == _WHO,
        or_(_G.state == "lent", and_(_G.state == "open", _G.mode == Mode.WINDOW)),
        IN_TIME,
    )
    .values(releases=_G.releases + 1)
    .returning(*_TOUCHED)
)

_LENT = bindparam("lent", type_=Integer)
_LEND = (
    update(grants)
    .where(
        _THESE,
        _G.lendings < MOST_LENDINGS,
        or_(
            and_(_G.state == "armed", or_(_G.expires_at.is_(None), IN_TIME)),
            and_(_G.state == "lent", OVER),
        ),
    )
    .values(
        state=bindparam("new_state", type_=String),
        claimant=_WHO,
        claimed_from=bindparam("address", type_=String),
        releases=_G.releases + 1,
        lendings=_G.lendings + _LENT,
        lent_at=case((_LENT == 1, WALL), else_=_G.lent_at),
        released_at=case((_LENT == 1, null()), else_=WALL),
        expires_at=WALL + bindparam("lease", type_=Float),
        expires_boot=BOOT + bindparam("lease", type_=Float),
        boot_id=BOOT_NOW,
    )
    .returning(*_TOUCHED)
)

_CONFIRM = (
    update(grants)
    .where(_THESE, _G.claimant == _WHO, _G.state == bindparam("old_state"))
    .values(state="released", confirmed_at=WALL, released_at=func.coalesce(_G.released_at, WALL))
    .returning(*_TOUCHED)
)

_RETURN = (
    update(grants)
    .where(_THESE, _G.claimant == _WHO, _G.state == "lent")
    .values(
        state=case((_G.lendings >= MOST_LENDINGS, "sealed"), else_="armed"),
        expires_at=null(),
        expires_boot=null(),
        boot_id=null(),
    )
    .returning(*_TOUCHED)
)
