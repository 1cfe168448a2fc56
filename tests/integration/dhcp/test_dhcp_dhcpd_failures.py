# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_options and a real ISC dhcpd when something goes wrong: clear words, nothing lost, and the server answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .dhcpd_site import CONFIG, DHCPD, DhcpdSite
from .sites import Answer

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"


def script(site: DhcpdSite, name: str, text: str) -> list[str]:
    """A restart command of the administrator's."""
    path = site.folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return [str(path)]


def test_a_broken_file_of_the_administrators(dhcpd_site: DhcpdSite) -> None:
    """dhcpd shows the faulty line, which may hold a password: it must not come through."""
    site = dhcpd_site
    secret = 'key "k" { algorithm hmac-md5; secret "aGVsbG8="; bogus hunter2; };\n'
    site.write(site.config.read_text().replace("subnet", secret + "subnet", 1))
    before, pid = site.files(), site.pid
    refused = site.module(url=URL)
    assert refused.code == 1
    assert f"The configuration {site.config} is invalid before any change: {site.config} line " in refused.message
    assert "hunter2" not in str(refused.result["msg"])
    assert "aGVsbG8" not in refused.message
    assert (site.files(), site.pid) == (before, pid)

    site.write("subnet 198.18.0.0 netmask 255.255.255.0 {\n")
    refused = site.module(url=URL)
    assert f"is invalid before any change: {site.config} line 1: this brace is never closed" in refused.message
    assert site.offer(), "it serves on with what it has read"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": URL, "config_file": "/nowhere/dhcpd.conf"}, "/nowhere/dhcpd.conf does not exist; name the right one"),
        ({"options": [{"code": 66, "value": "x", "subnet": "192.0.2.0/24"}]}, "there: 198.18.0.0/24"),
        ({"options": [{"code": 66, "value": "x", "shared_network": "v"}]}, "shared network v is not in"),
        ({"url": URL, "probe": "required", "probe_interface": "nope0"}, "interface nope0: No such device; nothing was"),
        ({"url": URL, "restart_command": []}, "Nobody supervises process"),
    ],
)
def test_clear_errors(dhcpd_site: DhcpdSite, arguments: dict[str, Any], told: str) -> None:
    before, pid = dhcpd_site.files(), dhcpd_site.pid
    for check in (True, False) if "probe" not in arguments else (False,):
        refused = dhcpd_site.module(check=check, **arguments)
        assert refused.code == 1
        assert told.lower() in refused.message.lower()
    assert (dhcpd_site.files(), dhcpd_site.pid) == (before, pid)


def test_a_class_of_our_name(dhcpd_site: DhcpdSite) -> None:
    """dhcpd would take the two for one."""
    text = dhcpd_site.config.read_text()
    dhcpd_site.write(text.replace("subnet", 'class "autoprov-snom" { match if 1 = 1; }\nsubnet', 1))
    refused = dhcpd_site.module(url=URL, vendors=["snom"])
    assert "Class autoprov-snom is already in the administrator's part; rename it there" in refused.message


