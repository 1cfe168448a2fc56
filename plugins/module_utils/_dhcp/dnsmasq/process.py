# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The running dnsmasq: found among several, its command line, its checker, and since when it runs."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shlex
import subprocess
import time
import typing as t
from dataclasses import dataclass

from .. import processes
from ..errors import DhcpError
from ..processes import Process
from .config import DEFAULT_FILE, CommandLine, DnsmasqConfiguration
from .model import Route

BINARY = "dnsmasq"
DEFAULTS_FILE = "/etc/default/dnsmasq"  # Debian's: CONFIG_DIR becomes -7, DNSMASQ_OPTS is appended
DHCP_PORT = 67
_TICKS = os.sysconf("SC_CLK_TCK")
#: Short options that take an argument, and the long names of those that matter here.
_WITH_ARGUMENT = frozenset("rmpclsitugaxSCATHQIBFGOMXVUjPJWY246780 3".replace(" ", ""))
_LONG = {
    "C": "conf-file",
    "7": "conf-dir",
    "F": "dhcp-range",
    "O": "dhcp-option",
    "G": "dhcp-host",
    "M": "dhcp-boot",
    "U": "dhcp-vendorclass",
    "j": "dhcp-userclass",
    "4": "dhcp-mac",
    "i": "interface",
    "I": "except-interface",
    "x": "pid-file",
    "2": "no-dhcp-interface",
    "l": "dhcp-leasefile",
    "p": "port",
}
#: Long options that, without =, take the next word.
_LONG_WITH_ARGUMENT = frozenset(_LONG.values()) | {
    *("dhcp-option-force", "dhcp-match", "dhcp-hostsfile", "dhcp-hostsdir", "dhcp-optsfile", "dhcp-optsdir"),
    *("shared-network", "tag-if", "dhcp-name-match", "dhcp-circuitid", "dhcp-remoteid", "dhcp-subscrid", "user"),
    *("group", "dhcp-script", "log-facility", "listen-address", "resolv-file", "servers-file", "dhcp-lease-max"),
}
#: Whose dnsmasq it is when its command line names these places: not the administrator's.
_OTHERS = {"libvirt": "/var/lib/libvirt/", "NetworkManager": "/etc/NetworkManager/", "LXC": "/lxc", "LXD": "/lxd/"}


@dataclass(frozen=True)
class Server:
    """A dnsmasq that runs."""

    process: Process
    command: CommandLine
    #: Clock ticks from the start of this system: with the number, this names a process for good.
    started: int
    #: The program that runs it for itself, if any.
    owner: str = ""

    @property
    def main(self) -> str:
        return self.process.path(self.command.main)


def parse_command_line(argv: t.Sequence[str]) -> CommandLine:
    """What the words behind the program's name mean."""
    options: t.List[t.Tuple[str, str]] = []
    words: t.List[str] = []
    mains: t.List[str] = []

    def take(name: str, argument: str, given: t.Sequence[str]) -> None:
        if name == "conf-file":
            mains.append(argument)
        else:
            options.append((name, argument))
            if name not in ("conf-dir", "test"):
                words.extend(given)

    index = 0
    while index < len(argv):
        word = argv[index]
        index += 1
        following = argv[index] if index < len(argv) else ""
        if word.startswith("--"):
            name, equals, argument = word[2:].partition("=")
            if not equals and name in _LONG_WITH_ARGUMENT:
                index += 1
                take(name, following, (word, following))
            else:
                take(name, argument, (word,))
        elif word.startswith("-"):
            for place in range(1, len(word)):
                letter = word[place]
                if letter not in _WITH_ARGUMENT:
                    take(letter, "", ("-" + letter,))
                    continue
                argument = word[place + 1 :] or following
                index += 0 if word[place + 1 :] else 1
                take(_LONG.get(letter, letter), argument, ("-" + letter, argument))
                break
    return CommandLine(tuple(options), mains[-1] if mains else DEFAULT_FILE, bool(mains), tuple(words))


def running_servers() -> t.List[Server]:
    """Every dnsmasq that runs and sees the files we see, without test runs and the children of another."""
    found = {process.pid: process for process in processes.running(BINARY)}
    servers = []
    for process in found.values():
        command = parse_command_line(process.argv[1:])
        parent, started = _parent_and_start(process.pid)
        if parent in found or started < 0 or any(name == "test" for name, _argument in command.options):
            continue
        main = process.path(command.main)
        if not process.sees(main if os.path.exists(main) else "/etc"):
            continue
        words = " ".join(process.argv)
        owner = next((name for name, place in _OTHERS.items() if place in words), "")
        servers.append(Server(process, command, started, owner))
    return servers


def _parent_and_start(pid: int) -> t.Tuple[int, int]:
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stream:
            words = stream.read().rpartition(")")[2].split()
        if words[0] not in "ZX":  # it has ended, and nobody has asked how
            return int(words[1]), int(words[19])
    except (OSError, ValueError, IndexError):
        pass
    return -1, -1


def still_runs(server: Server) -> bool:
    """The very same process, not another of its number."""
    return _parent_and_start(server.process.pid)[1] == server.started


