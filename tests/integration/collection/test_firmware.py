# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``firmware_mirror`` with the real program, against a server of the tests' own."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.collection.conftest import REPOSITORY, Play
from tests.unit.service.hostile_server import Hostile, head, raw, whole

FILE = b"firmware" * 50_000


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as hostile:
        yield hostile


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The command line, as the role installs it."""
    script = tmp_path / "autoprov"
    source = REPOSITORY / "service" / "src"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m autoprovd.cli --socket {tmp_path}/none "$@"\n'
    )
    script.chmod(0o755)
    return script


def entry(url: str, content: bytes = FILE, **changes: Any) -> dict[str, Any]:
    made = {"vendor": "snom", "models": ["D785"], "version": "10.1.184.14", "url": url, "insecure": True}
    return made | {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes


def task(tmp_path: Path, script: Path, **options: Any) -> dict[str, Any]:
    fixed = {"folder": str(tmp_path / "mirror"), "program": str(script)}
    # Its result is looked at when it fails, too.
    return {"name": "Firmware", "autoprov.appliance.firmware_mirror": fixed | options, "ignore_errors": True}


def served(tmp_path: Path) -> dict[str, bytes]:
    files = tmp_path / "mirror" / "current" / "files"
    return {str(path.relative_to(files)): path.read_bytes() for path in files.glob("*/**/*") if path.is_file()}


def test_check_run_again_change_and_back(tmp_path: Path, program: Path, server: Hostile, play: Play) -> None:
    first = task(tmp_path, program, files=[entry(server.on("/fw.bin", whole(FILE)))])
    foreseen = play([first], "--check", "--diff")
    assert foreseen.status == 0, foreseen.text
    assert foreseen.results["Firmware"]["summary"] == ["install  snom D785 firmware 10.1.184.14, 400.0 kB"]
    assert foreseen.results["Firmware"]["bytes_to_fetch"] == len(FILE)
    assert server.asked == []
    done = play([first], "--diff")
    assert done.status == 0, done.text
    assert done.results["Firmware"]["diff"] == foreseen.results["Firmware"]["diff"]
    assert "+snom D785 firmware: 10.1.184.14, snom/10.1.184.14/fw.bin, 400.0 kB" in done.text
    assert served(tmp_path) == {"snom/10.1.184.14/fw.bin": FILE}
    again = play([first])
    assert (again.results["Firmware"]["changed"], server.times("/fw.bin")) == (False, 1)
    newer = entry(server.on("/new.bin", whole(FILE[:-1])), FILE[:-1], version="10.1.198.19")
    (tmp_path / "list.yml").write_text(yaml.safe_dump({"serial": 3, "files": [newer]}))
    done = play([task(tmp_path, program, src=str(tmp_path / "list.yml"))])
    assert done.results["Firmware"]["summary"][0] == ("upgrade  snom D785 firmware 10.1.184.14 → 10.1.198.19, 400.0 kB")
    back = task(tmp_path, program, release="previous")
    assert play([back], "--check").results["Firmware"]["release"] == 1
    assert play([back]).results["Firmware"]["changed"] is True
    assert served(tmp_path) == {"snom/10.1.184.14/fw.bin": FILE}
    older = play([task(tmp_path, program, src=str(tmp_path / "list.yml"))])
    assert older.results["Firmware"]["fetched_bytes"] == 0
    refused = play([first])
    assert "the manifest has serial 0, the mirror was made from 3" in refused.results["Firmware"]["msg"]


def test_one_file_that_cannot_be_had(tmp_path: Path, program: Path, server: Hostile, play: Play) -> None:
    good = entry(server.on("/fw.bin", whole(FILE)))
    bad = entry(server.on("/bad.bin", raw(head(404, {"Content-Length": "0"}))), FILE[1:], version="2")
    failed = play([task(tmp_path, program, files=[good, bad])])
    assert failed.results["Firmware"]["failed"] is True
    assert failed.results["Firmware"]["msg"] == (
        "snom/2/bad.bin: the server answers 404 Not Found. Everything else is served"
    )
    assert served(tmp_path) == {"snom/10.1.184.14/fw.bin": FILE}
    warned = play([task(tmp_path, program, files=[good, bad], on_failed="warn")])
    assert warned.results["Firmware"]["failed"] is False
    assert warned.results["Firmware"]["failed_files"] == {"snom/2/bad.bin": "the server answers 404 Not Found"}
    assert warned.results["Firmware"]["changed"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"files": [entry("ftp://x/y", vendor="acme")]}, "files[0].vendor: 'acme' is not", id="list"),
        pytest.param({}, "give one of files, src, url, carried and release; there is none", id="nothing"),
        pytest.param({"url": "https://x/", "release": "3"}, "there is url and release", id="two"),
        pytest.param({"src": "none.yml"}, "src none.yml is not readable", id="no file"),
        pytest.param({"release": "9"}, "there is no release 9", id="no release"),
        pytest.param({"release": "x"}, "Invalid value for '--to'", id="no number"),
        pytest.param({"carried": "/nowhere.tar"}, "'/nowhere.tar' does not exist", id="nothing carried"),
        pytest.param({"release": "1", "program": "/nowhere"}, "/nowhere cannot be started: No such file", id="program"),
        pytest.param({"release": "1", "job": "/etc"}, "there is no job /etc; run the task again", id="job"),
    ],
)
def test_bad_input(
    tmp_path: Path, program: Path, server: Hostile, play: Play, options: dict[str, Any], message: str
) -> None:
    prepared = task(tmp_path, program, files=[entry(server.on("/fw.bin", whole(FILE)))])
    played = play([prepared, {**task(tmp_path, program, **options), "name": "Wrong"}])
    assert played.results["Wrong"]["failed"] is True
    assert message in played.results["Wrong"]["msg"]
    assert "Traceback" not in played.text
    assert served(tmp_path) == {"snom/10.1.184.14/fw.bin": FILE}


def test_a_long_run_tells_how_far_it_is(tmp_path: Path, program: Path, server: Hostile, play: Play) -> None:
    go_on = threading.Event()

    def slow(_asked: Any, client: Any) -> None:
        client.sendall(head(200, {"Content-Length": str(len(FILE))}) + FILE[:1000])
        go_on.wait(6)
        client.sendall(FILE[1000:])

    files = [entry(server.on("/a.bin", whole(FILE))), entry(server.on("/b.bin", slow))]
    played = play([task(tmp_path, program, files=files, workers=2, wait_seconds=1)], "-i", "site,", "-c", "local")
    assert played.status == 0, played.text
    assert "snom/10.1.184.14/a.bin: 400.0 kB" in played.text
    assert len(served(tmp_path)) == 2
    jobs = [name for name in os.listdir("/tmp") if name.startswith("autoprov-job-")]
    assert jobs == [], "what a run needs is taken away"
