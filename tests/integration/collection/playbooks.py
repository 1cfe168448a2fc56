# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks of tests, run by a chosen ansible-core as people run them; and phones for them to claim from."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.release import __version__ as present

from tests.integration.collection.conftest import REPOSITORY, Service
from tools.ansible_matrix import PYTHONS, NoInterpreterError, environment

PRESENT = ".".join(present.split(".")[:2])
"""The ansible-core that the tests themselves are installed with."""
EACH_CORE = [pytest.param(core, marks=[] if core == PRESENT else pytest.mark.long) for core in PYTHONS]
"""Each supported ansible-core; all but the one of the tests are for make test-long."""
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Core:
    """An ansible-core."""

    version: str
    bin: Path

    @property
    def number(self) -> tuple[int, ...]:
        """Its version, to compare with."""
        return tuple(int(part) for part in self.version.split("."))


@dataclass
class Ran:
    """What a run printed."""

    status: int
    text: str


def core_of(version: str) -> Core:
    """The ansible-core of that version; skips the test where it cannot run."""
    try:
        return Core(version, environment(version))
    except NoInterpreterError as error:
        pytest.skip(str(error))


def new_phone(service: Service, lines: int = 1) -> str:
    """A phone of its own for a test, whose passwords the service generates; its MAC address."""
    mac = f"0004139{next(_numbers):05x}"
    accounts = [{"line": line, "user": f"{line}", "registrar": "pbx.example"} for line in range(1, lines + 1)]
    phone = {"mac": mac, "vendor": "snom", "model": "D785", "accounts": accounts}
    service.api.put("/phones", {"phones": [phone]})
    return mac


def events(service: Service, mac: str, line: int = 1) -> list[str]:
    """What the audit tells of the controller's grant since it was armed."""
    rows: list[dict[str, Any]] = []
    while page := service.api.get("/audit", [("after", str(rows[-1]["seq"] if rows else 0))])["rows"]:
        rows += page
    mine = [row for row in rows if (row["mac"], row["line"], row["audience"]) == (mac, line, "controller")]
    return [row["event"] for row in mine if row["event"] != "armed"]


def events_named(service: Service, name: str) -> list[str | None]:
    """The MAC addresses in the audit rows of that event."""
    return [row["mac"] for row in service.api.get("/audit", [("after", "0")])["rows"] if row["event"] == name]


def run_playbook(
    core: Core,
    folder: Path,
    plays: list[dict[str, Any]],
    *arguments: str,
    hosts: dict[str, dict[str, Any]] | None = None,
    variables: dict[str, Any] | None = None,
    settings: dict[str, str] | None = None,
) -> Ran:
    """Run plays from a folder, which may hold roles/ and files to include; settings are environment variables."""
    (folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), "utf-8")
    inventory = {"all": {"hosts": hosts or {"localhost": HERE}}}
    (folder / "hosts.json").write_text(json.dumps(inventory), "utf-8")
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [core.bin / "ansible-playbook", "-i", "hosts.json", "play.yml", *arguments]
        + (["-e", json.dumps(variables)] if variables else []),
        env=kept
        | {
            "PATH": f"{core.bin}:/usr/bin:/bin:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_HOST_KEY_CHECKING": "0",
        }
        | (settings or {}),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout)
