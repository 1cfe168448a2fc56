# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of a test's own, on which a role may install and start what it likes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .sites import MODULES, REPOSITORY, Answer, Site


def require_machines() -> None:
    """Skip, and say what is missing, where there can be no machine."""
    for program in ("runsvdir", "unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install runit util-linux")


class Machine:
    """This host's file system, copied on write, in fresh namespaces; runit is its first process."""

    def __init__(self, site: Site, namespace: str = "") -> None:
        """Boot in the server's network namespace of the site, or in another one."""
        namespace = namespace or site.server
        folder = site.folder / namespace
        folder.mkdir()
        seen = [str(REPOSITORY), sys.prefix]  # A checkout below /tmp, as CI may have it, stays visible.
        boot = [str(REPOSITORY / "demo" / "boot-machine.sh"), str(folder), namespace.replace("_", "-"), *seen]
        namespaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        self.output = site.folder / f"{namespace}.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *namespaces, *boot],
                stdout=output,
                stderr=output,
            )
        self.first = self._first_process()

    def _first_process(self) -> str:
        end = time.monotonic() + 15
        while time.monotonic() < end and self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text() == "runsvdir\n":
                return children[0]
            time.sleep(0.1)
        pytest.fail(f"the machine does not boot: {self.output.read_text()}")

    def run(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine."""
        enter = ["nsenter", "-t", self.first, "-m", "-n", "-p", "-u", "-i", "-r", "-w"]
        environment = [
            "env",
            "-i",
            f"PATH={Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            f"ANSIBLE_CONFIG={REPOSITORY}/ansible.cfg",
            "ANSIBLE_NOCOLOR=1",
        ]
        return subprocess.run(
            [*enter, *environment, *command], input=text, capture_output=True, text=True, check=False, timeout=240
        )

    def module(self, name: str, check: bool = False, **arguments: Any) -> Answer:
        """Run a module itself, with its real argument specification."""
        arguments |= {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
        self.run("tee", "/srv/module.json", text=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        done = self.run(
            "env", f"PYTHONPATH={REPOSITORY}/collections", "PYTHONWARNINGS=ignore", "python", "-m", f"{MODULES}.{name}",
            "/srv/module.json",
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, json.loads(done.stdout.strip().splitlines()[-1]))

    def play(self, *flags: str, **variables: Any) -> str:
        """Apply the role dhcp with these variables; the output."""
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": variables,
            "roles": ["autoprov.appliance.dhcp"],
        }
        self.run("tee", "/srv/play.yml", text=json.dumps([play]))
        done = self.run("ansible-playbook", "-i", "localhost,", *flags, "/srv/play.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        """Switch it off."""
        self.process.kill()  # --kill-child: the first process goes too, and with it all others
        self.process.wait(10)