def started_at(server: Server) -> float:
    """When it started, by the clock of today, in seconds; up to one tick too late."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + (server.started + 1) / _TICKS


def choose(given: t.Optional[str]) -> t.Optional[Server]:
    """The dnsmasq meant: with that configuration file, or the one that serves DHCP here. Raises DhcpError in doubt."""
    servers = running_servers()
    if given:
        meant = [server for server in servers if server.main == os.path.realpath(given)]
        meant.sort(key=lambda server: server.process.other_network)
        return meant[0] if meant else None
    here = [server for server in servers if not server.process.other_network]
    candidates = [server for server in here if not server.owner]
    if len(candidates) > 1:
        with_ranges = [server for server in candidates if has_ranges(server)]
        candidates = with_ranges or [server for server in candidates if server.main == DEFAULT_FILE] or candidates
    if len(candidates) > 1:
        names = ", ".join("%s of process %d" % (server.main, server.process.pid) for server in candidates)
        raise DhcpError("several dnsmasq run here (%s); say which with config_file" % names)
    if not candidates and here and not os.path.exists(DEFAULT_FILE):
        names = ", ".join("process %d (%s)" % (server.process.pid, server.owner) for server in here)
        raise DhcpError(
            "the only dnsmasq here belongs to another program: %s; set the options there, or name its configuration "
            "with config_file" % names
        )
    return candidates[0] if candidates else None


def has_ranges(server: Server) -> bool:
    """Does it serve DHCP?"""
    try:
        configuration = DnsmasqConfiguration(server.command, server.process.cwd)
    except DhcpError:
        return True  # it cannot be told; somebody has to look
    return any(line.name == "dhcp-range" for line in configuration.lines)


def installed_command(config_file: t.Optional[str], defaults_file: str = DEFAULTS_FILE) -> CommandLine:
    """What dnsmasq would be started with: as Debian does it, or with the configuration file given."""
    if config_file and os.path.realpath(config_file) != DEFAULT_FILE:
        return CommandLine((), config_file, True)
    words: t.List[str] = []
    with contextlib.suppress(OSError), open(defaults_file, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            found = re.match(r"^\s*(?:export\s+)?(CONFIG_DIR|DNSMASQ_OPTS)=(.*)$", line)
            with contextlib.suppress(ValueError):
                value = " ".join(shlex.split(found.group(2), comments=True)) if found else ""
                if found and value:
                    words += ["-7", value] if found.group(1) == "CONFIG_DIR" else shlex.split(value)
    return parse_command_line(words)


def routes(server: t.Optional[Server]) -> t.List[Route]:
    """The networks that the server's host reaches without a router."""
    found: t.List[Route] = []
    path = "/proc/%s/net/route" % (server.process.pid if server else "self")
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as stream:
        for line in stream.readlines()[1:]:
            words = line.split()
            address, gateway, mask = (int.from_bytes(bytes.fromhex(words[at])[::-1], "big") for at in (1, 2, 7))
            if gateway == 0 and mask not in (0, 0xFFFFFFFF):
                found.append((words[0], ipaddress.IPv4Network((address, str(ipaddress.IPv4Address(mask))))))
    return found


def own_addresses() -> t.Optional[t.FrozenSet[str]]:
    """Every address of this host; None when that cannot be known."""
    try:
        with open("/proc/self/net/fib_trie", encoding="ascii") as stream:
            return frozenset(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", stream.read()))
    except OSError:
        return None


def listens(server: Server, port: int = DHCP_PORT) -> bool:
    """Has the process itself a UDP socket on that port?"""
    try:
        with open("/proc/%d/net/udp" % server.process.pid, encoding="ascii") as stream:
            rows = [line.split() for line in stream.readlines()[1:]]
        inodes = {"socket:[%s]" % row[9] for row in rows if row[1].endswith(":%04X" % port)}
        folder = "/proc/%d/fd" % server.process.pid
        for entry in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.readlink(os.path.join(folder, entry)) in inodes:
                    return True
    except OSError:
        pass
    return False


def version(binary: str) -> str:
    """`2.90`. Raises DhcpError."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise DhcpError("%s does not run: %s" % (binary, exc)) from exc
    found = re.search(r"version (\S+)", said)
    return found.group(1) if found else "unknown"


def test_stream(
    binary: str, command: CommandLine, configuration: DnsmasqConfiguration, server: t.Optional[Server]
) -> t.Optional[str]:
    """None when `dnsmasq --test` accepts this configuration, which is nowhere on a disk, else its complaint.

    The whole is given as one stream, so that nothing is put where a dnsmasq that starts meanwhile would read it, and
    AppArmor has nothing to say.
    """
    text = b"".join(line + b"\n" for line, _path, _number in configuration.stream)
    complaint = _test([binary, "--test", *command.words, "--conf-file=-"], server, text)
    if complaint is None:
        return None

    def place(found: "re.Match[str]") -> str:
        _line, path, number = configuration.stream[int(found.group(1)) - 1]
        return "at %s:%d" % (path, number)

    with contextlib.suppress(IndexError):
        return re.sub(r"at line ([0-9]+) of stdin", place, complaint)
    return complaint


def test_files(binary: str, command: CommandLine, server: t.Optional[Server]) -> t.Optional[str]:
    """None when `dnsmasq --test` accepts the files as they stand, with the folders it really reads."""
    folders = ["--conf-dir=" + argument for name, argument in command.options if name == "conf-dir"]
    main = ["--conf-file=" + command.main] if command.main_given else []
    return _test([binary, "--test", *command.words, *folders, *main], server, b"")


def _test(words: t.Sequence[str], server: t.Optional[Server], text: bytes) -> t.Optional[str]:
    # It reads its files before it gives up its rights.
    done = processes.run_in_view(words, server.process if server else None, as_user=False, given=text)
    if done.returncode == 0:
        return None
    said = " ".join((done.stderr or done.stdout).split())
    return re.sub(r"^dnsmasq: ", "", said) or "exit status %d" % done.returncode
