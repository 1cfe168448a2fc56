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
        decision.stop = f"{lost} {'phone' if lost == 1 else 'phones'} did not come back with {rollout.version}"
    if standing.state == "running" and not decision.stop:
        decision.ring = _next_ring(rollout, standing, decision, phones, now)
    _offer(rollout, standing, decision, phones, now, zone)
    return decision


def _judge(rollout: Rollout, steps: _Steps, candidate: Candidate, now: float, decision: Decision) -> Verdict:
    phone, seen = candidate.phone, candidate.seen
    ring = rollout.ring_of(phone.mac)
    if phone.firmware_url is not None:
        return Verdict(State.EXCLUDED, "its own definition names a firmware_url", ring)
    if seen is None:
        return Verdict(State.WAITING, "it has not asked yet, so nobody knows its version", ring)
    if is_another_model(phone, seen.model):
        return Verdict(State.EXCLUDED, f"it says that it is a {seen.model}, not a {phone.model}", ring)
    version = VENDORS[phone.vendor].version_key(seen.version)
    file, reason = steps.next(phone, version, seen.version)
    on_its_way = _judge_offer(rollout, steps.catalogue, candidate, version, file, now, decision)
    if on_its_way is not None:
        return replace(on_its_way, ring=ring)
    if version == rollout.key:
        return Verdict(State.DONE, "", ring)
    if file is None:
        return Verdict(State.EXCLUDED, reason, ring)
    return Verdict(State.WAITING, "", ring, file)


def _judge_offer(
    rollout: Rollout,
    catalogue: Catalogue,
    candidate: Candidate,
    version: tuple[int, ...],
    following: File | None,
    now: float,
    decision: Decision,
) -> Verdict | None:
    """How far it is with what it was offered; None when that is behind it, or is not right for it any more.

    ``version`` is the one it runs, ``following`` what would be right for that one.
    """
    mac, seen, offered = candidate.phone.mac, candidate.seen, candidate.offered
    if seen is None or offered is None or offered.rollout != rollout.name:
        return None
    file = catalogue.files.get(offered.path)
    since = seen.at > offered.offered_at
    if since and version == rollout.key:
        if offered.done_at is None:
            decision.done.append(mac)
        return Verdict(State.DONE, file=file)
    if version > rollout.key and not rollout.allow_downgrade:  # somebody was faster
        return None
    if offered.done_at is not None:
        if file is None or file.key <= version < rollout.key:
            return None
        # A phone that cannot work with a version goes back to the one before; again and again, were it told again.
        return _lost(candidate, f"it had {file.version}, and came back with {seen.version}", file, decision)
    if offered.lost_at is not None:
        return _lost(candidate, _what_came(seen, offered.taken_at), file, decision)
    if since and file is not None and version == file.key:  # a step on the way
        decision.done.append(mac)
        return None
    taken_at = offered.taken_at
    if taken_at is None and seen.settings_at is not None and seen.settings_at > offered.offered_at:
        taken_at = decision.taken[mac] = seen.settings_at
    if file is None or not file.fits(candidate.phone) or (taken_at is None and file != following):
        decision.withdraw.append(mac)
        return None
    if taken_at is None:
        return Verdict(State.OFFERED, "it has not asked since", file=file)
    if now > taken_at + rollout.back_within_minutes * 60:
        return _lost(candidate, _what_came(seen, taken_at), file, decision)
    return Verdict(State.TAKEN, "it is expected back", file=file)


def _lost(candidate: Candidate, reason: str, file: File | None, decision: Decision) -> Verdict:
    if candidate.offered is not None and candidate.offered.lost_at is None:
        decision.lost.append(candidate.phone.mac)
    return Verdict(State.LOST, reason, file=file)


def _what_came(seen: Sighting, taken_at: float | None) -> str:
    again = taken_at is not None and seen.at > taken_at
    return f"it came back with {seen.version}" if again else "it has not come back"


def is_another_model(phone: Phone, told: str) -> bool:
    """Whether a phone says of itself that it is another model than its definition has."""
    vendor = VENDORS[phone.vendor]
    known, own = vendor.model(told), vendor.model(phone.model)
    if known is not None:
        return known is not own
    if own is None or vendor.agent_vendors(own) != {vendor.name}:
        return False  # built by another vendor, whose name for it is another
    # Some leave out the letter at either end: a D710 says 710, a T58A says T58.
    one, other = told.lower(), phone.model.lower()
    return not (one and (other.startswith(one) or other.endswith(one)))


