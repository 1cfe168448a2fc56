# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snom's settings, and those of the phones it builds for Gigaset."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprovd.model import SecretClass, SecretKey, Settings
from autoprovd.vendors import VENDORS, room_of
from autoprovd.vendors.base import NOTHING

from .vendor_phones import SECRETS, SITE, account, document, faults, make, snom_keys, snom_settings, xml

BUILT_BY_SNOM = [("snom", "D785"), ("snom", "D865"), ("gigaset", "P710"), ("gigaset", "P820")]


def settings(model: str = "D785", vendor: str = "snom", **changes: Any) -> dict[tuple[str, str | None], str]:
    return snom_settings(document(make(vendor, model, **changes)).filled(SECRETS))


def test_files_in_the_order_the_phone_asks() -> None:
    phone = make("snom", "D785")
    room, model = room_of(phone)
    assert list(room.file_names(phone, model).items()) == [
        ("snomD785.htm", "empty"),
        ("snomD785-000413922D24.htm", "settings"),
        ("000413922D24.xml", "settings"),
    ]
    empty = room.documents(phone, model, SITE, NOTHING)[0]
    assert (empty.name, empty.gaps, empty.media_type) == ("empty", frozenset(), "text/xml")
    assert len(xml(empty.locked).findall("phone-settings/*")) == 0


@pytest.mark.parametrize(("transport", "port"), [("udp", 5060), ("tcp", 5060), ("tls", 5061)])
def test_account(transport: str, port: int) -> None:
    found = settings(accounts=[account(auth_user="auth1001", mailbox="*98", expires=600, transport=transport)])
    for name, value in {
        "user_active": "on",
        "user_name": "1001",
        "user_pname": "auth1001",
        "user_pass": "sip-secret",
        "user_host": "pbx.example",
        "user_outbound": f"pbx.example:{port};transport={transport}",
        "user_realname": "Anna",
        "user_mailbox": "*98",
        "user_expiry": "600",
    }.items():
        assert found[name, "1"] == value
    # A line that was taken out of the definition is taken off the phone.
    assert [found["user_active", str(line)] for line in range(2, 13)] == ["off"] * 11
    assert ("user_name", "2") not in found


@pytest.mark.parametrize(
    ("srtp", "expected"),
    [("off", ("off", "off")), ("optional", ("on", "optional")), ("mandatory", ("on", "mandatory"))],
)
def test_encryption(srtp: str, expected: tuple[str, str]) -> None:
    found = settings(accounts=[account(srtp=srtp)])
    assert (found["user_srtp", "1"], found["user_savp", "1"]) == expected


@pytest.mark.parametrize(
    ("changes", "host", "outbound"),
    [
        ({"outbound_proxy": "sbc.example:5070", "port": 5080}, "pbx.example:5080", "sbc.example:5070"),
        ({"outbound_proxy": "sbc.example"}, "pbx.example", "sbc.example"),
        ({"registrar": "2001:db8::5", "port": 5080}, "2001:db8::5", "[2001:db8::5]:5080"),
    ],
)
def test_where_requests_go(changes: dict[str, Any], host: str, outbound: str) -> None:
    found = settings(accounts=[account(**changes)])
    assert found["user_host", "1"].strip("[]") == host
    assert found["user_outbound", "1"] == f"{outbound};transport=udp"


@pytest.mark.parametrize(("vendor", "model"), BUILT_BY_SNOM)
def test_credentials_and_the_address_that_asks_for_them_travel_together(vendor: str, model: str) -> None:
    found = document(make(vendor, model))
    provisioning = SecretKey(0, SecretClass.PROVISIONING)
    more = snom_settings(found.filled({provisioning: "p"})).items() - snom_settings(found.locked).items()
    assert dict(more) == {
        ("http_client_user", None): "000413922d24",
        ("http_client_pass", None): "p",
        ("setting_server", None): "http://198.18.0.2:50080/a/{mac}.xml",
    }


def test_the_address_follows_the_site() -> None:
    site = Settings(public_host="prov.example", scheme="https", https_port=443)
    text = document(make("snom", "D785"), site).text
    assert ">https://prov.example:443/a/{mac}.xml</setting_server>" in text


@pytest.mark.parametrize(("vendor", "model"), BUILT_BY_SNOM)
def test_web_and_menu_passwords(vendor: str, model: str) -> None:
    found = document(make(vendor, model, web_user="boss"))
    locked = snom_settings(found.locked).items()
    web = dict(snom_settings(found.filled({SecretKey(0, SecretClass.WEB): "w"})).items() - locked)
    assert (web["http_user", None], web["http_pass", None]) == ("boss", "w")
    if room_of(make(vendor, model))[1].family == "snom8":
        assert (web["webserver_admin_name", None], web["webserver_admin_password", None]) == ("boss", "w")
        # The second user's own password is known to everyone.
        assert (web["webserver_user_name", None], web["webserver_user_password", None]) == ("user", "w")
    else:
        assert len(web) == 2
    menu = dict(snom_settings(found.filled({SecretKey(0, SecretClass.MENU): "m"})).items() - locked)
    assert menu == {
        ("admin_mode", None): "off",
        ("admin_mode_password", None): "m",
        ("admin_mode_password_confirm", None): "m",
    }


