# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kea's files: what is planned, what is in the way, what would be hidden. No Kea is needed for this."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import OptionSetting, build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.config import Draft, KeaConfiguration
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.precedence import Precedence

PLAIN = """// The voice network. Keep!
{ "Dhcp4": {
    "option-data": [
        { "name": "ntp-servers", "data": "198.18.0.1" } // the clock
    ],
    "shared-networks": [ { "name": "floor 1", "subnet4": [ { "id": 2, "subnet": "198.19.0.0/24" } ] } ],
    "subnet4": [
        { "id": 1, "subnet": "198.18.0.0/24", "pools": [ { "pool": "198.18.0.50 - 198.18.0.99" } ] }
    ]
} }
"""


class Site:
    """A configuration on disk, and what is done to it."""

    def __init__(self, folder: Path, text: str, **others: str) -> None:
        self.folder = folder
        self.main = folder / "kea-dhcp4.conf"
        self.main.write_text(text)
        for name, content in others.items():
            (folder / f"{name}.json").write_text(content)

    def draft(self, settings: list[OptionSetting], on_conflict: str = "fail") -> Draft:
        return KeaConfiguration(str(self.main), "/").draft(settings, on_conflict)

    def apply(self, settings: list[OptionSetting], on_conflict: str = "fail") -> Draft:
        draft = self.draft(settings, on_conflict)
        for change in draft.changes:
            if change.after is None:
                Path(change.path).unlink()
            else:
                Path(change.path).write_bytes(change.after)
        return draft

    def contents(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.folder.iterdir())}

    def value(self) -> dict[str, Any]:
        """The configuration as Kea reads it: our files included, and every comma in its place."""
        from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import text as kea_text

        reader = kea_text.Reader(lambda path: Path(path).read_text(), lambda _path: False)
        value: dict[str, Any] = reader.read(str(self.main)).value()["Dhcp4"]
        return value


def options(*entries: Mapping[str, Any]) -> list[OptionSetting]:
    return build_intent(options=entries)


URL = options({"code": 66, "value": "http://a/"})
ALL = build_intent(
    url="http://a/",
    vendors=["snom", "yealink", "gigaset"],
    options=[
        {"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"},
        {"shared_network": "floor 1", "code": 160, "value": "http://n/"},
        {"mac": "00:04:13:92:2d:24", "code": 66, "value": "http://p/"},
        {"vendor_class": "snomM", "code": 67, "value": "m.xml"},
    ],
)


def codes(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["code"] for entry in entries if "code" in entry]


def test_every_scope_is_placed_and_taken_back(tmp_path: Path) -> None:
    site = Site(tmp_path, PLAIN)
    before = site.contents()
    site.apply(ALL)
    value = site.value()
    assert codes(value["option-data"]) == [66]
    assert codes(value["subnet4"][0]["option-data"]) == [160]
    assert codes(value["shared-networks"][0]["option-data"]) == [160]
    assert [item["name"] for item in value["client-classes"]] == [
        "autoprov-000413922d24",
        "autoprov-option-60-snomM",
        "autoprov-gigaset",
        "autoprov-snom",
        "autoprov-yealink",
    ], "the first class that matches wins: the phone, the prefix asked for, the vendor"
    assert all(
        entry["always-send"] is True and entry["csv-format"] is False
        for item in [value, *value["client-classes"]]
        for entry in item["option-data"]
        if "code" in entry
    )
    assert not site.draft(ALL).changes
    site.apply([])
    assert site.contents() == before


def test_comments_and_everything_else_stay(tmp_path: Path) -> None:
    site = Site(tmp_path, PLAIN)
    site.apply(ALL)
    inserted = r'\n *(?:"[a-z-]+": \[ )?<\?include "[^"]*autoprov-kea-dhcp4-[^"]*"\?>(?: \],?)?'
    text, count = re.subn(inserted, "", site.main.read_text())
    assert count == 4
    assert text == PLAIN


def test_commas_follow_the_administrator(tmp_path: Path) -> None:
    """The administrator empties the list around our line, and fills it again: our file is written to fit."""
    site = Site(tmp_path, PLAIN)
    site.apply(URL)
    own = tmp_path / "autoprov-kea-dhcp4-options.json"
    assert "\n,\n" in own.read_text()
    site.main.write_text(site.main.read_text().replace('{ "name": "ntp-servers", "data": "198.18.0.1" }', ""))
    site.apply(URL)
    assert "\n,\n" not in own.read_text()
    directive = f'<?include "{own}"?>'
    site.main.write_text(site.main.read_text().replace(directive, directive + ' { "code": 42, "data": "198.18.0.1" }'))
    site.apply(URL)
    assert own.read_text().endswith("},\n")


