# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of 10,000 phones in one call of the module ``phones``: from empty, and when nothing changed.

The physical limit beside it is a bare start of ansible-playbook with an empty task in the same run. Memory is the peak
of the service and the module's own process, added up; ansible-playbook itself is told apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.service import REPOSITORY, Service, free_port, phone

PHONES = 10_000
KEYS = 27
AIM_EMPTY, AIM_UNCHANGED, AIM_MIB = 15, 5, 600

_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: All phones of the site
      autoprov.appliance.phones:
        src: "{folder}/phones.json"
        api_url: "unix://{socket}"
        timeout: 300
"""

_NOTHING = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
"""


@dataclass
class _Peak:
    """The greatest memory seen, in MiB."""

    process: int
    together: float = 0.0
    service: float = 0.0
    module: float = 0.0
    controller: float = 0.0

    def watch(self, playbook: subprocess.Popen[bytes]) -> None:
        """Look every 20 ms until the playbook has ended."""
        while playbook.poll() is None:
            module = controller = 0
            try:
                ansible = psutil.Process(playbook.pid)
                for process in (ansible, *ansible.children(recursive=True)):
                    resident = process.memory_info().rss
                    if "AnsiballZ_phones" in " ".join(process.cmdline()):
                        module += resident
                    else:
                        controller = max(controller, resident)
                service = psutil.Process(self.process).memory_info().rss
            except psutil.Error:
                continue
            self.together = max(self.together, (module + service) / 2**20)
            self.service = max(self.service, service / 2**20)
            self.module = max(self.module, module / 2**20)
            self.controller = max(self.controller, controller / 2**20)
            time.sleep(0.02)


def run() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="autoprov-bench-") as name:
        folder = Path(name)
        service = Service(folder, free_port())
        service.prepare()
        (folder / "phones.json").write_text(json.dumps([phone(index, KEYS) for index in range(PHONES)]))
        (folder / "phones.yml").write_text(_PLAYBOOK.format(folder=folder, socket=service.socket))
        (folder / "nothing.yml").write_text(_NOTHING)
        with service.running() as process:
            print(f"\nphones module: {PHONES} phones with {KEYS} keys each, one call")
            columns = f"{'':22}{'seconds':>9}{'aim':>7}{'MiB service+module':>21}{'aim':>7}"
            print(columns + f"{'service':>9}{'module':>8}{'controller':>12}")
            for label, playbook, changed, aim in (
                ("an empty task", "nothing.yml", 0, None),
                ("from empty", "phones.yml", 1, AIM_EMPTY),
                ("nothing changed", "phones.yml", 0, AIM_UNCHANGED),
            ):
                seconds, peak = _playbook(folder / playbook, process.pid, changed)
                aims = (f"<= {aim}", f"<= {AIM_MIB}") if aim else ("", "")
                print(
                    f"{label:22}{seconds:9.1f}{aims[0]:>7}{peak.together:21.0f}{aims[1]:>7}"
                    f"{peak.service:9.0f}{peak.module:8.0f}{peak.controller:12.0f}"
                )


def _playbook(file: Path, service: int, changed: int) -> tuple[float, _Peak]:
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [
        "ansible-playbook",
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    log = file.with_suffix(".log")
    started = time.monotonic()
    peak = _Peak(service)
    with log.open("wb") as output:
        process = subprocess.Popen([*command, str(file)], env=environment, stdout=output, stderr=subprocess.STDOUT)
        peak.watch(process)
    seconds = time.monotonic() - started
    told = log.read_text()
    if process.returncode or f"changed={changed}" not in told:
        raise SystemExit(f"the playbook did not do what it should:\n{told[-2000:]}")
    return seconds, peak
