# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts and the catalogue as they are kept, and what follows from them for the files of the phones.

A change is one transaction: who is offered what, the files that say so, and the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from autoprovd import log, metrics
from autoprovd.audit import Event
from autoprovd.clock import iso_time
from autoprovd.directory import Sighting
from autoprovd.documents import Renderer, phones_of
from autoprovd.faults import Fault, Refused, invalid
from autoprovd.firmware.catalogue import Catalogue, take_files
from autoprovd.firmware.decide import Candidate, Decision, Offered, Standing, State, Verdict, counts, decide
from autoprovd.firmware.plan import Rollout, take_rollouts
from autoprovd.model import Phone, parse_mac
from autoprovd.planning import Difference, spell
from autoprovd.site import Site, Writing, settings_of
from autoprovd.store import insert_into
from autoprovd.store.schema import offers, phones, rollouts, sightings

_BY_ITSELF = "rollout"


class Rollouts:
    """The firmware of the site: the one place through which the catalogue and the rollouts are changed."""

    def __init__(self, site: Site) -> None:
        self._site = site

    # -- the catalogue ------------------------------------------------------------------------------------------------

    def catalogue(self) -> list[dict[str, Any]]:
        """What the mirror holds."""
        with self._site.reading() as connection:
            return Catalogue.read(connection).listed()

    def tell_catalogue(self, raw: Sequence[Any], dry_run: bool, actor: str) -> tuple[bool, Difference]:
        """What the mirror holds from now on; phones that are told to fetch something else get new files."""
        new, faults = take_files(raw)
        if faults:
            raise invalid(faults, "the catalogue")
        with self._site.writing() as change:
            old = Catalogue.read(change.connection)
            difference = Difference(_spelled(old), _spelled(new))
            if new.files == old.files or dry_run:
                return new.files != old.files, difference
            before = Renderer(change.connection, settings_of(change.connection))
            new.write(change.connection)
            after = Renderer(change.connection, settings_of(change.connection))
            change.audit(Event("catalogue", actor, detail={"files": len(new.files)}))
            everyone = phones_of(change.connection, None)
            change.render({phone.mac for phone in everyone if before.offer(phone) != after.offer(phone)})
        return True, difference

    # -- the rollouts -------------------------------------------------------------------------------------------------

    def apply(self, raw: Sequence[Any], purge: bool, dry_run: bool, actor: str) -> tuple[bool, Difference]:
        """Make the rollouts those of the list; with ``purge``, only those. What is being offered is looked at anew."""
        with self._site.writing() as change:
            connection = change.connection
            listed, faults = take_rollouts(_with_macs(connection, raw))
            known = _read_rollouts(connection)
            wanted = ({} if purge else {name: rollout for name, (rollout, _s) in known.items()}) | {
                rollout.name: rollout for rollout in listed
            }
            faults = faults or take_rollouts([rollout.model_dump(mode="json") for rollout in wanted.values()])[1]
            if faults:
                raise invalid(faults, "the list of rollouts")
            before = {name: rollout for name, (rollout, _standing) in known.items()}
            difference = Difference(_spelled_rollouts(before), _spelled_rollouts(wanted))
            if wanted == before or dry_run:
                return wanted != before, difference
            self._write(change, before, wanted, actor)
        return True, difference

    @staticmethod
    def _write(change: Writing, before: Mapping[str, Rollout], wanted: Mapping[str, Rollout], actor: str) -> None:
        connection, now = change.connection, change.moment.wall
        touched: set[str] = set()
        for name in sorted({*before, *wanted}):
            if before.get(name) == wanted.get(name):
                continue
            # What was on offer for another version, or for other phones, is decided anew.
            old, new = before.get(name), wanted.get(name)
            if old is not None and (new is None or (old.vendor, old.version) != (new.vendor, new.version)):
                touched |= _take_back(connection, offers.c.rollout == name)
                connection.execute(delete(rollouts).where(rollouts.c.name == name))
                old = None
            if new is not None:
                definition = json.dumps(new.model_dump(mode="json"), sort_keys=True)
                if old is None:
                    values = {"name": name, "state": "running", "ring": 0, "ring_at": now, "definition": definition}
                    connection.execute(insert(rollouts), [values])
                else:
                    connection.execute(update(rollouts).where(rollouts.c.name == name).values(definition=definition))
            detail = {"name": name, "version": new.version} if new is not None else {"name": name, "removed": True}
            change.audit(Event("rollout", actor, detail=detail))
        change.render(touched)

    def pause(self, name: str, actor: str) -> bool:
        """Offer nothing more, and take back what nobody has taken; whether that changed anything."""
        return self._set_state(name, "paused", f"paused by {actor}", actor)

    def resume(self, name: str, actor: str) -> bool:
        """Go on, and try those again that were lost; whether that changed anything."""
        return self._set_state(name, "running", "", actor)

    def _set_state(self, name: str, state: str, reason: str, actor: str) -> bool:
        with self._site.writing() as change:
            known = _read_rollouts(change.connection)
            if name not in known:
                names = ", ".join(known) or "none"
                raise Refused("not_found", f"there is no rollout {name!r}; there are: {names}")
            if known[name][1].state == state:
                return False
            this = offers.c.rollout == name
            if state == "running":
                touched = _take_back(change.connection, this, offers.c.lost_at.is_not(None))
            else:
                untaken = (offers.c.taken_at.is_(None), offers.c.done_at.is_(None))
                touched = _take_back(change.connection, this, *untaken)
            values = {"state": state, "reason": reason}
            change.connection.execute(update(rollouts).where(rollouts.c.name == name).values(values))
            change.audit(Event("rollout", actor, detail={"name": name, "state": state}))
            change.render(touched)
        return True

    # -- going on -----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Look at what phones have done since, and offer to those whose turn it is. Writes only what has changed."""
        with self._site.reading() as connection:
            wanted = connection.execute(select(rollouts.c.name).limit(1)).first() is not None
            if wanted:
                now = self._site.moment(connection).wall
                wanted = any(_is_something(made, s) for _r, s, made in self._decisions(connection, now))
        if not wanted:
            return
        with self._site.writing() as change:
            touched: set[str] = set()
            for rollout, standing, decision in self._decisions(change.connection, change.moment.wall):
                if _is_something(decision, standing):
                    _carry_out(change, rollout, standing, decision)
                    touched |= {*decision.offer, *decision.withdraw, *decision.lost}
            change.render(touched)

    @staticmethod
    def _decisions(connection: Connection, now: float) -> list[tuple[Rollout, Standing, Decision]]:
        zone = settings_of(connection).time_zone
        catalogue = Catalogue.read(connection)
        known = _read_rollouts(connection)
        covered = _covered(connection, [rollout for rollout, _standing in known.values()], catalogue)
        return [
            (rollout, standing, decide(rollout, standing, covered[rollout.name], catalogue, now, zone))
            for rollout, standing in known.values()
        ]

    # -- how far it is ------------------------------------------------------------------------------------------------

    def status(self) -> list[dict[str, Any]]:
        """Each rollout, how far it is, and what it waits for."""
        with self._site.reading() as connection:
            made = self._decisions(connection, self._site.moment(connection).wall)
        return [
            rollout.model_dump(mode="json", exclude_defaults=True)
            | {
                "state": standing.state,
                "reason": standing.reason,
                "ring": rollout.ring_name(standing.ring),
                "ring_since": iso_time(standing.ring_at),
                "counts": counts(decision.verdicts),
                "phones": {mac: _told(verdict) for mac, verdict in sorted(decision.verdicts.items())},
            }
            for rollout, standing, decision in made
        ]

    def of_phones(self, macs: Collection[str] | None) -> dict[str, dict[str, Any]]:
        """What these phones, or all, run, what they are offered, and why not more."""
        with self._site.reading() as connection:
            now = self._site.moment(connection).wall
            seen = _sightings(connection)
            made = self._decisions(connection, now)
        found: dict[str, dict[str, Any]] = {
            mac: {"version": sighting.version, "seen_at": iso_time(sighting.at)}
            for mac, sighting in seen.items()
            if macs is None or mac in macs
        }
        for rollout, _standing, decision in made:
            for mac, verdict in decision.verdicts.items():
                if macs is None or mac in macs:
                    found.setdefault(mac, {"version": None, "seen_at": None})
                    found[mac] |= {"rollout": rollout.name, "wanted": rollout.version} | _told(verdict)
        return found


