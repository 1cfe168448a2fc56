# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""May this claimant have this secret now? The state machine, and the one statement that claims.

A *grant* is the right to fetch one secret of one phone, for one audience. Its stored states and how they change::

    sealed ──arm──▶ armed ──claim──▶ open ──confirm, or end of the window──▶ released
                      │                └──another claimant──▶ suspect
                      └──end of the window──▶ expired               revoke: any ──▶ revoked

What an Ansible run may fetch changes as :mod:`autoprovd.lending` tells.

``arm`` starts a new generation from any state. Within one generation the first matching claim wins and binds its
claimant; the same claimant may be answered again while the grant is open. The claim is one conditional UPDATE; it and
its audit rows are committed durably before any secret is opened. A crash between the two burns the release; nothing
can double it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import (
    Boolean,
    Connection,
    String,
    and_,
    bindparam,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)

from autoprovd import audit, log, shredding, theft
from autoprovd.audit import Event
from autoprovd.claiming import Standing, Taken, standing_of, take
from autoprovd.clock import Moment
from autoprovd.grants import Claimant, Grant, GrantKey, grants_of, key_of
from autoprovd.model import PHONE_LINE, Audience, ReleaseSettings, SecretClass, SecretKey
from autoprovd.policy import Mode, Policy, Proof, is_inside
from autoprovd.sealing import Keyring, Sealed, label_place, place
from autoprovd.shredding import Shreddable
from autoprovd.store import Store
from autoprovd.store.schema import grants, phones
from autoprovd.tally import Tally
from autoprovd.windows import IN_TIME, OVER, at

_G = grants.c


