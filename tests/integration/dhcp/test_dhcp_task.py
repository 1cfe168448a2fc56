# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_options as people call it: a task in a play."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .kea_site import KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
VENDORS = ["snom", "yealink", "gigaset"]


def test_as_a_task(site: KeaSite, checkout_environment: dict[str, str]) -> None:
    """The way people call it: ansible-playbook, check then run then run again, with a diff."""
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                {
                    "name": "Tell phones",
                    "autoprov.appliance.dhcp_options": {
                        "url": URL,
                        "vendors": VENDORS,
                        "config_file": str(site.config),
                    },
                }
            ],
        }
    ]
    playbook = site.folder / "play.yml"
    playbook.write_text(json.dumps(play))

    def run(*flags: str) -> str:
        command = [
            "ip",
            "netns",
            "exec",
            site.server,
            "ansible-playbook",
            "-i",
            "localhost,",
            "--diff",
            *flags,
            str(playbook),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, env=checkout_environment, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    checked = run("--check")
    assert "changed=1" in checked
    assert f'+        <?include "{site.folder}/autoprov-kea-dhcp4-options.json"?>' in checked
    assert "our clock" not in checked, "the administrator's lines are not shown"
    assert "changed=1" in run()
    assert site.offer("020000000001", "snomD785")[66] == URL
    assert "changed=0" in run()
