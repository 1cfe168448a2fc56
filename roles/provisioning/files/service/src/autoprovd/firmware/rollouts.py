# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts and the catalogue as they are kept, and what follows from them for the files of the phones.

A change is one transaction: who is offered what, the files that say so, and the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from autoprovd.audit import Event
from autoprovd.clock import iso_time
from autoprovd.documents import Renderer, phones_of
from autoprovd.faults import Fault, Refused, invalid
from autoprovd.firmware.catalogue import Catalogue, take_files
from autoprovd.firmware.decide import Decision, Standing, State, Verdict, counts, decide
from autoprovd.firmware.plan import Rollout, take_rollouts
from autoprovd.firmware.records import (
    Kept,
    candidates,
    carry_out,
    count_from,
    read_rollouts,
    read_sightings,
    strays,
    take_back_strays,
    write_change,
)
from autoprovd.model import parse_mac
from autoprovd.planning import Difference, spell
from autoprovd.site import Site, settings_of
from autoprovd.store.schema import phones, rollouts

Decided = tuple[Rollout, Standing, Decision]
"""A rollout, how far it is, and what to do for it."""


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

    def apply(
        self, raw: Sequence[Any], purge: bool, dry_run: bool, actor: str, resume: Collection[str] = ()
    ) -> tuple[bool, Difference]:
        """Make the rollouts those of the list; with ``purge``, only those.

        An entry may say ``paused``; left out, that stays as it is. What stopped by itself goes on only by ``resume``.
        """
        with self._site.writing() as change:
            known = read_rollouts(change.connection)
            before = {name: (rollout, standing.state) for name, (rollout, standing) in known.items()}
            after = _wanted(change.connection, raw, purge, before, resume)
            difference = Difference(_spelled_rollouts(before), _spelled_rollouts(after))
            if after == before or dry_run:
                return after != before, difference
            touched: set[str] = set()
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    touched |= write_change(change, name, before.get(name), after.get(name), actor)
            made = self._decisions(change.connection, change.moment.wall)
            change.render(touched | take_back_strays(change.connection, _followed(made)))
        return True, difference

    def pause(self, name: str, actor: str) -> bool:
        """Offer nothing more, and take back what nobody has taken; whether that changed anything."""
        return self._set_state(name, "paused", actor)

    def resume(self, name: str, actor: str) -> bool:
        """Go on, and try those again that were lost; whether that changed anything."""
        return self._set_state(name, "running", actor)

    def _set_state(self, name: str, state: str, actor: str) -> bool:
        with self._site.writing() as change:
            known = read_rollouts(change.connection)
            if name not in known:
                raise _no_such(name, known)
            rollout, standing = known[name]
            if standing.state == state:
                return False
            change.render(write_change(change, name, (rollout, standing.state), (rollout, state), actor))
        return True

    # -- going on -----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Look at what phones have done since, and offer to those whose turn it is. Writes only what has changed."""
        with self._site.reading() as connection:
            wanted = connection.execute(select(rollouts.c.name).limit(1)).first() is not None
            if wanted:
                made = self._decisions(connection, self._site.moment(connection).wall)
                wanted = any(_is_something(decision, standing) for _rollout, standing, decision in made)
                wanted = wanted or bool(strays(connection, _followed(made)))
        if not wanted:
            return
        with self._site.writing() as change:
            made = self._decisions(change.connection, change.moment.wall)
            touched = take_back_strays(change.connection, _followed(made))
            offered: set[str] = set()
            for rollout, standing, decision in made:
                if _is_something(decision, standing):
                    carry_out(change, rollout, standing, decision)
                    touched |= {*decision.offer, *decision.withdraw, *decision.lost}
                    offered |= {*decision.offer}
            change.render(touched)
            if offered:
                count_from(change.connection, self._site.moment(change.connection).wall, offered)

    @staticmethod
    def _decisions(connection: Connection, now: float) -> list[Decided]:
        zone = settings_of(connection).time_zone
        catalogue = Catalogue.read(connection)
        known = read_rollouts(connection)
        covered = candidates(connection, [rollout for rollout, _standing in known.values()], catalogue)
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
            seen = read_sightings(connection)
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


