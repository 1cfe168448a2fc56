# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shredding: what was released for good is gone from the database and its files, and what is still needed is not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from sqlalchemy import select, update

from autoprovd import audit
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.model import Audience, SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.site import Selection
from autoprovd.store.schema import grants, secrets

from .conftest import ON_POSTGRESQL, SNOM, YEALINK, Box, snom, yealink

SIP = SecretKey(1, SecretClass.SIP)
WEB = SecretKey(0, SecretClass.WEB)
MENU = SecretKey(0, SecretClass.MENU)
PROVISIONING = SecretKey(0, SecretClass.PROVISIONING)
ALL = {SIP, WEB, MENU, PROVISIONING}
PHONE = Claimant(f"neighbour:{SNOM}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")
OTHER = Claimant(f"neighbour:{YEALINK}@198.18.0.21", Proof.NEIGHBOUR, "198.18.0.21")
RUN = Claimant("run:1", Proof.NONE, "token ansible")


def wants_shredding(box: Box) -> None:
    with box.store.write() as connection:
        connection.execute(update(grants).values(shred=True))


def boxes(box: Box, mac: str = SNOM) -> dict[str, bytes]:
    with box.store.read() as connection:
        return {row.secret_class: row.box for row in connection.execute(select(secrets).where(secrets.c.mac == mac))}


def shredded(box: Box, mac: str = SNOM) -> set[str]:
    return {secret_class for secret_class, sealed in boxes(box, mac).items() if not sealed}


def in_the_files(box: Box, sealed: Collection[bytes]) -> int:
    """How many of these ciphertexts stand in any file of the database."""
    # PostgreSQL's files are the server's: what a VACUUM leaves there is not for this test to see.
    files = box.database.parent.glob("autoprov.sqlite*")
    content = box.stored() if ON_POSTGRESQL else b"".join(path.read_bytes() for path in files)
    assert b"1001" in content, "the files that were searched are those in use"
    return sum(text[12:] in content for text in sealed)


def tidy(box: Box) -> int:
    return box.release.shred(box.url)


@pytest.fixture
def armed(box: Box) -> Box:
    box.site.apply_phones([snom()], False, False, "test")
    wants_shredding(box)
    return box


@pytest.fixture
def strict(box: Box) -> Box:
    box.site.apply_settings({"release": {"strict": True}}, False, "test")
    box.site.apply_phones([snom()], False, False, "test")
    wants_shredding(box)
    return box


def test_once_means_gone_with_the_release(strict: Box) -> None:
    sealed = boxes(strict)
    tidy(strict)
    assert in_the_files(strict, sealed.values()) == 4
    assert strict.release.claim(SNOM, ALL, PHONE)[SIP] == "sip-secret-of-1001"
    assert shredded(strict) == {"sip", "menu", "web"}, "provisioning credentials are compared with for good"
    if not ON_POSTGRESQL:
        assert in_the_files(strict, sealed.values()) > 1, "the write-ahead log still has them"
    tidy(strict)
    assert in_the_files(strict, sealed.values()) == 1
    assert strict.events().count("shredded") == 3
    with strict.store.read() as connection:
        assert audit.verify(connection, strict.keyring.audit_key).ok


def test_a_window_means_gone_when_it_is_confirmed(armed: Box) -> None:
    assert set(armed.release.claim(SNOM, ALL, PHONE)) == ALL
    assert set(armed.release.claim(SNOM, ALL, PHONE)) == ALL
    tidy(armed)
    assert shredded(armed) == set()
    armed.release.confirm(SNOM, PHONE)
    assert shredded(armed) == {"sip", "menu", "web"}
    assert armed.release.claim(SNOM, ALL, PHONE) == {}
    assert armed.release.verifier(SNOM, SecretClass.PROVISIONING) == "provisioning-secret"


