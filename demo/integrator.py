# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The integrator: runs playbooks from a host of the site, as on a notebook that was plugged in there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.site import HERE, Host
from demo.table import Progress, StepError

REPOSITORY = HERE.parent


class Integrator:
    """A person with a checkout, an inventory, and the values of this run that no inventory can know."""

    def __init__(self, host: Host, values: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]) -> None:
        """``values`` are variables of this run by host, ``common`` those of all hosts: how to reach them, tokens."""
        self._host = host
        self._inventory = host.directory / "this-run.json"
        self._inventory.write_text(json.dumps({"all": {"vars": common, "hosts": values}}), "utf-8")
        self._runs = 0

    def play(
        self, playbook: Path, progress: Progress, extra: Mapping[str, Any] | None = None, timeout: float = 300
    ) -> str:
        """Run a playbook: its recap in one line. Raises :class:`StepError` with the task that failed, and why."""
        self._runs += 1
        log = self._host.directory / f"ansible-{self._runs}.log"
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            *("-i", str(HERE / "inventory"), "-i", str(self._inventory)),
            *(("-e", json.dumps(extra)) if extra else ()),
            str(playbook),
        ]
        process = subprocess.Popen(
            self._host.command(command),
            cwd=REPOSITORY,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        alarm = threading.Timer(timeout, process.kill)
        alarm.start()
        try:
            recap, tail, task = self._follow(process, log, progress)
            status = process.wait()
        finally:
            alarm.cancel()
            process.kill()
        if status != 0:
            raise StepError(f"ansible-playbook ended with status {status} at: {task}", "".join(tail))
        return ", ".join(recap)

    def _follow(
        self, process: subprocess.Popen[str], log: Path, progress: Progress
    ) -> tuple[list[str], deque[str], str]:
        recap: list[str] = []
        tail: deque[str] = deque(maxlen=40)
        task, done = "start", 0
        assert process.stdout is not None
        with log.open("w", encoding="utf-8") as copy:
            for line in process.stdout:
                copy.write(line)
                tail.append(line)
                if begun := re.match(r"(?:TASK|PLAY|RUNNING HANDLER) \[(.*)\]", line):
                    done += 1
                    task = begun[1]
                    progress(f"{done}: {task}")
                elif ended := re.match(r"(\S+)\s+: ok=(\d+)\s+changed=(\d+)", line):
                    recap.append(f"{ended[1]} ok={ended[2]} changed={ended[3]}")
        return recap, tail, task

    def _environment(self) -> dict[str, str]:
        home = self._host.directory
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TERM")}
        return kept | {
            "HOME": str(home),
            "TMPDIR": str(home),
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_HOME": str(home / "ansible"),
            "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection_plugins"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