def _wanted(
    connection: Connection, raw: Sequence[Any], purge: bool, before: Mapping[str, Kept], resume: Collection[str]
) -> dict[str, Kept]:
    """The rollouts as the list wants them. Raises ``Refused`` with every fault."""
    items = [dict(item) if isinstance(item, Mapping) else item for item in raw]
    faults: list[Fault] = []
    paused: dict[str, bool] = {}
    for index, item in enumerate(items):
        says = item.pop("paused", None) if isinstance(item, dict) else None
        if says is not None:
            paused[str(item.get("name"))] = bool(says)
            if not isinstance(says, bool):
                faults.append(
                    Fault(f"rollouts[{index}].paused", "is true or false", "leave it out to leave it as it is")
                )
    listed, more = take_rollouts(_with_macs(connection, items))
    faults += more
    wanted = {} if purge else {name: rollout for name, (rollout, _state) in before.items()}
    wanted |= {rollout.name: rollout for rollout in listed}
    faults = faults or take_rollouts([rollout.model_dump(mode="json") for rollout in wanted.values()])[1]
    if faults:
        raise invalid(faults, "the list of rollouts")
    for name in resume:
        if name not in wanted:
            raise _no_such(name, wanted)
    after = {}
    for name, rollout in wanted.items():
        state = before[name][1] if name in before else "running"
        if name in resume or (state == "paused" and paused.get(name) is False):
            state = "running"
        elif state == "running" and paused.get(name):
            state = "paused"
        after[name] = (rollout, state)
    return after


def _no_such(name: str, known: Collection[str]) -> Refused:
    return Refused("not_found", f"there is no rollout {name!r}; there are: {', '.join(known) or 'none'}")


def _followed(made: Iterable[Decided]) -> dict[str, Collection[str]]:
    return {rollout.name: decision.verdicts.keys() for rollout, _standing, decision in made}


def _is_something(decision: Decision, standing: Standing) -> bool:
    moves = (decision.offer, decision.withdraw, decision.taken, decision.done, decision.lost, decision.stop)
    return any(moves) or decision.ring != standing.ring


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
            where, mac = f"rollouts[{index}].canaries[{place}]", _mac(text)
            found = [mac] if mac in named else [known for known, phone in named.items() if phone[0] == text]
            if len(found) == 1 and not _is_for(item, *named[found[0]][1:]):
                what = f"{text} is a {' '.join(named[found[0]][1:])}, which the rollout is not for"
                faults.append(Fault(where, what, "a canary would try the version; name a phone that gets it"))
            if len(found) != 1:
                many = f"{len(found)} phones are called {text!r}" if found else f"this site has no phone {text!r}"
                faults.append(Fault(where, many, "give a MAC address, or the name of one phone"))
            resolved += found
        items[index] = {**item, "canaries": resolved}
    if faults:
        raise invalid(faults, "the list of rollouts")
    return items


def _names(connection: Connection) -> dict[str, tuple[str, str, str]]:
    """What each phone is called, its vendor and its model, by MAC address."""
    query = select(phones.c.mac, phones.c.definition, phones.c.vendor, phones.c.model)
    return {
        row.mac: (json.loads(row.definition).get("name", ""), row.vendor, row.model)
        for row in connection.execute(query)
    }


def _is_for(item: Mapping[str, Any], vendor: str, model: str) -> bool:
    """Whether a rollout as somebody wrote it is for such a phone; what is wrong with it otherwise is told elsewhere."""
    models = item.get("models")
    named = {str(name).lower() for name in models} if isinstance(models, list) else set()
    return item.get("vendor") == vendor and (not named or model.lower() in named)


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


def _spelled_rollouts(known: Mapping[str, Kept]) -> str:
    shown = [
        known[name][0].model_dump(mode="json", exclude_defaults=True) | {"state": known[name][1]}
        for name in sorted(known)
    ]
    return spell(shown) if shown else ""
