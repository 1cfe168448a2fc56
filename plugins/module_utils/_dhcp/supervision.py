# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Who keeps a DHCP server running, and how that one is told to start it again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t

from .errors import DhcpError
from .processes import SEARCH_PATH, Process

RESTART_TIMEOUT = 60.0  # seconds


def restart_command(process: Process, given: t.Sequence[str] = ()) -> t.List[str]:
    """The command that restarts the server: the one given, else that of its supervisor (systemd, runit).

    Raises DhcpError where nobody supervises it.
    """
    if given:
        return list(given)
    unit = _systemd_unit(process.pid)
    if unit is not None:
        return ["systemctl", "restart", unit]
    service = _runit_service(process.pid)
    if service is not None:
        return ["sv", "restart", service]
    raise DhcpError(
        "nobody supervises process %d (%s): neither systemd nor runit; say with restart_command how it is restarted"
        % (process.pid, " ".join(process.argv[:1]))
    )


def run(command: t.Sequence[str]) -> None:
    """Run a restart command. Raises DhcpError with what it said when it fails."""
    program = shutil.which(command[0], path=SEARCH_PATH) or command[0]
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=RESTART_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise DhcpError("%s cannot be run: %s" % (" ".join(command), exc)) from exc
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or "no reason given"
        raise DhcpError("%s failed with status %d: %s" % (" ".join(command), done.returncode, said))


def _systemd_unit(pid: int) -> t.Optional[str]:
    """`dnsmasq.service` of `0::/system.slice/dnsmasq.service`, where systemd runs."""
    if not os.path.isdir("/run/systemd/system"):
        return None
    try:
        with open("/proc/%d/cgroup" % pid, encoding="ascii", errors="replace") as stream:
            found = re.search(r"/([^/\n]+\.service)(?:/[^\n]*)?$", stream.read(), re.MULTILINE)
    except OSError:
        return None
    return found.group(1) if found else None


def _runit_service(pid: int) -> t.Optional[str]:
    """The folder of the runsv process that is the parent."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stream:
            parent = int(stream.read().rpartition(")")[2].split()[1])
        with open("/proc/%d/cmdline" % parent, "rb") as stream:
            argv = [os.fsdecode(word) for word in stream.read().split(b"\0")[:-1]]
        if not argv or os.path.basename(argv[0]) != "runsv":
            return None
        return os.path.realpath("/proc/%d/cwd" % parent)
    except (OSError, ValueError):
        return None
