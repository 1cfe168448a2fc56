# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts and offers as the database keeps them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, update

from autoprovd import log, metrics
from autoprovd.audit import Event
from autoprovd.directory import Sighting
from autoprovd.firmware.catalogue import Catalogue
from autoprovd.firmware.decide import Candidate, Decision, Offered, Standing, counts
from autoprovd.firmware.plan import Rollout
from autoprovd.model import Phone
from autoprovd.site import Writing
from autoprovd.store import insert_into
from autoprovd.store.schema import offers, phones, rollouts, sightings

_BY_ITSELF = "rollout"

Kept = tuple[Rollout, str]
"""A rollout and its state."""


def read_rollouts(connection: Connection) -> dict[str, tuple[Rollout, Standing]]:
    """All rollouts, by name."""
    return {
        row.name: (
            Rollout.model_validate_json(row.definition),
            Standing(row.state, row.reason, row.ring, row.ring_at),
        )
        for row in connection.execute(select(rollouts).order_by(rollouts.c.name))
    }


def read_sightings(connection: Connection) -> dict[str, Sighting]:
    """What the phones last said of themselves, by MAC address."""
    return {
        row.mac: Sighting(row.model, row.version, row.at, row.settings_at)
        for row in connection.execute(select(sightings))
    }


def candidates(connection: Connection, plans: Sequence[Rollout], catalogue: Catalogue) -> dict[str, list[Candidate]]:
    """The phones of each rollout; a phone follows the first that covers it."""
    found: dict[str, list[Candidate]] = {rollout.name: [] for rollout in plans}
    if not plans:
        return found
    follows: dict[tuple[str, str], str | None] = {}
    for kind in connection.execute(select(phones.c.vendor, phones.c.model).distinct()):
        follows[kind.vendor, kind.model] = next(
            (rollout.name for rollout in plans if _is_meant(rollout, catalogue, kind.vendor, kind.model)), None
        )
    seen = read_sightings(connection)
    offered = {row.mac: Offered(*row[1:]) for row in connection.execute(select(offers))}
    vendors = {rollout.vendor for rollout in plans}
    query = select(phones.c.mac, phones.c.vendor, phones.c.model, phones.c.definition).order_by(phones.c.mac)
    for row in connection.execute(query.where(phones.c.vendor.in_(vendors))):
        name = follows[row.vendor, row.model]
        if name is not None:
            phone = Phone.model_validate_json(row.definition)
            found[name].append(Candidate(phone, seen.get(row.mac), offered.get(row.mac)))
    return found


def _is_meant(rollout: Rollout, catalogue: Catalogue, vendor: str, model: str) -> bool:
    if not rollout.covers(vendor, model):
        return False
    return bool(rollout.models) or any(f.key == rollout.key for f in catalogue.firmware_of(vendor, model))


def write_change(change: Writing, name: str, old: Kept | None, new: Kept | None, actor: str) -> set[str]:
    """Write what became of a rollout; the phones whose offer was taken back."""
    connection = change.connection
    this = offers.c.rollout == name
    touched: set[str] = set()
    if old is not None and (new is None or (old[0].vendor, old[0].version) != (new[0].vendor, new[0].version)):
        # What is on offer is another version: begun anew.
        touched = _take_back(connection, this)
        connection.execute(delete(rollouts).where(rollouts.c.name == name))
    elif old is not None and new is not None and old[1] != new[1]:
        touched = _take_back(connection, this, *(_LOST if new[1] == "running" else _UNTAKEN))
    if new is not None:
        reason = f"paused by {actor}" if new[1] == "paused" else ""
        definition = json.dumps(new[0].model_dump(mode="json"), sort_keys=True)
        values: dict[str, Any] = {"name": name, "definition": definition, "state": new[1], "reason": reason}
        at_first = {"ring": 0, "ring_at": change.moment.wall}
        ring = connection.execute(select(rollouts.c.ring).where(rollouts.c.name == name)).scalar()
        if old is not None and ring is not None and (after := new[0].ring_after(old[0], ring)) != ring:
            values |= at_first | {"ring": after}
        statement = insert_into(connection, rollouts).values(at_first | values)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    told = {"version": new[0].version, "state": new[1]} if new is not None else {"removed": True}
    change.audit(Event("rollout", actor, detail={"name": name} | told))
    return touched