def test_a_window_means_gone_when_it_is_over(armed: Box) -> None:
    sealed = boxes(armed)
    armed.release.claim(SNOM, ALL, PHONE)
    armed.clock.pass_time(601)
    assert tidy(armed) == 3
    assert tidy(armed) == 0
    assert in_the_files(armed, sealed.values()) == 1


def test_what_was_not_released_stays(armed: Box) -> None:
    armed.release.claim(SNOM, {SIP}, PHONE)
    armed.clock.pass_time(601)
    tidy(armed)
    assert shredded(armed) == {"sip"}
    assert armed.states(SNOM) == {"sip 1": "released", "menu 0": "expired", "web 0": "armed", "provisioning 0": "armed"}
    assert armed.release.claim(SNOM, {WEB}, PHONE) == {WEB: "web-secret"}


def test_what_a_theft_had_replaced_stays(box: Box) -> None:
    """The PBX was told the new password, and the phone was not; the one that was released is gone anyway."""
    box.site.apply_settings({"release": {"rules": [{"on_theft": "rekey"}]}}, False, "test")
    box.site.apply_phones([yealink()], False, False, "test")
    wants_shredding(box)
    box.release.claim(YEALINK, {SIP}, OTHER)
    old = boxes(box, YEALINK)["sip"]
    box.release.claim(YEALINK, {SIP}, Claimant("address:198.18.0.66", Proof.ADDRESS, "198.18.0.66"))
    assert box.states(YEALINK)["sip 1"] == "suspect"
    told = box.lending.claim([(YEALINK, SIP)], RUN, 60).secrets[YEALINK, SIP]
    box.clock.pass_time(700)
    tidy(box)
    assert boxes(box, YEALINK)["sip"] not in (b"", old)
    box.site.arm([Selection(YEALINK, secret_classes=frozenset({SecretClass.SIP}))], False, False, "anna")
    assert box.release.claim(YEALINK, {SIP}, OTHER) == {SIP: told}


def test_a_rule_of_release_is_enough(box: Box) -> None:
    box.site.apply_settings(
        {"release": {"rules": [{"shred": True, "mode": "once", "secret_class": "web"}]}}, False, "test"
    )
    box.site.apply_phones([snom()], False, False, "test")
    box.release.claim(SNOM, ALL, PHONE)
    box.release.confirm(SNOM, PHONE)
    assert shredded(box) == {"web"}


def test_what_was_sealed_before_anybody_asked_is_armed_as_it_is(box: Box) -> None:
    """A database that came back seals what waits; the PBX was not told yet."""
    box.site.apply_phones([yealink()], False, False, "test")
    wants_shredding(box)
    told = box.release.claim(YEALINK, {SIP}, OTHER)
    box.release.confirm(YEALINK, OTHER)
    with box.store.write() as connection:
        box.release.seal_all(connection, box.store.moment(connection), "test")
    tidy(box)
    box.site.arm([Selection(YEALINK, Audience.CONTROLLER, 1)], False, False, "anna")
    assert box.lending.claim([(YEALINK, SIP)], RUN, 60).secrets == {(YEALINK, SIP): told[SIP]}


