# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dhcp_info makes of the adapters' answers: every server is told, and nothing but options."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import description, engine
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import Answer, SetOption, Target
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.phones import phones

OURS = SetOption("class", "snom", 66, "http://a/", True, "/etc/one.json:3", True, "substring(option[60].hex,0,4)")
THEIRS = SetOption("subnet", "198.18.0.0/24", 66, "http://old/", False, "/etc/one.conf:9", False)
OTHER = SetOption("global", "", 15, "example.com", False, "/etc/one.conf:2", False)


def make(server: str, runs: bool, fault: str = "") -> type:
    """A server of that name, as an adapter would present it."""

    class Made:
        name = server
        version, config_file, control_socket, running = "1.0", f"/etc/{server}.conf", f"/run/{server}.sock", runs

        def __init__(self, target: Target) -> None:
            self.target = target

        @classmethod
        def installed(cls) -> bool:
            return True

        @classmethod
        def serving(cls) -> bool:
            return runs

        def read(self) -> None:
            if fault:
                raise DhcpError(fault)

        def probe_interfaces(self) -> list[str]:
            return ["eth0"]

        def set_options(self) -> list[SetOption]:
            return [THEIRS, OURS, OTHER]

        def answer(self, code: int, client: Any, subnet: str | None = None) -> Answer:
            if code != 66:
                return Answer(code, None)
            return Answer(code, THEIRS if subnet else OURS, () if subnet else (THEIRS,))

    return Made


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine, "_BACKENDS", (make("one", runs=False, fault="one.conf:7: unbalanced"), make("two", True))
    )


def test_every_server_is_told_and_a_broken_one_hides_none(two: None) -> None:
    running, broken = description.describe_servers("auto", Target(), phones(["snom"]), None)
    assert (running["server"], running["running"], running["control_socket"]) == ("two", True, "/run/two.sock")
    assert (running["config_file"], running["version"], running["fault"]) == ("/etc/two.conf", "1.0", None)
    assert (broken["server"], broken["running"], broken["fault"]) == ("one", False, "one.conf:7: unbalanced")
    json.dumps([running, broken])


def test_only_what_phones_read(two: None) -> None:
    running = description.describe_servers("two", Target(), [], None)[0]
    assert [(item["level"], item["code"], item["option"], item["ours"]) for item in running["options"]] == [
        ("subnet", 66, "tftp-server-name", False),
        ("class", 66, "tftp-server-name", True),
    ]


def test_who_wins_and_unless_what(two: None) -> None:
    anywhere = description.describe_servers("two", Target(), phones(["snom"]), None)[0]["answers"]
    assert [item["code"] for item in anywhere] == [66, 67, 43], "what a Snom reads"
    assert anywhere[0]["winner"]["value"] == "http://a/"
    assert [item["where"] for item in anywhere[0]["unless"]] == ["/etc/one.conf:9"]
    assert anywhere[1]["winner"] is None
    there = description.describe_servers("two", Target(), phones(["snom"]), "198.18.0.0/24")[0]["answers"]
    assert (there[0]["winner"]["value"], there[0]["unless"]) == ("http://old/", [])


def test_clear_errors(two: None) -> None:
    with pytest.raises(DhcpError, match="belong to one server; say which with server"):
        description.describe_servers("auto", Target(config_file="/etc/two.conf"), [], None)
    with pytest.raises(DhcpError, match="has host bits set"):
        description.describe_servers("two", Target(), [], "198.18.0.1/24")
    with pytest.raises(DhcpError, match=r"no DHCP server was found here"):
        description.describe_servers("three", Target(), [], None)
