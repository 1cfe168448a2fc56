# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Winning on Kea: the hook library flex_option sets what a class could not, on each generation, seen in packets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .kea_site import KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
SNOM, YEALINK, OTHER = ("020000000001", "snomD785"), ("805ec0000001", "yealink"), ("020000000002", "MSFT 5.0")
THEIRS = '"option-data": [ { "name": "tftp-server-name", "data": "old.example.com" } ], "pools"'


@pytest.fixture
def site(each_kea: KeaSite) -> KeaSite:
    """Everything here holds for each generation of Kea."""
    return each_kea


def restart_with(site: KeaSite, *edits: tuple[str, str]) -> None:
    text = site.config.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    site.write(text)
    site.stop()
    site.start()


def of(site: KeaSite, client: tuple[str, str], code: int = 66) -> str | None:
    return site.offer(*client, [code]).get(code)


def test_what_is_hidden_is_reported_refused_or_made_to_win(site: KeaSite) -> None:
    restart_with(site, ('"pools"', THEIRS))
    before = site.files()

    refused = site.module(url=URL, vendors=["snom", "yealink"], on_hidden="fail")
    assert refused.code == 1
    assert "something more specific wins: subnet 198.18.0.0/24 (old.example.com)" in refused.message
    assert "on_hidden=override" in refused.message
    assert {entry["scope"] for entry in refused.result["hidden"]} >= {"vendor class snom", "vendor class yealink"}
    assert (site.files(), site.reloads()) == (before, 0)

    assert site.module(url=URL, vendors=["snom", "yealink"]).code == 0
    assert of(site, SNOM) == "old.example.com"

    done = site.module(url=URL, vendors=["snom", "yealink"], on_hidden="override")
    assert done.code == 0, done
    assert {entry["scope"] for entry in done.result["hidden"]} == {"global"}, "what is for everybody yields"
    assert [of(site, client) for client in (SNOM, YEALINK, OTHER)] == [URL, URL, "old.example.com"]
    assert site.offer(*SNOM, [1])[66] == URL, "asked for or not"
    probed = {case["client"]: case["options"] for case in done.result["probe"]["clients"]}
    assert probed["vendor class snom"]["66"] == URL

    reloads = site.reloads()
    again = site.module(url=URL, vendors=["snom", "yealink"], on_hidden="override")
    assert (again.result["changed"], site.reloads()) == (False, reloads)

    assert site.module(state="absent").code == 0
    assert site.files() == before
    assert of(site, SNOM) == "old.example.com"


def test_over_reservations_and_in_the_order_of_our_own(site: KeaSite) -> None:
    reserved = (
        '"reservations": [ { "hw-address": "80:5e:c0:00:00:09", "option-data": '
        '[ { "code": 66, "data": "theirs.example.com" } ] } ], "pools"'
    )
    restart_with(site, ('"pools"', reserved))
    phone = {"mac": "805ec0000008", "code": 66, "value": "http://one/"}
    done = site.module(url=URL, vendors=["yealink"], options=[phone], on_hidden="override")
    assert done.code == 0, done
    assert of(site, ("805ec0000009", "yealink")) == URL, "over the reservation"
    assert of(site, ("805ec0000008", "yealink")) == "http://one/", "a single phone over its vendor"
    assert of(site, OTHER) == URL, "what nothing hides is an ordinary option"


def test_where_the_administrator_uses_the_library_too(site: KeaSite) -> None:
    """Loaded twice, it would forget theirs: ours go among theirs, behind them."""
    parameters = {"options": [{"code": 67, "supersede": "'theirs.bin'"}, {"code": 66, "supersede": "'theirs'"}]}
    hooks = json.dumps([{"library": str(site.hook("flex_option")), "parameters": parameters}], indent=2)
    restart_with(site, ('"subnet4": [', f'"hooks-libraries": {hooks}, // theirs\n    "subnet4": ['))
    before = site.files()

    told = site.module(url=URL, vendors=["snom"], check=True)
    assert "hook library flex_option (theirs)" in json.dumps(told.result["hidden"])

    done = site.module(url=URL, vendors=["snom"], on_hidden="override")
    assert done.code == 0, done
    assert [of(site, SNOM, code) for code in (66, 67)] == [URL, "theirs.bin"]
    assert of(site, OTHER) == "theirs"
    assert site.module(url=URL, vendors=["snom"], on_hidden="override").result["changed"] is False

    assert site.module(state="absent").code == 0
    assert site.files() == before
    assert [of(site, SNOM, code) for code in (66, 67)] == ["theirs", "theirs.bin"]


def test_option_159_as_text(site: KeaSite) -> None:
    """To Kea it is a set of ports: as an ordinary option it would be sent as 4 bytes."""
    before = site.files()
    options = [
        {"code": 159, "value": "http://everybody.example.com/"},
        {"vendor": "snom", "code": 159, "value": "http://snom.example.com/it's"},
        {"mac": "805ec0000001", "code": 159, "value": "http://phone.example.com/"},
    ]
    done = site.module(options=options)
    assert done.code == 0, done
    expected = ["http://snom.example.com/it's", "http://phone.example.com/", "http://everybody.example.com/"]
    assert [of(site, client, 159) for client in (SNOM, YEALINK, OTHER)] == expected
    assert [site.offer(*client, [1])[159] for client in (SNOM, YEALINK, OTHER)] == expected
    assert site.module(options=options).result["changed"] is False
    assert site.module(options=options[:1]).code == 0
    assert [of(site, client, 159) for client in (SNOM, OTHER)] == [expected[2]] * 2
    assert site.module(state="absent").code == 0
    assert site.files() == before
    assert of(site, OTHER, 159) is None


def test_our_own_subnet_is_not_fought(site: KeaSite) -> None:
    restart_with(site, ('198.18.0.250" }', '198.18.0.250", "option-data": [ { "code": 66, "data": "pool" } ] }'))
    entry = {"subnet": "198.18.0.0/24", "code": 66, "value": "http://subnet/"}
    refused = site.module(url=URL, vendors=["snom"], options=[entry], on_hidden="override")
    assert refused.code == 1
    assert "it would also hide the one of subnet 198.18.0.0/24" in refused.message


def test_without_the_library(unpacked_kea: KeaSite) -> None:
    site = unpacked_kea
    restart_with(site, ('"pools"', THEIRS))
    site.outside(site.hook("flex_option")).unlink()
    refused = site.module(url=URL, vendors=["snom"], on_hidden="override")
    assert refused.code == 1
    assert "which is not installed; install kea-common" in refused.message
    assert site.reloads() == 0
