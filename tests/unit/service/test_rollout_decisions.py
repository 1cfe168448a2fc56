# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is offered which firmware, decided without a database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprovd.directory import Sighting
from autoprovd.firmware.catalogue import Catalogue, File
from autoprovd.firmware.decide import (
    LOOK_SECONDS,
    Candidate,
    Decision,
    Offered,
    Standing,
    State,
    decide,
    is_another_model,
)
from autoprovd.firmware.plan import Rollout, Window, place_of, take_rollouts
from autoprovd.vendors import VENDORS
from tests.unit.service.vendor_phones import make

NOW = datetime(2026, 3, 2, 23, 30, tzinfo=UTC).timestamp()  # a Monday
START = Standing("running", "", 1, NOW)
HOUR = 3600.0


def file(version: str = "10.1.184.15", models: tuple[str, ...] = ("D785",), **more: Any) -> File:
    vendor = more.pop("vendor", "snom")
    name = f"{''.join(models) or 'all'}-{version}{more.pop('suffix', '')}.bin"
    return File(
        path=f"{vendor}/{version}/{name}", size=1, sha256="0" * 64, vendor=vendor, kind="firmware", version=version,
        models=models, **more,
    )  # fmt: skip


def plan(**changes: Any) -> Rollout:
    return Rollout.model_validate(
        {"name": "new", "vendor": "snom", "version": "10.1.184.15", "pause_seconds": 0, "rings": [100], **changes}
    )


def seen(
    version: str = "10.1.33.33", at: float = NOW - 60, model: str = "D785", settings_at: float | None = None
) -> Any:
    return Sighting(model, version, at, settings_at)


def phone(number: int = 1, sighting: Any = None, offered: Offered | None = None, **changes: Any) -> Candidate:
    changes = {"model": "D785", "vendor": "snom", **changes}
    made = make(changes.pop("vendor"), changes.pop("model"), mac=f"0004139{number:05x}", **changes)
    return Candidate(made, sighting if sighting is not None else seen(), offered)


def offer(at: float = NOW - HOUR, taken_at: float | None = None, **more: Any) -> Offered:
    return Offered("new", "snom/10.1.184.15/D785-10.1.184.15.bin", at, taken_at, **more)


def decided(
    *phones: Candidate, rollout: Rollout | None = None, standing: Standing = START, files: Any = None, now: float = NOW
) -> Decision:
    return decide(rollout or plan(), standing, phones, Catalogue(files or [file()]), now, "Europe/Berlin")


def only(decision: Decision) -> tuple[str, str]:
    (verdict,) = decision.verdicts.values()
    return verdict.state, verdict.reason


# -- whom a file is for -----------------------------------------------------------------------------------------------


def test_an_old_phone_is_offered_the_version() -> None:
    decision = decided(phone())
    assert [(mac, made.version) for mac, made in decision.offer.items()] == [("000413900001", "10.1.184.15")]
    assert only(decision) == (State.OFFERED, "it is offered now")


def test_a_phone_that_has_it_is_done() -> None:
    decision = decided(phone(sighting=seen("10.1.184.15")))
    assert (only(decision), decision.offer) == ((State.DONE, ""), {})


@pytest.mark.parametrize(
    ("candidate", "state", "reason"),
    [
        (Candidate(make("snom", "D785"), None, None), State.WAITING, "has not asked yet"),
        (phone(sighting=seen("10.1.200.1")), State.EXCLUDED, "it has 10.1.200.1, which is newer"),
        (phone(sighting=seen(model="D717")), State.EXCLUDED, "it says that it is a D717, not a D785"),
        (phone(firmware_url="http://198.18.0.2/own.bin"), State.EXCLUDED, "names a firmware_url"),
        (phone(model="D717", sighting=seen(model="D717")), State.EXCLUDED, "the mirror has no 10.1.184.15 for a D717"),
    ],
)
def test_phones_it_is_not_for(candidate: Candidate, state: State, reason: str) -> None:
    decision = decided(candidate)
    assert only(decision)[0] is state
    assert reason in only(decision)[1]
    assert decision.offer == {}


def test_a_newer_version_is_taken_back_only_when_asked() -> None:
    newer = phone(sighting=seen("10.1.200.1"))
    assert decided(newer).offer == {}
    assert list(decided(newer, rollout=plan(allow_downgrade=True)).offer) == [newer.phone.mac]


