# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kea configuration would give to a client, and what is set where. No Kea is needed for this."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import Answer
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.config import KeaConfiguration
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.expression import Sketch, Text, judge
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.precedence import Precedence
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.report import KeaReport
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.probe import Client

FULL = """{ "Dhcp4": {
  "reservations-global": true,
  "option-data": [ { "name": "tftp-server-name", "data": "global" } ],
  "client-classes": [
    { "name": "yealinks", "test": "substring(option[60].hex,0,7) == 'yealink'",
      "option-data": [ { "code": 66, "data": "class", "always-send": true } ] },
    { "name": "odd", "test": "option[12].text == 'odd'", "option-data": [ { "code": 66, "data": "odd" } ] },
    { "name": "late", "test": "member('ALL')", "only-if-required": true,
      "option-data": [ { "code": 67, "data": "late" } ] },
    { "name": "given", "option-data": [ { "code": 67, "data": "given" } ] } ],
  "shared-networks": [ { "name": "voice", "option-data": [ { "code": 66, "data": "network" } ],
    "subnet4": [
      { "id": 1, "subnet": "198.18.0.0/24",
        "pools": [ { "pool": "198.18.0.50 - 198.18.0.99", "option-data": [ { "code": 132, "data": "p" } ] } ] },
      { "id": 2, "subnet": "198.18.1.0/24", "option-data": [ { "code": 66, "data": "subnet" } ],
        "reservations-in-subnet": true,
        "reservations": [ { "hw-address": "80:5E:C0:00:00:02", "option-data": [ { "code": 66, "data": "host" } ] } ] }
    ] } ],
  "subnet4": [ { "id": 3, "subnet": "198.18.2.0/24", "reservations-global": false } ],
  "reservations": [
    { "hw-address": "80:5e:c0:00:00:03", "client-classes": [ "given" ],
      "option-data": [ { "code": 66, "data": "everywhere" } ] } ]
} }
"""


@pytest.fixture
def report(tmp_path: Path) -> KeaReport:
    path = tmp_path / "kea-dhcp4.conf"
    path.write_text(FULL)
    return KeaReport(KeaConfiguration(str(path), "/"))


def told(answer: Answer) -> tuple[str | None, list[str]]:
    """The value that wins, and the values that might."""
    return (answer.winner.value if answer.winner else None, [item.value for item in answer.unless])


def test_everything_set_is_listed_what_wins_first(report: KeaReport, tmp_path: Path) -> None:
    listed = [(item.level, item.name, item.value) for item in report.set_options() if item.code == 66]
    assert listed == [
        ("host", "805ec0000002", "host"),
        ("host", "805ec0000003", "everywhere"),
        ("subnet", "198.18.1.0/24", "subnet"),
        ("shared_network", "voice", "network"),
        ("class", "yealinks", "class"),
        ("class", "odd", "odd"),
        ("global", "", "global"),
    ]
    yealinks = next(item for item in report.set_options() if item.name == "yealinks")
    assert yealinks.where == f"{tmp_path}/kea-dhcp4.conf:6"
    assert yealinks.always_sent
    assert not yealinks.ours
    assert yealinks.condition == "substring(option[60].hex,0,7) == 'yealink'"


def test_ours_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "kea-dhcp4.conf"
    path.write_text(FULL)
    configuration = KeaConfiguration(str(path), "/")
    for change in configuration.draft(
        build_intent(url="http://a/", vendors=["snom"], global_fallback=False), "fail"
    ).changes:
        Path(change.path).write_bytes(change.after or b"")
    listed = KeaReport(KeaConfiguration(str(path), "/")).set_options()
    (ours,) = [item for item in listed if item.ours]
    assert (ours.level, ours.name, ours.value) == ("class", "autoprov-snom", "http://a/")
    assert ours.where == f"{tmp_path}/autoprov-kea-dhcp4-classes.json:5"


SNOM, YEALINK = Client("000413000001", "snomD785"), Client("805ec0000001", "yealink")


