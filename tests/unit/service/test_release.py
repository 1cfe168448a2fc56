# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine: who gets a secret, when, and how often."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import update

from autoprovd import audit
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.model import Audience, SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.site import Selection
from autoprovd.store import fact
from autoprovd.store.schema import secrets

from .conftest import SNOM, YEALINK, Box, snom, yealink

SIP = SecretKey(1, SecretClass.SIP)
WEB = SecretKey(0, SecretClass.WEB)
MENU = SecretKey(0, SecretClass.MENU)
PROVISIONING = SecretKey(0, SecretClass.PROVISIONING)
ALL = {SIP, WEB, MENU, PROVISIONING}

PHONE = Claimant(f"neighbour:{SNOM}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")
STRANGER = Claimant("address:198.18.0.66", Proof.ADDRESS, "198.18.0.66")
RUN = Claimant("run:1", Proof.NONE, "token ansible")


@pytest.fixture
def armed(box: Box) -> Box:
    box.site.apply_phones([snom()], False, False, "test")
    return box


def test_a_new_phone_gets_every_password_once(armed: Box) -> None:
    got = armed.release.claim(SNOM, ALL, PHONE)
    assert got == {
        SIP: "sip-secret-of-1001",
        WEB: "web-secret",
        MENU: "47114711",
        PROVISIONING: "provisioning-secret",
    }
    armed.release.confirm(SNOM, PHONE)
    assert armed.release.claim(SNOM, ALL, PHONE) == {}
    assert set(armed.states(SNOM).values()) == {"released"}


def test_the_same_claimant_may_repeat_until_it_is_confirmed(armed: Box) -> None:
    first = armed.release.claim(SNOM, ALL, PHONE)
    armed.clock.pass_time(300)
    assert armed.release.claim(SNOM, ALL, PHONE) == first
    assert armed.events().count("released") == 4
    assert armed.events().count("repeated") == 4