def test_what_is_no_longer_listed_is_taken_back(tmp_path: Path) -> None:
    site = Site(tmp_path, PLAIN)
    site.apply(ALL)
    site.apply(URL)
    assert "option-data" not in site.value()["subnet4"][0]
    assert site.value()["client-classes"] == [{"name": "autoprov-none"}], "Kea 2.2 refuses an empty list"
    assert sorted(site.contents()) == [
        "autoprov-kea-dhcp4-classes.json",
        "autoprov-kea-dhcp4-options.json",
        "kea-dhcp4.conf",
    ]


THEIRS = PLAIN.replace(
    '{ "name": "ntp-servers"',
    '{ "name": "tftp-server-name", "data": "boot.example.com" },\n        { "name": "ntp-servers"',
)


def test_a_collision_is_told_with_both_values(tmp_path: Path) -> None:
    site = Site(tmp_path, THEIRS)
    with pytest.raises(DhcpError) as caught:
        site.draft(URL)
    expected = f"has set boot.example.com in {site.main}:4, wanted is http://a/"
    assert expected in str(caught.value)
    (conflict,) = caught.value.details["conflicts"]
    assert (conflict["scope"], conflict["code"]) == ("global", 66)
    assert (conflict["existing"], conflict["wanted"]) == ("boot.example.com", "http://a/")


def test_a_collision_is_settled_for_the_administrator(tmp_path: Path) -> None:
    site = Site(tmp_path, THEIRS)
    draft = site.apply(URL, "keep")
    assert not draft.changes
    assert draft.settings == []
    assert len(draft.conflicts) == 1


@pytest.mark.parametrize(
    "theirs",
    [
        THEIRS,
        PLAIN.replace('{ "name": "ntp-servers", "data": "198.18.0.1" }', '{ "code": 66, "data": "x" }'),
        PLAIN.replace('"198.18.0.1" } // the', '"198.18.0.1" }, // comma\n { "code": 66, "data": "x" } // the'),
        PLAIN.replace(
            '{ "name": "ntp-servers"',
            '{ "code": 66, "data": "x" }, { "code": 66, "data": "y" }, { "name": "ntp-servers"',
        ),
        PLAIN.replace(
            '"option-data"',
            '"option-def": [ { "name": "opt66", "code": 66, "type": "string" } ], "option-data"',
        ).replace('"ntp-servers", "data": "198.18.0.1"', '"opt66", "data": "x"'),
    ],
    ids=["first", "only", "last", "twice", "own name"],
)
def test_a_collision_is_settled_for_us_and_can_be_undone(tmp_path: Path, theirs: str) -> None:
    site = Site(tmp_path, theirs)
    site.apply(URL, "replace")
    assert [entry["data"] for entry in site.value()["option-data"] if entry.get("code") == 66] == ["'http://a/'"]
    assert not [entry for entry in site.value()["option-data"] if entry.get("name") in ("tftp-server-name", "opt66")]
    assert not site.draft(URL, "replace").changes
    site.apply([])
    assert site.contents() == {"kea-dhcp4.conf": theirs}


def test_an_equal_entry_of_the_administrator_is_no_collision(tmp_path: Path) -> None:
    equal = THEIRS.replace('"boot.example.com"', '"http://a/", "always-send": true')
    assert not Site(tmp_path, equal).draft(URL).changes
    not_always = THEIRS.replace("boot.example.com", "http://a/")
    with pytest.raises(DhcpError, match="has set http://a/"):
        Site(tmp_path, not_always).draft(URL)


def test_another_space_is_no_collision(tmp_path: Path) -> None:
    other = THEIRS.replace('"name": "tftp-server-name"', '"code": 66, "space": "vendor-4491"')
    assert len(Site(tmp_path, other).draft(URL).changes) == 2