@pytest.mark.parametrize(("vendor", "model"), BUILT_BY_SNOM)
def test_no_permission_flag_that_would_pin_the_first_password(vendor: str, model: str) -> None:
    flags = {each.get("perm") for each in xml(document(make(vendor, model)).filled(SECRETS)).findall(".//*[@perm]")}
    assert flags == {"", "RW"}


def test_function_keys_are_counted_from_0_and_on_into_the_modules() -> None:
    keys = [
        {"key": 1, "type": "blf", "value": "1002", "label": "Bob"},
        {"key": 24, "type": "line", "account": 2},
        {"key": 1, "module": 1, "type": "dnd"},
        {"key": 18, "module": 2, "type": "speed_dial", "value": "*21"},
    ]
    phone = make("snom", "D785", keys=keys, accounts=[account(), account(line=2, registrar="2001:db8::5")])
    found = snom_keys(document(phone).locked)
    assert found["0"] == {
        "idx": "0", "context": "1", "label": "Bob", "perm": "", "argument": "blf sip:1002@pbx.example",
    }  # fmt: skip
    assert (found["23"]["argument"], found["23"]["context"]) == ("line", "2")
    assert found["24"]["argument"] == "keyevent F_DND"
    assert found[str(24 + 18 + 17)]["argument"] == "speed *21"
    assert len(found) == 4


@pytest.mark.parametrize(
    ("key", "argument"),
    [
        ({"type": "blf", "value": "sip:bob@other.example"}, "blf sip:bob@other.example"),
        ({"type": "blf", "value": "bob@other.example"}, "blf sip:bob@other.example"),
        ({"type": "forward", "value": "0171"}, "redirect 0171"),
        ({"type": "forward"}, "keyevent F_REDIRECT"),
        ({"type": "voicemail"}, "keyevent F_VOICEMAIL_INFO"),
        ({"type": "url", "value": "http://x/{value}?a=1&b=2"}, "url http://x/{value}?a=1&b=2"),
        ({"type": "none", "value": "x"}, "none"),
    ],
)
def test_arguments_of_keys(key: dict[str, str], argument: str) -> None:
    assert snom_keys(document(make("snom", "D785", keys=[{"key": 1, **key}])).locked)["0"]["argument"] == argument


def test_firmware_and_polling() -> None:
    without, with_url = settings(), settings(firmware_url="http://198.18.0.2/snomD785-10.1.bin?a=1&b=2")
    assert (without["update_policy", None], ("firmware", None) in without) == ("settings_only", False)
    assert with_url["update_policy", None] == "auto_update"
    assert with_url["firmware", None] == "http://198.18.0.2/snomD785-10.1.bin?a=1&b=2"
    assert without["prov_polling_period", None] == str(1440 * 60)


def test_faults() -> None:
    told = faults("snom", "D865", web_user="user", accounts=[account(line=13)], keys=[{"key": 1, "type": "record"}])
    assert {fault.where for fault in told} == {"web_user", "accounts[0].line", "keys[0].value", "keys[0]"}
    assert faults("snom", "D785", web_user="user") == []


def test_the_p_series_is_a_snom_to_itself_and_a_gigaset_to_people() -> None:
    gigaset, snom = make("gigaset", "P820"), make("snom", "D812")
    assert document(gigaset).text == document(snom).text
    room, model = room_of(gigaset)
    assert room.file_names(gigaset, model) == {"000413922D24.xml": "settings"}
    assert model.family not in room.label_proof
    assert room.agent_vendors(model) == {"gigaset", "snom"}
    assert VENDORS["snom"].agent_vendors(room_of(snom)[1]) == {"snom"}
    (fault,) = faults("gigaset", "P820", keys=[{"key": 1, "type": "pickup"}])
    assert fault.what == "Gigaset P820 phones have no key of type pickup"


@given(label=st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=128), secret=st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), min_size=1, max_size=128
))  # fmt: skip
def test_any_text_comes_back_as_it_was(label: str, secret: str) -> None:
    keys = [{"key": 1, "type": "speed_dial", "value": "1", "label": label}]
    phone = make("snom", "D785", keys=keys, accounts=[account(display_name=label)])
    body = document(phone).filled(dict.fromkeys(SECRETS, secret))
    found = snom_settings(body)
    assert (found["user_realname", "1"], found["user_pass", "1"], found["http_pass", None]) == (label, secret, secret)
    assert snom_keys(body)["0"]["label"] == label
