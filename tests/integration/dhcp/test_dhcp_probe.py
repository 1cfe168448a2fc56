# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_probe against real servers: from the server's own interface, from a neighbour, and as a relay agent."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .kea_site import CONFIG, KEA, KeaSite
from .sites import run

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
GIGASET_URL = URL + "%MACD.xml"
VENDORS = ["snom", "yealink", "gigaset"]


@pytest.fixture
def kea(site: KeaSite) -> KeaSite:
    """Kea with option 66 and the like set for all vendors."""
    assert site.module(url=URL, vendors=VENDORS).code == 0
    return site


def test_what_each_phone_would_take(kea: KeaSite) -> None:
    answer = kea.module("dhcp_probe", vendors=VENDORS, url=URL, timeout=3, wait=0.3)
    assert (answer.code, answer.result["changed"], answer.result["findings"]) == (0, False, []), answer
    assert answer.result["servers"] == ["198.18.0.1"]
    assert [(item["client"], item["interface"], item["provisioning_url"]) for item in answer.result["clients"]] == [
        ("snom", "srv0", URL),
        ("yealink", "srv0", URL),
        ("gigaset", "srv0", GIGASET_URL),
    ]
    snom = answer.result["clients"][0]
    assert (snom["mac"], snom["vendor_class"], snom["provisioning_source"]) == (
        "00:04:13:61:70:01",
        "snomD785",
        "option 66",
    )
    (offer,) = snom["offers"]
    assert offer["seconds"] < 1
    assert offer["options"]["1"] == {"name": "subnet-mask", "value": "255.255.255.0", "hex": "ffffff00"}
    assert offer["options"]["42"]["value"] == "198.18.0.1"
    assert offer["options"]["51"]["value"].endswith(" s")
    assert answer.result["clients"][2]["provisioning_source"] == "option 114"


def test_check_mode_asks_all_the_same(kea: KeaSite) -> None:
    answer = kea.module("dhcp_probe", check=True, vendor=["snom"], wait=0)
    assert answer.result["clients"][0]["provisioning_url"] == URL


def test_what_is_not_as_expected_is_shown_beside_it(kea: KeaSite) -> None:
    assert kea.module(url=URL, vendors=["yealink"], options=[{"code": 160, "value": "http://old/"}]).code == 0
    expect: list[dict[str, Any]] = [
        {"name": "vlan-id", "value": "20"},
        {"name": "ntp-servers", "value": "198.18.0.1"},
        {"code": 3},
    ]
    answer = kea.module("dhcp_probe", vendor=["yealink"], url=URL, expect=expect, wait=0)
    assert answer.code == 1
    assert [" ".join(line.split()) for line in answer.message.splitlines()] == [
        "yealink on srv0 is offered something else by 198.18.0.1 than expected:",
        "expected offered",
        f"provisioning URL {URL} http://old/ (option 160)",
        "option 3 any value missing",
        "option 132 (vlan-id) 20 missing",
    ]
    assert answer.result["clients"][0]["offers"], "the offers are in the result of the failure too"


def test_nobody_answers(site: KeaSite) -> None:
    site.stop()
    answer = site.module("dhcp_probe", interface=["srv0"], timeout=0.5)
    assert (answer.code, answer.result["clients"][0]["offers"]) == (0, []), answer
    assert "any client on srv0 is offered nothing" in answer.result["findings"][0]
    answer = site.module("dhcp_probe", interface=["srv0"], timeout=0.5, vendor=["snom"], url=URL)
    assert (answer.code, answer.message) == (1, "snom on srv0 is offered nothing")
    answer = site.module("dhcp_probe", timeout=0.5)
    assert "no DHCP server of this host serves an interface of it" in answer.message


def test_all_faults_of_a_question_at_once(site: KeaSite) -> None:
    answer = site.module(
        "dhcp_probe",
        vendors=["snom", "nokia"],
        mac="00:04:13:00:00:01",
        request_list=["66", "nonsense"],
        url="ftp//x",
        expect=[{"code": 42, "value": "x"}],
        server="x",
        timeout=500,
    )
    assert answer.code == 1
    for told in ("nokia is not known", "mac: it can only", "request_list[1]", "url: ftp//x", "expect[0]", "server: x"):
        assert told in answer.message, told
    assert "timeout: 500.0 is not from 0 to 120 seconds" in answer.message
    missing = site.module("dhcp_probe", interface=["nonesuch"])
    assert "interface nonesuch: No such device" in missing.message