def test_hardware_revisions() -> None:
    files = [file(revisions=("V2",))]
    for revision, reason in (
        (None, "its hardware revision is unknown"),
        ("V1", "no 10.1.184.15 for hardware revision V1"),
    ):
        decision = decided(phone(revision=revision), files=files)
        assert (decision.offer, only(decision)[0]) == ({}, State.EXCLUDED)
        assert reason in only(decision)[1]
    assert len(decided(phone(revision="v2"), files=files).offer) == 1


def test_the_right_file_of_two_revisions() -> None:
    files = [file(revisions=("V1",), suffix="-v1"), file(revisions=("V2",), suffix="-v2")]
    for revision in ("V1", "V2"):
        (made,) = decided(phone(revision=revision), files=files).offer.values()
        assert made.revisions == (revision,)


def test_steps_are_not_skipped() -> None:
    files = [
        file("8.9.3.80"), file("10.1.33.33", min_from="8.9.3.80"), file(min_from="10.1.30.0"),
        file("10.1.200.1", min_from="10.1.184.15"),
    ]  # fmt: skip
    way = []
    version = "8.7.5.35"
    while version != "10.1.184.15":
        (made,) = decided(phone(sighting=seen(version)), files=files).offer.values()
        way.append(version := made.version)
    assert way == ["8.9.3.80", "10.1.33.33", "10.1.184.15"]


def test_where_no_step_leads_nothing_is_offered() -> None:
    decision = decided(phone(sighting=seen("8.7.5.35")), files=[file(min_from="10.1.30.0")])
    assert decision.offer == {}
    assert "no step leads from 8.7.5.35" in only(decision)[1]
    assert "10.1.30.0" in only(decision)[1]


def test_after_a_step_comes_the_next() -> None:
    files = [file("10.1.33.33"), file(min_from="10.1.33.33")]
    stepped = Offered("new", "snom/10.1.33.33/D785-10.1.33.33.bin", NOW - HOUR, NOW - HOUR / 2)
    decision = decided(phone(sighting=seen("10.1.33.33"), offered=stepped), files=files)
    assert decision.done == ["000413900001"]
    assert [made.version for made in decision.offer.values()] == ["10.1.184.15"]


@pytest.mark.parametrize(
    ("vendor", "one", "other"),
    [
        ("yealink", "96.87.0.15", "124.87.0.15"),
        ("gigaset", "2.11.0", "83.V2.11.0+build.a546b91"),
        ("gigaset", "2.11.0", "83.V2.11.0"),
        ("snom", "10.1.184.15", "10.1.184.15"),
    ],
)
def test_the_same_version_spelled_otherwise(vendor: str, one: str, other: str) -> None:
    room = VENDORS[vendor]
    assert room.version_key(one) == room.version_key(other) != ()


def test_versions_are_numbers() -> None:
    assert VENDORS["snom"].version_key("10.1.9") < VENDORS["snom"].version_key("10.1.33")
    assert VENDORS["yealink"].version_key("186.86.0.75") < VENDORS["yealink"].version_key("185.87.0.10")


@given(st.lists(st.sampled_from(["8.7.5", "8.9.3", "10.1.33", "10.1.184.15", "10.2.1"]), unique=True), st.data())
def test_no_offer_is_ever_wrong(versions: list[str], data: st.DataObject) -> None:
    files = [
        file(
            version,
            min_from=data.draw(st.sampled_from([None, "8.9.3", "10.1.33"])),
            revisions=data.draw(st.sampled_from([(), ("V1",), ("V2",)])),
            models=data.draw(st.sampled_from([("D785",), ("D717",), ("D785", "D717")])),
        )
        for version in versions
    ]
    has = data.draw(st.sampled_from(["8.7.5", "8.9.3", "10.1.33", "10.1.184.15"]))
    model = data.draw(st.sampled_from(["D785", "D717"]))
    revision = data.draw(st.sampled_from([None, "V1"]))
    candidate = phone(model=model, revision=revision, sighting=seen(has, model=model))
    key = VENDORS["snom"].version_key
    for made in decided(candidate, files=files).offer.values():
        assert model in made.models
        assert not made.revisions or revision in made.revisions
        assert key(has) < key(made.version) <= key("10.1.184.15")
        assert made.min_from is None or key(made.min_from) <= key(has)


