# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for, in words no DHCP server knows: the vendor table, values as bytes, and all faults at once."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.options import (
    ENCODINGS,
    OPTIONS,
    display,
    encode,
)
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.vendors import VENDORS


def as_table(**arguments: Any) -> dict[tuple[str, int], str]:
    return {(str(item.scope), item.code): display(item.data) for item in build_intent(**arguments)}


def test_a_url_and_vendors_are_enough() -> None:
    assert as_table(url="http://198.18.0.1:50080", vendors=["snom", "yealink", "gigaset"]) == {
        ("global", 66): "http://198.18.0.1:50080/",
        ("vendor class snom", 66): "http://198.18.0.1:50080/",
        ("vendor class yealink", 66): "http://198.18.0.1:50080/",
        ("vendor class gigaset", 114): "http://198.18.0.1:50080/%MACD.xml",
        ("vendor class gigaset", 66): "http://198.18.0.1:50080/%MACD.xml",
    }


def test_a_vendor_may_have_a_url_of_its_own_and_nobody_else_any() -> None:
    urls = {"gigaset": "https://prov.example.com/g/", "snom": "https://prov.example.com/{mac}.xml"}
    assert as_table(vendors=["snom", "gigaset"], vendor_urls=urls) == {
        ("vendor class snom", 66): "https://prov.example.com/{mac}.xml",
        ("vendor class gigaset", 114): "https://prov.example.com/g/%MACD.xml",
        ("vendor class gigaset", 66): "https://prov.example.com/g/%MACD.xml",
    }
    assert ("global", 66) not in as_table(url="http://a/", vendors=["snom"], global_fallback=False)


def test_an_entry_goes_before_the_vendor_table() -> None:
    entry = {"vendor": "snom", "name": "tftp-server-name", "value": "http://lab.example.com/"}
    table = as_table(url="http://a/", vendors=["snom"], options=[entry])
    assert table["vendor class snom", 66] == "http://lab.example.com/"


@pytest.mark.parametrize(
    ("entry", "scope"),
    [
        ({}, "global"),
        ({"shared_network": "voice"}, "shared network voice"),
        ({"subnet": "198.18.0.0/24"}, "subnet 198.18.0.0/24"),
        ({"vendor": "yealink"}, "vendor class yealink"),
        ({"vendor_class": "snomM"}, "vendor class option 60 snomM"),
        ({"oui": "00:04:F2"}, "vendor class OUI 0004f2"),
        ({"mac": "0004.1392-2D24"}, "phone 00:04:13:92:2d:24"),
    ],
)
def test_scopes(entry: dict[str, str], scope: str) -> None:
    assert as_table(options=[{**entry, "code": 160, "value": "http://a/"}]) == {(scope, 160): "http://a/"}


@pytest.mark.parametrize(
    ("code", "value", "encoding", "data"),
    [
        (66, "http://a/", "auto", b"http://a/"),
        (42, "198.18.0.1, 198.18.0.2", "auto", bytes.fromhex("c6120001c6120002")),
        (120, "198.18.0.1", "auto", bytes.fromhex("01c6120001")),
        (150, "198.18.0.1", "auto", bytes.fromhex("c6120001")),
        (132, "20", "auto", b"20"),
        (132, "20", "uint16", b"\x00\x14"),
        (2, "3600", "uint32", b"\x00\x00\x0e\x10"),
        (43, "01:0a 68", "auto", b"\x01\x0ah"),
        (200, "text", "auto", b"text"),
    ],
)
def test_values_become_bytes(code: int, value: str, encoding: str, data: bytes) -> None:
    (item,) = build_intent(options=[{"code": code, "value": value, "encoding": encoding}])
    assert item.data == data


