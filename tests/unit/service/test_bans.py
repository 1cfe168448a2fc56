# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who guesses, counted: what is one guess, how bans grow and end, what is forgotten, and how much memory it takes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from autoprovd import bans
from autoprovd.bans import Bans, place_of
from autoprovd.config import Limits
from autoprovd.faults import Refused
from autoprovd.homes import Homes

SOURCE, OTHER = "198.18.5.9", "198.18.5.10"


class Time:
    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead = 1_800_000_000.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.ahead


@pytest.fixture
def passing() -> Time:
    return Time()


def make(passing: Time, state_file: Path | None = None, **limits: Any) -> Bans:
    return Bans(Limits.model_validate(limits), state_file, passing.clock, passing.wall)


def guess(made: Bans, number: int, source: str = SOURCE, first: int = 0) -> list[bool]:
    return [made.guess(source, f"{index:012x}") for index in range(first, first + number)]


def test_one_guess_more_than_allowed_is_a_ban(passing: Time) -> None:
    made = make(passing)
    assert not any(guess(made, 30))
    assert made.wait(SOURCE) == 0
    assert guess(made, 1, first=30) == [True]
    assert made.wait(SOURCE) == 300
    assert made.wait(OTHER) == 0


def test_the_same_again_is_no_further_guess(passing: Time) -> None:
    made = make(passing)
    for _day in range(50):
        guess(made, 30)
    assert made.wait(SOURCE) == 0


def test_phones_nobody_listed_are_known_again_after_their_ban(passing: Time) -> None:
    made = make(passing)
    guess(made, 100)
    assert made.wait(SOURCE)
    passing.now += made.wait(SOURCE)
    for _day in range(5):
        guess(made, 100)
        passing.now += 86400
    assert made.wait(SOURCE) == 0


def test_guesses_are_forgotten_at_their_pace_and_no_faster(passing: Time) -> None:
    made = make(passing)
    guess(made, 30)
    passing.now += 3600 / 30
    assert guess(made, 1, first=30) == [False]
    assert guess(made, 1, first=31) == [True]
    patient = make(passing)
    for index in range(1000):
        guess(patient, 1, first=index)
        passing.now += 121
    assert patient.wait(SOURCE) == 0


def test_bans_double_up_to_the_longest_and_go_on_while_it_goes_on(passing: Time) -> None:
    made = make(passing)
    lengths = []
    for first in range(0, 40 * 31, 31):
        guess(made, 31, first=first)
        lengths.append(made.wait(SOURCE))
    assert lengths[:4] == [300, 600, 1200, 2400]
    assert lengths[-1] == max(lengths) == 86400


def test_a_ban_that_ended_long_ago_does_not_make_the_next_one_longer(passing: Time) -> None:
    made = make(passing)
    guess(made, 31)
    passing.now += 300
    assert made.wait(SOURCE) == 0
    guess(made, 31, first=100)
    assert made.wait(SOURCE) == 600
    passing.now += 600 + 86400
    guess(made, 31, first=200)
    assert made.wait(SOURCE) == 300


