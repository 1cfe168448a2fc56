# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov firmware`` as a program: what it prints, its exit status, and whose rights it works with."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.service.hostile_server import Hostile, cut, head, raw, whole

FILE = b"firmware" * 50_000


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as hostile:
        yield hostile


def started(folder: Path, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "autoprovd.cli", "--socket", folder / "none.sock", "firmware", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"AUTOPROV_FIRMWARE": str(folder / "mirror")}
    return subprocess.Popen([*map(str, command)], text=True, env=environment, **pipes, **options)


def run(folder: Path, *arguments: object, given: str = "", status: int = 0) -> tuple[str, str]:
    """What the program prints, on standard output and standard error."""
    with started(folder, *arguments) as program:
        printed, told = program.communicate(given, timeout=60)
    assert program.returncode == status, printed + told
    assert "Traceback" not in told
    return printed, told


def listed(*files: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({"files": list(files), **more})


def entry(url: str, content: bytes = FILE, **changes: Any) -> dict[str, Any]:
    made = {"vendor": "snom", "models": ["D785"], "version": "10.1.184.14", "url": url, "insecure": True}
    return made | {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes


def test_the_life_of_a_mirror(tmp_path: Path, server: Hostile) -> None:
    """Check, fetch, nothing new, upgrade, list, go back, all in words."""
    first = listed(entry(server.on("/a/fw.bin", whole(FILE))))
    (tmp_path / "firmware.yaml").write_text(first)
    printed, _told = run(tmp_path, "sync", tmp_path / "firmware.yaml", "--check")
    assert printed == "install  snom D785 firmware 10.1.184.14, 400.0 kB\n400.0 kB would be fetched\n"
    assert server.asked == []
    printed, told = run(tmp_path, "sync", tmp_path / "firmware.yaml")
    assert printed.splitlines()[-1] == "release 1 is served; 400.0 kB were fetched"
    assert "snom/10.1.184.14/fw.bin: 400.0 kB" in told
    assert "No service runs here" in told
    assert run(tmp_path, "sync", "-", given=first)[0] == "nothing has changed\n"
    newer = listed(entry(server.on("/b/fw.bin", whole(FILE[1:])), FILE[1:], version="10.1.198.19"))
    printed, _told = run(tmp_path, "sync", "-", given=newer)
    assert "upgrade  snom D785 firmware 10.1.184.14 → 10.1.198.19, 400.0 kB" in printed
    assert "snom/10.1.198.19/fw.bin" in run(tmp_path, "list")[0]
    assert run(tmp_path, "rollback")[0] == "release 1 is served instead of 2\n"
    assert json.loads(run(tmp_path, "releases", "--json")[0])["served"] == 1
    assert "* " in run(tmp_path, "releases")[0].splitlines()[0]
    assert run(tmp_path, "verify")[0] == "1 of 1 files are whole\n"
    _printed, told = run(tmp_path, "rollback", status=1)
    assert told.startswith("autoprov: release 1 is the oldest that is kept")


def test_one_bad_file_is_told_by_the_exit_status(tmp_path: Path, server: Hostile) -> None:
    bad = entry(server.on("/bad.bin", raw(head(404, {"Content-Length": "0"}))), version="2")
    given = listed(bad, entry(server.on("/fw.bin", whole(FILE))))
    printed, _told = run(tmp_path, "sync", "-", "--json", given=given, status=1)
    content = json.loads(printed)
    assert content["failed"] == {"snom/2/bad.bin": "the server answers 404 Not Found"}
    assert content["after"].count("\n") == 1


def test_faults_of_a_list_are_told_all_at_once(tmp_path: Path) -> None:
    given = listed(entry("ftp://x/y"), entry("https://x/fw.bin", vendor="acme"))
    _printed, told = run(tmp_path, "sync", "-", given=given, status=1)
    assert told.splitlines()[0] == "autoprov: the manifest has 2 faults; nothing was changed", told
    assert "files[0].url: 'ftp://x/y' is not an https address" in told
    assert "files[1].vendor: 'acme' is not a vendor" in told
    _printed, told = run(tmp_path, "sync", "-", given="{{{", status=1)
    assert told.startswith("autoprov: standard input is not YAML")
    _printed, told = run(tmp_path, "sync", tmp_path / "none.yaml", status=1)
    assert "none.yaml cannot be read: No such file or directory" in told


def test_an_interrupt_keeps_what_was_fetched(tmp_path: Path, server: Hostile) -> None:
    released = threading.Event()

    def halfway(_asked: Any, client: Any) -> None:
        client.sendall(head(200, {"Content-Length": str(len(FILE)), "ETag": '"v1"'}) + FILE[:300_000])
        released.wait(20)
        client.sendall(FILE[300_000:300_010])

    given = listed(entry(server.on("/fw.bin", halfway, whole(FILE))))
    with started(tmp_path, "sync", "-") as program:
        assert program.stdin is not None
        program.stdin.write(given)
        program.stdin.close()
        program.stdin = None
        parts = tmp_path / "mirror" / "parts"
        while not any(part.stat().st_size >= 300_000 for part in parts.glob("*")):
            assert program.poll() is None
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        released.set()
        _printed, told = program.communicate(timeout=20)
    assert program.returncode == 1
    assert "interrupted; the next run goes on with what was fetched" in told
    content = json.loads(run(tmp_path, "sync", "-", "--json", given=given)[0])
    assert content["fetched_bytes"] <= len(FILE) - 300_000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work with another's rights")
def test_root_works_with_the_rights_of_the_mirrors_owner(tmp_path: Path, server: Hostile) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    os.chown(mirror, 65534, 65534)
    given = listed(entry(server.on("/fw.bin", whole(FILE))))
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders are root's alone
        folder.chmod(folder.stat().st_mode | 0o011)
    run(tmp_path, "sync", "-", given=given)
    assert {path.lstat().st_uid for path in mirror.rglob("*")} == {65534}
    _printed, told = run(tmp_path, "sync", "-", given="[1]", status=1)
    assert "files[0]" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work with another's rights")
def test_what_lies_in_a_mirror_is_read_with_its_owners_rights(tmp_path: Path, server: Hostile) -> None:
    """Else whoever breaks into the program that handles files from the network would read what root may."""
    mirror, secret = tmp_path / "mirror", tmp_path / "secret"
    mirror.mkdir()
    os.chown(mirror, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders are root's alone
        folder.chmod(folder.stat().st_mode | 0o011)
    run(tmp_path, "sync", "-", given=listed(entry(server.on("/fw.bin", whole(FILE)))))
    secret.write_text("a password")
    secret.chmod(0o600)
    (item,) = (mirror / "objects").glob("*/*")
    item.unlink()
    item.symlink_to(secret)
    _printed, told = run(tmp_path, "export", tmp_path / "out.tar", status=1)
    assert "Permission denied" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror", "secret"]
    assert run(tmp_path, "list")[0]
    release = mirror / "current" / "release.json"
    release.unlink()
    release.symlink_to(secret)
    for verb in (["list"], ["releases"], ["verify"], ["rollback", "--to", "1"], ["export", tmp_path / "out.tar"]):
        printed, told = run(tmp_path, *verb, status=1)
        assert "password" not in printed + told
        assert "Permission denied" in told, verb


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work with another's rights")
def test_what_root_hands_over_is_read_with_roots_rights(tmp_path: Path, server: Hostile) -> None:
    """The list, and what was carried here on a disk, may be for root alone; what is written is for it as well."""
    central, site = tmp_path / "central", tmp_path / "site"
    for place in (central, site):
        (place / "mirror").mkdir(parents=True)
        os.chown(place / "mirror", 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    (own / "list.yml").write_text(listed(entry(server.on("/fw.bin", whole(FILE)))))
    run(central, "sync", own / "list.yml")
    run(central, "export", own / "carried.tar")
    run(site, "import", own / "carried.tar")
    assert (site / "mirror" / "current" / "files" / "snom" / "10.1.184.14" / "fw.bin").read_bytes() == FILE
    assert {path.lstat().st_uid for path in (site / "mirror").rglob("*")} == {65534}


def test_an_export_writes_to_no_file_of_others(tmp_path: Path, server: Hostile) -> None:
    run(tmp_path, "sync", "-", given=listed(entry(server.on("/fw.bin", whole(FILE)))))
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    for link in ("out.tar", ".out.tar.part"):
        (tmp_path / link).symlink_to(precious)
    run(tmp_path, "export", tmp_path / "out.tar")
    assert (precious.read_text(), (tmp_path / "out.tar").is_symlink()) == ("as it was", False)
    _printed, told = run(tmp_path, "export", tmp_path / "none" / "out.tar", status=1)
    assert "out.tar cannot be written: No such file or directory" in told


def test_a_damaged_release_has_a_way_out(tmp_path: Path, server: Hostile) -> None:
    for number in range(3):
        content = FILE + bytes([number])
        run(tmp_path, "sync", "-", given=listed(entry(server.on("/fw.bin", whole(content)), content)))
    releases = tmp_path / "mirror" / "releases"
    (releases / "0000003" / "release.json").write_text("{")
    _printed, told = run(tmp_path, "list", status=1)
    assert "release.json is damaged" in told
    assert "autoprov firmware rollback" in told
    assert run(tmp_path, "rollback")[0] == "release 2 is served instead of 3\n"
    (releases / "0000001" / "release.json").write_text("[]")
    given = listed(entry(server.on("/fw.bin", whole(FILE)), FILE))
    assert "is served" in run(tmp_path, "sync", "-", given=given)[0], "what is damaged and not served is forgotten"
    (tmp_path / "mirror" / "current").unlink()
    (tmp_path / "mirror" / "current").symlink_to("somewhere")
    _printed, told = run(tmp_path, "list", status=1)
    assert "is no link to a release" in told
    assert "is served" in run(tmp_path, "rollback")[0]
    run(tmp_path, "list")


def test_a_site_gets_its_files_from_a_central_mirror(tmp_path: Path, server: Hostile) -> None:
    central, site = tmp_path / "central", tmp_path / "site"
    packed = entry(server.on("/fw.bin", cut(FILE, 200_000), whole(FILE)), name="fw 1.bin")
    run(central, "sync", "-", given=listed(packed, serial=7))
    files = central / "mirror" / "current" / "files"
    for file in files.glob("**/*"):
        if file.is_file():
            name = str(file.relative_to(files)).replace(" ", "%20")
            server.on(f"/firmware/{name}", whole(file.read_bytes()))
    url = server.on("/firmware/manifest.json", whole((files / "manifest.json").read_bytes()))
    _printed, told = run(site, "sync", url, status=1)
    assert "is plain http, where anybody on the way can change the list" in told
    content = json.loads(run(site, "sync", url, "--insecure-source", "--json")[0])
    assert content["changed"] is True
    assert (site / "mirror/current/files/snom/10.1.184.14/fw 1.bin").read_bytes() == FILE
    assert (site / "mirror/current/files/manifest.json").read_bytes() == (files / "manifest.json").read_bytes()


def test_carried_to_a_site_without_internet(tmp_path: Path, server: Hostile) -> None:
    central, site = tmp_path / "central", tmp_path / "site"
    run(central, "sync", "-", given=listed(entry(server.on("/fw.bin", whole(FILE))), serial=7))
    assert run(central, "export", tmp_path / "usb.tar")[0].endswith("usb.tar: 1 files, 409.6 kB\n")
    checked = json.loads(run(site, "import", tmp_path / "usb.tar", "--json", "--check")[0])
    assert not (site / "mirror" / "current").exists()
    content = json.loads(run(site, "import", tmp_path / "usb.tar", "--json")[0])
    assert checked == content
    assert (content["changed"], content["serial"], content["before"]) == (True, 7, "")
    assert run(site, "import", tmp_path / "usb.tar")[0] == "release 1 is served already: it holds the same\n"
    damaged = bytearray((tmp_path / "usb.tar").read_bytes())
    damaged[100_000] ^= 1
    (tmp_path / "damaged.tar").write_bytes(damaged)
    _printed, told = run(tmp_path / "third", "import", tmp_path / "damaged.tar", status=1)
    assert "is damaged; copy the file again" in told
    (tmp_path / "short.tar").write_bytes(damaged[:5000])
    _printed, told = run(tmp_path / "third", "import", tmp_path / "short.tar", status=1)
    assert "is damaged, or no exported mirror" in told
    (tmp_path / "other.tar").write_bytes(b"nothing")
    _printed, told = run(tmp_path / "third", "import", tmp_path / "other.tar", status=1)
    assert "is damaged, or no exported mirror" in told
    assert not (tmp_path / "third" / "mirror" / "current").exists()
