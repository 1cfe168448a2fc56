# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's phones: they ask what their vendors say they ask, and stumble over what a real phone could not read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from demo.vendors import VENDORS, Settings, UnreadableError
from demo.web import Response

MACS = {"snom": "000413922d24", "yealink": "805e0c123456", "gigaset": "7c2f80e0d605"}
MODELS = {"snom": "D785", "yealink": "T54W", "gigaset": "N670"}
SNOM_FILE = "snomD785-000413922D24.htm"


def boot(vendor: str, server: str, files: Mapping[str, str]) -> tuple[list[str], Settings]:
    """What a phone asks for below ``server`` and what it reads, where just these files exist."""
    asked = []
    steps = VENDORS[vendor].boot(server, MODELS[vendor], MACS[vendor])
    url = next(steps)
    while True:
        asked.append(url)
        name = url.rpartition("/")[2]
        response = Response(url, (200 if name in files else 404,), (), files.get(name, ""))
        try:
            url = steps.send(response)
        except StopIteration as end:
            return asked, end.value


@pytest.mark.parametrize(
    ("vendor", "server", "names"),
    [
        ("snom", "http://a:50080/", ["snomD785.htm", SNOM_FILE]),
        ("snom", "http://a:50080", ["snomD785.htm", SNOM_FILE]),
        ("snom", "http://a:50080/{mac}.xml", ["000413922d24.xml"]),
        ("snom", "http://a:50080/settings.xml", ["settings.xml"]),
        (
            "yealink",
            "http://a:50080/",
            ["805e0c123456.boot", "y000000000000.boot", "y000000000096.cfg", "805e0c123456.cfg"],
        ),
        ("gigaset", "http://a:50080/%MACD.xml", ["7c2f80e0d605.xml"]),
        ("gigaset", "http://a:50080/", ["provisioning.xml"]),
    ],
)
def test_what_a_phone_asks_for(vendor: str, server: str, names: list[str]) -> None:
    asked, settings = boot(vendor, server, {})
    assert asked == [f"http://a:50080/{name}" for name in names]
    assert settings == {}


def test_a_snom_follows_an_index_of_files() -> None:
    index = '<setting-files><file url="http://b/one.xml"/></setting-files>'
    one = '<settings><phone-settings><user_name idx="1" perm="">1001</user_name></phone-settings></settings>'
    asked, settings = boot("snom", "http://a/", {"snomD785.htm": index, "one.xml": one})
    assert asked == ["http://a/snomD785.htm", "http://b/one.xml", f"http://a/{SNOM_FILE}"]
    assert settings == {"user_name[1]": "1001"}


def test_a_yealink_reads_what_a_boot_file_includes_and_later_files_win() -> None:
    files = {
        "805e0c123456.boot": '#!version:1.0.0.1\ninclude:config "one.cfg"\ninclude:config "two.cfg"\n',
        "one.cfg": "#!version:1.0.0.1\nlang.gui = German\nlang.wui = German\n",
        "two.cfg": "#!version:1.0.0.1\n# a comment\n\nlang.gui = English\n",
    }
    asked, settings = boot("yealink", "http://a/", files)
    assert asked == ["http://a/805e0c123456.boot", "http://a/one.cfg", "http://a/two.cfg"]
    assert settings == {"lang.gui": "English", "lang.wui": "German"}


@pytest.mark.parametrize(
    ("vendor", "server", "name", "text", "says"),
    [
        ("snom", "http://a/", SNOM_FILE, "<settings>", "not XML"),
        ("snom", "http://a/", SNOM_FILE, "<html/>", "root is <html>"),
        ("snom", "http://a/", SNOM_FILE, "<settings><other/></settings>", "no section <other>"),
        (
            "snom",
            "http://a/",
            SNOM_FILE,
            "<settings><phone-settings><a perm='RW'>1</a><a perm='RW'>2</a></phone-settings></settings>",
            "a is there twice",
        ),
        (
            "snom",
            "http://a/",
            SNOM_FILE,
            "<settings><phone-settings><a perm='X'>1</a></phone-settings></settings>",
            "unknown perm",
        ),
        (
            "snom",
            "http://a/",
            SNOM_FILE,
            "<settings><functionKeys><fkey idx='0' perm=''>bfl sip:1</fkey></functionKeys></settings>",
            "'bfl'",
        ),
        ("yealink", "http://a/", "805e0c123456.cfg", "lang.gui = German\n", "first line"),
        ("yealink", "http://a/", "805e0c123456.cfg", "#!version:1.0.0.1\nlang.gui German\n", "line 2"),
        ("yealink", "http://a/", "805e0c123456.cfg", "#!version:1.0.0.1\nlang.gui = a\nlang.gui = b\n", "line 3"),
        ("gigaset", "http://a/", "provisioning.xml", '<provisioning version="1.1"/>', "productID"),
        (
            "gigaset",
            "http://a/",
            "provisioning.xml",
            '<provisioning version="1.1" productID="e2"><nvm><param name="a" value="1"/><param name="a" value="1"/>'
            "</nvm></provisioning>",
            "a is there twice",
        ),
    ],
)
def test_what_a_phone_cannot_read(vendor: str, server: str, name: str, text: str, says: str) -> None:
    with pytest.raises(UnreadableError, match=says):
        boot(vendor, server, {name: text})


def test_the_passwords_of_both_web_users_of_a_yealink_are_told_apart() -> None:
    text = "#!version:1.0.0.1\nstatic.security.user_password = user:a\nstatic.security.user_password = admin:b:c\n"
    _, settings = boot("yealink", "http://a/", {"805e0c123456.cfg": text})
    name = "static.security.user_password"
    assert settings == {f"{name}[user]": "a", f"{name}[admin]": "b:c"}


@pytest.mark.parametrize(
    ("vendor", "options", "flash", "server"),
    [
        ("snom", {66: "http://a/"}, {"setting_server": "http://b/"}, "http://a/"),
        ("snom", {66: "198.18.0.1"}, {}, "http://198.18.0.1"),
        ("snom", {66: "http://a", 67: "snom.htm"}, {}, "http://a/snom.htm"),
        ("snom", {}, {"setting_server": "http://b/"}, "http://b/"),
        ("yealink", {160: "http://c/", 66: "http://a/"}, {}, "http://c/"),
        (
            "yealink",
            {66: "http://a/"},
            {"static.auto_provision.dhcp_option.enable": "0", "static.auto_provision.server.url": "http://b/"},
            "http://b/",
        ),
        ("gigaset", {66: "http://a/", 114: "http://c/%MACD.xml"}, {}, "http://c/%MACD.xml"),
        ("gigaset", {}, {}, ""),
    ],
)
def test_where_a_phone_asks(vendor: str, options: dict[int, str], flash: dict[str, str], server: str) -> None:
    assert VENDORS[vendor].server(options, flash) == server