def test_no_limit_and_no_ban_for_whom_the_site_allows(passing: Time) -> None:
    assert not any(guess(make(passing, guesses=0), 500))
    made = make(passing, allow=["198.18.5.8/31", "2001:db8:1::/48"])
    assert not any(guess(made, 500))
    assert not any(guess(made, 500, source="2001:db8:1:2::3"))
    assert any(guess(made, 500, source=OTHER))


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("198.18.5.9", "198.18.5.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_source(source: str, place: str) -> None:
    assert place_of(source) == place


def test_an_ipv6_network_is_one_source(passing: Time) -> None:
    made = make(passing)
    for index in range(31):
        made.guess(f"2001:db8::{index:x}", f"{index:012x}")
    assert made.wait("2001:db8::ffff:1")
    assert made.wait("2001:db8:0:1::1") == 0
    assert made.lift("2001:db8::5") == ["2001:db8::/64"]
    assert made.wait("2001:db8::ffff:1") == 0


def test_a_lifted_ban_leaves_nothing(passing: Time) -> None:
    made = make(passing)
    guess(made, 31)
    guess(made, 31, source=OTHER)
    assert made.lift(SOURCE) == [SOURCE]
    assert made.wait(SOURCE) == 0
    assert made.wait(OTHER) == 300
    assert not any(guess(made, 30))
    assert guess(made, 1, first=30) == [True]
    assert made.wait(SOURCE) == 300
    assert sorted(made.lift(None)) == [OTHER, SOURCE]
    assert made.lift(None) == []
    with pytest.raises(Refused, match="is not banned; who is: autoprov ban list"):
        made.lift(SOURCE)
    with pytest.raises(Refused, match="is not an address"):
        made.lift("reception")


def test_who_guesses_is_listed(passing: Time) -> None:
    made = make(passing)
    guess(made, 31)
    made.guess(OTHER, "805e0c000001", "Yealink SIP-T54W 96.87.0.15")
    made.homes.served("00041396d9b4", SOURCE)
    told = made.listed()
    (entry,) = told["bans"]
    assert (entry["source"], entry["bans"], entry["guesses"], entry["phones_at_home"]) == (SOURCE, 1, 31, 1)
    assert entry["last"] == f"{30:012x}"
    (watched,) = told["watched"]
    assert (watched["source"], watched["guesses"], watched["last"]) == (OTHER, 1, "805e0c000001")
    assert watched["user_agent"] == "Yealink SIP-T54W 96.87.0.15"
    passing.now += 7200
    told = made.listed()
    assert (told["bans"], told["watched"]) == ([], [])


# -- what outlives the service ----------------------------------------------------------------------------------------


def test_a_ban_outlives_the_service_and_so_does_its_growth(passing: Time, tmp_path: Path) -> None:
    file = tmp_path / "bans.json"
    made = make(passing, file)
    guess(made, 31)
    made.save()
    assert file.stat().st_mode & 0o777 == 0o600
    passing.now = 50.0  # another boot: the monotonic clock begins anew
    passing.ahead += 1000.0 - 50.0 + 100.0  # a hundred seconds later
    later = make(passing, file)
    later.restore()
    assert later.wait(SOURCE) == pytest.approx(200)
    guess(later, 31, first=100)
    assert later.wait(SOURCE) == pytest.approx(600)


def test_where_phones_are_at_home_outlives_the_service(passing: Time, tmp_path: Path) -> None:
    file = tmp_path / "bans.json"
    made = make(passing, file)
    made.homes.served("00041396d9b4", SOURCE)
    made.homes.served("805e0c4d796d", OTHER)
    made.save()
    assert file.exists(), "the first save of all"
    made.homes.served("805e0c4d796d", SOURCE)
    made.save()
    assert file.read_text().count(SOURCE) == 1, "not each time a phone moves"
    made.save(at_once=True)
    later = make(passing, file)
    later.restore(lambda mac: mac != "00041396d9b4")
    assert later.homes.knows("805e0c4d796d", SOURCE)
    assert later.homes.knows("805e0c4d796d", OTHER)
    assert not later.homes.knows("00041396d9b4", SOURCE), "it was removed meanwhile"


def test_what_was_lifted_does_not_come_back(passing: Time, tmp_path: Path) -> None:
    file = tmp_path / "bans.json"
    made = make(passing, file)
    guess(made, 31)
    made.save()
    made.lift(SOURCE)
    made.save()
    later = make(passing, file)
    later.restore()
    assert later.wait(SOURCE) == 0


def test_a_clock_set_back_makes_no_ban_longer_than_the_longest(passing: Time, tmp_path: Path) -> None:
    made = make(passing, tmp_path / "bans.json")
    guess(made, 31)
    made.save()
    passing.ahead -= 10 * 365 * 86400
    later = make(passing, tmp_path / "bans.json")
    later.restore()
    assert later.wait(SOURCE) == 86400


def test_whom_the_site_allows_now_is_not_banned_any_more(passing: Time, tmp_path: Path) -> None:
    made = make(passing, tmp_path / "bans.json")
    guess(made, 31)
    made.save()
    later = make(passing, tmp_path / "bans.json", allow=["198.18.5.0/24"])
    later.restore()
    assert later.wait(SOURCE) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"bans": [{"source": 7}]}',
        '{"bans": [{}]}',
        '{"bans": 3, "homes": {}}',
        '{"homes": [1]}',
        "\x00",
        "[" * 100_000,
        '{"bans": [{"source": "10.0.0.1", "until":NaN, "since": 0, "bans": 1, "guesses": 1, "last": ""}], "homes": {}}',
        '{"homes": {}, "bans": [{"source": "10.0.0.1", "until": 1e999, "since": 0, "bans": 1, "guesses": 1e999}]}',
        '{"homes": {}, "bans": [{"source": "10.0.0.1", "until": 1' + "0" * 400 + "}]}",
    ],
)
def test_a_spoilt_file_does_not_keep_the_service_from_starting(passing: Time, tmp_path: Path, text: str) -> None:
    (tmp_path / "bans.json").write_text(text)
    made = make(passing, tmp_path / "bans.json")
    made.restore()
    guess(made, 31)
    made.save()
    assert json.loads((tmp_path / "bans.json").read_text())["bans"][0]["source"] == SOURCE


