# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes wrong, Kea answers clients afterwards. Each fault is tried on each generation of Kea.

A fault is in the file before our run (while the good configuration runs), or it comes in between our check and our
reload. The second is made certain by standing in the way of the control socket: what we send passes through the test,
which does its mischief just before it hands the command on.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .kea_site import connect

if TYPE_CHECKING:
    from .kea_site import KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
#: From here on a lease file without a name is where KEA_DHCP_DATA_DIR says.
LEASES_FOLLOW_THE_ENVIRONMENT = (2, 6)
SUBNETS = '"subnet4": ['


@pytest.fixture
def site(each_kea: KeaSite) -> KeaSite:
    """Everything here holds for each generation of Kea."""
    return each_kea


def with_hook(site: KeaSite, text: str) -> str:
    hooks = json.dumps([{"library": str(site.hook("flex_option").parent / "libnope.so")}])
    return text.replace(SUBNETS, f'"hooks-libraries": {hooks}, {SUBNETS}')


def with_leases(site: KeaSite, text: str) -> str:
    return text.replace('"persist": false', f'"persist": true, "name": "{site.leases}/nowhere/x.csv"')


Edit = Callable[["KeaSite", str], str]
#: What an administrator may write, and what of it a person must be told.
FAULTS: dict[str, tuple[Edit, str]] = {
    "unknown option": (lambda _, text: text.replace('"name":"ntp-servers",   "data"', '"name":"nope", "data"'), "nope"),
    "unknown key": (lambda _, text: text.replace('"id": 1,', '"id": 1, "pols": 2,'), "pols"),
    "bad class expression": (
        lambda _, text: text.replace(SUBNETS, '"client-classes": [ { "name": "x", "test": "(" } ], ' + SUBNETS),
        "expression",
    ),
    "missing hook": (with_hook, "libnope"),
    "duplicate subnet id": (
        lambda _, text: text.replace(SUBNETS, SUBNETS + ' { "id": 1, "subnet": "198.18.9.0/24" },'),
        "ID",
    ),
    "interface does not exist": (lambda _, text: text.replace('"srv0"', '"nope0"'), "nope0"),
    "lease file path": (with_leases, "nowhere/x.csv"),
    "control socket path": (
        lambda _, text: text.replace('"socket-name": "/run/kea/', '"socket-name": "/run/kea/nowhere/'),
        "/run/kea/nowhere",
    ),
}
each_fault = pytest.mark.parametrize("fault", FAULTS)


@each_fault
def test_a_fault_that_waits_in_the_file(site: KeaSite, fault: str) -> None:
    """The administrator has broken the file and not noticed: Kea runs the good configuration, and goes on to."""
    edit, told = FAULTS[fault]
    good = site.config.read_text()
    site.config.write_text(edit(site, good))
    assert site.config.read_text() != good
    before = site.files()
    refused = site.module(url=URL, vendors=["snom"])
    assert refused.code == 1, refused
    assert told in refused.message
    assert (site.files(), site.reloads()) == (before, 0)
    assert site.offer(), "the server serves on"

    site.config.write_text(good)
    assert site.module(url=URL, vendors=["snom"]).code == 0
    assert site.offer("020000000001", "snomD785")[66] == URL


@contextlib.contextmanager
def in_the_way(site: KeaSite, before: Callable[[], object], after: Callable[[], object] = int) -> Iterator[str]:
    """A control socket that is Kea's, except that something happens just before and after the first config-reload."""
    path = site.folder / "between.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)
    seen = threading.Event()

    def pass_on() -> None:
        with contextlib.suppress(OSError):
            while True:
                ours = listener.accept()[0]
                with ours, socket.socket(socket.AF_UNIX) as theirs, contextlib.suppress(OSError):
                    command = ours.recv(1 << 20)
                    while not is_whole(command):
                        command += ours.recv(1 << 20)
                    first = b"config-reload" in command and not seen.is_set()
                    if first:
                        seen.set()
                        before()
                    connect(theirs, site.outside(site.socket))
                    theirs.sendall(command)
                    answer = b"".join(iter(lambda: theirs.recv(1 << 20), b""))
                    if first:
                        after()
                    ours.sendall(answer)

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield str(path)
        assert seen.is_set(), "it came as far as the reload"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def is_whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@each_fault
def test_a_fault_that_slips_in_before_the_reload(site: KeaSite, fault: str) -> None:
    edit, _told = FAULTS[fault]
    site.make_restartable()
    good = site.config.read_text()
    bad = edit(site, good)
    with in_the_way(site, lambda: site.config.write_text(bad)) as between:
        failed = site.module(
            url=URL, vendors=["snom"], control_socket=between, restart_command=["sh", str(site.restart_script)]
        )
    assert failed.code == 1, failed
    assert site.offer(), failed.message
    assert failed.result["rolled_back"] is True, failed.message
    assert "answers clients" in failed.message
    if "restart" in failed.message:
        assert site.config.read_text() == good, "what could not be started is put aside"
        assert Path(f"{site.config}.autoprov-rejected").read_text() == bad
    else:
        assert site.config.read_text() == bad, "the administrator's edit is kept, wrong as it is"
        site.config.write_text(good)
    assert not list(site.folder.glob("autoprov-*")), "nothing of ours is left"

    repaired = site.module(url=URL, vendors=["snom"])
    assert repaired.code == 0, repaired
    assert site.offer("020000000001", "snomD785")[66] == URL