class _Steps:
    """The way from a version to the rollout's, file by file."""

    def __init__(self, rollout: Rollout, catalogue: Catalogue) -> None:
        self._rollout = rollout
        self.catalogue = catalogue
        self._of: dict[str, list[File]] = {}

    def next(self, phone: Phone, version: tuple[int, ...], spelled: str) -> tuple[File | None, str]:
        """The file a phone of that version is to get next, or why there is none."""
        target = self._rollout.key
        if version == target:
            return None, ""
        if not version:
            return None, f"nobody can read its version {spelled!r}"
        if version > target and not self._rollout.allow_downgrade:
            return None, f"it has {spelled}, which is newer"
        if phone.model not in self._of:
            self._of[phone.model] = self.catalogue.firmware_of(phone.vendor, phone.model)
        files = self._of[phone.model]
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


def _next_ring(
    rollout: Rollout, standing: Standing, decision: Decision, phones: Sequence[Candidate], now: float
) -> int:
    """The ring that goes now. One that the version is for nobody of is no reason to wait."""
    begun: dict[int, float] = {}
    for candidate in phones:
        if candidate.offered is not None and candidate.offered.rollout == rollout.name:
            at, own = candidate.offered.offered_at, decision.verdicts[candidate.phone.mac].ring
            begun[own] = min(at, begun.get(own, at))
    ring, since = standing.ring, standing.ring_at
    while ring < len(rollout.rings):
        reached = [verdict for verdict in decision.verdicts.values() if verdict.ring <= ring]
        here = [verdict for verdict in reached if verdict.ring == ring]
        if any(verdict.state is State.TAKEN for verdict in reached):
            break
        if ring == 0 and any(verdict.state not in (State.DONE, State.EXCLUDED) for verdict in here):
            break
        # Named, and none of them is back: then nobody has tried the version for the others.
        if ring == 0 and rollout.canaries and not any(verdict.state is State.DONE for verdict in here):
            break
        # While its window is closed, or until its turn comes, a phone has not tried the version.
        if any(verdict.state is State.WAITING and verdict.file is not None for verdict in here):
            break
        concerned = [verdict for verdict in here if verdict.state is not State.EXCLUDED]
        # Who never asked may come any day: such a ring has its time like any other, but nobody has to be back.
        known = [verdict for verdict in concerned if verdict.state is not State.WAITING]
        if known and not any(verdict.state is State.DONE for verdict in known):
            break
        # It is watched from its first offer on, not from the closed window or the pause before.
        if concerned and now < max(since, begun.get(ring, since)) + rollout.ring_hours * 3600:
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
    due, withdrawn = _due(rollout, phones, now), frozenset(decision.withdraw)
    for candidate in sorted(phones, key=lambda item: (rollout.ring_of(item.phone.mac), place_of(item.phone.mac))):
        mac = candidate.phone.mac
        verdict = decision.verdicts[mac]
        early = "" if verdict.ring <= decision.ring else _turn(rollout, verdict.ring, decision.ring)
        if verdict.state is State.OFFERED and (hindrance or early):
            decision.withdraw.append(mac)
            decision.verdicts[mac] = Verdict(State.WAITING, hindrance or early, verdict.ring, verdict.file)
        elif verdict.state is State.EXCLUDED and candidate.offered is not None and mac not in withdrawn:
            decision.withdraw.append(mac)
        elif verdict.state is State.WAITING and verdict.file is not None:
            why = hindrance or early
            if not why and len(decision.offer) >= due:
                why = "it is its turn; offers are made one by one"
            if why:
                decision.verdicts[mac] = Verdict(State.WAITING, why, verdict.ring, verdict.file)
            else:
                decision.offer[mac] = verdict.file
                decision.verdicts[mac] = Verdict(State.OFFERED, "it is offered now", verdict.ring, verdict.file)


def _turn(rollout: Rollout, own: int, now: int) -> str:
    return f"it is in {rollout.ring_name(own)}; now it is the turn of {rollout.ring_name(now)}"


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