def _is_something(decision: Decision, standing: Standing) -> bool:
    moves = (decision.offer, decision.withdraw, decision.taken, decision.done, decision.lost, decision.stop)
    return any(moves) or decision.ring != standing.ring


def _carry_out(change: Writing, rollout: Rollout, standing: Standing, decision: Decision) -> None:
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


def _read_rollouts(connection: Connection) -> dict[str, tuple[Rollout, Standing]]:
    return {
        row.name: (
            Rollout.model_validate_json(row.definition),
            Standing(row.state, row.reason, row.ring, row.ring_at),
        )
        for row in connection.execute(select(rollouts).order_by(rollouts.c.name))
    }


def _sightings(connection: Connection) -> dict[str, Sighting]:
    return {
        row.mac: Sighting(row.model, row.version, row.at, row.settings_at)
        for row in connection.execute(select(sightings))
    }


def _covered(connection: Connection, plans: Sequence[Rollout], catalogue: Catalogue) -> dict[str, list[Candidate]]:
    """The phones of each rollout; a phone follows the first that covers it."""
    found: dict[str, list[Candidate]] = {rollout.name: [] for rollout in plans}
    if not plans:
        return found
    follows: dict[tuple[str, str], str | None] = {}
    for kind in connection.execute(select(phones.c.vendor, phones.c.model).distinct()):
        follows[kind.vendor, kind.model] = next(
            (rollout.name for rollout in plans if _is_meant(rollout, catalogue, kind.vendor, kind.model)), None
        )
    seen = _sightings(connection)
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


