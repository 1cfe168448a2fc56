# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for telephones: a real agent at 1,022 addresses behind one hop, and the module's examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.phone_scan import HOSTS, NETWORK, answering
from tests.integration.collection.conftest import REPOSITORY
from tests.proofs.namespaces import Cable, requires_root

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cable]:
    requires_root()
    made = Cable()
    try:
        with answering(made, tmp_path_factory.mktemp("agent")):
            yield made
    finally:
        made.remove()


def scan(cable: Cable, **options: Any) -> dict[str, Any]:
    """The module's result, run on the host at one end of the cable."""
    command = [*cable.in_first, str(Path(sys.executable).parent / "ansible"), "localhost"]
    command += ["-m", "autoprov.appliance.phone_scan", "-a", json.dumps(options)]
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
    }
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert " => " in done.stdout, done.stdout + done.stderr
    assert "our-secret" not in done.stdout
    result: dict[str, Any] = json.loads(done.stdout.partition(" => ")[2])
    return result


def test_everyone_who_answers_is_found(cable: Cable) -> None:
    found = scan(cable, networks=[NETWORK], by=["snmp"], snmp_community="search", rate=0)
    assert len(found["phones"]) == HOSTS
    assert {(phone["vendor"], phone["model"], phone["version"]) for phone in found["phones"]} == {
        ("snom", "D785", "10.1.33.33")
    }
    assert not found["changed"]


def test_the_rate_is_kept_and_nothing_else_is_asked(cable: Cable) -> None:
    started = time.monotonic()
    found = scan(cable, networks=["198.18.64.0/25"], by=["snmp"], snmp_community="search", rate=100)
    assert len(found["phones"]) == found["asked"] == 126
    assert time.monotonic() - started > 1.2


def test_a_wrong_community_finds_nobody_and_is_not_shown(cable: Cable) -> None:
    found = scan(cable, networks=["198.18.64.0/30"], by=["snmp"], snmp_community="our-secret", patience=0.2)
    assert found["phones"] == []
    assert found["packets"] == 4
