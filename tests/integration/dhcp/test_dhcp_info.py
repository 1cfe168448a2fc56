# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_info against real servers: what it says of the configuration is what clients get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .kea_site import CONFIG, KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
SECRET = "a-database-password"


def info(site: KeaSite, **arguments: Any) -> dict[str, Any]:
    """What is said of the one server meant."""
    answer = site.module("dhcp_info", server="kea", **arguments)
    assert (answer.code, answer.result["changed"]) == (0, False), answer
    assert SECRET not in json.dumps(answer.result)
    (server,) = answer.result["servers"]
    assert isinstance(server, dict)
    return server


def line_of(site: KeaSite, text: str) -> str:
    """FILE:LINE of the first line with that text."""
    for path in sorted(site.folder.glob("*.*")):
        if path.suffix in (".conf", ".json"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if text in line:
                    return f"{path}:{number}"
    raise AssertionError(text)


@pytest.fixture
def kea(site: KeaSite) -> KeaSite:
    """Kea with an option 66 of the administrator in the subnet, which wins over our classes, and a secret."""
    site.stop()
    text = CONFIG.replace(
        '"pools": [ {',
        '"option-data": [ { "code": 66, "data": "http://old/" } ], "user-context": {"x": 1},\n "pools": [ {',
    )
    site.write(text.replace('"lease-database"', f'"user-context": {{ "password": "{SECRET}" }},\n"lease-database"'))
    site.start()
    assert site.module(url=URL, vendors=["snom", "gigaset"]).code == 0
    return site


def test_the_server_and_what_it_sets(kea: KeaSite) -> None:
    server = info(kea)
    assert (server["server"], server["running"], server["fault"]) == ("kea", True, None)
    assert server["config_file"] == str(kea.config)
    assert server["control_socket"] == str(kea.socket)
    assert server["interfaces"] == ["srv0"]
    assert server["version"].split(".")[0].isdigit()
    found = {(item["level"], item["name"], item["code"]): item for item in server["options"]}
    theirs = found["subnet", "198.18.0.0/24", 66]
    assert (theirs["value"], theirs["ours"]) == ("http://old/", False)
    assert theirs["where"] == line_of(kea, "http://old/")
    ours = found["global", "", 66]
    assert (ours["value"], ours["ours"], ours["always_sent"], ours["option"]) == (URL, True, True, "tftp-server-name")
    assert found["global", "", 42]["value"] == "198.18.0.1"
    assert any(item["level"] == "class" and item["code"] == 114 and item["ours"] for item in server["options"])


def test_who_would_win_is_who_wins(kea: KeaSite) -> None:
    """The word of dhcp_info against the packet, for two vendors; a subnet wins over a class in Kea."""
    for vendor, code, value in (("snom", 66, "http://old/"), ("gigaset", 114, URL + "%MACD.xml")):
        server = info(kea, vendor=[vendor], subnet="198.18.0.0/24")
        first = next(item for item in server["answers"] if item["code"] == code)
        assert (first["client"], first["winner"]["value"], first["unless"]) == (vendor, value, [])
        probed = kea.module("dhcp_probe", vendor=[vendor], wait=0).result["clients"][0]
        assert probed["provisioning_url"] == value
    elsewhere = info(kea, vendor=["snom"], subnet="198.18.9.0/24")
    assert "subnet 198.18.9.0/24 is not in" in elsewhere["fault"]
    assert elsewhere["options"], "what can be said is said"


def test_one_phone_with_a_reservation(kea: KeaSite) -> None:
    special = {"mac": "80:5e:c0:00:00:09", "code": 66, "value": "http://lab/"}
    assert kea.module(url=URL, vendors=["yealink"], options=[special]).code == 0
    server = info(kea, vendor=["yealink"], mac="80:5E:C0:00:00:09", subnet="198.18.0.0/24")
    answer = next(item for item in server["answers"] if item["code"] == 66)
    probed = kea.module("dhcp_probe", vendor=["yealink"], mac="805ec0000009", wait=0).result["clients"][0]
    assert probed["provisioning_url"] == answer["winner"]["value"]


def test_a_server_that_does_not_run_and_one_that_cannot_be_read(kea: KeaSite) -> None:
    kea.stop()
    kea.socket.unlink(missing_ok=True)
    stopped = info(kea)
    assert (stopped["running"], stopped["fault"]) == (False, None)
    assert [item["value"] for item in stopped["options"] if item["level"] == "subnet"] == ["http://old/"]
    kea.config.write_text(kea.config.read_text() + "}")
    broken = info(kea)
    assert broken["options"] == []
    assert str(kea.config) in broken["fault"]