class Release:
    """The one door of secrets."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self.tally = Tally(store, keyring)
        """Refusals and readings that are counted rather than written one by one."""
        self._to_scrub = True  # at the first opportunity: an earlier run may have ended before it did

    # -- arming and revoking: only the API gets here ------------------------------------------------------------------

    def arm(
        self,
        connection: Connection,
        moment: Moment,
        wanted: Sequence[tuple[GrantKey, Policy]],
        actor: str,
        start: Callable[[str], int] = lambda mac: 0,
    ) -> None:
        """Start a new generation of each grant. ``start`` gives the generation a phone's new grants count from."""
        if not wanted:
            return
        known = _generations(connection, {key.mac for key, _policy in wanted})
        rows, events = [], []
        for key, policy in wanted:
            generation = known.get(key, start(key.mac)) + 1
            starts_now = policy.starts_at_arming
            rows.append(
                {
                    **key._asdict(),
                    "state": "armed",
                    "generation": generation,
                    "mode": policy.mode.value,
                    "min_proof": int(policy.min_proof),
                    "window_seconds": policy.window_seconds,
                    "armed_at": moment.wall,
                    "expires_at": moment.wall + policy.window_seconds if starts_now else None,
                    "expires_boot": moment.boot + policy.window_seconds if starts_now else None,
                    "boot_id": moment.boot_id,
                    "claimant": None,
                    "claimed_from": None,
                    "released_at": None,
                    "releases": 0,
                    "confirmed_at": None,
                    "networks": json.dumps(policy.networks) if policy.networks else None,
                    "on_theft": policy.on_theft,
                    "shred": policy.shred,
                    "lendings": 0,
                    "lent_at": None,
                }
            )
            events.append(Event("armed", actor, *key, generation, {"window_seconds": policy.window_seconds}))
        old = [row for row, (key, _policy) in zip(rows, wanted, strict=True) if key in known]
        new = [row for row, (key, _policy) in zip(rows, wanted, strict=True) if key not in known]
        if new:
            connection.execute(insert(grants), new)
        if old:
            connection.execute(
                _REARM, [{f"key_{name}" if name in _KEY else name: row[name] for name in row} for row in old]
            )
        audit.append(connection, self._keyring.audit_key, moment.wall, events)
        self._store.advance(connection, moment)

    def revoke(self, connection: Connection, moment: Moment, keys: Sequence[GrantKey], actor: str) -> None:
        """Close grants for good, until they are armed again."""
        events = []
        for key in keys:
            revoked = update(grants).where(_THESE).values(state="revoked").returning(_G.generation)
            generation = connection.execute(revoked, {"keys": [tuple(key)]}).scalar_one()
            events.append(Event("revoked", actor, *key, generation))
        audit.append(connection, self._keyring.audit_key, moment.wall, events)
        self._store.advance(connection, moment)

    def seal_all(self, connection: Connection, moment: Moment, reason: str, actor: str = "autoprovd") -> int:
        """Close every grant that may still be answered, until it is armed again; their number.

        For a database that does not know any more what was released, and for a person in doubt.
        """
        sealed = connection.execute(
            update(grants).where(_G.state.in_(("armed", "open", "lent"))).values(state="sealed").returning(_G.mac)
        ).all()
        detail = {"reason": reason, "grants": len(sealed)}
        audit.append(connection, self._keyring.audit_key, moment.wall, [Event("sealed", actor, detail=detail)])
        self._store.advance(connection, moment)
        log.event("everything was sealed", 40, reason=reason, actor=actor, count=len(sealed))
        return len(sealed)

    # -- claiming -----------------------------------------------------------------------------------------------------

    def claim(self, mac: str, wanted: Collection[SecretKey], claimant: Claimant) -> dict[SecretKey, str]:
        """Release to a phone what it may have now; nothing for the rest.

        Commits before it opens anything. Where the outcome of the commit is unknown it raises, and nothing is
        released.
        """
        keys = list(wanted)
        with self._store.write() as connection:
            moment = self._store.moment(connection)
            held = standing_of(connection, mac)
            # First, so that a claimant whom the policy calls a thief takes nothing else in passing.
            is_another = any(grant.claimant not in (None, claimant.identity) for grant in held.values())
            suspicions = self._suspect(connection, moment, mac, keys, claimant) if is_another else []
            admitted = _within_networks(keys, held, claimant)
            won = take(connection, moment, mac, admitted, *claimant)
            events = [_release_event(mac, key, taken, claimant) for key, taken in won.items()]
            events += suspicions
            if not events and len(won) < len(keys):
                events += self.tally.now("refused", mac, claimant.identity, claimant.address, _reason(claimant))
            if suspicions:  # a theft may have given secrets a new version
                held = standing_of(connection, mac)
            if any(taken.shred and taken.mode == Mode.ONCE for taken in won.values()):
                events += self._shred(connection, moment, [mac])
            audit.append(connection, self._keyring.audit_key, moment.wall, events)
            self._store.advance(connection, moment)
        return {key: self._open(mac, key, held[key]) for key in won}

    def confirm(self, mac: str, claimant: Claimant) -> None:
        """The phone proved that it holds what it was given: nothing is repeated any more."""
        with self._store.write() as connection:
            moment = self._store.moment(connection)
            closed = connection.execute(
                update(grants)
                .where(_G.mac == mac, _G.audience == Audience.PHONE, _G.state == "open", _G.mode != Mode.ALWAYS)
                .values(state="released", confirmed_at=moment.wall)
                .returning(_G.line, _G.secret_class, _G.generation)
            ).all()
            events = [
                Event("confirmed", claimant.identity, mac, row.line, row.secret_class, "phone", row.generation)
                for row in closed
            ]
            events += self._shred(connection, moment, [mac])
            audit.append(connection, self._keyring.audit_key, moment.wall, events)
            self._store.advance(connection, moment)

    def tick(self) -> None:
        """Write down the time while a window runs, and close for good what is over; to be called every few seconds.

        So a machine that wakes up in the past finds that it does: however long nobody had asked, the time was noted.
        """
        running = select(_G.mac).where(_G.expires_at.is_not(None), _G.state.in_(("armed", "open", "lent"))).limit(1)
        with self._store.read() as connection:
            if connection.execute(running).first() is None:
                return
        with self._store.write() as connection:
            moment = self._store.moment(connection)
            for before, after in (("armed", "expired"), ("open", "released")):
                over = update(grants).where(
                    _G.state == before, _G.mode != Mode.ALWAYS, _G.expires_at.is_not(None), OVER
                )
                connection.execute(over.values(state=after), at(moment))
            self._store.advance(connection, moment)

    def refused(self, mac: str, claimant: Claimant, reason: str) -> None:
        """Count a refusal for which the database was not asked; it is written by the tally."""
        self.tally.count("refused", mac, claimant.identity, claimant.address, reason)

    def shred(self, url: str) -> int:
        """Destroy what was released for good and is wanted destroyed; then clean the database's files at that URL.

        Blocks, but for no longer than the database needs. The number of secrets destroyed here.
        """
        with self._store.read() as connection:
            spent = self._spent(connection, self._store.moment(connection), None)
        if spent:
            with self._store.write() as connection:
                moment = self._store.moment(connection)
                events = self._shred(connection, moment, {secret.mac for secret in spent})
                audit.append(connection, self._keyring.audit_key, moment.wall, events)
        if self._to_scrub:
            self._to_scrub = False
            self._to_scrub = not shredding.scrub(url)
        return len(spent)

    def _spent(self, connection: Connection, moment: Moment, macs: Collection[str] | None) -> list[Shreddable]:
        wanted = shredding.shreddable(connection, macs)
        held = grants_of(connection, moment, {secret.mac for secret in wanted}) if wanted else {}
        return shredding.spent(wanted, held)

    def _shred(self, connection: Connection, moment: Moment, macs: Collection[str]) -> list[Event]:
        spent = self._spent(connection, moment, macs)
        self._to_scrub = self._to_scrub or bool(spent)
        return shredding.destroy(connection, spent)

    def verifier(self, mac: str, secret_class: SecretClass) -> str | None:
        """A phone-wide secret to check a phone's answer against; it is compared with, never sent."""
        with self._store.read() as connection:
            key = SecretKey(PHONE_LINE, secret_class)
            row = standing_of(connection, mac).get(key)
        return None if row is None else self._open(mac, key, row)

    def label(self, mac: str) -> str | None:
        """The ID of a phone's label, to check its answer against; it is compared with, never sent."""
        with self._store.read() as connection:
            row = connection.execute(
                select(phones.c.label_key_id, phones.c.label_box).where(phones.c.mac == mac)
            ).first()
        if row is None or row.label_box is None:
            return None
        return self._keyring.open(Sealed(row.label_key_id, row.label_box), label_place(mac))

    def _suspect(
        self, connection: Connection, moment: Moment, mac: str, keys: Collection[SecretKey], claimant: Claimant
    ) -> list[Event]:
        if not keys or claimant.proof >= Proof.LABEL:
            return []
        parameters = at(moment) | {
            "keys": [(mac, *key, Audience.PHONE) for key in keys],
            "who": claimant.identity,
            "address": claimant.address,
            "contradicted": claimant.proof is Proof.NONE,
            "unproven": claimant.proof < Proof.NEIGHBOUR,
        }
        suspects = connection.execute(_SUSPECT, parameters).all()
        events = [
            Event(
                "suspect",
                claimant.identity,
                *key_of(row),
                row.generation,
                {"from": claimant.address} | ({"on_theft": row.on_theft} if row.on_theft != "report" else {}),
            )
            for row in suspects
        ]
        if suspects:
            reaction = theft.react(connection, self._keyring, suspects[0].mac, suspects, place)
            events += reaction.events
            self._tell_controller(connection, moment, suspects[0].mac, reaction.renewed)
        return events

    def _tell_controller(self, connection: Connection, moment: Moment, mac: str, renewed: Sequence[SecretKey]) -> None:
        """Arm what the PBX must be told anew, under the terms it was told last time."""
        keys = [GrantKey(mac, *key, Audience.CONTROLLER) for key in renewed if key.secret_class is SecretClass.SIP]
        held = {grant.key: grant for grant in grants_of(connection, moment, [mac])[mac]}
        self.arm(connection, moment, [(key, _terms_again(held.get(key))) for key in keys], theft.ACTOR)

    def _open(self, mac: str, key: SecretKey, row: Standing) -> str:
        return self._keyring.open(Sealed(row.key_id, row.box), place(mac, key, row.version))


