# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows when someone else asks: a report, or everything is shut, or the passwords are replaced too."""

from __future__ import annotations

import json

import pytest

from autoprovd import audit
from autoprovd.grants import Claimant
from autoprovd.model import SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.site import Selection
from autoprovd.store.schema import secrets

from .conftest import SNOM, YEALINK, Box, snom, yealink
from .test_release import ALL, MENU, PHONE, PROVISIONING, RUN, SIP, STRANGER, WEB

OWNER = Claimant(f"neighbour:{YEALINK}@198.18.0.21", Proof.NEIGHBOUR, "198.18.0.21")
SIP_2 = SecretKey(2, SecretClass.SIP)


def policy(box: Box, *rules: dict[str, str]) -> None:
    box.site.apply_settings({"release": {"rules": rules}}, False, "test")


def rows(box: Box, event: str) -> list[dict[str, object]]:
    with box.store.read() as connection:
        return [row for row in audit.page(connection, 0, 10_000) if row["event"] == event]


def versions(box: Box, mac: str) -> dict[SecretKey, int]:
    with box.store.read() as connection:
        found = connection.execute(secrets.select().where(secrets.c.mac == mac)).all()
    return {SecretKey(row.line, SecretClass(row.secret_class)): row.version for row in found}


def test_report_only_shuts_what_was_asked_for(box: Box) -> None:
    box.site.apply_phones([yealink()], False, False, "test")
    box.release.claim(YEALINK, {SIP}, OWNER)
    assert box.release.claim(YEALINK, {SIP}, STRANGER) == {}
    assert box.states(YEALINK) == {"sip 1": "suspect", "menu 0": "armed", "web 0": "armed", "provisioning 0": "armed"}
    assert versions(box, YEALINK)[SIP] == 1


def test_revoke_shuts_everything_of_the_phone_in_one_transaction(box: Box) -> None:
    policy(box, {"on_theft": "revoke"})
    box.site.apply_phones([yealink(), snom()], False, False, "test")
    box.release.claim(YEALINK, {SIP, WEB}, OWNER)
    assert box.release.claim(YEALINK, {SIP}, STRANGER) == {}
    assert box.states(YEALINK) == {
        "sip 1": "suspect", "web 0": "revoked", "menu 0": "revoked", "provisioning 0": "revoked",
    }  # fmt: skip
    assert box.release.claim(YEALINK, ALL, OWNER) == {}
    assert box.states(YEALINK, "controller") == {"sip 1": "armed"}, "the PBX is no phone"
    assert set(box.states(SNOM).values()) == {"armed"}, "nor is another phone concerned"
    assert versions(box, YEALINK)[SIP] == 1
    assert {(row["actor"], row["secret_class"], row["detail"]["because"]) for row in rows(box, "revoked")} == {  # type: ignore[index]
        ("policy", name, "theft") for name in ("web", "menu", "provisioning")
    }
    assert rows(box, "suspect")[0]["detail"] == {"from": "198.18.0.66", "on_theft": "revoke"}
    assert "because of a theft" in str(box.overview.why(YEALINK)["grants"])
    box.site.arm([Selection(YEALINK)], False, False, "anna")
    assert set(box.release.claim(YEALINK, ALL, OWNER)) == set(ALL)


def test_a_thief_takes_nothing_else_in_passing(box: Box) -> None:
    """What was armed again meanwhile is shut before the thief's own request is looked at."""
    for reaction in ("revoke", "rekey"):
        policy(box, {"on_theft": reaction})
        box.site.apply_phones([yealink()], False, False, "test")
        box.release.claim(YEALINK, ALL, OWNER)
        box.release.confirm(YEALINK, OWNER)
        box.site.arm([Selection(YEALINK, secret_classes=frozenset({SecretClass.MENU}))], False, False, "anna")
        assert box.release.claim(YEALINK, ALL, STRANGER) == {}
        assert box.states(YEALINK)["menu 0"] == "revoked"
        box.site.remove_phone(YEALINK, "test")


def test_rekey_replaces_what_was_generated_and_tells_the_pbx(box: Box) -> None:
    policy(box, {"on_theft": "rekey"})
    box.site.apply_phones([yealink()], False, False, "test")
    first = box.release.claim(YEALINK, ALL, OWNER)
    assert box.lending.claim([(YEALINK, SIP)], RUN, 300).secrets[YEALINK, SIP] == first[SIP]
    assert box.release.claim(YEALINK, ALL, STRANGER) == {}
    assert versions(box, YEALINK) == {SIP: 2, WEB: 2, MENU: 2, PROVISIONING: 2}
    assert set(box.states(YEALINK).values()) == {"suspect"}
    assert box.release.claim(YEALINK, ALL, OWNER) == {}
    assert box.release.claim(YEALINK, ALL, STRANGER) == {}
    assert versions(box, YEALINK)[SIP] == 2, "once a theft"

    another_run = RUN._replace(identity="run:2")
    told = box.lending.claim([(YEALINK, SIP)], another_run, 300).secrets[YEALINK, SIP]
    assert told != first[SIP]
    box.site.arm([Selection(YEALINK)], False, False, "anna")
    second = box.release.claim(YEALINK, ALL, OWNER)
    assert second[SIP] == told
    assert all(second[key] != first[key] for key in ALL)

    with box.store.read() as connection:
        assert audit.verify(connection, box.keyring.audit_key).ok
        text = json.dumps(audit.page(connection, 0, 10_000))
    assert not any(secret in text for secret in [*first.values(), *second.values()])
    assert [row["actor"] for row in rows(box, "rekeyed")] == ["policy"] * 4


