# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``firmware_rollout``, ``phones_info`` and the playbook that shows how far firmware is, with the real service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.collection.conftest import REPOSITORY, Play, Service

SNOM = {
    "mac": "00:04:13:92:2D:24",
    "vendor": "snom",
    "model": "D785",
    "name": "Reception",
    "accounts": [{"line": 1, "user": "1001", "registrar": "pbx.example"}],
}
ROLLOUT = {"name": "summer", "vendor": "snom", "version": "10.1.184.15", "canaries": ["Reception"]}
FILE = {
    "path": "snom/10.1.184.15/snomD785.bin",
    "size": 5_000_000,
    "sha256": "0" * 64,
    "vendor": "snom",
    "kind": "firmware",
    "version": "10.1.184.15",
    "models": ["D785"],
}


def task(**options: Any) -> dict[str, Any]:
    return {"name": "Rollouts", "autoprov.appliance.firmware_rollout": options, "ignore_errors": True}


@pytest.fixture
def site(service: Service) -> Service:
    """A phone, and a mirror that has a firmware for it."""
    service.api.put("/phones", {"phones": [SNOM]})
    service.api.put("/firmware/catalogue", {"files": [FILE]})
    return service


def test_check_then_run_then_run_again_then_withdraw(site: Service, play: Play) -> None:
    wanted = task(rollouts=[ROLLOUT])
    foreseen = play([wanted], "--check", "--diff", url=site.url)
    assert foreseen.results["Rollouts"]["changed"], foreseen.text
    assert '+    "version": "10.1.184.15"' in foreseen.text
    assert foreseen.results["Rollouts"]["rollouts"] == []
    first = play([wanted], "--diff", url=site.url).results["Rollouts"]
    assert (first["changed"], first["diff"]) == (True, foreseen.results["Rollouts"]["diff"])
    (shown,) = first["rollouts"]
    assert (shown["state"], shown["ring"], shown["counts"]["waiting"]) == ("running", "the canaries", 1)
    assert shown["phones"]["000413922d24"]["reason"] == "it has not asked yet, so nobody knows its version"
    assert not play([wanted], url=site.url).results["Rollouts"]["changed"]
    assert not play([task()], url=site.url).results["Rollouts"]["changed"], "nothing is purged unasked"
    paused = play([task(rollouts=[{**ROLLOUT, "paused": True}])], url=site.url).results["Rollouts"]
    assert (paused["changed"], paused["rollouts"][0]["state"]) == (True, "paused")
    assert not play([wanted], url=site.url).results["Rollouts"]["changed"], "left out, it stays paused"
    resumed = play([task(resume=["summer"])], url=site.url).results["Rollouts"]
    assert (resumed["changed"], resumed["rollouts"][0]["state"]) == (True, "running")
    gone = play([task(purge=True)], url=site.url).results["Rollouts"]
    assert (gone["changed"], gone["rollouts"]) == (True, [])


def test_faults_all_at_once_and_nothing_is_changed(site: Service, play: Play) -> None:
    wrong = [
        {**ROLLOUT, "rings": [50, 20]},
        {**ROLLOUT, "name": "b", "models": ["D999"], "canaries": []},
        {**ROLLOUT, "name": "c", "window": {"start": "25:00", "end": "05:00"}, "canaries": []},
    ]
    done = play([task(rollouts=wrong)], url=site.url)
    told = done.results["Rollouts"]
    assert told["failed"]
    assert {fault["where"] for fault in told["faults"]} >= {
        "rollouts[0].rings", "rollouts[1].models[0]", "rollouts[2].window.start",
    }  # fmt: skip
    assert "Traceback" not in done.text
    assert site.api.get("/firmware/rollouts")["rollouts"] == []
    unknown = play([task(rollouts=[{**ROLLOUT, "canaries": ["Nobody"]}])], url=site.url).results["Rollouts"]
    assert "this site has no phone 'Nobody'" in unknown["msg"]
    refused = play([task(resume=["winter"])], url=site.url).results["Rollouts"]
    assert "there is no rollout 'winter'; there are: none" in refused["msg"]


def test_what_phones_info_and_the_playbook_show(
    site: Service, play: Play, tmp_path: Path, checkout_environment: dict[str, str]
) -> None:
    site.api.put("/firmware/rollouts", {"rollouts": [ROLLOUT]})
    info = {"name": "Info", "autoprov.appliance.phones_info": {"mac": ["00:04:13:92:2D:24"]}}
    (phone,) = play([info], url=site.url).results["Info"]["phones"]
    assert phone["firmware"]["wanted"] == "10.1.184.15"
    assert phone["firmware"]["state"] == "waiting"
    bin_folder = Path(sys.executable).parent
    inventory = tmp_path / "hosts.ini"
    interpreter = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    inventory.write_text(f"[autoprov_appliances]\nhere {interpreter}\n")
    words = [str(bin_folder / "ansible-playbook"), "-i", str(inventory), str(REPOSITORY / "playbooks" / "firmware.yml")]
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "AUTOPROV_API_URL": site.url}
    done = subprocess.run(
        words,
        env=checkout_environment | environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if "summer" in line)
    shown = row.strip(' ",').split()
    assert shown == ["summer", "10.1.184.15", "running", "the", "canaries", "0", "0", "0", "0", "1", "0"]