def test_where_nobody_wants_it_nothing_is_destroyed(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    box.release.claim(SNOM, ALL, PHONE)
    box.release.confirm(SNOM, PHONE)
    assert tidy(box) == 0
    assert shredded(box) == set()


def test_the_pbx_is_told_first(box: Box) -> None:
    box.site.apply_phones([yealink()], False, False, "test")
    wants_shredding(box)
    told = box.release.claim(YEALINK, ALL, OTHER)
    box.release.confirm(YEALINK, OTHER)
    assert "sip" not in shredded(box, YEALINK)
    assert "web" in shredded(box, YEALINK)
    assert box.lending.claim([(YEALINK, SIP)], RUN, 60).secrets == {(YEALINK, SIP): told[SIP]}
    tidy(box)
    assert "sip" not in shredded(box, YEALINK), "the run may ask again in its lease"
    box.clock.pass_time(61)
    tidy(box)
    assert "sip" in shredded(box, YEALINK)


def test_a_released_secret_is_destroyed_although_a_stranger_asked(armed: Box) -> None:
    armed.release.claim(SNOM, ALL, PHONE)
    armed.release.claim(SNOM, ALL, Claimant("address:198.18.0.66", Proof.ADDRESS, "198.18.0.66"))
    assert set(armed.states(SNOM).values()) == {"suspect"}
    tidy(armed)
    assert shredded(armed) == {"sip", "menu", "web"}


def test_what_is_gone_is_armed_with_a_new_password_only(strict: Box) -> None:
    strict.release.claim(SNOM, ALL, PHONE)
    for dry_run in (True, False):
        with pytest.raises(Refused, match="--new-password") as refusal:
            strict.site.arm([Selection(SNOM)], False, dry_run, "anna")
        assert [fault.where for fault in refusal.value.faults] == [f"{SNOM}/{w}" for w in ("0 menu", "0 web", "1 sip")]
    strict.site.arm([Selection(SNOM, secret_classes=frozenset({SecretClass.PROVISIONING}))], False, False, "anna")
    strict.site.arm([Selection(SNOM)], True, False, "anna")
    got = strict.release.claim(SNOM, ALL, PHONE)
    assert set(got) == ALL
    assert got[SIP] != "sip-secret-of-1001"
    controller = [g["state"] for g in strict.overview.phone(SNOM)["grants"] if g["audience"] == Audience.CONTROLLER]
    assert controller == ["armed"]


@pytest.mark.parametrize("known", [True, False])
def test_the_phone_list_knows_a_destroyed_password_again(
    strict: Box, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the entry differs otherwise, or a newer program looks at it: nothing is released anew for it."""
    strict.release.claim(SNOM, ALL, PHONE)
    monkeypatch.setattr("autoprovd.planning.__version__", "next")
    assert not strict.site.apply_phones([snom()], False, False, "test").changed
    if not known:
        with strict.store.write() as connection:
            connection.execute(update(secrets).values(fingerprint=None))
    assert strict.site.apply_phones([snom(name="Door")], False, False, "test").changed
    states = strict.states(SNOM)
    assert ("armed" in states.values()) is not known, "what cannot be compared counts as new"


def test_a_new_password_in_the_list_is_a_new_one(strict: Box) -> None:
    strict.release.claim(SNOM, ALL, PHONE)
    strict.site.apply_phones([snom(web_password="another")], False, False, "test")
    assert shredded(strict) == {"sip", "menu"}
    assert strict.release.claim(SNOM, ALL, PHONE) == {WEB: "another"}


def test_a_broken_off_clean_up_is_made_up_for(strict: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = boxes(strict)
    strict.release.claim(SNOM, ALL, PHONE)
    with strict.store.read() as reader:
        reader.execute(select(secrets)).all()
        monkeypatch.setattr("autoprovd.shredding._BUSY_SECONDS", 0.1)
        tidy(strict)  # a reader still needs the log
    tidy(strict)
    assert in_the_files(strict, sealed.values()) == 1


def test_destroying_costs_no_key(strict: Box) -> None:
    strict.release.claim(SNOM, ALL, PHONE)
    (status,) = strict.keys.status()
    assert status.secrets == 1


def test_many_phones(box: Box) -> None:
    box.site.apply_settings({"release": {"strict": True}}, False, "test")
    macs = [f"00041390{number:04x}" for number in range(120)]
    listed: list[dict[str, Any]] = [snom(mac=mac) for mac in macs]
    box.site.apply_phones(listed, False, False, "test")
    wants_shredding(box)
    sealed = [sealed for mac in macs for name, sealed in boxes(box, mac).items() if name != "provisioning"]
    for mac in macs:
        box.release.claim(mac, ALL, Claimant(f"neighbour:{mac}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20"))
    tidy(box)
    assert in_the_files(box, sealed) == 0
