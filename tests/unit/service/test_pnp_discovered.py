# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones that ask and are unknown: recorded or added, never armed; and what a known phone is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient

from autoprovd import cli, config
from autoprovd.appliance import Appliance
from autoprovd.faults import Refused
from autoprovd.pnp import discovered
from autoprovd.pnp.discovered import Discovered, Found, room_named
from autoprovd.pnp.enquiry import enquiry_of
from autoprovd.pnp.message import parse
from autoprovd.pnp.service import KnownAddresses, PnpService
from autoprovd.web import api
from tests.pnp_phones import PHONES

from .conftest import SNOM, YEALINK, Box, snom, yealink
from .pnp_network import Network

MAC = "805e0c4d796d"
Run = Callable[..., Result]


def found(name: str, mac: str = MAC) -> Found:
    asked = enquiry_of(parse(PHONES[name].datagram(mac, "198.18.5.67")))
    assert asked is not None
    return Found(*asked[:5], "198.18.5.67", "voice0", 1.8e9, 1.8e9)


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("snom desk", None),
        ("snom D120", ("snom", "D120")),
        ("yealink T53W", ("yealink", "T53W")),
        ("gigaset N670", ("gigaset", "N670")),
        ("grandstream", None),
        ("fanvil", None),
    ],
)
def test_what_a_phone_says_it_is(name: str, room: tuple[str, str] | None) -> None:
    known = room_named(found(name))
    assert (known and (known[0].name, known[1].name)) == room


def test_a_recorded_phone_is_there_after_a_restart_until_the_site_has_it(box: Box) -> None:
    listed = Discovered(box.site, box.directory.knows, create=False)
    network = Network(listed)
    network.table.macs["198.18.5.67"] = MAC
    assert network.hear(PHONES["yealink T53W"].datagram(MAC, "198.18.5.67"), "198.18.5.67") == []
    assert not box.directory.knows(MAC)
    listed.save()
    again = Discovered(box.site, box.directory.knows, create=False)
    (shown,) = again.listed()
    assert (shown["mac"], shown["source"], shown["interface"]) == (MAC, "198.18.5.67", "voice0")
    assert shown["add_as"] == {"vendor": "yealink", "model": "T53W"}
    box.site.apply_phones([yealink(mac=MAC)], False, False, "test")
    assert again.listed() == []
    again.save()
    assert Discovered(box.site, lambda mac: False, create=False).listed() == []


def test_a_stranger_whom_the_network_contradicts_is_not_recorded(box: Box) -> None:
    listed = Discovered(box.site, box.directory.knows, create=False)
    network = Network(listed)
    network.table.macs["198.18.5.67"] = "001122334455"
    network.hear(PHONES["yealink T53W"].datagram(MAC, "198.18.5.67"), "198.18.5.67")
    assert listed.listed() == []


def test_a_created_phone_has_no_account_and_nothing_it_may_fetch(box: Box) -> None:
    listed = Discovered(box.site, box.directory.knows, create=True)
    listed.add(found("yealink T53W"))
    listed.add(found("grandstream", "c074ad112233"))
    assert not box.directory.knows(MAC), "nothing is written to answer"
    listed.save()
    shown = box.overview.phone(MAC)
    assert (shown["vendor"], shown["model"], shown["accounts"]) == ("yealink", "T53W", [])
    assert set(box.states(MAC).values()) == {"revoked"}
    assert not box.directory.knows("c074ad112233"), "nobody knows what to add it as"
    assert [phone["mac"] for phone in listed.listed()] == ["c074ad112233"]


def test_who_makes_up_phones_fills_a_list_with_an_end(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovered, "MOST", 10)
    monkeypatch.setattr(discovered, "MOST_CREATED", 3)
    listed = Discovered(box.site, box.directory.knows, create=True)
    first = found("yealink T53W")
    assert listed.add(first)
    for number in range(50):
        listed.add(found("yealink T53W", f"805e0c{number:06x}"))
    assert len(listed.listed()) == 10
    assert MAC in [phone["mac"] for phone in listed.listed()], "who was first stays"
    listed.save()
    assert len(box.overview.phones()) == 3


