# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The running kea-dhcp4: found among the processes, spoken to over its control socket, its checker run in its view."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import typing as t
from dataclasses import dataclass

from .. import processes
from ..errors import DhcpError
from ..processes import Process

BINARY = "kea-dhcp4"
COMMAND_TIMEOUT = 30.0  # seconds; a reload of thousands of subnets takes a few
MAX_ANSWER_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A kea-dhcp4 that runs with a configuration file that we see too."""

    process: Process
    config_file: str


def find_binary() -> t.Optional[str]:
    return processes.find_binary(BINARY)


def running_servers() -> t.List[Server]:
    """Every kea-dhcp4 with a configuration file that we see too. Test runs (-t) are not servers."""
    found = []
    for process in processes.running(BINARY):
        given = process.argument("-c")
        config_file = process.path(given) if given else ""
        if config_file and process.sees(config_file):
            found.append(Server(process, config_file))
    return found


def listening_on(process: Process) -> t.Optional[str]:
    """The Unix socket on which the server takes commands, whatever its file says by now; None when it has none."""
    try:
        folder = "/proc/%d/fd" % process.pid
        own = {os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)}
        with open("/proc/%d/net/unix" % process.pid, encoding="utf-8", errors="surrogateescape") as stream:
            rows = [line.split(None, 7) for line in stream.read().splitlines()[1:]]
    except OSError:
        return None
    for row in rows:  # address, references, protocol, flags (10000: it listens), type, state, inode, path
        if len(row) == 8 and row[3] == "00010000" and "socket:[%s]" % row[6] in own and row[7].startswith("/"):
            return row[7]
    return None


def version(binary: str) -> str:
    try:
        return subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as exc:
        raise DhcpError("%s does not run: %s" % (binary, exc)) from exc


def test_config(binary: str, path: str, process: t.Optional[Process], cwd: str, thorough: bool) -> t.Optional[str]:
    """None when `kea-dhcp4 -t` accepts the file, else its complaint. `thorough` (2.6 and later) also has hook libraries
    judge their parameters, for which they are loaded.
    """
    done = processes.run_in_view([binary, "-T" if thorough else "-t", path], process, cwd=cwd)
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if " INFO " not in line and line.strip()]
    plain = [line for line in lines if " ERROR " not in line and " WARN " not in line]
    return " ".join(plain or lines) or "exit status %d" % done.returncode


class ControlSocket:
    """Kea's Unix control socket. The same protocol in every generation: one JSON command, one JSON answer."""

    def __init__(self, path: str) -> None:
        self.path = path

    def command(self, name: str, arguments: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        """The answer as it came. Raises ConnectionError when nobody listens, DhcpError for everything else."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(COMMAND_TIMEOUT)
            try:
                sock.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError) as exc:
                raise ConnectionError(exc.strerror) from exc
            except PermissionError as exc:
                raise DhcpError(
                    "no permission for Kea's control socket %s; run as root (become: true)" % self.path
                ) from exc
            except OSError as exc:
                raise DhcpError("Kea's control socket %s: %s" % (self.path, exc.strerror or exc)) from exc
            try:
                message = {"command": name} if arguments is None else {"command": name, "arguments": arguments}
                sock.sendall(json.dumps(message).encode())
                answer = bytearray()
                while True:
                    chunk = sock.recv(65536)
                    if not chunk:
                        break
                    answer += chunk
                    if len(answer) > MAX_ANSWER_BYTES:
                        raise DhcpError("Kea's answer to %s is larger than %d bytes" % (name, MAX_ANSWER_BYTES))
            except OSError as exc:
                reason = (
                    "no answer in %d s" % COMMAND_TIMEOUT
                    if isinstance(exc, socket.timeout)
                    else exc.strerror or str(exc)
                )
                raise DhcpError("Kea's control socket %s: %s to %s" % (self.path, reason, name)) from exc
        if not answer:
            raise ConnectionError("it hung up without an answer to %s" % name)
        try:
            result = json.loads(bytes(answer).decode("utf-8", "replace"))
        except ValueError:
            raise DhcpError("Kea's control socket %s: the answer to %s is not JSON" % (self.path, name)) from None
        if isinstance(result, list):  # what a control agent would wrap around it
            result = result[0] if result else {}
        if not isinstance(result, dict):
            raise DhcpError("Kea's control socket %s: the answer to %s has an unknown form" % (self.path, name))
        return t.cast("t.Dict[str, t.Any]", result)

    def config_get(self) -> t.Dict[str, t.Any]:
        """The Dhcp4 map of the running configuration. It may hold passwords: never put it into a result."""
        answer = self.command("config-get")
        if answer.get("result") != 0:
            raise DhcpError("Kea refuses config-get: %s" % answer.get("text", "no reason given"))
        config = dict(answer.get("arguments", {}).get("Dhcp4", {}))
        config.pop("hash", None)  # Kea 2.4+; not part of the configuration
        return config

    def config_set(self, config: t.Mapping[str, t.Any]) -> t.Optional[str]:
        """None when Kea runs this Dhcp4 map now, else its complaint. Only for what `config_get` has given before."""
        answer = self.command("config-set", {"Dhcp4": config})
        return None if answer.get("result") == 0 else str(answer.get("text", "no reason given"))

    def config_reload(self) -> t.Optional[str]:
        """None when Kea has read its file anew, else its complaint."""
        answer = self.command("config-reload")
        return None if answer.get("result") == 0 else str(answer.get("text", "no reason given"))
