# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of server paths in the documentation is the one that filter and program work with."""

from __future__ import annotations

import pytest

from ansible_collections.autoprov.appliance.plugins.filter.server_path import server_path
from autoprovd.server_paths import place_of, places
from autoprovd.vendors import VENDORS
from tools import server_paths


def test_the_page_has_the_table_of_the_data() -> None:
    text = server_paths.PAGE.read_text(encoding="utf-8")
    assert text == server_paths.with_table(text), "python -m tools.server_paths writes it anew"


@pytest.mark.parametrize("vendor", VENDORS)
def test_filter_and_program_tell_the_same_of_every_model(vendor: str) -> None:
    for model in VENDORS[vendor].models.values():
        place = place_of(vendor, model.name)
        assert place is not None
        told = place.told("http://198.18.0.1:50080/")
        by_filter = server_path({"vendor": vendor, "model": model.name}, "198.18.0.1")
        assert told["url"] == by_filter["url"]
        for language in ("en", "de"):
            of_program, of_filter = told[language], by_filter[language]
            assert isinstance(of_program, dict)
            assert of_program["sentence"].startswith(of_filter["sentence"])
            rest = {name: value for name, value in of_program.items() if name != "sentence"}
            assert rest == {name: value for name, value in of_filter.items() if name != "sentence"}


def test_each_row_is_used_and_says_where_it_is_from() -> None:
    used = {place_of(room.name, model.name) for room in VENDORS.values() for model in room.models.values()}
    assert used == set(places())
    assert all(place.source and place.confirmed in ("en", "de", "both", "no") for place in places())
