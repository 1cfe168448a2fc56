# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often credentials may be guessed."""

from __future__ import annotations

import pytest

from autoprovd.web import guesses as module
from autoprovd.web.guesses import Guesses

MAC, HERE, THERE = "7c2f80e0d605", "198.18.0.20", "198.18.0.66"
DAY = 86400


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def guesses(time: Time) -> Guesses:
    return Guesses(time)


def tries(guesses: Guesses, times: int, source: str = THERE, is_phone: bool = False) -> int:
    """How many of so many wrong attempts are judged."""
    return sum(guesses.count(MAC, source, is_phone).wait == 0 for _ in range(times))


def test_ten_from_one_source_and_then_one_in_six_minutes(guesses: Guesses, time: Time) -> None:
    assert tries(guesses, 100) == 10
    assert guesses.count(MAC, THERE, False).wait == pytest.approx(360)
    time.now += 361
    assert tries(guesses, 100) == 1


@pytest.mark.parametrize("pause", [1, 59, 61, 359, 3601])
def test_no_pace_gets_more(guesses: Guesses, time: Time, pause: float) -> None:
    """Whoever stays just below a limit for each minute gets thousands a day; here he gets what all get."""
    judged, until = 0, time.now + DAY
    while time.now < until:
        judged += tries(guesses, 9)
        time.now += pause
    assert judged <= 10 + 240


def test_many_sources_together_have_thirty(guesses: Guesses, time: Time) -> None:
    assert sum(tries(guesses, 10, f"198.18.1.{number}") for number in range(50)) == 30
    time.now += 3600
    assert sum(tries(guesses, 10, f"2001:db8::{number:x}") for number in range(50)) == 30


def test_many_sources_with_the_phones_mac_address_have_ten(guesses: Guesses) -> None:
    assert sum(tries(guesses, 10, f"2001:db8::{number:x}", is_phone=True) for number in range(50)) == 10


def test_strangers_do_not_shut_the_phone_out(guesses: Guesses) -> None:
    assert sum(tries(guesses, 10, f"198.18.1.{number}") for number in range(50)) == 30
    assert tries(guesses, 10, HERE, is_phone=True) == 10


def test_strangers_do_not_shut_out_who_answered_rightly_before(guesses: Guesses) -> None:
    """As a phone behind a router, which the network does not know."""
    guesses.was_right(guesses.count(MAC, HERE, False))
    assert sum(tries(guesses, 10, f"198.18.1.{number}") for number in range(50)) == 30
    assert guesses.count(MAC, HERE, False).wait == 0


def test_what_was_right_is_not_counted(guesses: Guesses) -> None:
    for _ in range(100):
        attempt = guesses.count(MAC, HERE, False)
        assert attempt.wait == 0
        guesses.was_right(attempt)
    assert tries(guesses, 100, HERE) == 10


def test_what_is_taken_back_forgives_nothing_else(guesses: Guesses) -> None:
    """As an overheard answer, sent again between guesses."""
    judged = 0
    for _ in range(100):
        judged += tries(guesses, 1)
        attempt = guesses.count(MAC, THERE, False)
        if not attempt.wait:
            guesses.take_back(attempt)
    assert judged == 10


def test_another_phone_is_another_count(guesses: Guesses) -> None:
    assert tries(guesses, 100) == 10
    assert guesses.count("000413922d24", THERE, False).wait == 0


def test_a_flood_of_sources_fills_no_memory_and_frees_no_stranger(
    guesses: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", 100)
    assert sum(tries(guesses, 1, f"2001:db8::{number:x}") for number in range(5000)) == 30
    assert len(guesses._counts) <= 100