# -- what became of an offer ------------------------------------------------------------------------------------------


def test_an_offer_is_taken_when_the_phone_gets_its_settings() -> None:
    asked = seen(at=NOW - 60, settings_at=NOW - 60)
    decision = decided(phone(sighting=asked, offered=offer()))
    assert (only(decision)[0], decision.taken) == (State.TAKEN, {"000413900001": NOW - 60})
    before = seen(at=NOW - 60, settings_at=NOW - 2 * HOUR)
    decision = decided(phone(sighting=before, offered=offer()))
    assert (only(decision)[0], decision.taken) == (State.OFFERED, {})


def test_a_phone_that_comes_back_is_done() -> None:
    decision = decided(phone(sighting=seen("10.1.184.15"), offered=offer(taken_at=NOW - HOUR / 2)))
    assert (only(decision), decision.done, decision.lost) == ((State.DONE, ""), ["000413900001"], [])


@pytest.mark.parametrize(("at", "reason"), [(NOW - 2 * HOUR, "not come back"), (NOW - 60, "came back with 10.1.33.33")])
def test_a_phone_that_does_not_is_lost(at: float, reason: str) -> None:
    late = phone(sighting=seen(at=at), offered=offer(NOW - 3 * HOUR, taken_at=NOW - 2 * HOUR))
    decision = decided(late, rollout=plan(back_within_minutes=60))
    assert (only(decision)[0], decision.lost) == (State.LOST, ["000413900001"])
    assert reason in only(decision)[1]
    assert decided(late, rollout=plan(back_within_minutes=180)).lost == []


def test_lost_phones_stop_it() -> None:
    lost = [
        phone(n, offered=offer(NOW - 3 * HOUR, taken_at=NOW - 2 * HOUR), sighting=seen(at=NOW - 2 * HOUR))
        for n in (1, 2)
    ]
    others = [phone(3), phone(4, offered=offer())]
    decision = decided(*lost, *others, rollout=plan(stop_after=3))
    assert (decision.stop, list(decision.offer)) == ("", ["000413900003"])
    decision = decided(*lost, *others, rollout=plan(stop_after=2))
    assert "2 phones did not come back with 10.1.184.15" in decision.stop
    assert (decision.offer, decision.withdraw) == ({}, ["000413900004"])


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_nothing_is_offered_while_it_rests(state: str) -> None:
    standing = Standing(state, "", 1, NOW)
    decision = decided(phone(1), phone(2, offered=offer()), standing=standing)
    assert (decision.offer, decision.withdraw) == ({}, ["000413900002"])
    assert {verdict.reason for verdict in decision.verdicts.values()} == {
        f"the rollout {'is paused' if state == 'paused' else 'has stopped'}"
    }


def test_a_phone_that_falls_back_is_lost_and_not_told_again() -> None:
    """A phone that cannot work with a version goes back to the one before; told again, it would for ever."""
    done = offer(taken_at=NOW - HOUR / 2, done_at=NOW - HOUR / 4)
    decision = decided(phone(1, offered=done), phone(2), rollout=plan(stop_after=1))
    assert (decision.offer, decision.lost) == ({}, ["000413900001"])
    assert decision.verdicts["000413900001"].reason == "it had 10.1.184.15, and came back with 10.1.33.33"
    assert decision.stop == "1 phone did not come back with 10.1.184.15"


def test_a_phone_that_falls_back_behind_a_step_is_lost() -> None:
    files = [file("10.1.33.33"), file(min_from="10.1.33.33")]
    stepped = Offered("new", "snom/10.1.33.33/D785-10.1.33.33.bin", NOW - HOUR, NOW - HOUR / 2, done_at=NOW - HOUR / 3)
    decision = decided(phone(sighting=seen("8.9.3.80"), offered=stepped), files=files)
    assert (only(decision)[0], decision.offer) == (State.LOST, {})


def test_a_phone_that_somebody_brought_to_the_version_meanwhile_is_done() -> None:
    files = [file("10.1.33.33"), file(min_from="10.1.33.33")]
    step = Offered("new", "snom/10.1.33.33/D785-10.1.33.33.bin", NOW - 3 * HOUR, NOW - 2 * HOUR)
    decision = decided(phone(sighting=seen("10.1.184.15"), offered=step), files=files)
    assert (only(decision)[0], decision.lost) == (State.DONE, [])