@pytest.fixture
def rival(kea: KeaSite) -> Iterator[None]:
    """Somebody else's DHCP server on the other side of the cable, with an address and a URL of its own."""
    run("ip", "-n", kea.client, "addr", "add", "198.18.0.9/24", "dev", "cli0")
    text = (
        CONFIG.replace("srv0", "cli0")
        .replace('"control-socket"', '"user-context"')
        .replace("198.18.0.50", "198.18.0.99")
    )
    text = text.replace('"ntp-servers",   "data": "198.18.0.1"', '"tftp-server-name", "data": "http://rival/"')
    folder = kea.folder / "rival"
    folder.mkdir()
    (folder / "kea.conf").write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", kea.client, str(KEA), "-c", str(folder / "kea.conf")],
            stdout=log,
            stderr=log,
            env={"KEA_LOCKFILE_DIR": "none", "KEA_PIDFILE_DIR": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    try:
        for _attempt in range(100):
            if "DHCP4_STARTED" in (folder / "log").read_text():
                break
            assert process.poll() is None, (folder / "log").read_text()
            threading.Event().wait(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_a_second_server_is_found(kea: KeaSite, rival: None) -> None:
    answer = kea.module("dhcp_probe", interface=["srv0"], vendor=["snom"])
    assert sorted(answer.result["servers"]) == ["198.18.0.1", "198.18.0.9"]
    assert "several DHCP servers answer" in answer.result["findings"][-1]
    meant = kea.module("dhcp_probe", interface=["srv0"], vendor=["snom"], url=URL, server="198.18.0.1")
    assert (meant.code, meant.result["clients"][0]["provisioning_url"]) == (0, URL), meant
    assert "198.18.0.9 should not" in meant.result["findings"][-1]
    every = kea.module("dhcp_probe", interface=["srv0"], vendor=["snom"], url=URL)
    assert every.code == 1
    assert "http://rival/" in every.message
    assert "198.18.0.1 than expected" not in every.message


def test_a_dhcp_client_on_the_interface_is_left_alone(kea: KeaSite) -> None:
    """Port 68 may be somebody's: the probe neither needs nor gets it, and its answers are none of theirs."""
    holder = subprocess.Popen(
        ["ip", "netns", "exec", kea.server, sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "bound\n"
        answer = kea.module("dhcp_probe", vendor=["snom"], url=URL, wait=0)
        assert answer.code == 0, answer
        assert holder.poll() is None
    finally:
        holder.terminate()
        holder.wait(10)


HOLDER = """
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 68))
print("bound", flush=True)
time.sleep(60)
"""


def test_a_server_of_relay_agents_is_asked_as_one(site: KeaSite) -> None:
    """With UDP sockets, Kea hears no phone, only relay agents; so one is played."""
    site.stop()
    text = CONFIG.replace('"interfaces": [ "srv0" ]', '"interfaces": [ "srv0" ], "dhcp-socket-type": "udp"')
    site.write(text)
    site.start()
    assert site.module(url=URL, vendors=["snom"], probe="never").code == 0
    assert site.offer() == {}, "a phone beside it gets nothing"
    alone = site.module("dhcp_probe", interface=["srv0"], timeout=0.5)
    assert "is offered nothing" in alone.result["findings"][0]
    relayed = site.module("dhcp_probe", vendor=["snom"], server="198.18.0.1", relay="198.18.0.1", url=URL, wait=0)
    assert relayed.code == 0, relayed
    assert relayed.result["clients"][0]["interface"] == "relay 198.18.0.1"


def test_nothing_is_allocated(kea: KeaSite) -> None:
    """A DISCOVER leaves no lease: every address of a pool of one can be offered to anyone, again and again."""
    kea.stop()
    kea.write(kea.config.read_text().replace("198.18.0.50 - 198.18.0.250", "198.18.0.50 - 198.18.0.50"))
    kea.start()
    for vendor in VENDORS:
        answer = kea.module("dhcp_probe", vendor=[vendor], wait=0)
        assert answer.result["clients"][0]["offers"][0]["address"] == "198.18.0.50", vendor
