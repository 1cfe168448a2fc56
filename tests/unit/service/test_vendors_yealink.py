# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Yealink's lines: the right settings, and nothing that a person types makes another line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from autoprovd.model import Phone, SecretClass, SecretKey
from autoprovd.vendors import VENDORS, faults_of_phone, room_of

from .vendor_phones import SECRETS, account, definition, document, faults, make, yealink_settings


def settings(model: str = "T54W", **changes: Any) -> dict[str, str]:
    return yealink_settings(document(make("yealink", model, **changes)).filled(SECRETS))


@pytest.mark.parametrize(
    ("model", "common"), [("T54W", "y000000000096.cfg"), ("T46S", "y000000000066.cfg"), ("T33P", None)]
)
def test_files_in_the_order_the_phone_asks(model: str, common: str | None) -> None:
    phone = make("yealink", model, mac="80:5E:C0:12:34:56")
    room, row = room_of(phone)
    names = ["805ec0123456.boot", "y000000000000.boot", *([common] if common else []), "805ec0123456.cfg"]
    assert list(room.file_names(phone, row)) == names
    assert [name for name, found in room.file_names(phone, row).items() if found] == ["805ec0123456.cfg"]


@pytest.mark.parametrize(("transport", "code", "port"), [("udp", 0, 5060), ("tcp", 1, 5060), ("tls", 2, 5061)])
@pytest.mark.parametrize(("srtp", "srtp_code"), [("off", 0), ("optional", 1), ("mandatory", 2)])
def test_account(transport: str, code: int, port: int, srtp: str, srtp_code: int) -> None:
    found = settings(
        accounts=[account(auth_user="auth1001", mailbox="*98", transport=transport, srtp=srtp, expires=600)]
    )
    for name, value in {
        "enable": "1",
        "label": "Anna",
        "display_name": "Anna",
        "user_name": "1001",
        "auth_name": "auth1001",
        "password": "sip-secret",
        "sip_server.1.address": "pbx.example",
        "sip_server.1.port": str(port),
        "sip_server.1.transport_type": str(code),
        "sip_server.1.expires": "600",
        "outbound_proxy_enable": "0",
        "srtp_encryption": str(srtp_code),
        "subscribe_mwi": "1",
    }.items():
        assert found[f"account.1.{name}"] == value
    assert found["voice_mail.number.1"] == "*98"
    assert [found[f"account.{line}.enable"] for line in range(2, 17)] == ["0"] * 15
    assert "account.2.user_name" not in found


def test_outbound_proxy() -> None:
    found = settings(accounts=[account(outbound_proxy="sbc.example:5070")])
    assert found["account.1.outbound_proxy_enable"] == "1"
    assert found["account.1.outbound_proxy.1.address"] == "sbc.example"
    assert found["account.1.outbound_proxy.1.port"] == "5070"
    bare = settings(accounts=[account(outbound_proxy="[2001:db8::5]")])
    assert bare["account.1.outbound_proxy.1.address"] == "2001:db8::5"
    assert "account.1.outbound_proxy.1.port" not in bare


def test_gaps() -> None:
    found = document(make("yealink", "T54W", web_user="boss"))
    locked = yealink_settings(found.locked).items()

    def with_only(secret_class: SecretClass) -> dict[str, str]:
        return dict(yealink_settings(found.filled({SecretKey(0, secret_class): "s"})).items() - locked)

    # The address of the folder that asks for credentials comes with them, never alone.
    assert with_only(SecretClass.PROVISIONING) == {
        "static.auto_provision.server.username": "000413922d24",
        "static.auto_provision.server.password": "s",
        "static.auto_provision.server.url": "http://198.18.0.2:50080/a/",
    }
    assert with_only(SecretClass.WEB) == {
        "static.security.user_name.admin": "boss",
        "static.security.user_name.user": "user",
        "static.security.user_password boss": "s",
        "static.security.user_password user": "s",
    }
    assert with_only(SecretClass.MENU) == {
        "features.xml_browser.user_name": "000413922d24",
        "features.xml_browser.pwd": "s",
    }


def test_what_is_never_written() -> None:
    # overwrite_mode and an emptied password would undo what was released before.
    found = document(make("yealink", "T54W"))
    for body in (found.locked, found.filled(SECRETS)):
        assert b"overwrite_mode" not in body
        assert not [
            line for line in body.splitlines() if b"pass" in line and line.endswith((b"=", b"= ", b"%NULL%", b":"))
        ]