def test_a_file_somebody_wrote_to_makes_neither_guesses_nor_the_list_fail(passing: Time, tmp_path: Path) -> None:
    entry = {"source": SOURCE, "until": 1e300, "since": 1e300, "bans": -7, "guesses": -5, "last": "x" * 5000}
    (tmp_path / "bans.json").write_text(json.dumps({"homes": {}, "bans": [entry]}))
    made = make(passing, tmp_path / "bans.json")
    made.restore()
    assert made.wait(SOURCE) == 86400
    (told,) = made.listed()["bans"]
    assert (told["bans"], told["guesses"], len(told["last"])) == (1, 0, 60)
    guess(made, 31)


def test_a_ban_that_is_over_has_no_file_written_again(passing: Time, tmp_path: Path) -> None:
    file = tmp_path / "for-kernel"
    made = make(passing, kernel_file=str(file))
    guess(made, 31)
    made.save()
    passing.now += 301
    file.unlink()
    for _again in range(5):
        passing.now += 301
        made.save()
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_told_once_and_tried_again(passing: Time, tmp_path: Path) -> None:
    made = make(passing, tmp_path / "gone" / "bans.json")
    guess(made, 31)
    with pytest.raises(Refused, match=r"cannot write .*bans"):
        made.save()
    made.save()
    (tmp_path / "gone").mkdir()
    made.save()
    assert (tmp_path / "gone" / "bans.json").exists()


def test_the_kernel_gets_only_sources_where_no_phone_is_at_home(passing: Time, tmp_path: Path) -> None:
    file = tmp_path / "for-kernel"
    made = make(passing, kernel_file=str(file))
    guess(made, 31)
    guess(made, 31, source="2001:db8::7")
    guess(made, 31, source=OTHER)
    made.homes.served("00041396d9b4", OTHER)
    made.save()
    until = round(passing.wall() + 300)
    assert file.read_text() == f"{SOURCE} {until}\n2001:db8::/64 {until}\n"
    assert {entry["source"]: entry["in_kernel"] for entry in made.listed()["bans"]} == {
        SOURCE: True, "2001:db8::/64": True, OTHER: False,
    }  # fmt: skip
    made.lift(SOURCE)
    made.save()
    assert file.read_text() == f"2001:db8::/64 {until}\n"


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_is_bounded_however_many_sources_guess(passing: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "_MOST_SOURCES", 500)
    made = make(passing)
    worst = [f"10.9.0.{index}" for index in range(50)]
    for source in worst:
        for first in (0, 40, 80):
            guess(made, 31, source=source, first=first)
    place_of.cache_clear()
    tracemalloc.start()
    try:
        for index in range(5_000):
            passing.now += 0.001
            guess(made, 3, source=f"10.{index >> 14}.{index >> 7 & 127}.{index & 127}", first=index)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(made._sources) <= 500
    assert set(made._banned) <= set(made._sources)
    assert held < 500 * 2000, "a source costs more than 2 KB"
    assert all(made.wait(source) for source in worst), "who is banned is forgotten last"