@pytest.mark.parametrize("more", [{}, {"taken_at": NOW - HOUR / 2}, {"taken_at": NOW - 2, "done_at": NOW - 1}])
def test_a_phone_that_somebody_brought_further_is_not_brought_back(more: dict[str, float]) -> None:
    decision = decided(phone(sighting=seen("10.1.200.1"), offered=offer(**more)))
    assert (only(decision), decision.withdraw) == (
        (State.EXCLUDED, "it has 10.1.200.1, which is newer"), ["000413900001"]
    )  # fmt: skip


def test_an_offer_that_skips_a_step_now_is_taken_back() -> None:
    """The list of the mirror has changed since: the version wants another before it."""
    files = [file(min_from="10.1.100.1")]
    decision = decided(phone(offered=offer()), files=files)
    assert (only(decision)[0], decision.withdraw) == (State.EXCLUDED, ["000413900001"])
    decision = decided(phone(offered=offer()), files=[file("10.1.100.1"), *files])
    assert decision.withdraw == ["000413900001"]
    assert [made.version for made in decision.offer.values()] == ["10.1.100.1"]


@pytest.mark.parametrize("version", ["", "latest", "V"])
def test_a_version_nobody_can_read_is_no_old_one(version: str) -> None:
    decision = decided(phone(sighting=seen(version)))
    assert only(decision) == (State.EXCLUDED, f"nobody can read its version {version!r}")
    assert decision.offer == {}
    late = phone(sighting=seen(version), offered=offer(NOW - 3 * HOUR, taken_at=NOW - 2 * HOUR))
    assert decided(late).lost == ["000413900001"], "a phone that took it has not come back with it"


@pytest.mark.parametrize(
    ("vendor", "model", "told", "another"),
    [
        ("snom", "D785", "D717", True),
        ("snom", "D785", "D999", True),
        ("snom", "D785", "", True),
        ("snom", "D710", "710", False),
        ("yealink", "T58A", "T58", False),
        ("yealink", "T54W", "T54S", True),
        ("gigaset", "P810", "D810", False),
        ("gigaset", "P810", "P820", True),
        ("gigaset", "N870", "N670", True),
    ],
)
def test_what_a_phone_says_of_its_model(vendor: str, model: str, told: str, another: bool) -> None:
    assert is_another_model(make(vendor, model), told) is another


def test_an_offer_that_is_no_longer_for_the_phone_is_taken_back() -> None:
    decision = decided(phone(offered=offer(), sighting=seen(model="D717")))
    assert decision.withdraw == ["000413900001"]


# -- in which order, and when -----------------------------------------------------------------------------------------


def test_places_are_even_and_stay() -> None:
    assert place_of("000413922d24") == place_of("000413922d24")
    rollout = plan(rings=[10, 50, 100])
    rings = Counter(rollout.ring_of(f"{number:012x}") for number in range(10_000))
    assert {ring: round(number / 1000) for ring, number in rings.items()} == {1: 1, 2: 4, 3: 5}


def in_rings(rollout: Rollout, sightings: dict[int, Any], offered: dict[int, Offered] | None = None) -> list[Candidate]:
    """Three phones of each ring."""
    found: dict[int, list[Candidate]] = {}
    number = 0
    while any(len(found.get(ring, ())) < 3 for ring in range(1, len(rollout.rings) + 1)):
        number += 1
        at = rollout.ring_of(f"0004139{number:05x}")
        if len(found.setdefault(at, [])) < 3:
            found[at].append(phone(number, sightings.get(at), (offered or {}).get(at)))
    return [candidate for phones in found.values() for candidate in phones]


def test_a_ring_after_the_other() -> None:
    rollout = plan(rings=[30, 100], ring_hours=24)
    turn = decided(*in_rings(rollout, {}), rollout=rollout)
    assert {rollout.ring_of(mac) for mac in turn.offer} == {1}
    reasons = {verdict.reason for verdict in turn.verdicts.values() if verdict.ring == 2}
    assert reasons == {"it is in ring 2 (100 %); now it is the turn of ring 1 (30 %)"}
    first_done = in_rings(rollout, {1: seen("10.1.184.15")})
    assert decided(*first_done, rollout=rollout, now=NOW + HOUR).ring == 1, "it is watched for a day"
    then = decided(*first_done, rollout=rollout, now=NOW + 25 * HOUR)
    assert (then.ring, {rollout.ring_of(mac) for mac in then.offer}) == (2, {2})