def test_site_settings() -> None:
    found = settings(firmware_url="http://198.18.0.2/T54W-96.86.0.100.rom")
    assert found["static.firmware.url"] == "http://198.18.0.2/T54W-96.86.0.100.rom"
    assert "static.firmware.url" not in settings()
    assert found["static.auto_provision.repeat.enable"] == "1"
    assert found["static.auto_provision.repeat.minutes"] == "1440"
    assert (found["lang.gui"], found["lang.wui"], found["voice.tone.country"]) == ("German", "German", "Germany")
    assert (found["local_time.time_zone"], found["local_time.summer_time"]) == ("+1", "2")


def test_function_keys() -> None:
    keys = [
        {"key": 27, "type": "blf", "value": "1002", "label": "Bob"},
        {"key": 2, "type": "line"},
        {"key": 60, "module": 3, "type": "multicast_paging", "value": "224.5.6.7:10000"},
        {"key": 1, "type": "none"},
    ]
    found = settings(keys=keys)
    assert [found[f"linekey.27.{name}"] for name in ("type", "line", "value", "label")] == ["16", "1", "1002", "Bob"]
    assert [found[f"linekey.2.{name}"] for name in ("type", "value", "label")] == ["15", "%NULL%", "%NULL%"]
    assert found["expansion_module.3.key.60.type"] == "24"
    assert found["linekey.1.type"] == "0"


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("%NULL%", "stands for an empty password"),
        ("pässword", "not ASCII"),
        ('"quoted"', "quotes"),
        ("x" * 33, "33 characters, and they take 32"),
    ],
)
def test_passwords_it_cannot_carry(secret: str, reason: str) -> None:
    told = VENDORS["yealink"].secret_fault(SecretKey(0, SecretClass.WEB), secret)
    assert reason in str(told)
    assert secret == "%NULL%" or secret not in str(told)
    assert VENDORS["yealink"].secret_fault(SecretKey(0, SecretClass.WEB), "#a=b:c%NULL%") is None


@pytest.mark.parametrize("field", ["user", "auth_user", "display_name", "mailbox"])
def test_the_empty_value_as_text_is_a_fault(field: str) -> None:
    (fault,) = faults("yealink", "T54W", accounts=[account(**{field: "%NULL%"})])
    assert fault.where == f"accounts[0].{field}"
    key = {"key": 1, "type": "blf", "value": " %NULL% ", "label": "%NULL%"}
    told = faults("yealink", "T54W", keys=[key], web_user="%NULL%")
    assert {each.where for each in told} == {"keys[0].value", "keys[0].label", "web_user"}


def test_faults() -> None:
    keys = [{"key": 1, "type": "redial"}, {"key": 2, "type": "pickup"}]
    told = faults("yealink", "T54W", web_user="user", accounts=[account(line=17)], keys=keys)
    assert {fault.where for fault in told} == {"web_user", "accounts[0].line", "keys[0].type", "keys[1].value"} | {
        "keys[0]", "keys[1]",
    }  # fmt: skip


# What a person could paste, what no file could carry, and the characters between them.
ANY_TEXT = st.text(st.one_of(st.characters(codec="ascii"), st.characters()), max_size=130)
CARRIED_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=32)
SETTINGS_OF = {
    "label": {"linekey.1.label"},
    "value": {"linekey.1.value"},
    "display_name": {"account.1.display_name"},
    "password": {"account.1.password", "static.security.user_password admin"},
}


@pytest.mark.parametrize("place", SETTINGS_OF)
@given(text=st.one_of(ANY_TEXT, CARRIED_TEXT))
@example(text="a\nlinekey.2.type = 1")
@example(text="a\u2028b")
@example(text=" # a = b ")
@example(text="%NULL%")
@example(text='"')
def test_whatever_is_accepted_makes_no_other_line(place: str, text: str) -> None:
    key = {"key": 1, "type": "transfer"} | ({place: text} if place in ("label", "value") else {})
    line = account(**({place: text} if place in ("display_name", "password") else {}))
    try:
        phone = Phone.model_validate(definition("yealink", "T54W", accounts=[line], keys=[key]))
    except ValidationError:
        return
    if list(faults_of_phone(phone)):
        return
    secret = phone.given_secrets().get(SecretKey(1, SecretClass.SIP), "x")
    found = yealink_settings(document(phone).filled(dict.fromkeys(SECRETS, secret)))
    plain = document(make("yealink", "T54W", keys=[{"key": 1, "type": "transfer"}])).filled(SECRETS)
    assert list(found) == list(yealink_settings(plain))
    assert {found[name] for name in SETTINGS_OF[place]} == {text.strip() or "%NULL%"}


@given(CARRIED_TEXT.filter(lambda text: text == text.strip() and text[0] != '"' and text != "%NULL%"))
def test_ordinary_passwords_are_carried(password: str) -> None:
    assert faults("yealink", "T54W", accounts=[account(password=password)], web_password=password) == []
