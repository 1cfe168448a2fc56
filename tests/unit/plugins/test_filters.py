# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters ``mac`` and ``server_path``."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.autoprov.appliance.plugins.filter.mac import mac
from ansible_collections.autoprov.appliance.plugins.filter.server_path import server_path
from ansible_collections.autoprov.appliance.plugins.plugin_utils._mac import STYLES, parse_mac, spell_mac
from autoprovd.model import parse_mac as parse_mac_of_the_service

SPELLINGS = ["00:04:13:92:2D:24", "00-04-13-92-2d-24", "000413922D24", "0004.1392.2d24", " 000413922d24 "]


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize(
    ("style", "upper", "spelled"),
    [
        ("colon", False, "00:04:13:92:2d:24"),
        ("hyphen", True, "00-04-13-92-2D-24"),
        ("dot", False, "0004.1392.2d24"),
        ("bare", True, "000413922D24"),
    ],
)
def test_mac_in_every_style(text: str, style: str, upper: bool, spelled: str) -> None:
    assert mac(text, style, upper) == spelled


@pytest.mark.parametrize(
    "text", ["", "0004139", "00:04-13:92:2D:24", "00:04:13:92:2D:2G", "00:04:13:92:2D:24:00", 413922, None]
)
def test_mac_that_is_none(text: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"not a MAC address|not text"):
        mac(text)


def test_mac_style_that_is_none() -> None:
    with pytest.raises(AnsibleFilterError, match="use one of colon, hyphen, dot, bare"):
        mac(SPELLINGS[0], "cisco")


@given(st.binary(min_size=6, max_size=6), st.sampled_from(STYLES), st.booleans())
def test_every_spelling_is_read_back(address: bytes, style: str, upper: bool) -> None:
    assert parse_mac(spell_mac(address.hex(), style, upper)) == address.hex()


@given(st.text(alphabet="0123456789abcdefABCDEF:-. ", max_size=20))
def test_reads_what_the_service_reads(text: str) -> None:
    """Two implementations, one for each side of the network: they must agree, but for addresses that no phone has."""

    def outcome(read: Any) -> str | None:
        try:
            return str(read(text))
        except ValueError as error:
            return None if "group address" not in str(error) else parse_mac(text)

    assert outcome(parse_mac) == outcome(parse_mac_of_the_service)


@pytest.mark.parametrize(
    ("vendor", "model", "url", "menu", "field"),
    [
        ("snom", "D785", "http://198.18.0.1:50080/", "Advanced > Update", "Setting URL"),
        ("yealink", "T54W", "http://198.18.0.1:50080/", "Settings > Auto Provision", "Server URL"),
        ("gigaset", "P850W", "http://198.18.0.1:50080/{mac}.xml", "Advanced > Update", "Setting URL"),
        (
            "Gigaset",
            "N670",
            "http://198.18.0.1:50080/%MACD.xml",
            "Settings > System > Provisioning and configuration",
            "Provisioning server",
        ),
    ],
)
def test_server_path(vendor: str, model: str, url: str, menu: str, field: str) -> None:
    found = server_path({"vendor": vendor, "model": model}, "198.18.0.1")
    assert (found["url"], found["menu"], found["field"]) == (url, menu, field)
    assert url in found["sentence"]
    assert menu in found["sentence"]


def test_server_path_with_https_and_ipv6() -> None:
    phone = {"vendor": "snom", "model": "D785"}
    assert server_path(phone, "2001:db8::1", "https")["url"] == "https://[2001:db8::1]:50081/"
    assert server_path(phone, "[2001:db8::1]", port=80)["url"] == "http://[2001:db8::1]:80/"


@pytest.mark.parametrize(
    ("phone", "host", "scheme", "reason"),
    [
        ({"vendor": "acme", "model": "1"}, "h", "http", "known are gigaset, snom, yealink"),
        ({"vendor": "snom"}, "h", "http", "needs a mapping with vendor and model"),
        ("snom", "h", "http", "needs a mapping"),
        ({"vendor": "snom", "model": "D785"}, "http://h/", "http", "not a host name"),
        ({"vendor": "snom", "model": "D785"}, "h", "tftp", "choose http or https"),
    ],
)
def test_server_path_that_cannot_be_told(phone: Any, host: str, scheme: str, reason: str) -> None:
    with pytest.raises(AnsibleFilterError, match=reason):
        server_path(phone, host, scheme)
