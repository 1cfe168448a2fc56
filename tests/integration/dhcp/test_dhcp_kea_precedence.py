# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to win is what a client gets, on each generation of Kea: every level, and the order of classes."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import names as kea_names
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.config import KeaConfiguration
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.report import KeaReport
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.probe import Client

from .kea_site import connect

if TYPE_CHECKING:
    from .kea_site import KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
CONFIG = """{ "Dhcp4": {
    "interfaces-config": { "interfaces": [ "srv0" ] },
    "control-socket": { "socket-type": "unix", "socket-name": "%(socket)s" },
    "lease-database": { "type": "memfile", "persist": false },
    "reservations-global": true, "reservations-in-subnet": true,
    "option-data": [ { "code": 66, "data": "global" }, { "name": "domain-name", "data": "global.example" } ],
    "client-classes": [
        { "name": "VENDOR_CLASS_odd", "option-data": [ { "code": 66, "data": "by option 60" } ] },
        { "name": "late", "test": "member('ALL')", "only-if-required": true,
          "option-data": [ { "code": 66, "data": "on demand" }, { "code": 67, "data": "on demand" } ] },
        { "name": "known", "test": "member('KNOWN')",
          "option-data": [ { "code": 66, "data": "known" }, { "code": 67, "data": "known" } ] },
        { "name": "given", "option-data": [ { "code": 66, "data": "given" }, { "code": 67, "data": "given" } ] },
        { "name": "odd ones", "test": "substring(option[60].hex,0,3) == 'odd'",
          "option-data": [ { "code": 66, "data": "by test" } ] },
        { "name": "yealinks", "test": "substring(option[60].hex,0,7) == 'yealink' and not member('given')",
          "option-data": [ { "code": 66, "data": "yealinks", "always-send": true } ] } ],
    "shared-networks": [ { "name": "voice",
        "option-data": [ { "name": "domain-name", "data": "voice.example", "always-send": true } ],
        "subnet4": [ { "id": 1, "subnet": "198.18.0.0/24", "require-client-classes": [ "late" ],
            "pools": [ { "pool": "198.18.0.50 - 198.18.0.250" } ],
            "reservations": [
                { "hw-address": "80:5E:C0:00:00:02", "ip-address": "198.18.0.20",
                  "option-data": [
                      { "code": 66, "data": "host" }, { "name": "domain-name", "data": "host.example" } ] },
                { "hw-address": "80:5e:c0:00:00:04", "hostname": "known" } ] } ] } ],
    "reservations": [ { "hw-address": "80:5e:c0:00:00:03", "client-classes": [ "given" ] } ]
} }
"""
CLIENTS = {
    "nobody": Client("020000000001", None),
    "a Snom": Client("000413000001", "snomD785"),
    "a Yealink": Client("805ec0000001", "yealink"),
    "with a reservation": Client("805ec0000002", "yealink"),
    "with a class by a reservation": Client("805ec0000003", "other"),
    "a known one": Client("805ec0000004", "other"),
    "odd": Client("020000000002", "odd"),
    "oddity": Client("020000000002", "oddity"),
}


@pytest.fixture
def site(each_kea_in_time: KeaSite) -> KeaSite:
    """Everything here holds for each generation of Kea."""
    kea = each_kea_in_time
    kea.write(renamed(kea, CONFIG))
    kea.stop()
    kea.start()
    return kea


def renamed(site: KeaSite, text: str) -> str:
    """Kea 3.0 has given classes on demand another name."""
    if site.version() < (3, 0):
        return text
    text = text.replace("only-if-required", "only-in-additional-list")
    return text.replace("require-client-classes", "evaluate-additional-classes")


def wrong(site: KeaSite, codes: tuple[int, ...] = (66, 67, 15)) -> list[str]:
    """Where a client gets something else than is said; what nobody can be sure of may be any of what is named."""
    report = KeaReport(KeaConfiguration(str(site.config), "/"))
    found = []
    for name, client in CLIENTS.items():
        offered = site.offer(client.mac, client.vendor_class, list(codes))
        unasked = site.offer(client.mac, client.vendor_class, [1])
        for code in codes:
            answer = report.answer(code, client, "198.18.0.0/24")
            winner = answer.winner
            possible = [winner.value if winner else None, *(item.value for item in answer.unless)]
            if offered.get(code) not in possible or (not answer.unless and offered.get(code) != possible[0]):
                found.append(f"{name}, option {code}: {offered.get(code)} is offered, said is {possible}")
            if winner and not answer.unless and (code in unasked) != winner.always_sent:
                found.append(f"{name}, option {code}: sent unasked is {code in unasked}, said is {winner.always_sent}")
    return found


def test_what_is_said_is_what_is_sent(site: KeaSite) -> None:
    assert wrong(site) == []
    got = {name: site.offer(client.mac, client.vendor_class, [66]).get(66) for name, client in CLIENTS.items()}
    assert got == {
        "nobody": "on demand",
        "a Snom": "on demand",
        "a Yealink": "yealinks",
        "with a reservation": "host",
        "with a class by a reservation": "given",
        "a known one": "known",
        "odd": "by option 60",
        "oddity": "by test",
    }, "the order of classes, as Kea decides on them"


