# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counted events: written soon, then hourly; no stranger fills the disk, and no count is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autoprovd import audit
from autoprovd.faults import Refused
from autoprovd.tally import Tally

from .conftest import SNOM, YEALINK, Box


class Minutes:
    now = 0

    def __call__(self) -> float:
        return self.now * 60.0


@pytest.fixture
def minutes() -> Minutes:
    return Minutes()


@pytest.fixture
def tally(box: Box, minutes: Minutes) -> Tally:
    return Tally(box.store, box.keyring, minutes)


def written(box: Box) -> list[dict[str, Any]]:
    with box.store.read() as connection:
        return audit.page(connection, 0, 10_000)


def test_first_soon_then_once_an_hour_with_the_number_since(box: Box, tally: Tally, minutes: Minutes) -> None:
    for _minute in range(180):
        for _ in range(7):
            tally.count("refused", SNOM, "who", "198.18.0.66", "why")
        tally.flush()
        minutes.now += 1
    times = [row["detail"]["times"] for row in written(box)]
    assert times == [7, 420, 420]
    tally.flush(everything=True)
    assert sum(row["detail"]["times"] for row in written(box)) == 180 * 7, "every one of them"


def test_what_was_written_at_once_counts(box: Box, tally: Tally, minutes: Minutes) -> None:
    arguments = ("refused", SNOM, "who", "198.18.0.66", "why")
    (event,) = tally.now(*arguments)
    assert event.detail["times"] == 1
    assert [tally.now(*arguments) for _ in range(9)] == [[]] * 9
    assert tally.flush() == 0
    minutes.now += 1
    (event,) = tally.now(*arguments)
    assert event.detail["times"] == 10


def test_a_stranger_with_many_addresses_gets_few_rows(box: Box, tally: Tally) -> None:
    for number in range(5000):
        tally.count("refused", SNOM, f"address:{number}", str(number), "why")
    tally.count("refused", YEALINK, "address:1", "1", "why")
    assert tally.flush() == 14
    rows = written(box)
    assert sum(row["detail"]["times"] for row in rows) == 5001
    (others,) = [row for row in rows if row["actor"] == "others"]
    assert others["detail"] == {"times": 5000 - 12, "what": "why"}
    assert others["mac"] == SNOM


def test_memory_is_bounded_too(tally: Tally) -> None:
    for number in range(30_000):
        tally.count("refused", f"{number:012x}", "who", "", "why")
    assert len(tally._tallies) == 20_001
    assert sum(counted.times for counted in tally._tallies.values()) == 30_000


def test_what_was_quiet_for_an_hour_is_forgotten(tally: Tally, minutes: Minutes) -> None:
    tally.count("refused", SNOM, "who", "", "why")
    tally.flush()
    minutes.now += 61
    tally.flush()
    assert not tally._tallies
    assert not tally._of_phones


def test_a_database_that_takes_nothing_loses_no_count(box: Box, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise Refused("unavailable", "the disk is full")

    tally.count("refused", SNOM, "who", "", "why")
    append: Callable[..., None] = audit.append
    monkeypatch.setattr(audit, "append", full)
    with pytest.raises(Refused):
        tally.flush()
    monkeypatch.setattr(audit, "append", append)
    tally.count("refused", SNOM, "who", "", "why")
    assert tally.flush() == 1
    assert written(box)[-1]["detail"]["times"] == 2
