# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is offered which firmware now, who waits and why. Decides from what it is given, and touches nothing.

A phone is offered a file only if its model, its hardware revision and the version it runs are known, and the file is
for exactly that. A phone that would have to skip a step is offered the step first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from autoprovd.directory import Sighting
from autoprovd.firmware.catalogue import Catalogue, File
from autoprovd.firmware.plan import Rollout, place_of
from autoprovd.model import Phone
from autoprovd.vendors import VENDORS

LOOK_SECONDS = 30.0
"""How often a service looks at its rollouts; offers that are due between two looks are made together."""


class State(StrEnum):
    """How far a phone is."""

    DONE = "done"
    TAKEN = "taken"
    """It has its new settings, and is expected back."""
    OFFERED = "offered"
    """Its new settings lie ready; it has not asked yet."""
    LOST = "lost"
    WAITING = "waiting"
    EXCLUDED = "excluded"
    """The version is not for this phone, or somebody decided so."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A firmware a phone was told to fetch."""

    rollout: str
    path: str
    offered_at: float
    taken_at: float | None = None
    done_at: float | None = None
    lost_at: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A phone, with what is known of it."""

    phone: Phone
    seen: Sighting | None
    offered: Offered | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the rollout as a whole is."""

    state: str
    """``running``, ``paused`` by a person, or ``stopped`` by itself."""
    reason: str
    ring: int
    ring_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far a phone is, and why it is not further."""

    state: State
    reason: str = ""
    ring: int = 0
    file: File | None = None
    """What it could be offered, or is."""


@dataclass(slots=True)
class Decision:
    """What has to be done now, and where everyone stands."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    offer: dict[str, File] = field(default_factory=dict)
    withdraw: list[str] = field(default_factory=list)
    taken: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    ring: int = 0
    stop: str = ""
    """Why the rollout has to stop; empty while it goes on."""


def decide(
    rollout: Rollout, standing: Standing, phones: Sequence[Candidate], catalogue: Catalogue, now: float, zone: str
) -> Decision:
    """What to do for one rollout; ``phones`` are those it covers."""
    decision = Decision(ring=standing.ring)
    steps = _Steps(rollout, catalogue)
    for candidate in phones:
        decision.verdicts[candidate.phone.mac] = _judge(rollout, steps, candidate, now, decision)
    lost = sum(verdict.state is State.LOST for verdict in decision.verdicts.values())
    if standing.state == "running" and lost >= rollout.stop_after:
        decision.stop = f"{lost} phones did not come back with {rollout.version}"
    if standing.state == "running" and not decision.stop:
        decision.ring = _next_ring(rollout, standing, decision, now)
    _offer(rollout, standing, decision, phones, now, zone)
    return decision


def _judge(rollout: Rollout, steps: _Steps, candidate: Candidate, now: float, decision: Decision) -> Verdict:
    phone, seen = candidate.phone, candidate.seen
    ring = rollout.ring_of(phone.mac)
    vendor = VENDORS[phone.vendor]
    if phone.firmware_url is not None:
        return Verdict(State.EXCLUDED, "its own definition names a firmware_url", ring)
    if seen is None:
        return Verdict(State.WAITING, "it has not asked yet, so nobody knows its version", ring)
    told = vendor.model(seen.model)
    if told is not None and told.name.lower() != phone.model.lower():
        return Verdict(State.EXCLUDED, f"it says that it is a {told.name}, not a {phone.model}", ring)
    version = vendor.version_key(seen.version)
    file, reason = steps.next(phone, version, seen.version)
    on_its_way = _judge_offer(rollout, steps.catalogue, candidate, now, decision)
    if on_its_way is not None:
        return replace(on_its_way, ring=ring)
    if version == rollout.key:
        return Verdict(State.DONE, "", ring)
    if file is None:
        return Verdict(State.EXCLUDED, reason, ring)
    return Verdict(State.WAITING, "", ring, file)


def _judge_offer(
    rollout: Rollout, catalogue: Catalogue, candidate: Candidate, now: float, decision: Decision
) -> Verdict | None:
    """How far it is with what it was offered; None when that is behind it, and the next step may come."""
    mac, seen, offered = candidate.phone.mac, candidate.seen, candidate.offered
    if seen is None or offered is None or offered.rollout != rollout.name:
        return None
    file = catalogue.files.get(offered.path)
    if file is None or not file.fits(candidate.phone):
        return None
    if VENDORS[file.vendor].version_key(seen.version) == file.key and seen.at > offered.offered_at:
        if offered.done_at is None:
            decision.done.append(mac)
        return Verdict(State.DONE, file=file) if file.key == rollout.key else None
    if offered.done_at is not None:  # it was there, and somebody took it back
        return None
    taken_at = offered.taken_at
    if taken_at is None and seen.settings_at is not None and seen.settings_at > offered.offered_at:
        taken_at = decision.taken[mac] = seen.settings_at
    if taken_at is None:
        return Verdict(State.OFFERED, "it has not asked since", file=file)
    if offered.lost_at is not None or now > taken_at + rollout.back_within_minutes * 60:
        if offered.lost_at is None:
            decision.lost.append(mac)
        again = seen.at > taken_at
        what = f"it came back with {seen.version}" if again else "it has not come back"
        return Verdict(State.LOST, what, file=file)
    return Verdict(State.TAKEN, "it is expected back", file=file)


