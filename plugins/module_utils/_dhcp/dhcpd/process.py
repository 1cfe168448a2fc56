# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The running dhcpd: found among the processes, its checker run in its view, its end and its new start watched."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import time
import typing as t
from dataclasses import dataclass

from .. import processes
from ..errors import DhcpError
from ..processes import Process

BINARY = "dhcpd"
DEFAULT_CONFIG_FILE = "/etc/dhcp/dhcpd.conf"
#: Debian's settings of the init script; other systems do not have it.
DEFAULTS_FILE = "/etc/default/isc-dhcp-server"
#: Options of dhcpd with a value behind them; what is left over are interfaces.
_WITH_VALUE = ("-p", "-s", "-cf", "-lf", "-pf", "-tf", "-play", "-user", "-group", "-chroot", "-4o6")
#: Seconds after the restart command in which dhcpd must be there, and those it must then stay to count as such.
START_TIMEOUT, STABLE = 5.0, 1.0


@dataclass(frozen=True)
class Server:
    """A dhcpd for IPv4 that runs with a configuration file that we see too."""

    process: Process
    config_file: str
    #: Clock ticks after boot: with the number of the process, it tells a process from every other one.
    started: int

    @property
    def interfaces(self) -> t.List[str]:
        """Those named on the command line; none means all that the configuration has a subnet for."""
        names, words = [], iter(self.process.argv[1:])
        for word in words:
            if word in _WITH_VALUE:
                next(words, None)
            elif not word.startswith("-"):
                names.append(word)
        return names

    @property
    def alive(self) -> bool:
        return _started(self.process.pid) == self.started

    @property
    def start_time(self) -> float:
        """Seconds since the epoch, as the clock counts them now."""
        with open("/proc/uptime", encoding="ascii") as stream:
            uptime = float(stream.read().split()[0])
        return time.time() - uptime + self.started / os.sysconf("SC_CLK_TCK")


def _started(pid: int) -> t.Optional[int]:
    """None when there is no such process, or only its remains."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def running_servers() -> t.List[Server]:
    """Every dhcpd for IPv4 with a configuration file that we see too. Test runs (-t) are not servers."""
    found = []
    for process in processes.running(BINARY):
        if {"-6", "-t", "-T", "-tf"} & set(process.argv):
            continue
        config_file = process.path(process.argument("-cf") or DEFAULT_CONFIG_FILE)
        started = _started(process.pid)
        if started is not None and process.sees(config_file):
            found.append(Server(process, config_file, started))
    return found


def default_config_file() -> str:
    """The file that the system's own service would use."""
    try:
        with open(DEFAULTS_FILE, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return DEFAULT_CONFIG_FILE
    for name in ("DHCPDv4_CONF", "DHCPD_CONF"):
        found = re.findall(r"(?m)^\s*(?:export\s+)?%s=(.*)$" % name, text)
        try:
            words = shlex.split(found[-1], comments=True) if found else []
        except ValueError:
            words = []
        if words:
            return words[0]
    return DEFAULT_CONFIG_FILE


def version(binary: str) -> str:
    """`4.4.3-P1` of `isc-dhcpd-4.4.3-P1`, which it says on stderr."""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        raise DhcpError("%s does not run: %s" % (binary, exc)) from exc
    return (done.stderr or done.stdout).strip().replace("isc-dhcpd-", "", 1)


def test_config(binary: str, path: str, server: t.Optional[Server], cwd: str) -> t.Optional[str]:
    """None when `dhcpd -t` accepts the file, else its complaint, without the lines of the file that it shows."""
    # As root: dhcpd reads its files before it drops its privileges.
    process = server.process if server is not None else None
    done = processes.run_in_view([binary, "-t", "-4", "-cf", path], process, as_user=False, cwd=cwd)
    if done.returncode == 0:
        return None
    lines = (done.stderr + "\n" + done.stdout).splitlines()
    told = [line for line in lines if re.match(r"^\S.* line \d+: |^Can't |^Not configured|.*: Permission denied", line)]
    return "; ".join(told) or "exit status %d" % done.returncode


def wait_for_new(
    config_file: str, old: t.Sequence[Server], timeout: float = START_TIMEOUT, stable: float = STABLE
) -> Server:
    """The server that runs in place of the old ones, once it has stayed up for `stable` seconds. Raises DhcpError."""
    before = {(item.process.pid, item.started) for item in old}
    end = time.monotonic() + timeout
    seen: t.Set[t.Tuple[int, int]] = set()
    since, current = 0.0, (0, 0)
    while time.monotonic() < end + stable:
        here = [item for item in running_servers() if item.config_file == config_file]
        new = [item for item in here if (item.process.pid, item.started) not in before]
        seen.update((item.process.pid, item.started) for item in new)
        if len(here) != 1 or not new:
            current = (0, 0)
            if time.monotonic() > end:
                break
        elif (new[0].process.pid, new[0].started) != current:
            current, since = (new[0].process.pid, new[0].started), time.monotonic()
        elif time.monotonic() - since >= stable:
            return new[0]
        time.sleep(0.05)
    if len(seen) > 1:
        raise DhcpError("dhcpd is started again and again (%d times in %d s) and does not stay" % (len(seen), timeout))
    if seen:
        raise DhcpError("dhcpd was started, but does not stay; its log says why")
    if any(item.alive for item in old):
        raise DhcpError("the restart has left the old dhcpd running (process %d)" % old[0].process.pid)
    raise DhcpError("dhcpd has not come up within %d s after the restart; its log says why" % timeout)


def local_addresses() -> t.Optional[t.FrozenSet[str]]:
    """The addresses of this host, None when they cannot be known."""
    try:
        with open("/proc/self/net/fib_trie", encoding="ascii") as stream:
            return frozenset(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", stream.read()))
    except OSError:
        return None


def all_interfaces() -> t.List[str]:
    return [name for _index, name in socket.if_nameindex() if name != "lo"]