def test_with_ours_beside_theirs(site: KeaSite) -> None:
    phone = {"mac": "805ec0000003", "code": 66, "value": "http://phone/"}
    done = site.module(url=URL, vendors=["snom", "yealink"], options=[phone], on_conflict="replace")
    assert done.code == 0, done
    assert wrong(site) == []
    hidden = {entry["scope"]: entry["by"] for entry in done.result["hidden"]}
    assert site.offer("000413000001", "snomD785", [66])[66] == URL, "before classes on demand, and those of known hosts"
    assert "vendor class snom" not in {
        scope for scope, by in hidden.items() if any("on demand" in name or "(known)" in name for name in by)
    }
    assert any("client class yealinks" in name for name in hidden["vendor class yealink"])
    assert site.offer("805ec0000001", "yealink", [66])[66] == "yealinks", "so the warning is true"
    assert "client class given (given)" in hidden["phone 80:5e:c0:00:00:03"]
    assert site.offer("805ec0000003", "other", [66])[66] == "given", "what a global reservation gives comes first"
    assert site.module(state="absent").code == 0
    assert site.config.read_text() == renamed(site, CONFIG).replace("%(socket)s", str(site.socket))


def test_always_send_of_one_level_sends_the_winner(site: KeaSite) -> None:
    """Ours at the global level is always sent: so is, from then on, what wins over it, even to who does not ask."""
    assert 66 not in site.offer("805ec0000002", "other", [1])
    assert site.module(url=URL, on_conflict="replace").code == 0
    assert site.offer("805ec0000002", "other", [1])[66] == "host"
    assert wrong(site) == []


def test_the_same_option_twice_at_one_level(site: KeaSite) -> None:
    """Kea accepts it and takes one of them. We name both, and replace both or none."""
    twice = site.config.read_text().replace(
        '{ "code": 66, "data": "global" },', '{ "code": 66, "data": "global" }, { "code": 66, "data": "again" },'
    )
    site.write(twice)
    site.stop()
    site.start()
    refused = site.module(url=URL)
    assert refused.code == 1
    assert [entry["existing"] for entry in refused.result["conflicts"]] == ["global", "again"]
    assert site.module(url=URL, on_conflict="replace").code == 0
    assert site.config.read_text().count("autoprov replaced") == 2
    assert site.module(state="absent").code == 0
    assert site.config.read_text() == twice


def test_included_files_of_the_administrator(site: KeaSite) -> None:
    """Our lines go where the array is: into the file that the administrator includes."""
    more = site.folder / "more.json"
    more.write_text('[ // options\n  { "code": 42, "data": "198.18.0.1" }\n]\n')
    start = site.config.read_text().index('[ { "code": 66, "data": "global" }')
    end = site.config.read_text().index("],", start) + 1
    text = site.config.read_text()
    site.write(f'{text[:start]}<?include "{more}"?>{text[end:]}')
    site.stop()
    site.start()
    before = site.files()
    assert site.module(url=URL).code == 0
    assert "autoprov-kea-dhcp4-options.json" in more.read_text()
    assert site.config.read_bytes() == before["kea-dhcp4.conf"]
    assert wrong(site) == []
    assert site.module(state="absent").code == 0
    assert site.files() == before


NAME = "0361626300"  # a domain name, as it travels
#: Data that Kea takes for an option, where four addresses are none.
ODD_DATA = {
    **dict.fromkeys(
        ["bcms-controller-names", "domain-search", "v4-lost", "sip-ua-cs-domains", "v4-access-domain"], NAME
    ),
    **dict.fromkeys(["vivco-suboptions", "vivso-suboptions"], NAME),
    "rdnss-selection": "00" + "01020304" * 2 + NAME,
    "option-6rd": "0101" + "00" * 16 + "01020304",
}


def test_names_of_options(site: KeaSite) -> None:
    """Kea says which code each of its names has."""
    entries = [
        {"name": name, "csv-format": False, "data": ODD_DATA.get(name, "01020304" * 4)} for name in kea_names.CODES
    ]
    text = site.config.read_text()
    site.config.write_text(text.replace('"option-data": [', f'"option-data": [ {json.dumps(entries)[1:-1]},', 1))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        connect(client, site.outside(site.socket))
        client.sendall(b'{ "command": "config-reload" }')
        assert json.loads(client.recv(1 << 16))["result"] == 0, "it knows them all"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        connect(client, site.outside(site.socket))
        client.sendall(b'{ "command": "config-get" }')
        answer = json.loads(b"".join(iter(lambda: client.recv(1 << 20), b"")))
    known = {entry["name"]: entry["code"] for entry in answer["arguments"]["Dhcp4"]["option-data"]}
    assert {name: known[name] for name in kea_names.CODES} == kea_names.CODES


def test_control_sockets_of_kea_3(unpacked_kea: KeaSite) -> None:
    """A list of them, of two kinds; only the Unix socket is for us."""
    site = unpacked_kea
    if site.version() < (3, 0):
        return
    old = f'"control-socket": {{ "socket-type": "unix", "socket-name": "{site.socket}" }}'
    http = '{ "socket-type": "http", "socket-address": "127.0.0.1", "socket-port": 8004 }'
    text = site.config.read_text()
    site.write(text.replace(old, f'"control-sockets": [ {http}, {old[18:]} ]'))
    site.stop()
    site.start()
    done = site.module(url=URL)
    assert (done.code, done.result["reloaded"]) == (0, True), done
    assert site.offer()[66] == URL
    assert site.module(state="absent").code == 0

    site.write(text.replace(old, f'"control-sockets": [ {http} ]'))
    site.stop()
    site.start()
    refused = site.module(url=URL)
    assert refused.code == 1
    assert 'add "control-socket"' in refused.message


def test_without_privilege(unpacked_kea: KeaSite) -> None:
    """A task without become: the error says so, and nobody sees a traceback."""
    site = unpacked_kea
    before = site.files()
    site.python = "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3"
    refused = site.module(server="kea", url=URL)
    assert refused.code == 1
    assert "run as root (become: true)" in refused.message
    assert (site.files(), site.reloads()) == (before, 0)