def test_the_window_ends_also_for_the_same_claimant(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.clock.pass_time(601)
    assert armed.release.claim(SNOM, ALL, PHONE) == {}
    assert set(armed.states(SNOM).values()) == {"released"}


def test_sip_and_menu_expire_unclaimed_and_web_does_not(armed: Box) -> None:
    armed.clock.pass_time(601)
    assert armed.states(SNOM) == {"sip 1": "expired", "menu 0": "expired", "web 0": "armed", "provisioning 0": "armed"}
    assert set(armed.release.claim(SNOM, ALL, PHONE)) == {WEB, PROVISIONING}


def test_a_window_that_starts_at_the_first_request_waits_for_days(box: Box) -> None:
    box.site.apply_settings({"release": {"window_starts": "first_request"}}, False, "test")
    box.site.apply_phones([snom()], False, False, "test")
    box.clock.pass_time(86400 * 5)
    assert set(box.release.claim(SNOM, ALL, PHONE)) == ALL
    box.clock.pass_time(601)
    assert box.release.claim(SNOM, ALL, PHONE) == {}


def test_strict_answers_once(box: Box) -> None:
    box.site.apply_settings({"release": {"strict": True}}, False, "test")
    box.site.apply_phones([snom()], False, False, "test")
    assert set(box.release.claim(SNOM, ALL, PHONE)) == ALL
    assert box.release.claim(SNOM, ALL, PHONE) == {}
    assert {grant["because"] for grant in box.overview.why(SNOM)["grants"]} == {
        "released to 198.18.0.20; arm it to release it again"
    }


def test_another_claimant_inside_the_window_is_refused_and_stops_everything(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    assert armed.release.claim(SNOM, ALL, STRANGER) == {}
    assert set(armed.states(SNOM).values()) == {"suspect"}
    assert armed.release.claim(SNOM, ALL, PHONE) == {}, "who came first may have been the thief"
    assert armed.overview.phone(SNOM)["suspicious"]


def test_a_stranger_after_the_release_is_an_event(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.release.confirm(SNOM, PHONE)
    assert armed.release.claim(SNOM, ALL, STRANGER) == {}
    assert "suspect" in armed.events()


def test_the_phone_itself_at_a_new_address_is_no_event(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.clock.pass_time(86400)
    moved = Claimant(f"neighbour:{SNOM}@198.18.0.99", Proof.NEIGHBOUR, "198.18.0.99")
    assert armed.release.claim(SNOM, ALL, moved) == {}
    assert set(armed.states(SNOM).values()) == {"released"}


def test_without_enough_proof_nothing_leaves_and_the_phone_is_not_locked_out(armed: Box) -> None:
    contradicted = Claimant("neighbour:aabbccddeeff@198.18.0.66", Proof.NONE, "198.18.0.66")
    assert armed.release.claim(SNOM, ALL, contradicted) == {}
    assert "refused" in armed.events()
    assert set(armed.release.claim(SNOM, ALL, PHONE)) == ALL


def test_refusals_do_not_fill_the_audit_log(armed: Box) -> None:
    contradicted = Claimant("neighbour:aabbccddeeff@198.18.0.66", Proof.NONE, "198.18.0.66")
    for _ in range(50):
        armed.release.claim(SNOM, ALL, contradicted)
    assert armed.events().count("refused") == 1


def test_rearming_starts_a_new_generation(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.release.confirm(SNOM, PHONE)
    listed, _ = armed.site.arm([Selection(SNOM, secret_classes=frozenset({SecretClass.SIP}))], False, False, "anna")
    assert [(grant["secret_class"], grant["state"]) for grant in listed] == [("sip", "armed")]
    assert armed.release.claim(SNOM, ALL, PHONE) == {SIP: "sip-secret-of-1001"}
    generations = {g["secret_class"]: g["generation"] for g in armed.overview.phone(SNOM)["grants"]}
    assert generations == {"sip": 2, "menu": 1, "web": 1, "provisioning": 1}


def test_arming_what_waits_changes_nothing(armed: Box) -> None:
    assert armed.site.arm([Selection(SNOM)], False, False, "anna")[0] == []


def test_a_new_password_replaces_the_old_one_and_is_told_to_the_pbx(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.site.arm([Selection(SNOM, secret_classes=frozenset({SecretClass.SIP}))], True, False, "anna")
    new = armed.release.claim(SNOM, {SIP}, PHONE)[SIP]
    assert new != "sip-secret-of-1001"
    assert armed.lending.claim([(SNOM, SIP)], RUN, 300).secrets == {(SNOM, SIP): new}


def test_revoked_is_closed_until_armed(armed: Box) -> None:
    armed.site.revoke([Selection(SNOM)], False, "anna")
    assert armed.release.claim(SNOM, ALL, PHONE) == {}
    armed.site.arm([Selection(SNOM)], False, False, "anna")
    assert set(armed.release.claim(SNOM, ALL, PHONE)) == ALL


def test_a_removed_phone_that_returns_counts_its_generations_on(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.site.remove_phone(SNOM, "anna")
    armed.site.apply_phones([snom()], False, False, "test")
    assert set(armed.release.claim(SNOM, ALL, PHONE)) == ALL
    assert {g["generation"] for g in armed.overview.phone(SNOM)["grants"]} == {2}


def test_a_new_password_of_a_returned_phone_is_told_to_the_pbx(armed: Box) -> None:
    for _time in range(2):
        armed.site.arm([Selection(SNOM)], True, False, "anna")
        new = armed.release.claim(SNOM, {SIP}, PHONE)[SIP]
        assert armed.lending.claim([(SNOM, SIP)], RUN, 300).secrets == {(SNOM, SIP): new}
        armed.site.remove_phone(SNOM, "anna")
        armed.site.apply_phones([snom()], False, False, "test")


# -- the clock --------------------------------------------------------------------------------------------------------


def test_a_clock_set_back_does_not_open_a_closed_window(armed: Box) -> None:
    armed.clock.pass_time(601)
    armed.release.claim(SNOM, {SIP}, PHONE)
    armed.clock.now -= 3600
    assert armed.release.claim(SNOM, {SIP}, PHONE) == {}


def test_a_clock_set_back_in_an_open_window_does_not_lengthen_it(armed: Box) -> None:
    armed.clock.now -= 3600
    armed.clock.pass_time(601)
    assert armed.release.claim(SNOM, {SIP}, PHONE) == {}


def test_a_clock_that_jumps_ahead_closes_the_window(armed: Box) -> None:
    armed.clock.now += 86400
    assert armed.release.claim(SNOM, {SIP}, PHONE) == {}


def test_a_reboot_with_a_good_clock_keeps_the_window(armed: Box) -> None:
    armed.clock.reboot(armed.clock.now + 60)
    assert armed.release.claim(SNOM, {SIP}, PHONE) == {SIP: "sip-secret-of-1001"}


@pytest.mark.parametrize(("passed", "back"), [(601, 300), (300, 100)])
def test_a_reboot_with_a_clock_from_before_finds_the_time_written_down(armed: Box, passed: float, back: float) -> None:
    """Nobody asked in the meantime, and the clock comes back later than the arming."""
    armed.clock.pass_time(passed)
    armed.release.tick()
    armed.clock.reboot(armed.clock.now - back)
    assert armed.release.claim(SNOM, {SIP, MENU}, PHONE) == {}
    assert armed.states(SNOM)["sip 1"] == "expired"


def test_what_is_over_is_not_repeated_after_a_reboot(armed: Box) -> None:
    armed.release.claim(SNOM, {SIP}, PHONE)
    armed.clock.pass_time(3600)
    armed.release.tick()
    armed.clock.reboot(armed.clock.now - 3500)
    assert armed.release.claim(SNOM, {SIP}, PHONE) == {}
    assert armed.states(SNOM)["sip 1"] == "released"


def test_the_time_is_written_down_only_while_a_window_runs(armed: Box) -> None:
    with armed.store.read() as connection:
        before = fact(connection, "high_water")
    armed.clock.pass_time(10)
    armed.release.tick()
    with armed.store.read() as connection:
        during = fact(connection, "high_water")
    assert during != before
    armed.site.remove_phone(SNOM, "test")
    armed.clock.pass_time(10)
    armed.release.tick()
    with armed.store.read() as connection:
        assert fact(connection, "high_water") == during


def test_a_reboot_that_lost_the_clock_closes_the_window(armed: Box) -> None:
    armed.clock.reboot(0.0)
    assert armed.release.claim(SNOM, {SIP}, PHONE) == {}


# -- together ---------------------------------------------------------------------------------------------------------


def test_of_many_claimants_at_once_one_wins(armed: Box) -> None:
    claimants = [Claimant(f"address:198.18.1.{n}", Proof.ADDRESS, f"198.18.1.{n}") for n in range(16)]
    results: list[dict[SecretKey, str]] = []
    threads = [
        threading.Thread(target=lambda who=who: results.append(armed.release.claim(SNOM, {SIP}, who)))
        for who in claimants
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(bool(result) for result in results) == 1
    assert len(results) == 16


def test_the_database_itself_refuses_a_second_release_of_a_generation(armed: Box) -> None:
    armed.release.claim(SNOM, {SIP}, PHONE)
    event = audit.Event("released", "a fault", SNOM, 1, "sip", "phone", 1)
    with pytest.raises(Refused), armed.store.write() as connection:
        audit.append(connection, armed.keyring.audit_key, armed.clock.now, [event])


def test_a_secret_moved_to_another_place_does_not_open(box: Box) -> None:
    box.site.apply_phones([snom(), yealink()], False, False, "test")
    with box.store.write() as connection:
        stolen = connection.execute(secrets.select().where(secrets.c.mac == SNOM, secrets.c.line == 1)).one()
        connection.execute(
            update(secrets).where(secrets.c.mac == YEALINK, secrets.c.line == 1).values(box=stolen.box, version=1)
        )
    claimant = Claimant(f"neighbour:{YEALINK}@198.18.0.21", Proof.NEIGHBOUR, "198.18.0.21")
    with pytest.raises(Refused, match="altered or moved"):
        box.release.claim(YEALINK, {SIP}, claimant)


def test_no_secret_is_in_the_database(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    stored = armed.stored()
    for secret in (b"sip-secret-of-1001", b"web-secret", b"provisioning-secret"):
        assert secret not in stored
    assert b"1001" in stored, "the file that was searched is the one in use"
    assert Audience.PHONE.value.encode() in stored