def test_our_line_goes_into_the_file_in_which_the_list_is(tmp_path: Path) -> None:
    main = PLAIN.replace('"option-data": [', f'<?include "{tmp_path}/more.json"?> "x": [')
    site = Site(tmp_path, main, more='"option-data": [ { "code": 42, "data": "198.18.0.1" } ], // theirs\n')
    before = site.contents()
    site.apply(URL)
    assert site.main.read_text() == main
    assert codes(site.value()["option-data"]) == [42, 66]
    site.apply([])
    assert site.contents() == before


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"subnet": "192.0.2.0/24"}, "subnet 192.0.2.0/24 is not in .*; there: 198.18.0.0/24, 198.19.0.0/24"),
        ({"shared_network": "attic"}, "shared network attic is not in .*; there: floor 1"),
    ],
)
def test_an_unknown_place(tmp_path: Path, entry: dict[str, str], fault: str) -> None:
    with pytest.raises(DhcpError, match=fault):
        Site(tmp_path, PLAIN).draft(options({**entry, "code": 66, "value": "x"}))


def test_a_class_of_the_administrator_with_our_name(tmp_path: Path) -> None:
    theirs = PLAIN.replace('"option-data"', '"client-classes": [ { "name": "autoprov-snom" } ], "option-data"')
    with pytest.raises(DhcpError, match="client class autoprov-snom is already"):
        Site(tmp_path, theirs).draft(build_intent(url="http://a/", vendors=["snom"]))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{ } }", "something stands behind the end"),
        ('{ "Dhcp6": {} }', 'holds no "Dhcp4"'),
        ('{ "Dhcp4": { <?include "/nowhere/x.json"?> } }', "/nowhere/x.json does not exist"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(DhcpError, match=fault):
        Site(tmp_path, text).draft(URL)


def test_the_check_sees_the_planned_files_and_leaves_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, PLAIN)
    before = site.contents()
    draft = site.draft(ALL)
    seen = {}

    def checker(path: str) -> str:
        copies = Site(tmp_path, PLAIN)
        copies.main = Path(path)
        seen.update(copies.value())
        return f"{path}:7.1: wrong"

    complaint = KeaConfiguration(str(site.main), "/").test(draft.changes, checker)
    assert codes(seen["option-data"]) == [66]
    assert len(seen["client-classes"]) == 5
    assert complaint == f"{site.main}:7.1: wrong"
    assert site.contents() == before


# --- who wins ---


def hidden(site: Site, settings: list[OptionSetting]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(item.scope, item.code, item.by) for item in Precedence(site.draft(settings).dhcp4).hidden(settings)]


def with_option(place: str) -> str:
    """The plain configuration with an option 66 of the administrator's in one more place."""
    data = '"option-data": [ { "name": "tftp-server-name", "data": "theirs" } ]'
    lab = f'{{ "name": "lab", "test": "option[12].exists", {data} }}'
    return {
        "reservation": PLAIN.replace(
            '"pools"', f'"reservations": [ {{ "hw-address": "00:04:13:92:2D:24", {data} }} ], "pools"'
        ),
        "pool": PLAIN.replace('198.18.0.99"', f'198.18.0.99", {data}'),
        "subnet": PLAIN.replace('"198.18.0.0/24",', f'"198.18.0.0/24", {data},'),
        "network": PLAIN.replace('"floor 1",', f'"floor 1", {data},'),
        "class": PLAIN.replace('"subnet4": [\n', f'"client-classes": [ {lab} ], "subnet4": [\n'),
    }[place]


NAMES = {
    "reservation": "reservation of 00:04:13:92:2D:24 in subnet 198.18.0.0/24 (theirs)",
    "pool": "pool 198.18.0.50 - 198.18.0.99 in subnet 198.18.0.0/24 (theirs)",
    "subnet": "subnet 198.18.0.0/24 (theirs)",
    "network": "shared network floor 1 (theirs)",
    "class": "client class lab (theirs)",
}
SCOPES: dict[str, dict[str, str]] = {
    "global": {},
    "class": {"vendor": "snom"},
    "phone": {"mac": "000413922d24"},
    "other phone": {"mac": "000413000001"},
    "network": {"shared_network": "floor 1"},
    "subnet": {"subnet": "198.18.0.0/24"},
}


