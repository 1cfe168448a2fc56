# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written: plan, difference, apply; and what a phone list must not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autoprovd.faults import Refused
from autoprovd.model import Settings

from .conftest import SNOM, YEALINK, Box, snom, yealink


def apply(box: Box, *phones: dict[str, Any], purge: bool = False, dry_run: bool = False) -> Any:
    return box.site.apply_phones(list(phones), purge, dry_run, "test")


def test_the_second_time_changes_nothing(box: Box) -> None:
    first = apply(box, snom(), yealink())
    assert sorted(first.created) == [SNOM, YEALINK]
    rows = len(box.events())
    again = apply(box, snom(), yealink())
    assert not again.changed
    assert again.unchanged == 2
    assert len(box.events()) == rows


def test_a_dry_run_tells_the_same_and_writes_nothing(box: Box) -> None:
    told = apply(box, snom(), dry_run=True)
    assert box.overview.phones() == []
    done = apply(box, snom())
    assert (told.created, told.difference) == (done.created, done.difference)


def test_the_difference_holds_no_secret(box: Box) -> None:
    first = apply(box, snom())
    second = apply(box, snom(web_password="another-web-secret", name="Door"))
    told = json.dumps(
        [first.difference.before, first.difference.after, second.difference.before, second.difference.after]
    )
    for secret in ("sip-secret-of-1001", "web-secret", "another-web-secret", "47114711"):
        assert secret not in told
    assert "********" in told
    assert "Door" in second.difference.after
    assert "Reception" in second.difference.before


def test_a_given_password_that_changes_arms_the_phone_again(box: Box) -> None:
    apply(box, snom())
    from autoprovd.grants import Claimant
    from autoprovd.policy import Proof

    phone = Claimant("x", Proof.NEIGHBOUR, "198.18.0.20")
    file = box.directory.load(SNOM).files  # type: ignore[union-attr]
    gaps = next(f for f in file.values() if f is not None and f.gaps).gaps
    box.release.claim(SNOM, gaps, phone)
    box.release.confirm(SNOM, phone)
    result = apply(box, snom(web_password="another-web-secret"))
    assert result.updated == [SNOM]
    assert box.states(SNOM) == {
        "sip 1": "released",
        "menu 0": "released",
        "web 0": "armed",
        "provisioning 0": "released",
    }


def test_a_missing_password_is_generated_once_and_armed_for_the_controller(box: Box) -> None:
    apply(box, yealink(), snom())
    assert box.states(YEALINK, "controller") == {"sip 1": "armed"}
    assert box.states(SNOM, "controller") == {}, "a given password came from the PBX"
    assert not apply(box, yealink(), snom()).changed


def test_a_dropped_account_takes_its_secret_along(box: Box) -> None:
    two = [{"line": n, "user": f"100{n}", "registrar": "pbx.example"} for n in (1, 2)]
    apply(box, yealink(accounts=two))
    apply(box, yealink(accounts=two[:1]))
    assert "sip 2" not in box.states(YEALINK)


def test_purge_removes_what_is_not_listed(box: Box) -> None:
    apply(box, snom(), yealink())
    assert not apply(box, snom()).changed
    assert apply(box, snom(), purge=True).removed == [YEALINK]
    assert [phone["mac"] for phone in box.overview.phones()] == [SNOM]


def test_all_faults_at_once_and_nothing_half_applied(box: Box) -> None:
    with pytest.raises(Refused) as refusal:
        apply(
            box,
            snom(mac="00:04:13:96:D9"),
            snom(model="D786"),
            snom(mac="00:04:13:00:00:01", keys=[{"key": 99, "type": "blf", "value": "1"}]),
            yealink(),
            yealink(mac="805E0C4D796D"),
            snom(mac="00:04:13:00:00:02", colour="red"),
            snom(mac="00:04:13:00:00:03", web_password="a\nb"),
            snom(mac="00:04:13:00:00:04", accounts=[{"line": 1, "user": "1", "registrar": "x y"}]),
        )
    told = [str(fault) for fault in refusal.value.faults]
    for expected in (
        "'00:04:13:96:D9' is not a MAC address",
        "did you mean D7",
        "key 99",
        "stands in the list twice, first as phones[3]",
        "colour: is not a known field",
        "web_password: holds a control character",
        "'x y' is not a host name",
    ):
        assert any(expected in line for line in told), (expected, told)
    assert all("a\nb" not in line for line in told)
    assert box.overview.phones() == []


def test_settings_render_every_phone_anew(box: Box) -> None:
    apply(box, snom())
    before = box.directory.load(SNOM)
    changed, difference, settings = box.site.apply_settings({"public_host": "prov.example"}, False, "test")
    assert changed
    assert settings.folder_url() == "http://prov.example:50080/"
    assert '"prov.example"' in difference.after
    after = box.directory.load(SNOM)
    assert before is not None
    assert after is not None
    assert box.site.apply_settings({"public_host": "prov.example"}, False, "test")[0] is False


def test_wrong_settings_are_refused_whole(box: Box) -> None:
    with pytest.raises(Refused) as refusal:
        box.site.apply_settings({"public_host": "a b", "release": {"window_seconds": 1}, "color": 1}, False, "test")
    assert len(refusal.value.faults) == 3
    assert box.site.settings() == Settings()


def test_an_upgrade_renders_once(box: Box) -> None:
    apply(box, snom())
    assert box.site.render_after_upgrade() == 1
    assert box.site.render_after_upgrade() == 0


@pytest.mark.usefixtures("sqlite_only")
def test_a_read_only_database_refuses_and_keeps_what_was(box: Box) -> None:
    apply(box, snom())
    box.pragma("query_only = ON")
    with pytest.raises(Refused, match="read-only"):
        apply(box, yealink())
    assert [phone["mac"] for phone in box.overview.phones()] == [SNOM]
