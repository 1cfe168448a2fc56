# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every vendor's room: who is asking, faults, gaps, hostile text, equal bytes."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprovd.model import KeyType, Phone, SecretClass, SecretKey
from autoprovd.render import Syntax
from autoprovd.vendors import VENDORS, agent_of, faults_of_phone, room_of
from autoprovd.vendors.base import NOTHING, join_authority, read_rows, split_authority

from .vendor_phones import EVERY_ROOM, SECRETS, SITE, account, definition, document, faults, make, xml

AGENTS = [
    line.split("\t")
    for line in Path(__file__).with_name("user_agents.tsv").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
EVERY_MODEL = [(vendor.name, model.name) for vendor in VENDORS.values() for model in vendor.models.values()]
HOSTILE = ["<\"&'>", "]]>", "<!-- x", "\u202eabc", "{{ 7 * 7 }}", "a=b", "# no", "&amp;", "\U0001f4de Bob", "ä|ö;é"]


@pytest.mark.parametrize(("header", "vendor", "model", "firmware", "mac"), AGENTS)
def test_user_agents(header: str, vendor: str, model: str, firmware: str, mac: str) -> None:
    found = agent_of(header)
    assert (found or ("-", "-", "-", None)) == (vendor, model, firmware, None if mac == "-" else mac)


@pytest.mark.parametrize("header", ["", "snom", "Yealink", "Gigaset", "N870 IP PRO", "Maxwell" + "x" * 60_000])
def test_not_quite_a_user_agent(header: str) -> None:
    assert agent_of(header) is None


@given(st.text(max_size=300))
def test_any_header_is_answered(header: str) -> None:
    found = agent_of(header)
    assert found is None or found.mac is None or re.fullmatch("[0-9a-f]{12}", found.mac)


@pytest.mark.parametrize(("vendor", "model"), EVERY_MODEL)
def test_every_model_of_the_tables_can_be_provisioned(vendor: str, model: str) -> None:
    phone = make(vendor, model)
    room, row = room_of(phone)
    assert row is room.model(model.upper())
    assert (row.keys >= 0, row.modules > 0) == (True, row.module_keys > 0)
    documents = {each.name: each for each in room.documents(phone, row, SITE, NOTHING)}
    names = room.file_names(phone, row)
    assert {name for name in names.values() if name} == set(documents)
    assert len({name.lower() for name in names}) == len(names)
    assert SecretKey(1, SecretClass.SIP) in documents["settings"].gaps


@pytest.mark.parametrize(("vendor", "model"), EVERY_ROOM)
def test_a_locked_file_holds_no_password_setting_at_all(vendor: str, model: str) -> None:
    found = document(make(vendor, model))
    assert found.gaps <= set(SECRETS)
    locked = found.locked.decode().lower()
    assert not re.search(r"pass|pwd|pin\b|credential|http_client|https?://[^<\s]*/a/", locked)
    filled = found.filled(SECRETS).decode()
    for gap in found.gaps:
        # Each gap comes and goes with its own secret, and leaves no other trace.
        alone = found.filled({gap: SECRETS[gap]}).decode()
        assert SECRETS[gap] in alone
        assert not any(SECRETS[other] in alone for other in found.gaps - {gap})
        assert SECRETS[gap] in filled
        assert set(found.locked.decode().splitlines()) < set(alone.splitlines())


@pytest.mark.parametrize(("vendor", "model"), EVERY_ROOM)
@pytest.mark.parametrize("srtp", ["off", "optional", "mandatory"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_every_transport_and_encryption_is_carried_or_refused(
    vendor: str, model: str, transport: str, srtp: str
) -> None:
    changes = {"accounts": [account(transport=transport, srtp=srtp)]}
    told = faults(vendor, model, **changes)
    if (model, transport) == ("Maxwell3", "tcp"):
        assert [(fault.where, fault.fix) for fault in told] == [("accounts[0].transport", "use udp or tls")]
        return
    bodies = {
        document(make(vendor, model, accounts=[account(transport=each, srtp=srtp)])).locked
        for each in {"udp", "tls", transport}
    }
    assert len(bodies) == len({"udp", "tls", transport}), "two transports look the same"
    others = {
        document(make(vendor, model, accounts=[account(srtp=each)])).text for each in ("off", "optional", "mandatory")
    }
    assert len(others) == 3


@pytest.mark.parametrize(("vendor", "model"), EVERY_ROOM)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(vendor: str, model: str, text: str) -> None:
    has_keys = room_of(make(vendor, model))[1].keys > 0
    keys = [{"key": 1, "type": "speed_dial", "value": text, "label": text}] if has_keys else []
    phone = make(vendor, model, accounts=[account(display_name=text)], keys=keys)
    plain = make(
        vendor, model, accounts=[account(display_name="x")], keys=[dict(key, value="x", label="x") for key in keys]
    )
    secrets = dict.fromkeys(SECRETS, f"{text}end" if text.isascii() else "end")
    body, expected = document(phone).filled(secrets), document(plain).filled(dict.fromkeys(SECRETS, "x"))
    assert len(body.splitlines()) == len(expected.splitlines())
    if document(phone).syntax is Syntax.XML:
        shape = [(each.tag, sorted(each.attrib)) for each in xml(body).iter()]
        assert shape == [(each.tag, sorted(each.attrib)) for each in xml(expected).iter()]
        values = {each.text for each in xml(body).iter()} | {
            value for each in xml(body).iter() for value in each.attrib.values()
        }
        assert {text, secrets[SecretKey(1, SecretClass.SIP)]} <= values
        assert not has_keys or any(text in (value or "") for value in values)


@pytest.mark.parametrize(("vendor", "model"), EVERY_ROOM)
def test_equal_definitions_give_equal_bytes(vendor: str, model: str) -> None:
    has_keys = room_of(make(vendor, model))[1].keys > 0
    keys = [{"key": number, "type": "blf", "value": f"10{number}"} for number in (1, 2, 3)] if has_keys else []
    accounts = [account(line=line, user=f"100{line}") for line in (1, 2, 3)]
    one = document(make(vendor, model, keys=keys, accounts=accounts))
    two = document(make(vendor, model, keys=keys[::-1], accounts=accounts[::-1]))
    assert (one.text, one.etag) == (two.text, two.etag)


@pytest.mark.parametrize(("vendor", "model"), EVERY_ROOM)
def test_what_the_site_says_and_the_phone_says(vendor: str, model: str) -> None:
    own = {"time_zone": "Europe/London", "ntp_server": "ntp.example", "firmware_url": "http://198.18.0.2/fw.bin"}
    by_phone, by_site = document(make(vendor, model, **own)), document(make(vendor, model))
    london = {
        "snom": "GBR-0",
        "yealink": "United Kingdom(London)",
        "Maxwell3": "GMT.Europe/London",
        "N670": "Europe/London",
    }
    berlin = {
        "snom": "GER+1",
        "yealink": "Germany(Berlin)",
        "Maxwell3": "GMT+1.Europe/Amsterdam",
        "N670": "Europe/Berlin",
    }
    kind = model if model in london else "yealink" if vendor == "yealink" else "snom"
    for text in (london[kind], "ntp.example", "http://198.18.0.2/fw.bin"):
        assert text in by_phone.text
        assert text not in by_site.text
    for text in (berlin[kind], str(SITE.ntp_server)):
        assert text in by_site.text
        assert text not in by_phone.text
    # A default of the site that the vendor has no word for is left to the phone.
    elsewhere = SITE.model_copy(update={"time_zone": "Pacific/Chatham", "language": "eo", "tone": "zz"})
    silent = document(make(vendor, model), elsewhere).text
    assert not re.search(r"time_?zone|tone_scheme|tonescheme|voice\.tone|lang", silent, re.IGNORECASE)


@pytest.mark.parametrize("field", ["language", "tone", "time_zone"])
@pytest.mark.parametrize(("vendor", "model"), EVERY_ROOM)
def test_a_word_the_vendor_does_not_have_is_a_fault_with_a_way_out(vendor: str, model: str, field: str) -> None:
    unknown = {"language": "eo", "tone": "zz", "time_zone": "Pacific/Chatham"}[field]
    (fault,) = faults(vendor, model, **{field: unknown})
    assert fault.where == field
    assert VENDORS[vendor].title in fault.what
    if (model, field) != ("N670", "language"):
        assert unknown in fault.what
        assert {"language": "it", "tone": "it" if model == "Maxwell3" else "de", "time_zone": "Europe/Berlin"}[
            field
        ] in fault.fix


@pytest.mark.parametrize("language", ["de", "en", "fr", "it", "es", "nl", "pt", "pl", "cs"])
@pytest.mark.parametrize(("vendor", "model"), [room for room in EVERY_ROOM if room[1] != "N670"])
def test_languages_every_desk_phone_speaks(vendor: str, model: str, language: str) -> None:
    other = "en" if language != "en" else "de"
    assert document(make(vendor, model, language=language)).text != document(make(vendor, model, language=other)).text


def test_keys_beyond_the_model_and_twice() -> None:
    keys = [
        {"key": 25, "type": "line"},
        {"key": 19, "module": 1, "type": "line"},
        {"key": 1, "module": 5, "type": "line"},
        {"key": 3, "type": "line"},
        {"key": 3, "type": "line"},
        {"key": 4, "type": "line", "account": 2},
        {"key": 18, "module": 4, "type": "line"},
        {"key": 24, "type": "line"},
    ]
    told = {fault.where: str(fault) for fault in faults("snom", "D785", keys=keys)}
    assert set(told) == {f"keys[{index}]" for index in (0, 1, 2, 4, 5)}
    assert told["keys[0]"] == "keys[0]: is key 25, and a Snom D785 has 24; use a key from 1 to 24"
    assert "a module of a Snom D785 has 18" in told["keys[1]"]
    assert "a Snom D785 takes 4" in told["keys[2]"]
    (none,) = faults("gigaset", "N670", keys=[{"key": 1, "type": "line"}])
    assert str(none) == "keys[0]: is key 1, and a Gigaset N670 has none; leave it out"
    (no_module,) = faults("yealink", "T31G", keys=[{"key": 1, "module": 1, "type": "line"}])
    assert str(no_module).endswith("a Yealink T31G takes none; leave it out")


@pytest.mark.parametrize("kind", KeyType)
@pytest.mark.parametrize(("vendor", "model"), [room for room in EVERY_ROOM if room[1] != "N670"])
def test_every_key_type_is_carried_or_refused_by_name(vendor: str, model: str, kind: KeyType) -> None:
    key = {"key": 1, "type": kind.value, "value": "1002", "label": "Bob"}
    told = faults(vendor, model, keys=[key])
    if told:
        (fault,) = told
        assert fault.where == "keys[0].type"
        assert VENDORS[vendor].title in fault.what
        assert kind.value in fault.what
        assert kind.value not in fault.fix.split(", ")
        return
    other = KeyType.LINE if kind is not KeyType.LINE else KeyType.SPEED_DIAL
    shown = document(make(vendor, model, keys=[key])).text
    assert shown != document(make(vendor, model, keys=[dict(key, type=other.value)])).text
    # Without a value it is a fault or a key of its own, never a broken one.
    if kind not in (KeyType.BLF, KeyType.SPEED_DIAL, KeyType.URL, KeyType.DTMF, KeyType.INTERCOM, KeyType.PARK):
        bare = faults(vendor, model, keys=[{"key": 1, "type": kind.value}])
        assert not bare or [fault.where for fault in bare] == ["keys[0].value"]


@pytest.mark.parametrize("model", ["D786", "d785x", "T54"])
def test_an_unknown_model_is_met_with_the_nearest(model: str) -> None:
    vendor = "yealink" if model.startswith("T") else "snom"
    (fault,) = faults_of_phone(Phone.model_validate(definition(vendor, model)))
    assert fault.where == "model"
    assert fault.fix.startswith(f"did you mean {'T54W' if vendor == 'yealink' else 'D785'}")


def test_a_line_twice_and_a_password_the_vendor_cannot_carry_name_their_account() -> None:
    accounts = [account(), account(), account(line=2, password="pässword")]
    told = faults("yealink", "T54W", accounts=accounts, web_password="w" * 33)
    assert {fault.where for fault in told} == {"accounts[1].line", "accounts[2].password", "web_password"}
    assert not any("pässword" in str(fault) or "www" in str(fault) for fault in told)


@pytest.mark.parametrize("vendor", VENDORS)
def test_time_zones_have_the_offset_of_their_place(vendor: str) -> None:
    rows = list(read_rows(f"autoprovd.vendors.{vendor}", "time_zones.tsv"))
    assert len({row[0] for row in rows}) == len(rows) >= 40
    for zone, *words in rows:
        assert zone in available_timezones()
        months = (datetime.datetime(2026, month, 15, tzinfo=ZoneInfo(zone)) for month in (1, 7))
        standard = min(moment.utcoffset() or datetime.timedelta() for moment in months)
        for word in words:
            # "GER+1", "IND+5.5"; "+5:30"; "GMT+1.Europe/Amsterdam"
            found = re.fullmatch(r"(?:[A-Z]{3})?([+-]?)(\d+)?(?:\.(5)|:(30))?(?:\.Europe/\w+)?", word)
            if not found or word == "-" or (not found[2] and "GMT" not in word):
                continue
            offset = datetime.timedelta(hours=int(found[2] or 0), minutes=30 if found[3] or found[4] else 0)
            assert (-offset if found[1] == "-" else offset) == standard, (zone, word)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pbx.example", ("pbx.example", None)),
        ("pbx.example:5080", ("pbx.example", 5080)),
        ("2001:db8::5", ("2001:db8::5", None)),
        ("[2001:db8::5]", ("2001:db8::5", None)),
        ("[2001:db8::5]:5080", ("2001:db8::5", 5080)),
    ],
)
def test_host_and_port_apart_and_together(text: str, parts: tuple[str, int | None]) -> None:
    assert split_authority(text) == parts
    assert split_authority(join_authority(*parts)) == parts