def _generations(connection: Connection, macs: Collection[str]) -> dict[GrantKey, int]:
    # A handful of phones is asked for by name; for a whole site one walk through the table is cheaper.
    query = select(_G.mac, _G.line, _G.secret_class, _G.audience, _G.generation)
    if len(macs) <= 500:
        query = query.where(_G.mac.in_(list(macs)))
    return {key_of(row): row.generation for row in connection.execute(query)}


def _reason(claimant: Claimant) -> str:
    contradicted = "its source address, or its certificate, belongs to another MAC address"
    return contradicted if claimant.proof is Proof.NONE else "nothing is armed for this claimant"


def _terms_again(grant: Grant | None) -> Policy:
    if grant is None:
        return Policy(Mode.WINDOW, ReleaseSettings().window_seconds, False, Proof.NONE)
    return Policy(grant.mode, grant.window_seconds, False, Proof.NONE, shred=grant.shred)


def _release_event(mac: str, key: SecretKey, taken: Taken, claimant: Claimant) -> Event:
    # "released" is written once a generation, and the database holds it unique; what follows is a repetition.
    name = "released" if taken.releases == 1 else "repeated"
    detail = {"from": claimant.address, "proof": claimant.proof.name.lower()}
    return Event(name, claimant.identity, mac, *key, Audience.PHONE, taken.generation, detail)


def _within_networks(
    keys: Sequence[SecretKey], held: Mapping[SecretKey, Standing], claimant: Claimant
) -> Sequence[SecretKey]:
    """The grants whose terms let that source address in; they were read under the write lock, so they stand."""
    shut = {
        key
        for key, grant in held.items()
        if grant.networks is not None and not is_inside(claimant.address, json.loads(grant.networks))
    }
    return [key for key in keys if key not in shut] if shut else keys


_KEY = ("mac", "line", "secret_class", "audience")
_THESE = tuple_(_G.mac, _G.line, _G.secret_class, _G.audience).in_(bindparam("keys", expanding=True))
_WHO = bindparam("who", type_=String)
_ADDRESS = bindparam("address", type_=String)


_SUSPECT = (
    update(grants)
    .where(
        _THESE,
        _G.mode != Mode.ALWAYS,
        _G.state.in_(("open", "released")),
        _G.claimant != _WHO,
        or_(_G.claimed_from != _ADDRESS, bindparam("contradicted", type_=Boolean).is_(true())),
        # A phone known by the neighbour table may come back from a new address once its window is over.
        or_(and_(_G.state == "open", IN_TIME), bindparam("unproven", type_=Boolean).is_(true())),
    )
    .values(state="suspect")
    .returning(_G.mac, _G.line, _G.secret_class, _G.audience, _G.generation, _G.on_theft)
)

_REARM = (
    update(grants)
    .where(*(_G[name] == bindparam(f"key_{name}") for name in _KEY))
    .values({column.name: bindparam(column.name) for column in grants.c if column.name not in _KEY})
)