def test_a_reload_that_fails_for_a_moment(site: KeaSite) -> None:
    """The folder of the lease file is gone just then, and back: nothing but a second attempt brings Kea back."""
    site.leases.mkdir()
    site.write(site.config.read_text().replace('"persist": false', f'"persist": true, "name": "{site.leases}/x.csv"'))
    site.stop()
    site.start()
    before, away = site.files(), site.folder / "elsewhere"
    with in_the_way(site, lambda: site.leases.rename(away), lambda: away.rename(site.leases)) as between:
        failed = site.module(url=URL, control_socket=between)
    assert failed.code == 1
    assert "Kea refuses to load" in failed.message
    assert failed.result["rolled_back"] is True, failed.message
    assert site.files() == before
    assert site.offer()
    assert site.module(url=URL).code == 0


def test_a_kea_that_dies_of_the_reload(site: KeaSite) -> None:
    site.make_restartable()
    before = site.files()
    with in_the_way(site, site.kill) as between:
        failed = site.module(url=URL, control_socket=between, restart_command=["sh", str(site.restart_script)])
    assert failed.code == 1
    assert failed.result["rolled_back"] is True, failed.message
    assert "by a restart" in failed.message
    assert site.files() == before
    assert site.offer()


def test_a_kea_that_nobody_can_restart(site: KeaSite) -> None:
    """It is dead and stays dead: this is said, with what was tried, and not glossed over."""
    with in_the_way(site, site.kill) as between:
        failed = site.module(url=URL, control_socket=between)
    assert failed.code == 1
    assert failed.result["rolled_back"] is False
    assert "nobody supervises process" in failed.message
    assert "say with restart_command how it is restarted" in failed.message


# --- what the administrator has changed and not loaded ---


def test_harmless_changes_are_loaded_and_told(site: KeaSite) -> None:
    text = site.config.read_text().replace('"subnet4": [', '"valid-lifetime": 1234, "subnet4": [')
    text = text.replace('.250" }', '.250" }, { "pool": "198.18.0.20 - 198.18.0.29" }')
    site.config.write_text(text)
    refused = site.module(url=URL, on_pending="fail")
    assert refused.code == 1, refused
    assert "valid-lifetime" in refused.message
    assert site.reloads() == 0
    done = site.module(url=URL)
    assert done.code == 0, done
    (warning,) = [text for text in map(str, done.result["warnings"]) if "also makes Kea load" in text]
    assert "valid-lifetime" in warning
    assert "pool" in warning
    assert site.offer("020000000001", None, [51])[51] == "0x000004d2"
    assert site.module(url=URL + "x/").result.get("warnings", []) == [], "nothing is pending any more"


def test_what_the_checker_cannot_judge_is_loaded_only_when_asked(site: KeaSite) -> None:
    site.leases.mkdir()
    good = site.config.read_text()
    site.config.write_text(good.replace('"persist": false', f'"persist": true, "name": "{site.leases}/x.csv"'))
    refused = site.module(url=URL)
    assert refused.code == 1, refused
    assert "lease-database.persist (the file says True, False runs)" in refused.message
    assert "on_pending=load" in refused.message
    assert site.reloads() == 0
    assert site.module(url=URL, on_pending="load").code == 0
    assert site.offer()[66] == URL
    assert (site.leases / "x.csv").exists()


def test_a_lease_folder_that_is_gone_is_seen_before(site: KeaSite) -> None:
    """Kea's checker does not see it, and a reload would silence Kea, which serves on without the folder."""
    _lose_the_lease_folder(site, f'"persist": true, "name": "{site.leases}/x.csv"')


def test_a_lease_folder_that_nobody_has_named_is_seen_as_well(unpacked_kea: KeaSite) -> None:
    """The same where the lease file is where it is by default, which on Kea 2.2 is one place of the machine."""
    _lose_the_lease_folder(unpacked_kea, '"persist": true')


def _lose_the_lease_folder(site: KeaSite, leases: str) -> None:
    site.leases.mkdir()
    site.write(site.config.read_text().replace('"persist": false', leases))
    site.stop()
    site.start()
    before = site.files()
    moved = site.leases.rename(site.folder / "elsewhere")
    refused = site.module(url=URL)
    assert refused.code == 1, refused
    assert f"the folder of the lease file, {site.leases}, is not there" in refused.message.replace("The", "the")
    assert (site.files(), site.reloads()) == (before, 0)
    assert site.offer()
    moved.rename(site.leases)
    assert site.module(url=URL).code == 0


def test_debians_own_file_has_nothing_pending(site: KeaSite) -> None:
    """Kea tells back what it runs in other spellings, and without what is the default: nobody has changed that."""
    site.leases.mkdir()
    text = site.outside("/etc/kea/kea-dhcp4.conf").read_text()
    text, sockets = re.subn(r'"socket-name": "[^"]*"', f'"socket-name": "{site.socket}"', text)
    more = '"interfaces": [ "srv0" ], "dhcp-socket-type": "raw", "re-detect": true, '
    more += '"outbound-interface": "same-as-inbound"'
    text, interfaces = re.subn(r'"interfaces": \[[^\]]*\]', more, text, count=1)
    assert (sockets >= 1, interfaces) == (True, 1)
    text = re.sub(r'"(output|name)": "[^"]*\.(log|csv)",', "", text)  # a log of its own would need its folder
    if site.version() < LEASES_FOLLOW_THE_ENVIRONMENT:
        text = text.replace('"type": "memfile",', f'"type": "memfile", "name": "{site.leases}/x.csv",', 1)
    site.config.write_text(text)
    site.stop()
    site.start()
    done = site.module(url=URL, vendors=["snom"])
    assert done.code == 0, done
    assert not [warning for warning in map(str, done.result.get("warnings", [])) if "also makes Kea load" in warning]
    assert site.reloads() == 1
    assert site.module(state="absent", on_pending="fail").code == 0
    assert site.config.read_text() == text