def _with_macs(connection: Connection, raw: Iterable[Any]) -> list[Any]:
    """The list with canaries by MAC address where a phone's name stands; unknown ones are faults."""
    items, faults, named = list(raw), [], None
    for index, item in enumerate(items):
        canaries = item.get("canaries") if isinstance(item, Mapping) else None
        if not isinstance(canaries, list):
            continue
        if named is None:
            named = _names(connection)
        resolved: list[str] = []
        for place, text in enumerate(canaries):
            mac = _mac(text)
            found = [mac] if mac in named else [known for known, name in named.items() if name == text]
            if len(found) != 1:
                where = f"rollouts[{index}].canaries[{place}]"
                many = f"{len(found)} phones are called {text!r}" if found else f"this site has no phone {text!r}"
                faults.append(Fault(where, many, "give a MAC address, or the name of one phone"))
            resolved += found
        items[index] = {**item, "canaries": resolved}
    if faults:
        raise invalid(faults, "the list of rollouts")
    return items


def _names(connection: Connection) -> dict[str, str]:
    query = select(phones.c.mac, phones.c.definition)
    return {row.mac: json.loads(row.definition).get("name", "") for row in connection.execute(query)}


def _mac(text: Any) -> str:
    """A MAC address in our spelling; what is none stays as it is."""
    try:
        return parse_mac(text)
    except ValueError:
        return str(text)


def _told(verdict: Verdict) -> dict[str, Any]:
    offered = verdict.file.version if verdict.file is not None and verdict.state is not State.WAITING else None
    return {"state": verdict.state.value, "reason": verdict.reason, "offered": offered}


def _spelled(catalogue: Catalogue) -> str:
    return "".join(f"{file.path} {file.kind} {file.size} bytes\n" for file in catalogue.files.values())


def _spelled_rollouts(known: Mapping[str, Rollout]) -> str:
    shown = [known[name].model_dump(mode="json", exclude_defaults=True) for name in sorted(known)]
    return spell(shown) if shown else ""
