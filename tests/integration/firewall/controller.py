# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible, on another machine than the firewall: it comes by SSH from the office network, as an administrator would."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .walled_host import REPOSITORY, SBIN, WalledHost, run

ADDRESS = "198.18.2.1"  # of the host, in the office network
USER = "integrator"

_SSHD = """
Port 22
HostKey {keys}/host
AuthorizedKeysFile /run/administrators.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
MaxStartups 100
"""


class Controller:
    """Runs Ansible against walled hosts, each over real SSH from that host's office network."""

    def __init__(self, folder: Path) -> None:
        for program, package in (("/usr/sbin/sshd", "openssh-server"), ("ssh-keygen", "openssh-client")):
            if shutil.which(program) is None:
                pytest.skip(f"needs {program}: apt-get install {package}")
        self.folder = folder
        self.hosts: dict[str, dict[str, Any]] = {}
        self._keys = folder / "keys"
        self._keys.mkdir(parents=True)
        self._results = folder / "results.jsonl"
        (folder / "callbacks").mkdir()
        (folder / "callbacks" / "keep_results.py").write_text(_KEEP_RESULTS)
        self._proxy = folder / "proxy.py"
        self._proxy.write_text(_PROXY)
        for name in ("host", "client"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._keys / name))

    def manage(self, name: str, host: WalledHost, user: str = "root", **variables: Any) -> None:
        """Start sshd on a host, and put it into the inventory."""
        (config := self.folder / f"{name}.sshd").write_text(_SSHD.format(keys=self._keys))
        host.do("mkdir", "-p", "/run/sshd")
        host.do("tee", "/run/administrators.pub", stdin=(self._keys / "client.pub").read_text())
        host.start("/usr/sbin/sshd", "-D", "-e", "-f", str(config), log="sshd.log")
        host.wait(lambda: host.do("ss", "-Hltn", "sport = :22"), "sshd")
        if user != "root":
            _add_user(host, user)
        # What a controller in the office network would connect to, from there: real packets, a connection each time.
        proxy = f"ip netns exec {host.prefix}_o {sys.executable} {self._proxy} %h %p"
        self.hosts[name] = {
            "ansible_host": ADDRESS,
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(self._keys / "client"),
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
            f" -o LogLevel=ERROR -o ProxyCommand={shlex.quote(proxy)}",
            # All have one address, each in a network of its own: by address and user, they would share a connection.
            "ansible_control_path": f"%(directory)s/{name}",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": user != "root",
            **variables,
        }

    def environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SSH_"))}
        return environment | {
            "PATH": f"{Path(sys.executable).parent}:{SBIN}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/apcp{os.getpid()}",  # a socket's path is short
            "ANSIBLE_CALLBACK_PLUGINS": str(self.folder / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "keep_results",
            "KEEP_RESULTS": str(self._results),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_TIMEOUT": "3",
            "HOME": str(self.folder),
        }

    def inventory(self) -> Path:
        path = self.folder / "hosts.json"
        path.write_text(json.dumps({"all": {"hosts": self.hosts}}))
        return path

    def task(
        self, module: str, *flags: str, environment: dict[str, str] | None = None, **arguments: Any
    ) -> dict[str, dict[str, Any]]:
        """Run a module of the collection on the hosts; the result of each."""
        self._results.write_text("")
        task = {f"autoprov.appliance.{module}": arguments, "environment": environment or {}}
        output = self.play([{"hosts": "all", "gather_facts": False, "tasks": [{"name": "Ask", **task}]}], *flags)
        assert "Traceback" not in output, output
        found = dict(json.loads(line) for line in self._results.read_text().splitlines())
        assert set(found) == set(self.hosts), output
        return found

    def one(self, module: str, *flags: str, **arguments: Any) -> dict[str, Any]:
        """The same for the only host there is."""
        (result,) = self.task(module, *flags, **arguments).values()
        return result

    def play(self, playbook: list[dict[str, Any]] | Path, *flags: str) -> str:
        """Run a playbook; what it prints. It may fail."""
        if isinstance(playbook, list):
            (path := self.folder / f"play-{time.monotonic_ns()}.yml").write_text(json.dumps(playbook))
            playbook = path
        done = self._run(["ansible-playbook", "-i", str(self.inventory()), str(playbook), *flags])
        return done.stdout + done.stderr

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=REPOSITORY, env=self.environment(), capture_output=True, text=True, check=False, timeout=280
        )

    def close(self) -> None:
        """End the SSH connections that are kept open for later."""
        folder = Path(f"/tmp/apcp{os.getpid()}")
        for path in folder.glob("*") if folder.exists() else ():
            subprocess.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "x"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


#: Writes down what each host answered, whole.
_KEEP_RESULTS = """
import json, os
from ansible.plugins.callback import CallbackBase
DOCUMENTATION = "name: keep_results\\ntype: aggregate\\nshort_description: x\\ndescription: x\\n"
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "keep_results"
    CALLBACK_NEEDS_ENABLED = True
    def _keep(self, result, failed=False, **_):
        with open(os.environ["KEEP_RESULTS"], "a") as stream:
            told = dict(result._result, failed=failed)  # Ansible takes it out for callbacks
            stream.write(json.dumps([result._host.get_name(), told], default=str) + "\\n")
    v2_runner_on_ok = v2_runner_on_unreachable = _keep
    def v2_runner_on_failed(self, result, **_):
        self._keep(result, True)
"""

#: Copies what ssh says to a socket, and back.
_PROXY = (
    "import os,select,socket,sys\n"
    "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),3); s.settimeout(None)\n"
    "while True:\n"
    "    for r in select.select([0,s],[],[])[0]:\n"
    "        d=os.read(0,65536) if r==0 else s.recv(65536)\n"
    "        if not d: sys.exit()\n"
    "        s.sendall(d) if r==0 else os.write(1,d)\n"
)


def _add_user(host: WalledHost, user: str) -> None:
    """An unprivileged user who may become root, in the host's own /etc."""
    etc = host.folder / "copies" / "etc"
    with (etc / "passwd").open("a") as stream:
        stream.write(f"{user}:x:4242:4242::/run/{user}:/bin/sh\n")
    with (etc / "shadow").open("a") as stream:
        stream.write(f"{user}:*:19000:0:99999:7:::\n")
    (etc / "sudoers.d").mkdir(exist_ok=True)
    (etc / "sudoers.d" / user).write_text(f"{user} ALL=(ALL) NOPASSWD: ALL\n")
    host.do("install", "-d", "-o", "4242", f"/run/{user}")