def test_a_ring_waits_for_whom_is_on_the_way() -> None:
    rollout = plan(rings=[30, 100], ring_hours=0)
    phones = in_rings(rollout, {1: seen("10.1.184.15")})
    away = next(c for c in phones if rollout.ring_of(c.phone.mac) == 1)
    phones[phones.index(away)] = Candidate(away.phone, seen(at=NOW - 60), offer(taken_at=NOW - 60))
    assert decided(*phones, rollout=rollout).ring == 1


def test_a_ring_none_of_which_came_back_is_the_last() -> None:
    rollout = plan(rings=[30, 100], ring_hours=0, stop_after=100)
    lost = offer(NOW - 9 * HOUR, NOW - 8 * HOUR)
    assert decided(*in_rings(rollout, {}, {1: lost}), rollout=rollout).ring == 1


def test_an_empty_ring_holds_nobody_up() -> None:
    rollout = plan(rings=[1, 100], ring_hours=24)
    late = next(phone(n) for n in range(1, 100) if rollout.ring_of(f"0004139{n:05x}") == 2)
    assert list(decided(late, rollout=rollout).offer) == [late.phone.mac]


def test_a_ring_nobody_of_which_has_ever_asked_has_its_time_too() -> None:
    rollout = plan(rings=[30, 100], ring_hours=24)
    unseen = [Candidate(candidate.phone, None, None) for candidate in in_rings(rollout, {})]
    assert decided(*unseen, rollout=rollout, now=NOW + HOUR).ring == 1
    assert decided(*unseen, rollout=rollout, now=NOW + 25 * HOUR).ring == 2


def test_a_ring_is_watched_from_its_first_offer_on() -> None:
    """Not from a closed window, or a pause, before it."""
    rollout = plan(rings=[30, 100], ring_hours=24, window={"start": "03:00", "end": "05:00"})
    assert decided(*in_rings(rollout, {}), rollout=rollout, now=NOW + 40 * HOUR).ring == 1, "nobody has tried it"
    window = NOW + 51 * HOUR  # 03:30 in Berlin
    turn = decided(*in_rings(rollout, {}), rollout=rollout, now=window)
    assert {rollout.ring_of(mac) for mac in turn.offer} == {1}
    back = in_rings(rollout, {1: seen("10.1.184.15", at=window + 600)}, {1: offer(window, window + 1, done_at=window)})
    assert decided(*back, rollout=rollout, now=window + HOUR).ring == 1
    assert decided(*back, rollout=rollout, now=window + 23 * HOUR).ring == 1
    assert decided(*back, rollout=rollout, now=window + 25 * HOUR).ring == 2


def test_what_was_offered_before_its_turn_is_taken_back() -> None:
    """The rings were edited."""
    rollout = plan(rings=[30, 100])
    phones = in_rings(rollout, {}, {2: offer(NOW - 60)})
    decision = decided(*phones, rollout=rollout)
    assert {rollout.ring_of(mac) for mac in decision.withdraw} == {2}
    assert {rollout.ring_of(mac) for mac in decision.offer} == {1}


@pytest.mark.parametrize(
    ("before", "ring", "after", "stands"),
    [
        ([5, 25, 100], 3, [50, 100], 2),
        ([5, 25, 100], 2, [50, 100], 0),
        ([5, 25, 100], 1, [5, 10, 100], 1),
        ([5, 25, 100], 2, [5, 10, 20, 100], 3),
        ([5, 25, 100], 0, [100], 0),
        ([100], 1, [1, 2, 3, 100], 4),
    ],
)
def test_edited_rings_reach_nobody_more(before: list[int], ring: int, after: list[int], stands: int) -> None:
    assert plan(rings=after).ring_after(plan(rings=before), ring) == stands