def test_several_servers(dhcpd_site: DhcpdSite) -> None:
    other = dhcpd_site.folder / "other.conf"
    shutil.copy(dhcpd_site.config, other)
    files = ["-lf", str(dhcpd_site.folder / "other.leases"), "-pf", str(dhcpd_site.folder / "other.pid")]
    (dhcpd_site.folder / "other.leases").touch()
    second = subprocess.Popen(
        dhcpd_site.inside(str(DHCPD), "-f", "-cf", str(other), *files, "srv0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 10
        while not (dhcpd_site.folder / "other.pid").exists() and time.monotonic() < end:
            time.sleep(0.05)
        refused = dhcpd_site.module(url=URL, config_file=None)
        assert refused.code == 1
        assert "Several dhcpd run here" in refused.message
        assert str(other) in refused.message
        assert str(dhcpd_site.config) in refused.message
        assert dhcpd_site.module(url=URL, check=True).code == 0, "the one named is found"
    finally:
        second.terminate()
        second.wait(10)


#: A restart that goes wrong in its own way; %s is the good one; what the error says.
BAD_RESTARTS = {
    "it fails and does nothing": ("echo no bus >&2; exit 3", "failed with status 3: no bus"),
    "it does nothing": ("exit 0", "the restart has left the old dhcpd running"),
    "it ends the old one, then fails once": (
        # The old one takes its time to end: that it still runs when the command has failed means nothing.
        "[ -e {once} ] && exec {good}; touch {once}; (sleep 0.4; kill $(cat {pid})) >/dev/null 2>&1 & "
        'echo "port in use" >&2; exit 1',
        "failed with status 1: port in use",
    ),
    "the new one does not stay": (
        "[ -e {once} ] && exec {good}; touch {once}; {good}; (sleep 0.5; kill $(cat {pid})) >/dev/null 2>&1 & exit 0",
        "dhcpd was started, but does not stay",
    ),
    "it is started again and again": (
        # As a supervisor whose child ends after half a second; the second call ends that.
        "if [ -e {once} ]; then touch {once}.stop; while [ ! -e {once}.over ]; do sleep 0.1; done; exec {good}; fi; "
        "touch {once}; {good}; (while sleep 0.5; [ ! -e {once}.stop ]; do {good}; done; touch {once}.over) "
        ">/dev/null 2>&1 & exit 0",
        "again and again",
    ),
}


@pytest.mark.parametrize("kind", BAD_RESTARTS)
def test_a_restart_that_fails_is_put_right(dhcpd_site: DhcpdSite, kind: str) -> None:
    site = dhcpd_site
    text, told = BAD_RESTARTS[kind]
    before = site.files()
    names = {"pid": site.pid_file, "once": site.folder / "once", "good": site.script}
    command = script(site, "bad", text.format(**names))
    failed = site.module(url=URL, vendors=["snom"], restart_command=command)
    assert failed.code == 1
    assert told.lower() in failed.message.lower()
    assert failed.result["rolled_back"] is True, failed
    assert "everything was put back as it was" in failed.message.lower()
    assert site.files() == before
    offered = site.offer()
    assert offered, "it answers"
    assert 66 not in offered
    assert site.module(state="absent").result["changed"] is False, "no restart is owed"
    done = site.module(url=URL)
    assert done.code == 0, done
    assert site.offer()[66] == URL


def test_a_server_that_stays_down_is_said_so(dhcpd_site: DhcpdSite) -> None:
    """Nothing can start it: both reasons are told, and the files are as they were."""
    before = dhcpd_site.files()
    command = script(dhcpd_site, "bad", f"kill $(cat {dhcpd_site.pid_file}); exit 1")
    failed = dhcpd_site.module(url=URL, restart_command=command)
    assert (failed.code, failed.result["rolled_back"]) == (1, False)
    assert "Look at the server now" in failed.message
    assert dhcpd_site.files() == before


def test_what_only_the_offer_tells_is_put_back(dhcpd_site: DhcpdSite) -> None:
    """From code 132 on, dhcpd takes options of another space: that they are set and not sent, only the offer tells."""
    site = dhcpd_site
    space = 'option space local; option local.vlan code 132 = text; site-option-space "local";\nsubnet'
    site.write(site.config.read_text().replace("subnet", space, 1))
    site.restart()
    before = site.files()
    option = [{"code": 160, "value": URL}]
    failed = site.module(options=option)
    assert failed.code == 1
    assert "option 160 (provisioning-url-160) is missing, wanted is " + URL in failed.message
    assert "and answers clients" in failed.message
    assert failed.result["rolled_back"] is True
    assert site.files() == before
    assert site.offer(), "the server serves on"
    assert site.module(options=option, probe="never").code == 0


def test_a_default_gives_way(dhcpd_site: DhcpdSite) -> None:
    text = dhcpd_site.config.read_text().replace("range", 'default tftp-server-name = "theirs"; range', 1)
    dhcpd_site.write(text)
    dhcpd_site.restart()
    assert dhcpd_site.offer("020000000001", None, [66])[66] == "theirs"
    done = dhcpd_site.module(url=URL)
    assert (done.code, done.result["hidden"]) == (0, [])
    assert dhcpd_site.offer()[66] == URL


def test_a_server_that_does_not_run(dhcpd_site: DhcpdSite) -> None:
    site = dhcpd_site
    site.stop()
    done = site.module(server="dhcpd", url=URL, vendors=["snom"])
    assert done.code == 0, done
    assert (done.result["changed"], done.result["running"], done.result["reloaded"]) == (True, False, False)
    assert site.pid == 0, "who has stopped it will start it"
    assert site.module(server="dhcpd", url=URL, vendors=["snom"]).result["changed"] is False
    site.start()
    assert site.offer("000413000001", "snom", [1])[66] == URL
    assert site.module(url=URL, vendors=["snom"]).result["changed"] is False, "it has read our files"


def test_a_server_older_than_our_files_is_restarted(dhcpd_site: DhcpdSite) -> None:
    """As after a crash between writing and restarting: the files are right already, the server is not."""
    site = dhcpd_site
    pristine = site.config.read_bytes()
    assert site.module(url=URL).code == 0
    written = site.files()
    assert site.module(state="absent").code == 0
    time.sleep(1.5)
    for name, content in written.items():
        (site.etc / name).write_bytes(content)
    assert 66 not in site.offer()
    assert site.module(check=True, url=URL).result["changed"] is True
    done = site.module(url=URL)
    assert (done.result["changed"], done.result["reloaded"]) == (True, True)
    assert site.offer()[66] == URL
    assert site.module(url=URL).result["changed"] is False
    assert site.module(state="absent").code == 0
    assert site.config.read_bytes() == pristine


def test_leases_survive(dhcpd_site: DhcpdSite) -> None:
    """A real client, bound before the change, is offered its address after it, and the lease file still has it."""
    if shutil.which("dhclient", path="/usr/sbin:/sbin") is None:
        pytest.skip("needs dhclient: apt-get install isc-dhcp-client")
    folder = dhcpd_site.folder
    client = ["dhclient", "-1", "-sf", "/bin/true", "-lf", str(folder / "client.leases"), "-pf", str(folder / "c.pid")]
    client += ["-cf", "/dev/null", "cli0"]
    subprocess.run(["ip", "netns", "exec", dhcpd_site.client, *client], check=True, capture_output=True, timeout=30)
    os.kill(int((folder / "c.pid").read_text()), 15)
    lease = next(line for line in dhcpd_site.leases.read_text().splitlines() if line.startswith("lease "))
    assert dhcpd_site.module(url=URL).code == 0
    assert lease in dhcpd_site.leases.read_text()
    leases = dhcpd_site.leases.read_text().split("lease ")
    assert any(part.startswith(lease[6:].split()[0]) and "binding state active" in part for part in leases)


def test_owners_and_modes_stay(dhcpd_site: DhcpdSite) -> None:
    os.chown(dhcpd_site.config, 65534, 65534)
    dhcpd_site.config.chmod(0o640)
    assert dhcpd_site.module(url=URL).code == 0
    for name in dhcpd_site.files():
        status = (dhcpd_site.etc / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (65534, 65534, 0o640), name


class Administrator(threading.Thread):
    """Appends a line to the configuration again and again."""

    def __init__(self, site: DhcpdSite) -> None:
        super().__init__()
        self.site = site
        self.lines: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.03):
            with self.site.config.open("a") as stream:
                stream.write(f"# note {len(self.lines)}\n")
            self.lines.append(f"# note {len(self.lines)}\n")

    def rest(self) -> None:
        self.over.set()
        self.join()


@pytest.fixture
def administrator(dhcpd_site: DhcpdSite) -> Iterator[Administrator]:
    """At work beside the runs."""
    at_work = Administrator(dhcpd_site)
    dhcpd_site.write(dhcpd_site.config.read_text() + "\n")
    at_work.start()
    try:
        yield at_work
    finally:
        at_work.rest()


def test_twenty_runs_and_an_administrator_lose_nothing(dhcpd_site: DhcpdSite, administrator: Administrator) -> None:
    """Two truths in turn, so that many runs change something, while the administrator writes into the same file."""
    site = dhcpd_site
    truths: list[dict[str, Any]] = [{"url": URL, "vendors": ["snom"]}, {"state": "absent"}]

    def one(number: int) -> Answer:
        return site.module(server="dhcpd", probe="never", **truths[number % 2])

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(one, range(20)))
    assert [answer.message for answer in answers if answer.code] == []
    assert sum(answer.result["changed"] for answer in answers) >= 4
    assert site.module(url=URL, vendors=["snom"]).code == 0
    administrator.rest()
    assert len(administrator.lines) > 100
    assert site.offer("000413000001", "snom")[66] == URL
    assert site.module(state="absent").code == 0
    left = site.config.read_text()
    notes = [line for line in left.splitlines(keepends=True) if line.startswith("# note")]
    assert sorted(notes) == sorted(administrator.lines), "every line once"
    assert left.replace("".join(notes), "") == CONFIG + "\n"
    assert list(site.files()) == ["dhcpd.conf"]
