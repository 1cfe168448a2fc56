# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_options against a real Kea, asserted from the packets a client gets."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .kea_site import KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
VENDORS = ["snom", "yealink", "gigaset"]
PHONES = {
    "a snom by its vendor class": (("020000000001", "snomD785"), {66: URL}),
    "a snom by its MAC": (("1c7126000001", None), {66: URL}),
    "a Gigaset P": (("000413800001", "P820"), {66: URL}),
    "a Yealink": (("805ec0000001", "yealink"), {66: URL}),
    "a Yealink of another opinion": (("805ec0000001", "corporate"), {66: URL}),
    "an N670": (("7c2f80000001", "N670_IP_PRO"), {66: URL + "%MACD.xml", 114: URL + "%MACD.xml"}),
    "a Maxwell": (("589ec6000001", None), {66: URL + "%MACD.xml", 114: URL + "%MACD.xml"}),
    "somebody else": (("020000000001", "MSFT 5.0"), {66: URL}),
}


@pytest.fixture
def site(each_kea_in_time: KeaSite) -> KeaSite:
    """Everything here holds for each generation of Kea."""
    return each_kea_in_time


def phone_options(site: KeaSite, *client: Any) -> dict[int, str]:
    """What of an offer this is about."""
    return {code: value for code, value in site.offer(*client).items() if code in (66, 67, 114, 132, 160)}


def test_from_nothing_to_all_vendors_and_back(site: KeaSite) -> None:
    before = site.files()
    assert phone_options(site) == {}

    checked = site.module(check=True, url=URL, vendors=VENDORS)
    assert (checked.code, checked.result["changed"]) == (0, True), checked
    assert site.files() == before
    assert site.reloads() == 0

    done = site.module(url=URL, vendors=VENDORS)
    assert (done.code, done.result["changed"], done.result["reloaded"]) == (0, True, True), done
    assert done.result["diff"] == checked.result["diff"], "check mode told the truth"
    assert [case["client"] for case in done.result["probe"]["clients"]] == [
        "global",
        "vendor class gigaset",
        "vendor class snom",
        "vendor class yealink",
    ]
    assert site.reloads() == 1
    assert Path(done.result["backup_file"]).read_bytes() == before["kea-dhcp4.conf"]
    for name, (client, expected) in PHONES.items():
        assert phone_options(site, *client) == expected, name

    again = site.module(url=URL, vendors=VENDORS)
    assert (again.code, again.result["changed"], again.result["reloaded"]) == (0, False, False), again
    assert again.result["diff"] == []
    assert site.reloads() == 1, "nothing changed, nothing reloaded"

    gone = site.module(state="absent")
    assert (gone.code, gone.result["changed"]) == (0, True), gone
    assert site.files() == before, "byte for byte"
    assert phone_options(site) == {}
    assert site.module(state="absent").result["changed"] is False


@pytest.mark.parametrize("request_list", [None, [1, 3], [66, 114]], ids=["no list", "asks for others", "asks for them"])
def test_options_are_sent_whatever_the_client_asks_for(site: KeaSite, request_list: list[int] | None) -> None:
    assert site.module(url=URL, vendors=["gigaset"]).code == 0
    value = URL + "%MACD.xml"
    assert phone_options(site, "7c2f80000001", None, request_list) == {66: value, 114: value}


def test_every_scope_reaches_the_wire(site: KeaSite) -> None:
    values = {
        "mac": {"mac": "80-5E-C0-00-00-09", "code": 66, "value": "http://lab.example.com/a,b'c\"d\\e"},
        "class": {"vendor_class": "snomM", "name": "boot-file-name", "value": "m.xml"},
        "subnet": {"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"},
        "global": {"code": 132, "value": "20"},
    }
    done = site.module(url=URL, vendors=["yealink"], options=list(values.values()))
    assert done.code == 0, done
    common = {132: "20", 160: "http://s/"}
    assert phone_options(site, "805ec0000009", "yealink") == {66: values["mac"]["value"], **common}
    assert phone_options(site, "805ec0000008", "yealink") == {66: URL, **common}
    assert phone_options(site, "020000000001", "snomM900") == {66: URL, 67: "m.xml", **common}
    assert site.module(url=URL).code == 0
    assert phone_options(site, "805ec0000009", "yealink") == {66: URL}, "what is no longer listed is gone"