def test_rekey_leaves_what_was_given_and_says_so(box: Box) -> None:
    policy(box, {"on_theft": "rekey"})
    generated = {"line": 2, "user": "1009", "registrar": "198.18.0.5"}
    box.site.apply_phones([snom(accounts=[*snom()["accounts"], generated])], False, False, "test")
    first = box.release.claim(SNOM, {*ALL, SIP_2}, PHONE)
    box.release.claim(SNOM, {*ALL, SIP_2}, STRANGER)
    assert versions(box, SNOM) == {SIP: 1, SIP_2: 2, WEB: 1, MENU: 1, PROVISIONING: 1}
    assert box.states(SNOM, "controller") == {"sip 2": "armed"}
    told = {(row["line"], row["secret_class"]): row["detail"] for row in rows(box, "rekeyed")}
    assert "given, not generated here" in told[1, "sip"]["result"]  # type: ignore[index]
    assert told[2, "sip"] == {"version": 2}
    advice = " ".join(box.overview.why(SNOM)["advice"])
    assert "could not be replaced: menu, provisioning, web, sip 1" in advice
    assert "tells the PBX" in advice
    box.site.arm([Selection(SNOM)], False, False, "anna")
    second = box.release.claim(SNOM, {SIP, SIP_2}, PHONE)
    assert second[SIP] == first[SIP]
    assert second[SIP_2] != first[SIP_2]


def test_a_given_password_that_was_renewed_here_is_ours_and_given_again_is_not(box: Box) -> None:
    policy(box, {"on_theft": "rekey"})
    box.site.apply_phones([snom()], False, False, "test")
    box.site.arm([Selection(SNOM, secret_classes=frozenset({SecretClass.SIP}))], True, False, "anna")
    box.release.claim(SNOM, {SIP}, PHONE)
    box.release.claim(SNOM, {SIP}, STRANGER)
    assert versions(box, SNOM)[SIP] == 3
    box.site.apply_phones([snom()], False, False, "test")  # the list has its password again
    assert box.release.claim(SNOM, {SIP}, PHONE) == {SIP: "sip-secret-of-1001"}
    box.release.claim(SNOM, {SIP}, STRANGER)
    assert versions(box, SNOM)[SIP] == 4


def test_each_secret_reacts_as_its_own_policy_says(box: Box) -> None:
    policy(box, {"on_theft": "report"}, {"secret_class": "sip", "on_theft": "rekey"})
    box.site.apply_phones([yealink()], False, False, "test")
    box.release.claim(YEALINK, {SIP, WEB}, OWNER)
    box.release.claim(YEALINK, {SIP, WEB}, STRANGER)
    assert versions(box, YEALINK) == {SIP: 2, WEB: 1, MENU: 1, PROVISIONING: 1}
    assert box.states(YEALINK) == {
        "sip 1": "suspect", "web 0": "suspect", "menu 0": "revoked", "provisioning 0": "revoked",
    }  # fmt: skip


@pytest.mark.parametrize("reaction", ["revoke", "rekey"])
def test_the_wrong_network_is_a_refusal_and_no_theft_until_something_was_released(box: Box, reaction: str) -> None:
    policy(box, {"proof": "network", "networks": ["198.18.0.16/28"], "on_theft": reaction})  # type: ignore[dict-item]
    box.site.apply_phones([yealink()], False, False, "test")
    assert box.release.claim(YEALINK, ALL, STRANGER) == {}
    assert set(box.states(YEALINK).values()) == {"armed"}
    assert box.events().count("refused") == 1
    assert set(box.release.claim(YEALINK, ALL, OWNER)) == set(ALL)
    assert box.release.claim(YEALINK, ALL, STRANGER) == {}
    assert set(box.states(YEALINK).values()) == {"suspect"}


def test_a_claimant_with_the_phones_credentials_is_no_thief(box: Box) -> None:
    policy(box, {"on_theft": "rekey"})
    box.site.apply_phones([yealink()], False, False, "test")
    box.release.claim(YEALINK, ALL, OWNER)
    moved = Claimant(f"credentials:{YEALINK}", Proof.CREDENTIALS, "203.0.113.9")
    assert box.release.claim(YEALINK, ALL, moved) == {}
    assert "suspect" not in box.events()
    assert versions(box, YEALINK)[SIP] == 1