def test_what_cannot_be_written_is_written_later(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Discovered(box.site, box.directory.knows, create=False)
    listed.add(found("yealink T53W"))

    def full(*_arguments: object) -> None:
        raise Refused("unavailable", "the disk is full")

    with monkeypatch.context() as context:
        context.setattr(discovered, "set_fact", full)
        with pytest.raises(Refused):
            listed.save()
    listed.save()
    assert len(Discovered(box.site, box.directory.knows, create=False).listed()) == 1


def test_each_phone_is_told_its_folder_and_nothing_secret(box: Box) -> None:
    box.site.apply_settings({"public_host": "198.18.5.2"}, False, "test")
    maxwell = {"mac": "7c2f80000001", "vendor": "gigaset", "model": "N670", "gigaset_id": "AB12"}
    p810 = {"mac": "0004136fffff", "vendor": "gigaset", "model": "P810"}
    addresses = KnownAddresses(box.site)
    box.site.apply_phones([snom(), yealink(), maxwell, p810], False, False, "test")
    folder = "http://198.18.5.2:50080/"
    assert addresses.url(SNOM) == addresses.url(YEALINK) == folder
    assert addresses.url("7c2f80000001") == f"{folder}%MACD.xml"
    assert addresses.url("0004136fffff") == f"{folder}0004136fffff.xml"
    box.site.apply_settings({"scheme": "https", "https_port": 50081}, False, "test")
    assert addresses.url(SNOM) == "https://198.18.5.2:50081/"
    box.site.remove_phone(SNOM, "test")
    assert addresses.url(SNOM) is None
    assert addresses.url(YEALINK) == "https://198.18.5.2:50081/"


def test_what_was_answered_stands_among_the_requests_and_is_no_sighting_of_a_file(box: Box) -> None:
    box.site.apply_phones([yealink(mac=MAC)], False, False, "test")
    network = Network()
    network.add(MAC, "198.18.5.67")
    network.acknowledge(network.hear(PHONES["yealink T53W"].datagram(MAC, "198.18.5.67"), "198.18.5.67")[1])
    for mac, request in network.notes:
        box.directory.note(mac, request)
    box.directory.save()
    (request,) = box.overview.why(MAC)["requests"]
    assert (request["file"], request["outcome"], request["proof"]) == ("SIP PnP", "told the address", "neighbour")
    assert box.overview.phone(MAC)["firmware"]["version"] is None


@pytest.fixture
def local(box: Box) -> TestClient:
    settings = config.Pnp(interfaces=("voice0",), accept_unknown="record")
    box.parts.pnp = PnpService(settings, box.site, box.directory, box.neighbours, box.clock)
    box.parts.pnp.discovered.add(found("yealink T53W"))
    box.parts.pnp.discovered.add(found("snom desk", SNOM))
    return TestClient(api.application(box.parts, on_socket=True), raise_server_exceptions=False)


@pytest.fixture
def run(local: TestClient, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, its calls going to the application."""

    def ask(_appliance: Appliance, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        answer: httpx.Response = local.request(method, f"/api/v1{path}", **parameters)
        content: dict[str, Any] = answer.json()
        if answer.is_error:
            raise Refused(content["error"]["code"], content["error"]["message"])
        return content

    monkeypatch.setattr(Appliance, "ask", ask)
    return lambda *words: CliRunner().invoke(cli.commands, words)


def test_a_person_sees_unknown_phones_and_takes_them_in(run: Run, box: Box) -> None:
    shown = run("pnp", "show")
    assert "Yealink SIP-T53W" in shown.output
    assert "no interface of that name is up" in shown.output
    added = run("pnp", "add", "80:5e:0c:4d:79:6d", "--name", "Reception")
    assert "added 80:5e:0c:4d:79:6d as yealink T53W" in added.output
    assert box.overview.phone(MAC)["name"] == "Reception"
    assert "armed" in box.states(MAC).values()


def test_what_does_not_say_what_it_is_has_to_be_named(run: Run, box: Box) -> None:
    refused = run("pnp", "add", SNOM)
    assert "has to be named" in str(refused.exception)
    assert run("pnp", "add", SNOM, "--vendor", "snom", "--model", "D785").exit_code == 0
    assert box.directory.knows(SNOM)
    assert "no phone" in str(run("pnp", "add", "001122334455").exception)


def test_phones_are_forgotten(run: Run, box: Box) -> None:
    assert run("pnp", "forget").exit_code == 2
    assert run("pnp", "forget", MAC).output == f"forgot {MAC}\n"
    assert run("pnp", "forget", "--all").output == f"forgot {SNOM}\n"
    assert "Nothing to do" in run("pnp", "forget", "--all").output
    assert "No unknown phone asked." in run("pnp", "show").output


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"interfaces": ["eth 0"]}, "interfaces"),
        ({"interfaces": ["a-name-longer-than-15"]}, "interfaces"),
        ({"accept_unknown": "yes"}, "accept_unknown"),
        ({"rate": 0}, "rate"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        config.Pnp(**settings)