def test_a_shared_network(site: KeaSite) -> None:
    text = site.config.read_text().replace('"subnet4":', '"shared-networks": [ { "name": "voice", "subnet4":')
    site.write(text.replace("    } ]\n} }", "    } ] } ]\n} }"))
    site.stop()
    site.start()
    entry = {"shared_network": "voice", "code": 132, "value": "20"}
    assert site.module(options=[entry]).code == 0
    assert phone_options(site) == {132: "20"}


def test_the_administrators_edits_in_between_are_kept(site: KeaSite) -> None:
    assert site.module(url=URL, vendors=VENDORS).code == 0
    edited = site.config.read_text().replace(
        "// our clock", '// our clock\n        , { "code": 15, "data": "x.example" }'
    )
    site.config.write_text(edited)
    done = site.module(url=URL + "new/", vendors=VENDORS)
    assert done.code == 0, done
    assert site.config.read_text() == edited
    offered = site.offer("020000000001", "snomD785", [15])
    assert (offered[66], offered[15]) == (URL + "new/", "x.example")


def test_a_collision(site: KeaSite) -> None:
    text = site.config.read_text()
    site.write(text.replace("// our clock", ', { "name": "tftp-server-name", "data": "boot.example.com" }'))
    site.stop()
    site.start()
    before = site.files()

    refused = site.module(url=URL)
    assert refused.code == 1
    assert "has set boot.example.com in" in refused.message
    assert f"wanted is {URL}" in refused.message
    assert refused.result["conflicts"][0]["existing"] == "boot.example.com"
    assert (site.files(), site.reloads()) == (before, 0)

    kept = site.module(url=URL, vendors=["snom"], on_conflict="keep")
    assert kept.code == 0, kept
    assert kept.result["conflicts"][0]["wanted"] == URL
    assert site.offer("020000000001", None, [66])[66] == "boot.example.com"
    assert site.offer("020000000001", "snomD785")[66] == URL

    replaced = site.module(url=URL, vendors=["snom"], on_conflict="replace")
    assert replaced.code == 0, replaced
    assert site.offer("020000000001", None, [66])[66] == URL
    assert site.module(url=URL, vendors=["snom"], on_conflict="replace").result["changed"] is False

    assert site.module(state="absent").code == 0
    assert site.files() == before
    assert site.offer("020000000001", None, [66])[66] == "boot.example.com"


def test_what_hides_us_is_named_and_true(site: KeaSite) -> None:
    text = site.config.read_text()
    hiding = (
        '"option-data": [ { "name": "tftp-server-name", "data": "old.example.com", "always-send": true } ], "pools"'
    )
    site.write(text.replace('"pools"', hiding))
    site.stop()
    site.start()
    done = site.module(url=URL, vendors=["snom"])
    assert done.code == 0, done
    assert {entry["scope"]: entry["by"] for entry in done.result["hidden"]} == {
        "global": ["subnet 198.18.0.0/24 (old.example.com)"],
        "vendor class snom": ["subnet 198.18.0.0/24 (old.example.com)"],
    }
    assert phone_options(site, "020000000001", "snomD785") == {66: "old.example.com"}, "so the warning is true"
    assert "flex_option" in json.dumps(done.result["warnings"])


def test_a_configuration_that_is_broken_already(site: KeaSite) -> None:
    broken = site.config.read_text().replace('"id": 1,', '"id": 1, "pols": 2,')
    site.config.write_text(broken)
    before = site.files()
    refused = site.module(url=URL)
    assert refused.code == 1
    assert "is invalid before any change" in refused.message
    assert "pols" in refused.message
    assert ".autoprov-test" not in refused.message, "the administrator's file is named, not our copy of it"
    assert (site.files(), site.reloads()) == (before, 0)
    assert site.offer(), "the server serves on"