@pytest.mark.parametrize(
    ("place", "scope"),
    # The same place would be a collision, except that there are many classes.
    [(place, scope) for place in NAMES for scope in SCOPES if place != scope or place == "class"],
)
def test_what_wins_over_us_is_named(tmp_path: Path, place: str, scope: str) -> None:
    """Kea: host > pool > subnet > shared network > class > global; among classes, the first one."""
    wins = {
        "global": {"reservation", "pool", "subnet", "network", "class"},
        "class": {"reservation", "pool", "subnet", "network", "class"},
        "phone": {"reservation", "pool", "subnet", "network", "class"},
        "other phone": {"pool", "subnet", "network", "class"},
        "network": set(),
        "subnet": {"reservation", "pool"},
    }[scope]
    settings = options({**SCOPES[scope], "code": 66, "value": "http://a/"})
    found = hidden(Site(tmp_path, with_option(place)), settings)
    assert [by for _scope, _code, by in found] == ([(NAMES[place],)] if place in wins else [])


def test_our_own_subnet_option_hides_our_class(tmp_path: Path) -> None:
    settings = build_intent(
        url="http://a/", vendors=["snom"], options=[{"subnet": "198.18.0.0/24", "code": 66, "value": "http://s/"}]
    )
    assert hidden(Site(tmp_path, PLAIN), settings) == [("vendor class snom", 66, ("subnet 198.18.0.0/24 (http://s/)",))]


def test_an_option_the_phone_reads_first_is_named(tmp_path: Path) -> None:
    theirs = PLAIN.replace('"option-data": [', '"option-data": [ { "code": 160, "data": "old" },')
    settings = build_intent(url="http://a/", vendors=["yealink", "snom"])
    expected = "option 160 (provisioning-url-160) of global (old)"
    assert hidden(Site(tmp_path, theirs), settings) == [("vendor class yealink", 66, (expected,))]


def test_many_are_counted(tmp_path: Path) -> None:
    subnets = ", ".join(
        f'{{ "id": {n}, "subnet": "10.0.{n}.0/24", "option-data": [ {{ "code": 66, "data": "s{n}" }} ] }}'
        for n in range(1, 201)
    )
    site = Site(tmp_path, f'{{ "Dhcp4": {{ "subnet4": [ {subnets} ] }} }}')
    ((_scope, _code, by),) = hidden(site, URL)
    assert by == ("subnet 10.0.1.0/24 (s1)", "subnet 10.0.2.0/24 (s2)", "subnet 10.0.3.0/24 (s3)", "197 more")


# --- what the probe must see ---


def expected(site: Site, settings: list[OptionSetting]) -> dict[str, dict[int, bytes]]:
    cases = Precedence(site.draft(settings).dhcp4).probe_cases(settings)
    return {case.label: case.expected_at("198.18.0.50") for case in cases}


def test_each_class_is_played(tmp_path: Path) -> None:
    folder, subnet = b"http://a/", {160: b"http://s/"}
    settings = [item for item in ALL if item.scope.name != "floor 1"]
    assert expected(Site(tmp_path, PLAIN), settings) == {
        "global": {66: folder, **subnet},
        "phone 00:04:13:92:2d:24": {66: b"http://p/", **subnet},
        "vendor class option 60 snomM": {66: folder, 67: b"m.xml", **subnet},
        "vendor class gigaset": {66: folder + b"%MACD.xml", 114: folder + b"%MACD.xml", **subnet},
        "vendor class snom": {66: folder, **subnet},
        "vendor class yealink": {66: folder, **subnet},
    }


def test_what_is_hidden_is_not_expected(tmp_path: Path) -> None:
    settings = build_intent(url="http://a/", vendors=["gigaset"])
    assert expected(Site(tmp_path, with_option("subnet")), settings) == {
        "global": {},
        "vendor class gigaset": {114: b"http://a/%MACD.xml"},
    }


def test_random_edits_by_both_sides(tmp_path: Path) -> None:
    """50 rounds of our settings and the administrator's edits: ours are in, theirs are kept to the end."""
    chance = random.Random(4)
    site = Site(tmp_path, PLAIN)
    theirs = PLAIN
    for number in range(50):
        marker = f"// edit {number}\n"
        lines = theirs.splitlines(keepends=True)
        at = chance.randrange(len(lines))
        place = lines[at]
        text = site.main.read_text()
        assert text.count(place) == 1
        site.main.write_text(text.replace(place, place + marker))
        theirs = "".join([*lines[: at + 1], marker, *lines[at + 1 :]])
        wanted = chance.sample(ALL, chance.randrange(1, len(ALL)))
        site.apply(wanted)
        assert not site.draft(wanted).changes
        assert bool(codes(site.value()["option-data"])) == any(str(item.scope) == "global" for item in wanted)
    site.apply([])
    assert site.contents() == {"kea-dhcp4.conf": theirs}