@pytest.mark.parametrize(
    ("value", "encoding", "reason"),
    [
        ("", "string", "empty"),
        ("über", "string", "ASCII"),
        ("a\nb", "string", "printable"),
        ("198.18.0.256", "ipv4", "256"),
        ("65536", "uint16", "0 to 65535"),
        ("-1", "uint8", "0 to 255"),
        ("0g", "hex", "hexadecimal"),
        ("012", "hex", "even"),
    ],
)
def test_impossible_values(value: str, encoding: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode(value, encoding)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(DhcpError) as caught:
        build_intent(
            url="ftp:/x",
            vendors=["snom", "polycom"],
            vendor_urls={"gigaset": "http://a b/"},
            options=[
                {"code": 66, "value": "x"},
                {"code": 66, "value": "y"},
                {"code": 53, "value": "1", "encoding": "uint8"},
                {"code": 66, "value": "x", "mac": "00:04"},
                {"code": 67, "name": "tftp-server-name", "value": "x"},
                {"value": "x"},
                {"code": 66, "value": "x", "subnet": "198.18.0.1/24"},
                {"code": 66, "value": "x", "subnet": "198.18.0.0/24", "mac": "000413922d24"},
                {"code": 66, "value": "x" * 256, "vendor": "snom"},
                {"code": 66, "value": "x", "vendor": "polycom"},
            ],
        )
    told = "\n".join(caught.value.faults)
    for expected in (
        "url: ftp:/x is not a URL",
        "polycom is not known; known are gigaset, snom, yealink",
        "vendor_urls.gigaset: http://a b/ contains a blank",
        "vendor_urls.gigaset: gigaset is not in vendors",
        "options[1]: option 66 (tftp-server-name) for global is already set by options[0]",
        "options[2]: code 53 cannot be set",
        "options[3]: 00:04 is not a MAC address",
        "options[4]: code 67 and name tftp-server-name are different",
        "options[5]: code or name is needed",
        "options[6]: subnet 198.18.0.1/24: 198.18.0.1/24 has host bits set",
        "options[7]: subnet and mac exclude each other",
        "options[8]: option 66 (tftp-server-name): 256 bytes",
        "options[9]: vendor polycom is not known",
    ):
        assert expected in told


def test_a_value_for_a_vendor_is_sent_as_its_phones_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads 132 as a number of two bytes; a Snom reads digits."""
    other = dataclasses.replace(VENDORS["snom"], name="other", encodings={132: "uint16"})
    monkeypatch.setitem(VENDORS, "other", other)
    entry = {"code": 132, "value": "20"}
    assert build_intent(options=[{**entry, "vendor": "other"}])[0].data == b"\x00\x14"
    assert build_intent(options=[{**entry, "vendor": "snom"}])[0].data == b"20"
    assert build_intent(options=[{**entry, "vendor": "other", "encoding": "string"}])[0].data == b"20"


@pytest.mark.parametrize("value", ["0", "4095", "99999"])
def test_a_vlan_has_its_range(value: str) -> None:
    with pytest.raises(DhcpError, match="a VLAN is a number from 1 to 4094"):
        build_intent(options=[{"name": "vlan-id", "value": value}])
    assert build_intent(options=[{"name": "vlan-id", "value": "VLAN-A=20;"}])[0].data == b"VLAN-A=20;"


def test_vendors_without_any_url() -> None:
    with pytest.raises(DhcpError, match="url is needed for snom"):
        build_intent(vendors=["snom"])


@pytest.mark.parametrize("name", VENDORS)
def test_the_vendor_table_is_well_formed(name: str) -> None:
    vendor = VENDORS[name]
    assert vendor.name == name
    assert vendor.ouis
    assert all(re.fullmatch("[0-9a-f]{6}", oui) for oui in vendor.ouis)
    assert all(prefix and prefix.isascii() for prefix in vendor.option60_prefixes)
    assert set(vendor.url_options) <= set(vendor.reads)
    assert all(OPTIONS[code][1] == "string" for code in vendor.url_options)
    assert set(vendor.encodings.values()) <= set(ENCODINGS)
    assert set(vendor.url_options) <= set(vendor.request_list), "it asks for what it needs"


def test_no_oui_belongs_to_two_vendors() -> None:
    ouis = [oui for vendor in VENDORS.values() for oui in vendor.ouis]
    assert len(ouis) == len(set(ouis))