def test_a_new_canary_goes_first() -> None:
    one, two = "000413900001", "000413900002"
    assert plan(rings=[5, 100], canaries=[one, two]).ring_after(plan(rings=[5, 100], canaries=[one]), 2) == 0
    assert plan(rings=[5, 100], canaries=[one]).ring_after(plan(rings=[5, 100], canaries=[one, two]), 2) == 2


def test_canaries_none_of_which_tries_it_hold_all_back() -> None:
    newer, other = phone(1, seen("10.1.200.1")), phone(2)
    rollout = plan(canaries=[newer.phone.mac], ring_hours=0)
    at_first = Standing("running", "", 0, NOW)
    assert decided(newer, other, rollout=rollout, standing=at_first).offer == {}
    gone = decided(other, rollout=rollout, standing=at_first)
    assert (gone.ring, gone.offer) == (0, {})


def test_no_phone_changes_its_ring_when_others_come() -> None:
    rollout = plan(rings=[10, 50, 100])
    few = [f"{number:012x}" for number in range(50)]
    before = {mac: rollout.ring_of(mac) for mac in few}
    candidates = [phone(number) for number in range(500)]
    decided(*candidates, rollout=rollout)
    assert {mac: rollout.ring_of(mac) for mac in few} == before


@pytest.mark.parametrize("jump", [-365 * 24 * HOUR, -60.0, 365 * 24 * HOUR])
def test_a_clock_that_jumps_brings_no_flood(jump: float) -> None:
    """Set forward, everybody who is on the way is lost, and it stops; set back, it waits."""
    rollout = plan(rings=[50, 100], pause_seconds=30, stop_after=2)
    begun = [phone(n, seen(at=NOW - 5), offer(NOW - 9, taken_at=NOW - 5)) for n in range(1, 4)]
    decision = decided(*begun, *(phone(n) for n in range(4, 60)), rollout=rollout, now=NOW + jump)
    assert decision.offer == {}
    assert bool(decision.stop) == (jump > 0)


def test_canaries_first() -> None:
    canary, other = phone(1), phone(2)
    rollout = plan(canaries=[canary.phone.mac], ring_hours=0)
    at_first = Standing("running", "", 0, NOW)
    assert list(decided(canary, other, rollout=rollout, standing=at_first).offer) == [canary.phone.mac]
    back = phone(1, seen("10.1.184.15"))
    assert list(decided(back, other, rollout=rollout, standing=at_first).offer) == [other.phone.mac]


def test_a_canary_that_never_asked_holds_all_back() -> None:
    canary, other = Candidate(make("snom", "D785"), None, None), phone(2)
    rollout = plan(canaries=[canary.phone.mac], ring_hours=0)
    decision = decided(canary, other, rollout=rollout, standing=Standing("running", "", 0, NOW))
    assert (decision.ring, decision.offer) == (0, {})
    assert "now it is the turn of the canaries" in decision.verdicts[other.phone.mac].reason


def test_one_by_one() -> None:
    phones = [phone(number) for number in range(1, 6)]
    rollout = plan(pause_seconds=60)
    first = decided(*phones, rollout=rollout)
    assert len(first.offer) == 1
    (mac,) = first.offer
    begun = [Candidate(c.phone, c.seen, offer(NOW) if c.phone.mac == mac else None) for c in phones]
    assert [len(decided(*begun, rollout=rollout, now=NOW + late).offer) for late in (-5, 30, 60)] == [0, 0, 1]


@pytest.mark.parametrize(("pause", "at_once"), [(600, 1), (60, 1), (30, 1), (20, 1), (10, 3), (0.5, 60)])
def test_an_idle_night_is_no_credit(pause: float, at_once: int) -> None:
    """However long nobody was offered anything: what is due from one look to the next, and no more."""
    rollout = plan(pause_seconds=pause)
    first = phone(1, seen("10.1.184.15", at=NOW), offer(NOW, NOW + 1, done_at=NOW + 2))
    waiting = [phone(number) for number in range(2, 102)]
    for late in (LOOK_SECONDS * 2, 9 * HOUR, 900 * HOUR):
        decision = decided(first, *waiting, rollout=rollout, now=NOW + max(late, pause))
        assert len(decision.offer) == at_once


BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+01:00").timestamp()