def test_a_wrong_offer_is_undone(site: KeaSite) -> None:
    """A hook of the administrator's that we do not know overrides option 66: only the offer tells."""
    parameters = {"options": [{"code": 66, "supersede": "'hooked'"}]}
    hook = {"library": str(site.copied_hook("flex_option", "unknown")), "parameters": parameters}
    text = site.config.read_text()
    site.write(text.replace('"option-data"', f'"hooks-libraries": [ {json.dumps(hook)} ], "option-data"'))
    site.stop()
    site.start()
    before = site.files()
    failed = site.module(url=URL)
    assert failed.code == 1
    assert "option 66 (tftp-server-name) is hooked, wanted is " + URL in failed.message
    assert "Everything was put back" in failed.message
    assert failed.result["rolled_back"] is True
    assert site.files() == before
    assert site.offer(), "the server serves on"
    assert site.module(url=URL, probe="never").code == 0


def test_a_server_that_does_not_run(site: KeaSite) -> None:
    site.stop()
    done = site.module(server="kea", url=URL, vendors=VENDORS)
    assert done.code == 0, done
    assert (done.result["changed"], done.result["running"], done.result["reloaded"]) == (True, False, False)
    assert site.module(server="kea", url=URL, vendors=VENDORS).result["changed"] is False
    required = site.module(server="kea", url=URL, vendors=["snom"], probe="required")
    assert required.code == 1
    assert "Probe is required but impossible: the server is not running" in required.message
    site.start()
    assert phone_options(site, "020000000001", "snomD785") == {66: URL}


def test_files_ahead_of_the_server_are_loaded(site: KeaSite) -> None:
    """As after a crash between writing and reloading: the files are right already, the server is not."""
    site.stop()
    pristine = site.config.read_bytes()
    assert site.module(server="kea", url=URL).code == 0
    written = site.config.read_bytes()
    site.config.write_bytes(pristine)
    site.start()
    site.config.write_bytes(written)
    assert phone_options(site) == {}
    checked = site.module(check=True, url=URL)
    assert checked.result["changed"] is True
    done = site.module(url=URL)
    assert (done.result["changed"], done.result["reloaded"]) == (True, True)
    assert phone_options(site) == {66: URL}


def test_no_control_socket(site: KeaSite) -> None:
    site.outside(site.socket).unlink()
    refused = site.module(url=URL)
    assert refused.code == 1
    assert f"nobody answers on its control socket {site.socket}" in refused.message

    site.stop()
    lines = site.config.read_text().splitlines(keepends=True)
    site.config.write_text("".join(line for line in lines if "control-socket" not in line))
    environment_free = subprocess.Popen(
        site.inside("kea-dhcp4", "-c", str(site.config)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "KEA_LOCKFILE_DIR": "none", "KEA_PIDFILE_DIR": str(site.folder)},
    )
    try:
        assert site.offer(), "it serves"
        refused = site.module(url=URL)
        assert refused.code == 1
        assert "without a control socket; add" in refused.message
    finally:
        environment_free.terminate()
        environment_free.wait(10)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": URL, "config_file": "/nowhere/kea.conf"}, "/nowhere/kea.conf does not exist; name the right one"),
        ({"options": [{"code": 159, "value": "http://a/", "subnet": "198.18.0.0/24"}]}, "Kea can send option 159 as"),
        ({"options": [{"code": 66, "value": "x", "subnet": "192.0.2.0/24"}]}, "there: 198.18.0.0/24"),
        ({"vendors": ["polycom"], "url": URL}, "polycom is not known; known are gigaset, snom, yealink"),
        ({}, "Nothing to set: give url, vendors or options"),
        ({"url": URL, "probe": "required", "probe_interface": "nope0"}, "interface nope0: No such device; nothing was"),
    ],
)
def test_clear_errors(site: KeaSite, arguments: dict[str, Any], told: str) -> None:
    before = site.files()
    refused = site.module(**arguments)
    assert refused.code == 1
    assert told in refused.message
    assert (site.files(), site.reloads()) == (before, 0)


def test_several_writers_lose_nothing(site: KeaSite) -> None:
    """Ten runs at once with one truth: one of them changes, the others find it done, and the server stays right."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: site.module(url=URL, vendors=VENDORS), range(10)))
    assert [answer.code for answer in answers] == [0] * 10
    assert sum(answer.result["changed"] for answer in answers) == 1
    assert site.reloads() == 1


def test_modes_and_owners_stay(site: KeaSite) -> None:
    os.chown(site.config, 65534, 65534)
    site.config.chmod(0o640)
    assert site.module(url=URL).code == 0
    for name in site.files():
        status = (site.folder / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (65534, 65534, 0o640), name