def test_memory_is_bounded_when_all_of_them_are_banned(passing: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "_MOST_SOURCES", 64)
    made = make(passing, guesses=1)
    for index in range(300):
        guess(made, 2, source=f"10.8.{index >> 8}.{index & 255}")
        passing.now += 0.01
    assert len(made._sources) <= 64
    assert len(made._banned) <= 64
    assert made.wait("10.8.1.43")
    assert made.wait("10.8.0.0") == 0


def test_what_is_kept_of_one_source_is_bounded(passing: Time) -> None:
    made = make(passing)
    guess(made, 20_000)
    (found,) = made._sources.values()
    assert len(found.seen) == 120
    assert len(found.last) <= 60


# -- where phones are at home -----------------------------------------------------------------------------------------


def test_nobody_makes_a_phone_homeless_by_asking_in_its_name(passing: Time) -> None:
    homes = Homes(passing.clock)
    homes.served("00041396d9b4", "198.18.1.1")
    for index in range(1000):
        passing.now += 7200
        homes.served("00041396d9b4", f"10.0.{index >> 8}.{index & 255}")
        if index % 100 == 0:
            homes.served("00041396d9b4", "198.18.1.1")
    assert homes.knows("00041396d9b4", "198.18.1.1")
    assert homes.knows("00041396d9b4", "10.0.3.231"), "who came last has a place"
    assert len(homes._used["00041396d9b4"]) <= 4


def test_phones_at_a_place_are_counted_as_they_come_and_go(passing: Time) -> None:
    homes = Homes(passing.clock)
    for phone in range(3):
        for index in range(8):
            passing.now += 7200
            homes.served(f"00041396d9b{phone}", f"198.18.1.{index}")
            homes.served(f"00041396d9b{phone}", "198.18.1.0")
    places = [f"198.18.1.{index}" for index in range(8)]
    assert [homes.count(place) for place in places] == [3, 3, 3, 0, 0, 0, 0, 3]
    assert homes.among(places) == {"198.18.1.0", "198.18.1.1", "198.18.1.2", "198.18.1.7"}


def test_a_large_site_may_have_more_phones_that_nobody_listed(passing: Time) -> None:
    made = make(passing)
    for phone in range(200):
        made.homes.served(f"{phone:012x}", SOURCE)
    for _day in range(5):
        assert not any(guess(made, 50)), "thirty, and one for each ten phones; the same again is none"
    assert guess(made, 1, first=1000) == [True]
    guess(made, 31, first=2000)
    assert made.wait(SOURCE) == 600, "once somebody was banned there, it is thirty"
    guess(made, 300, first=3000)
    assert len(made._sources[SOURCE].seen) == 200, "more are known again, too"
    assert any(guess(made, 31, source=OTHER))


def test_where_a_phone_is_no_more_it_is_forgotten(passing: Time) -> None:
    homes = Homes(passing.clock)
    for index in range(4):
        homes.served("00041396d9b4", f"198.18.1.{index}")
    passing.now += 31 * 86400
    homes.served("00041396d9b4", "198.18.2.1")
    assert homes.knows("00041396d9b4", "198.18.2.1")
    assert not homes.knows("00041396d9b4", "198.18.1.0")


def test_who_goes_on_at_the_longest_ban_fills_no_log(passing: Time) -> None:
    made = make(passing)
    told = sum(sum(guess(made, 31, first=first)) for first in range(0, 100 * 31, 31))
    assert told == 10, "300 s, doubled nine times up to a day"
    assert made.wait(SOURCE) == 86400
    passing.now += 2 * 86400 + 1
    assert any(guess(made, 31, first=9000)), "a new ban, and it is told"