def test_windows() -> None:
    night = Window.model_validate({"start": "22:00", "end": "05:00", "days": ["mon"]})
    times = {
        "2026-03-02T21:59": False, "2026-03-02T22:00": True, "2026-03-03T04:59": True, "2026-03-03T05:00": False,
        "2026-03-03T22:00": False, "2026-03-02T04:00": False,
    }  # fmt: skip
    assert {text: night.is_open(at(text), BERLIN) for text in times} == times
    day = Window.model_validate({"start": "12:00", "end": "13:00"})
    assert [day.is_open(at(f"2026-03-02T{clock}"), BERLIN) for clock in ("11:59", "12:00", "13:00")] == [
        False,
        True,
        False,
    ]


def test_windows_where_the_clock_is_changed() -> None:
    """2026 in Berlin: on 29 March 02:00 is 03:00, on 25 October 03:00 is 02:00."""
    hidden = Window.model_validate({"start": "02:15", "end": "02:45"})
    night = Window.model_validate({"start": "23:00", "end": "02:30", "days": ["sat"]})

    def open_for(window: Window, day: str) -> int:
        """The minutes it is open in the 36 hours from that noon on."""
        noon = datetime.fromisoformat(f"{day}T11:00+00:00").timestamp()
        return sum(window.is_open(noon + 60 * minute, BERLIN) for minute in range(36 * 60))

    assert [open_for(hidden, day) for day in ("2026-03-28", "2026-10-24", "2026-06-01")] == [0, 60, 30]
    assert [open_for(night, day) for day in ("2026-03-28", "2026-10-24", "2026-06-06")] == [180, 240, 210]


@pytest.mark.parametrize("start", [1320, "1320", "22", "24:00", "22:60", "22:00Z", "22:00+01:00", "", None, True])
def test_a_window_that_is_no_time_of_day(start: object) -> None:
    """1320 is what YAML makes of 22:00 without quotes."""
    item = {"name": "a", "vendor": "snom", "version": "10.1.184.15", "window": {"start": start, "end": "05:00"}}
    (fault,) = take_rollouts([item])[1]
    assert (fault.where, "is not a time of day; write it in quotes" in fault.what) == ("rollouts[0].window.start", True)


def test_outside_its_window_nothing_is_offered_and_what_was_not_taken_is_taken_back() -> None:
    rollout = plan(window={"start": "03:00", "end": "05:00"})
    decision = decided(phone(1), phone(2, offered=offer()), phone(3, offered=offer(taken_at=NOW - 60)), rollout=rollout)
    assert (decision.offer, decision.withdraw) == ({}, ["000413900002"])
    assert decision.verdicts["000413900001"].reason == "updates start from 03:00 to 05:00"
    assert decision.verdicts["000413900003"].state is State.TAKEN


def test_faults_of_rollouts() -> None:
    _taken, faults = take_rollouts(
        [
            {"name": "a", "vendor": "snom", "version": 10.1},
            {"name": "b", "vendor": "snom", "version": "10.1.184.15", "rings": [50, 20], "window": {"start": "1:00"}},
            {"name": "c", "vendor": "snom", "version": "10.1.184.15", "models": ["D999"]},
            {"name": "d", "vendor": "yealink", "version": "96.87.0.15"},
            {"name": "d", "vendor": "yealink", "version": "96.87.0.16", "models": ["T54W"]},
            {"name": "e", "vendor": "yealink", "version": "96.87.0.16", "models": ["T54W"], "canaries": ["x"]},
        ]
    )
    told = "\n".join(map(str, faults))
    for part in (
        "rollouts[0].version: 10.1 is a number; put it in quotes",
        "rollouts[1].rings: grow from ring to ring",
        "rollouts[1].window.end: is missing",
        "rollouts[2].models[0]: Snom has no model 'D999'",
        "rollouts[4].name: d is given twice",
        "rollouts[5].canaries[0]: 'x' is not a MAC address",
    ):
        assert part in told


def test_two_rollouts_for_one_phone() -> None:
    both = {"vendor": "snom", "version": "10.1.184.15"}
    assert (
        take_rollouts([{**both, "name": "a", "models": ["D785"]}, {**both, "name": "b", "models": ["D717"]}])[1] == []
    )
    for models in ([], ["d785"]):
        (fault,) = take_rollouts([{**both, "name": "a", "models": ["D785"]}, {**both, "name": "b", "models": models}])[
            1
        ]
        assert "a phone cannot follow two" in str(fault)
