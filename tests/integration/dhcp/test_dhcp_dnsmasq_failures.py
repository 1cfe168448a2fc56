# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes wrong with a change of dnsmasq, it serves afterwards, and the administrator's files are theirs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from .sites import MODULES, REPOSITORY

if TYPE_CHECKING:
    from .dnsmasq_site import DnsmasqSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"


def says(site: DnsmasqSite, code: int = 66) -> str:
    """What a client is told; fails when there is no offer."""
    offered = site.offer()
    assert offered, "the server serves"
    value = offered.get(code, "")
    return bytes.fromhex(value[2:]).rstrip(b"\0").decode() if value.startswith("0x") else value


def test_a_configuration_that_is_broken_already(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    with site.config.open("a") as stream:
        stream.write("dhcp-optin=66,x\n")
    before, pid = site.files(), site.pid
    for check in (True, False):
        refused = site.module(check=check, url=URL, on_pending="load")
        assert refused.code == 1
        assert f"is invalid before any change: bad option at line 10 of {site.config}" in refused.message
    assert (site.files(), site.restarts(), site.pid) == (before, 0, pid)
    assert says(site) == ""


def test_quotes_that_do_not_end(dnsmasq_site: DnsmasqSite) -> None:
    with dnsmasq_site.config.open("a") as stream:
        stream.write('dhcp-option=15,"x\n')
    refused = dnsmasq_site.module(url=URL)
    assert f'missing " at {dnsmasq_site.config}:10; repair it first' in refused.message


def test_the_restart_command_fails(dnsmasq_site: DnsmasqSite) -> None:
    """Nothing was restarted, so nothing need be."""
    site = dnsmasq_site
    before, pid = site.files(), site.pid
    failed = site.module(url=URL, restart_command=site.script("no", "#!/bin/sh\necho 'no way' >&2\nexit 3\n"))
    assert failed.code == 1
    assert "failed with status 3: no way" in failed.message
    assert (failed.result["rolled_back"], site.files(), site.pid) == (True, before, pid)
    assert says(site) == ""
    assert site.module(url=URL).result["changed"]
    assert says(site) == URL


def test_a_restart_command_that_restarts_nothing(dnsmasq_site: DnsmasqSite) -> None:
    before, pid = dnsmasq_site.files(), dnsmasq_site.pid
    failed = dnsmasq_site.module(url=URL, restart_command=["true"])
    assert f"restart command has not restarted dnsmasq: process {pid} still runs" in failed.message
    assert (failed.result["rolled_back"], dnsmasq_site.files()) == (True, before)


def test_a_start_that_fails_once(dnsmasq_site: DnsmasqSite) -> None:
    """The server is down then: it is started again with the old files."""
    site = dnsmasq_site
    before = site.files()
    stop = f'kill "$(cat {site.folder}/dnsmasq.pid)"; sleep 0.2'
    once = f"#!/bin/sh\nif mkdir {site.folder}/once; then {stop}; exit 1; fi\nexec {site.folder}/restart\n"
    failed = site.module(url=URL, restart_command=site.script("once.sh", once))
    assert failed.code == 1
    assert "Everything was put back as it was: the server runs its old configuration and answers" in failed.message
    assert (failed.result["rolled_back"], site.files()) == (True, before)
    assert says(site) == ""
    assert site.module(url=URL).result["changed"]


def test_somebody_takes_the_port(dnsmasq_site: DnsmasqSite) -> None:
    """Between the end of the old process and the start of the new one, for two seconds."""
    site = dnsmasq_site
    before = site.files()
    thief = (
        "import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "end = time.monotonic() + 5\n"
        "while True:\n"
        "    try:\n"
        "        s.bind(('0.0.0.0', 67))\n"
        "        break\n"
        "    except OSError:\n"
        "        assert time.monotonic() < end\n"
        "        time.sleep(0.01)\n"
        "print('taken', flush=True)\n"
        "time.sleep(2)\n"
    )
    stop = f'kill "$(cat {site.folder}/dnsmasq.pid)"; {sys.executable} -c "{thief}" >{site.folder}/thief 2>&1 & '
    wait = f"until grep -q taken {site.folder}/thief; do sleep 0.05; done"
    text = f"#!/bin/sh\nif mkdir {site.folder}/once; then {stop} {wait}; fi\nexec {site.folder}/restart\n"
    failed = site.module(url=URL, restart_command=site.script("theft", text))
    assert failed.code == 1
    assert re.search("failed to bind DHCP server socket|Address already in use", failed.message), failed.message
    assert (failed.result["rolled_back"], site.files()) == (True, before), failed.message
    assert says(site) == ""


def test_somebody_breaks_a_file_at_the_same_moment(dnsmasq_site: DnsmasqSite) -> None:
    """After our test of the plan, before the restart: the files are tested again, and nothing is restarted."""
    site = dnsmasq_site
    pid, theirs = site.pid, site.drop_ins / "theirs"
    watcher = threading.Thread(target=break_when, args=(site, theirs))
    watcher.start()
    failed = site.module(url=URL)
    watcher.join(10)
    if not failed.result.get("failed"):
        pytest.skip("the moment was missed: the server was restarted before the file was broken")
    assert "refuses its files as they stand now: bad option at line 1" in failed.message
    assert failed.result["rolled_back"] is True
    assert (site.pid, site.restarts()) == (pid, 0)
    assert not site.own.exists()
    assert theirs.read_text() == "nonsense\n"
    assert says(site) == ""


def break_when(site: DnsmasqSite, theirs: object) -> None:
    """Break a file as soon as ours is there."""
    end = time.monotonic() + 10
    while not site.own.exists() and time.monotonic() < end:
        time.sleep(0.0005)
    (site.drop_ins / "theirs").write_text("nonsense\n")


def test_a_file_that_breaks_while_the_server_restarts(dnsmasq_site: DnsmasqSite) -> None:
    """It cannot start then with any file of ours; which line is to blame is said, and repaired it serves at once."""
    site = dnsmasq_site
    before = site.files()
    theirs = site.drop_ins / "theirs"
    text = f"#!/bin/sh\nif mkdir {site.folder}/once; then echo nonsense >{theirs}; fi\nexec {site.folder}/restart\n"
    repair = threading.Timer(4, theirs.unlink)
    repair.start()
    failed = site.module(url=URL, restart_command=site.script("break", text))
    repair.join()
    assert failed.code == 1
    assert f"bad option at line 1 of {theirs}" in failed.message
    assert (failed.result["rolled_back"], site.files()) == (True, before), failed.message
    assert says(site) == ""


def test_killed_between_the_files_and_the_restart(dnsmasq_site: DnsmasqSite) -> None:
    """The next run makes up for the restart: after setting, and after taking back."""
    site = dnsmasq_site
    before = site.files()
    truths: list[tuple[dict[str, Any], str]] = [({"url": URL}, URL), ({"state": "absent"}, "")]
    for arguments, expected in truths:
        killed_in_restart(site, arguments)
        assert (URL in str(site.files())) == bool(expected), "the files are written"
        assert says(site) != expected, "the server has not read them"
        checked = site.module(check=True, **arguments)
        assert checked.result["changed"] is True
        done = site.module(**arguments)
        assert (done.result["changed"], done.result["reloaded"]) == (True, True), done
        assert says(site) == expected
        assert site.module(**arguments).result["changed"] is False
    assert site.files() == before


def killed_in_restart(site: DnsmasqSite, arguments: dict[str, str]) -> None:
    """A run that is killed while it waits for its restart command."""
    hang = site.script("hang", f"#!/bin/sh\ntouch {site.folder}/hanging\nsleep 30\n")
    given = {"config_file": str(site.config), "server": "dnsmasq", "restart_command": hang, **arguments}
    process = subprocess.Popen(
        site.inside(sys.executable, "-m", f"{MODULES}.dhcp_options"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections"), PYTHONWARNINGS="ignore"),
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
    process.stdin.close()
    end = time.monotonic() + 20
    while not (site.folder / "hanging").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (site.folder / "hanging").unlink()


def test_a_server_that_does_not_run(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    site.stop()
    (site.folder / "dnsmasq.conf").write_text(site.config.read_text() + f"conf-dir={site.drop_ins}\n")
    done = site.module(url=URL, vendors=["snom"])
    assert done.code == 0, done
    assert (done.result["changed"], done.result["running"], done.result["reloaded"]) == (True, False, False)
    assert site.module(url=URL, vendors=["snom"]).result["changed"] is False
    site.start()
    assert says(site) == URL


def test_files_ahead_of_the_server_are_loaded(dnsmasq_site: DnsmasqSite) -> None:
    """As after a copy of our file came back while the server ran."""
    site = dnsmasq_site
    assert site.module(url=URL).code == 0
    ours = site.own.read_bytes()
    site.own.unlink()
    site.restarted()
    time.sleep(0.05)
    site.own.write_bytes(ours)
    assert says(site) == ""
    done = site.module(url=URL)
    assert (done.result["changed"], done.result["reloaded"]) == (True, True)
    assert says(site) == URL
    assert site.module(url=URL).result["changed"] is False


def test_many_writers_and_an_administrator(dnsmasq_site: DnsmasqSite) -> None:
    """20 runs at once with four different truths, which all replace a line of the administrator's file, to which the
    administrator goes on appending. No line is lost, one of the truths stands, and it is what clients are told."""
    site = dnsmasq_site
    theirs = site.drop_ins / "theirs"
    theirs.write_text("dhcp-option=66,jo.example.com\n")
    site.restarted()
    urls = [f"http://198.18.0.{number}/" for number in range(1, 5)]
    finished = threading.Event()
    appended: list[str] = []

    def append() -> None:
        while not finished.is_set():
            line = f"dhcp-host=02:00:00:00:{len(appended) // 256:02x}:{len(appended) % 256:02x},host{len(appended)}\n"
            with theirs.open("a") as stream:
                stream.write(line)
            appended.append(line)
            time.sleep(0.2)

    administrator = threading.Thread(target=append)
    administrator.start()
    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda index: site.module(url=urls[index % 4], on_conflict="replace"), range(20)))
    finally:
        finished.set()
        administrator.join()
    assert [answer.code for answer in answers] == [0] * 20, [answer.message for answer in answers if answer.code]
    assert len(appended) > 5
    lines = theirs.read_text().splitlines(keepends=True)
    assert lines[0] == "#autoprov-replaced# dhcp-option=66,jo.example.com\n"
    assert lines[1:] == appended, "no line is lost"
    stands = [url for url in urls if f'66,"{url}"' in site.own.read_text()]
    assert len(stands) == 1
    assert says(site) == stands[0]
    assert site.module(state="absent").code == 0
    assert theirs.read_text() == "dhcp-option=66,jo.example.com\n" + "".join(appended)


def test_leases_survive(dnsmasq_site: DnsmasqSite) -> None:
    """The restart keeps the file of leases: a phone keeps its address, and nobody else gets it."""
    site = dnsmasq_site
    (site.folder / "leases").write_text("9999999999 80:5e:c0:00:00:01 198.18.0.77 phone *\n")
    site.restarted()
    assert site.module(url=URL).code == 0
    assert "80:5e:c0:00:00:01 198.18.0.77" in (site.folder / "leases").read_text()