class _Steps:
    """The way from a version to the rollout's, file by file."""

    def __init__(self, rollout: Rollout, catalogue: Catalogue) -> None:
        self._rollout = rollout
        self.catalogue = catalogue
        self._of: dict[tuple[str, str | None], list[File]] = {}

    def next(self, phone: Phone, version: tuple[int, ...], spelled: str) -> tuple[File | None, str]:
        """The file a phone of that version is to get next, or why there is none."""
        target = self._rollout.key
        if version == target:
            return None, ""
        if version > target and not self._rollout.allow_downgrade:
            return None, f"it has {spelled}, which is newer"
        files = self.catalogue.firmware_of(phone.vendor, phone.model)
        if all(file.key != target for file in files):
            return None, f"the mirror has no {self._rollout.version} for a {phone.model}"
        fitting = [file for file in files if file.fits(phone)]
        if all(file.key != target for file in fitting):
            if phone.revision is None:
                return None, "its hardware revision is unknown; say revision in the phone list"
            return None, f"the mirror has no {self._rollout.version} for hardware revision {phone.revision}"
        wanted = [file for file in fitting if file.key <= target and (file.key > version or file.key == target)]
        reachable = [file for file in wanted if file.min_from is None or self._key(file.min_from) <= version]
        if not reachable:
            needed = next(file.min_from for file in wanted if file.key == target)
            return None, f"no step leads from {spelled}; the mirror would need a version from {needed} on for it"
        return reachable[-1], ""

    def _key(self, version: str) -> tuple[int, ...]:
        return VENDORS[self._rollout.vendor].version_key(version)


def _next_ring(rollout: Rollout, standing: Standing, decision: Decision, now: float) -> int:
    """The ring that goes now. One that the version is for nobody of is no reason to wait."""
    ring, since = standing.ring, standing.ring_at
    while ring < len(rollout.rings):
        reached = [verdict for verdict in decision.verdicts.values() if verdict.ring <= ring]
        if any(verdict.state is State.TAKEN for verdict in reached):
            break
        if ring == 0 and any(v.state not in (State.DONE, State.EXCLUDED) for v in reached):
            break
        here = [verdict for verdict in reached if verdict.ring == ring]
        concerned = [verdict for verdict in here if verdict.state is not State.EXCLUDED]
        # Who never asked may come any day: such a ring has its time like any other, but nobody has to be back.
        known = [verdict for verdict in concerned if verdict.state is not State.WAITING or verdict.file is not None]
        if known and not any(verdict.state is State.DONE for verdict in known):
            break
        if concerned and now < since + rollout.ring_hours * 3600:
            break
        ring, since = ring + 1, now
    return ring


def _offer(
    rollout: Rollout, standing: Standing, decision: Decision, phones: Sequence[Candidate], now: float, zone: str
) -> None:
    """Offer to those whose turn it is; take back what is not to be taken now; say why the others wait."""
    closed = rollout.window is not None and not rollout.window.is_open(now, zone)
    hindrance = ""
    if decision.stop or standing.state == "stopped":
        hindrance = "the rollout has stopped"
    elif standing.state == "paused":
        hindrance = "the rollout is paused"
    elif closed:
        hindrance = f"updates start from {rollout.window}"
    due = _due(rollout, phones, now)
    for candidate in sorted(phones, key=lambda item: (rollout.ring_of(item.phone.mac), place_of(item.phone.mac))):
        mac = candidate.phone.mac
        verdict = decision.verdicts[mac]
        if verdict.state is State.OFFERED and hindrance:
            decision.withdraw.append(mac)
            decision.verdicts[mac] = Verdict(State.WAITING, hindrance, verdict.ring, verdict.file)
        elif verdict.state is State.EXCLUDED and candidate.offered is not None and candidate.offered.done_at is None:
            decision.withdraw.append(mac)
        elif verdict.state is State.WAITING and verdict.file is not None:
            why = hindrance
            if not why and verdict.ring > decision.ring:
                own, turn = rollout.ring_name(verdict.ring), rollout.ring_name(decision.ring)
                why = f"it is in {own}; now it is the turn of {turn}"
            elif not why and len(decision.offer) >= due:
                why = "it is its turn; offers are made one by one"
            if why:
                decision.verdicts[mac] = Verdict(State.WAITING, why, verdict.ring, verdict.file)
            else:
                decision.offer[mac] = verdict.file
                decision.verdicts[mac] = Verdict(State.OFFERED, "it is offered now", verdict.ring, verdict.file)


def _due(rollout: Rollout, phones: Sequence[Candidate], now: float) -> int:
    """How many offers the pause lets through now.

    Time in which nobody was offered anything (a closed window, a service that was down) is no credit: at most what is
    due from one look to the next.
    """
    if rollout.pause_seconds == 0:
        return len(phones)
    last = max((c.offered.offered_at for c in phones if c.offered and c.offered.rollout == rollout.name), default=None)
    at_most = max(rollout.pause_seconds, LOOK_SECONDS)
    return 1 if last is None else int(min(now - last, at_most) / rollout.pause_seconds)


def counts(verdicts: Mapping[str, Verdict]) -> dict[str, int]:
    """How many phones are how far."""
    return {state.value: sum(verdict.state is state for verdict in verdicts.values()) for state in State}
