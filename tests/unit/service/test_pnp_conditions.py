# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a phone can find its configuration by itself, and what a person is told to do about it."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from autoprovd.directory import PNP_FILE, Request
from autoprovd.pnp.conditions import _WORDS, Standing, conditions, hindrance
from autoprovd.pnp.ledger import REFUSED, TOLD, UNHEARD
from autoprovd.vendors import VENDORS

from .conftest import SNOM, Box

NOW = 1.8e9
PATH = "http://198.18.5.2:50080/"
PHONE: dict[str, Any] = {"vendor": "snom", "model": "D785", "address": None, "server_path": PATH}
VOICE = Standing(("voice0",), (("voice0", IPv4Network("198.18.5.0/24")),))


def asked(outcome: str = TOLD, at: float = NOW - 300, source: str = "198.18.5.67", reason: str = "because") -> Request:
    return Request(at, source, PNP_FILE, "", "neighbour", outcome, reason)


def fetched(at: float = NOW - 200, source: str = "198.18.5.67") -> Request:
    return Request(at, source, "snomD785.htm", "", "neighbour", "delivered", "")


def found(requests: list[Request], standing: Standing = VOICE, **phone: Any) -> dict[str, bool | None]:
    return {each.name: each.met for each in conditions(PHONE | phone, requests, standing, NOW)}


WELL = {"model": True, "service": True, "network": True, "heard": True, "told": True, "fetched": True}


def test_a_phone_that_was_told_and_came_fulfils_everything() -> None:
    assert found([asked(), fetched()]) == WELL
    assert hindrance(conditions(PHONE, [asked(), fetched()], VOICE, NOW)) is None


@pytest.mark.parametrize(
    ("requests", "phone", "expected"),
    [
        ([], {}, {"network": None, "heard": False}),
        ([], {"address": "198.18.5.9"}, {"network": True, "heard": False}),
        ([], {"address": "198.18.6.9"}, {"network": False, "heard": False}),
        ([], {"address": "2001:db8::1"}, {"network": False, "heard": False}),
        ([fetched(source="198.18.6.9")], {}, {"network": False, "heard": None}),
        ([asked(REFUSED)], {}, {"network": True, "heard": True, "told": False}),
        ([asked(UNHEARD)], {}, {"network": True, "heard": True, "told": False}),
        ([fetched(NOW - 900), asked()], {}, {**WELL, "fetched": False}),
        ([asked(at=NOW - 10)], {}, {**WELL, "fetched": None}),
        ([asked(REFUSED), asked(), fetched()], {}, WELL),
    ],
)
def test_what_is_in_the_way(requests: list[Request], phone: dict[str, Any], expected: dict[str, bool | None]) -> None:
    assert found(requests, **phone) == {"model": True, "service": True, **expected}


def test_a_service_that_answers_nowhere_is_the_first_thing_to_mend() -> None:
    standing = Standing(("voice9",), (), "no interface of that name is up with an IPv4 address: voice9")
    last = conditions(PHONE, [], standing, NOW)[-1]
    assert (last.name, last.met) == ("service", False)
    assert "voice9" in last.words["en"]
    assert "voice9" in last.words["de"]


def test_a_model_that_does_not_ask_is_told_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(VENDORS["snom"]), "pnp_families", frozenset())
    first = conditions(PHONE, [], VOICE, NOW)[0]
    assert (first.name, first.met) == ("model", False)
    assert PATH in first.words["en"]
    assert PATH in first.words["de"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_family_that_is_said_to_ask_is_one_of_the_vendor(vendor: str) -> None:
    room = VENDORS[vendor]
    assert room.pnp_families <= {model.family for model in room.models.values()}


def test_every_finding_is_there_in_both_languages_with_the_same_gaps() -> None:
    from string import Formatter

    for english, german in _WORDS.values():
        gaps = [{name for _text, name, *_rest in Formatter().parse(words) if name} for words in (english, german)]
        assert gaps[0] == gaps[1]
        assert english != german


def test_the_overview_tells_the_first_hindrance_and_why_tells_all(box: Box) -> None:
    box.site.apply_phones(
        [{"mac": SNOM, "vendor": "snom", "model": "D785", "accounts": []}], purge=False, dry_run=False, actor="test"
    )
    told = box.overview.phone(SNOM)["zero_touch"]
    assert told["ready"] is False
    assert told["hindrance"]["condition"] == "service"
    box.overview._standing = lambda: VOICE
    assert box.overview.phone(SNOM)["zero_touch"]["hindrance"]["condition"] == "heard"
    box.directory.note(SNOM, asked(at=box.clock.wall() - 5))
    assert box.overview.phone(SNOM)["zero_touch"] == {"ready": True, "hindrance": None}
    assert [each["condition"] for each in box.overview.why(SNOM)["zero_touch"]] == list(WELL)