def take_back_strays(connection: Connection, followed: Mapping[str, Collection[str]]) -> set[str]:
    """Forget offers to phones that the rollout is not for any more; ``followed``: its phones, by rollout."""
    macs = strays(connection, followed)
    return _take_back(connection, offers.c.mac.in_(macs)) if macs else macs


def strays(connection: Connection, followed: Mapping[str, Collection[str]]) -> set[str]:
    """The phones with an offer of a rollout that is not for them any more."""
    offered = connection.execute(select(offers.c.mac, offers.c.rollout))
    return {row.mac for row in offered if row.mac not in followed.get(row.rollout, ())}


def count_from(connection: Connection, at: float, macs: Collection[str]) -> None:
    """Count these offers from the moment their files are rendered: who asked until then got the files before."""
    statement = update(offers).where(offers.c.mac == bindparam("phone")).values(offered_at=at)
    connection.execute(statement, [{"phone": mac} for mac in macs])


_LOST = (offers.c.lost_at.is_not(None),)
_UNTAKEN = (offers.c.taken_at.is_(None), offers.c.done_at.is_(None))


def carry_out(change: Writing, rollout: Rollout, standing: Standing, decision: Decision) -> None:
    """Write a decision."""
    connection, now = change.connection, change.moment.wall
    values: dict[str, Any] = {}
    if decision.ring != standing.ring:
        values |= {"ring": decision.ring, "ring_at": now}
        detail = {"name": rollout.name, "ring": rollout.ring_name(decision.ring)}
        change.audit(Event("rollout", _BY_ITSELF, detail=detail))
    for mac, at in decision.taken.items():
        connection.execute(update(offers).where(offers.c.mac == mac).values(taken_at=at))
    for column, macs in (("done_at", decision.done), ("lost_at", decision.lost)):
        for mac in macs:
            connection.execute(update(offers).where(offers.c.mac == mac).values({column: now}))
    for mac in decision.withdraw:
        connection.execute(delete(offers).where(offers.c.mac == mac))
    rows = [
        {"mac": mac, "rollout": rollout.name, "path": file.path, "offered_at": now}
        | dict.fromkeys(("taken_at", "done_at", "lost_at"))
        for mac, file in decision.offer.items()
    ]
    if rows:
        statement = insert_into(connection, offers)
        changed = {name: statement.excluded[name] for name in rows[0] if name != "mac"}
        connection.execute(statement.on_conflict_do_update(index_elements=["mac"], set_=changed), rows)
    change.audit(
        *(
            Event("offered", _BY_ITSELF, mac, detail={"rollout": rollout.name, "version": file.version})
            for mac, file in decision.offer.items()
        ),
        *(Event("lost", _BY_ITSELF, mac, detail={"rollout": rollout.name}) for mac in decision.lost),
    )
    if decision.stop:
        values |= {"state": "stopped", "reason": decision.stop}
        change.audit(Event("rollout", _BY_ITSELF, detail={"name": rollout.name, "stopped": decision.stop}))
        log.event("rollout stopped", 40, reason=f"{rollout.name}: {decision.stop}")
    if values:
        connection.execute(update(rollouts).where(rollouts.c.name == rollout.name).values(values))
    for state, number in counts(decision.verdicts).items():
        metrics.rollout_phones.labels(rollout.name, state).set(number)


def _take_back(connection: Connection, *which: ColumnElement[bool]) -> set[str]:
    """Forget these offers; the phones that had one."""
    macs = set(connection.execute(select(offers.c.mac).where(*which)).scalars())
    connection.execute(delete(offers).where(*which))
    return macs