@pytest.mark.parametrize(
    ("client", "subnet", "code", "expected"),
    [
        (SNOM, "198.18.2.0/24", 66, ("global", ["odd"])),
        (SNOM, "198.18.0.0/24", 66, ("network", [])),
        (SNOM, "198.18.1.0/24", 66, ("subnet", [])),
        (SNOM, None, 66, ("global", ["subnet", "network", "odd"])),
        (YEALINK, "198.18.2.0/24", 66, ("class", [])),
        (YEALINK, None, 66, ("class", ["subnet", "network"])),
        (Client("805ec0000002"), "198.18.1.0/24", 66, ("host", [])),
        (Client("805ec0000002"), "198.18.2.0/24", 66, ("global", ["odd"])),
        (Client("805ec0000003"), "198.18.0.0/24", 66, ("everywhere", [])),
        (Client("805ec0000003"), "198.18.2.0/24", 66, ("global", ["odd"])),
        (Client("805ec0000003"), "198.18.0.0/24", 67, ("given", [])),
        (SNOM, "198.18.0.0/24", 67, (None, ["late"])),
        (SNOM, "198.18.0.0/24", 132, ("p", [])),
        (SNOM, "198.18.1.0/24", 132, (None, [])),
    ],
)
def test_who_wins(
    report: KeaReport, client: Client, subnet: str | None, code: int, expected: tuple[str | None, list[str]]
) -> None:
    assert told(report.answer(code, client, subnet)) == expected


def test_what_wins_is_always_sent_when_any_level_says_so(report: KeaReport) -> None:
    winner = report.answer(66, YEALINK, "198.18.1.0/24").winner
    assert winner is not None
    assert (winner.value, winner.always_sent) == ("subnet", True)


SNOM_SKETCH = Sketch(Text(b"\0\4\x13", True), Text(b"snom", True))


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ("substring(option[60].hex,0,4) == 'snom'", True),
        ("substring(option[60].text,0,4) == 0x736e6f6d", True),
        ("option[60].hex == 'snomD785'", None),
        ("option[60].hex == 'sno'", False),
        ("substring(option[60].hex,0,7) == 'yealink'", False),
        ("substring(option[60].hex,0,8) == 'snomD785'", None),
        ("substring(option[60].hex,1,3) == 'nom'", True),
        ("substring(option[60].hex,2,all) == 'omD785'", None),
        ("substring(option[60].hex,2,all) == 'xx'", False),
        ("option[60].exists", True),
        ("not option[60].exists and option[12].exists", False),
        ("option[12].exists", None),
        ("option[12].exists or substring(pkt4.mac,0,3) == 0x000413", True),
        ("option[12].exists and substring(pkt4.mac,0,3) == 0x000414", False),
        ("pkt4.mac == 0x000413000001", None),
        ("not (substring(pkt4.mac,0,3) == 0x000413)", False),
        ("relay4[1].hex == 'x' or member('in')", True),
        ("member('out') or member('maybe')", None),
        ("hexstring(pkt4.mac, ':') == '00'", None),
        ("match('a', option[60].text)", None),
        ("what is this?", None),
        ("", None),
    ],
)
def test_tests_of_classes_are_judged(test: str, verdict: bool | None) -> None:
    assert judge(test, SNOM_SKETCH, {"in": True, "out": False}.get) is verdict


def test_a_class_for_other_phones_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "kea-dhcp4.conf"
    path.write_text(FULL)
    settings = build_intent(vendors=["snom", "yealink"], url="http://a/", global_fallback=False)
    hidden = Precedence(KeaConfiguration(str(path), "/").draft(settings, "fail").dhcp4).hidden(settings)
    by = {item.scope: [name for name in item.by if "class" in name] for item in hidden}
    # Reservations and networks are named first; the class of others is not among the rest, their own one is.
    assert by == {"vendor class snom": [], "vendor class yealink": []}
    assert {item.scope: item.by[-1] for item in hidden} == {
        "vendor class snom": "2 more",
        "vendor class yealink": "3 more",
    }
