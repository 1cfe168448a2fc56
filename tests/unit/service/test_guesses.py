# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often credentials may be guessed."""

from __future__ import annotations

import pytest

from autoprovd.web.guesses import Guesses

MAC, HERE, THERE = "7c2f80e0d605", "198.18.0.20", "198.18.0.66"


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
    """How many of so many attempts may be judged."""
    return sum(guesses.wait(MAC, source, is_phone) == 0 for _ in range(times))


def test_ten_from_one_source_and_then_it_waits(guesses: Guesses, time: Time) -> None:
    assert tries(guesses, 100) == 10
    assert guesses.wait(MAC, THERE, False) == 60
    time.now += 60
    assert tries(guesses, 100) == 10


def test_it_waits_longer_each_time(guesses: Guesses, time: Time) -> None:
    waits = []
    for _ in range(9):
        assert tries(guesses, 100) == 10
        waits.append(guesses.wait(MAC, THERE, False))
        time.now += waits[-1]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_many_sources_together_have_thirty(guesses: Guesses) -> None:
    assert sum(tries(guesses, 10, f"198.18.1.{number}") for number in range(50)) == 30


def test_strangers_do_not_shut_the_phone_out(guesses: Guesses) -> None:
    assert sum(tries(guesses, 10, f"198.18.1.{number}") for number in range(50)) == 30
    assert tries(guesses, 10, HERE, is_phone=True) == 10


def test_what_was_right_is_not_counted(guesses: Guesses) -> None:
    for _ in range(100):
        assert guesses.wait(MAC, HERE, False) == 0
        guesses.was_right(MAC, HERE, False)
    assert tries(guesses, 100) == 10


def test_a_pause_forgives(guesses: Guesses, time: Time) -> None:
    assert tries(guesses, 9) == 9
    time.now += 60
    assert tries(guesses, 100) == 10
    assert guesses.wait(MAC, THERE, False) == 60


def test_another_phone_is_another_count(guesses: Guesses) -> None:
    assert tries(guesses, 100) == 10
    assert guesses.wait("000413922d24", THERE, False) == 0
