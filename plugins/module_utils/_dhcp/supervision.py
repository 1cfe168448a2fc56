# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Who keeps a DHCP server running, and how that one is told to start it again."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import typing as t

from .errors import DhcpError
from .processes import SEARCH_PATH, Process

RESTART_TIMEOUT = 60.0  # seconds
MAX_SAID = 500  # characters of what a command that fails has said last
SYSTEMD_RUNS, PROC = "/run/systemd/system", "/proc"


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
    """Run a restart command. Raises DhcpError with what it said when it fails, or does not come to an end."""
    if list(command[:2]) == ["systemctl", "restart"]:
        # A unit that was restarted often of late is refused otherwise, also when it is to be put right.
        _systemctl("reset-failed", *command[2:])
    program = shutil.which(command[0], path=SEARCH_PATH) or command[0]
    with tempfile.TemporaryFile() as said:  # not a pipe: a server that keeps it open would keep us waiting
        try:
            child = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as exc:
            raise DhcpError("%s cannot be run: %s" % (" ".join(command), exc.strerror or exc)) from exc
        try:
            status = child.wait(RESTART_TIMEOUT)
        except subprocess.TimeoutExpired:
            _end(child)
            raise DhcpError(
                "%s was ended after %d s without coming to an end; name a restart_command that returns once the server "
                "is started" % (" ".join(command), RESTART_TIMEOUT)
            ) from None
        except BaseException:
            _end(child)
            raise
        if status != 0:
            raise DhcpError("%s failed with status %d: %s" % (" ".join(command), status, _last_words(said)))


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the command and what it has started in its foreground."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_words(said: t.IO[bytes]) -> str:
    said.seek(0)
    words = " ".join(said.read().decode("utf-8", "replace").split())
    return words[-MAX_SAID:] or "no reason given"


def _systemctl(*arguments: str) -> str:
    """What systemctl says; empty when it fails."""
    program = shutil.which("systemctl", path=SEARCH_PATH) or "systemctl"
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=RESTART_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _systemd_unit(pid: int) -> t.Optional[str]:
    """`dnsmasq.service` of `0::/system.slice/dnsmasq.service`, where systemd runs and the unit is the server's own."""
    if not os.path.isdir(SYSTEMD_RUNS):
        return None
    # In a container systemd's own groups may stand below others, as pid 1 tells.
    below = re.search(r":(/[^\n]*|)/init\.scope$", _control_groups(1), re.MULTILINE)
    found = re.search(
        r":%s/system\.slice(?:/[^/\n]+\.slice)*/([^/\n]+\.service)$" % re.escape(below.group(1) if below else ""),
        _control_groups(pid),
        re.MULTILINE,
    )
    if found is None:
        return None
    # A server that somebody has started by hand may be found in the unit of sshd or cron, which it is not.
    main = _systemctl("show", "--property=MainPID", "--value", found.group(1)).strip()
    own = main in ("", "0", str(pid), str(_parent(pid)))  # 0: an init script
    return found.group(1) if own else None


def _control_groups(pid: int) -> str:
    try:
        with open("%s/%d/cgroup" % (PROC, pid), encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _parent(pid: int) -> t.Optional[int]:
    try:
        with open("%s/%d/stat" % (PROC, pid), encoding="ascii", errors="replace") as stream:
            return int(stream.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _runit_service(pid: int) -> t.Optional[str]:
    """The folder of the runsv process that is the parent."""
    parent = _parent(pid)
    if parent is None:
        return None
    try:
        with open("%s/%d/cmdline" % (PROC, parent), "rb") as stream:
            argv = [os.fsdecode(word) for word in stream.read().split(b"\0")[:-1]]
        if not argv or os.path.basename(argv[0]) != "runsv":
            return None
        return os.path.realpath("%s/%d/cwd" % (PROC, parent))
    except OSError:
        return None
