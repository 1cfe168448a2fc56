# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible reaches a machine of the demo: by entering its namespaces, where at a real site it would use ssh."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = r"""
name: machine
short_description: Run tasks in a machine of the demo
description:
  - Enters the mount, UTS, IPC, network and PID namespaces of a machine of the demo.
author: The autoprov authors (@autoprov)
options:
  machine_pid:
    description: The first process of the machine, as the host of the demo counts.
    type: int
    required: true
    vars:
      - name: machine_pid
extends_documentation_fragment:
  - connection_pipelining
"""


class Connection(ConnectionBase):  # type: ignore[misc]
    """Commands by nsenter, files through its standard input and output."""

    transport = "machine"
    has_pipelining = True
    # Commands run in the machine's own files, not in those of the controller.
    _remote_is_local = False

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command line in the machine."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = self._enter(["/bin/sh", "-c", cmd], in_data)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the machine."""
        super().put_file(in_path, out_path)
        with open(in_path, "rb") as content:
            done = self._enter(["/bin/sh", "-c", f"cat > {shlex.quote(out_path)}"], content.read())
        if done.returncode != 0:
            raise AnsibleError(f"cannot write {out_path} in the machine: {done.stderr.decode(errors='replace')}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the machine."""
        super().fetch_file(in_path, out_path)
        done = self._enter(["cat", in_path], None)
        if done.returncode != 0:
            raise AnsibleError(f"cannot read {in_path} in the machine: {done.stderr.decode(errors='replace')}")
        with open(out_path, "wb") as content:
            content.write(done.stdout)

    def close(self) -> None:
        """Nothing stays open."""
        self._connected = False

    def _enter(self, command: list[str], text: bytes | None) -> subprocess.CompletedProcess[bytes]:
        environment = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        target: Any = self.get_option("machine_pid")
        enter = ["nsenter", "--target", str(target), *namespaces, "--", *environment, "LANG=C.UTF-8", *command]
        return subprocess.run(enter, input=text or b"", capture_output=True, check=False)
