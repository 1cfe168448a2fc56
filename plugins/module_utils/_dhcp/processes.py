# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""DHCP servers among the running processes: where each lives, and commands run in its view."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from dataclasses import dataclass

from .errors import DhcpError

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin:/opt/kea/sbin"
CHECK_TIMEOUT = 120.0  # seconds; a file of thousands of subnets takes a few


@dataclass(frozen=True)
class Process:
    """A running server that sees the files we see."""

    pid: int
    argv: t.Tuple[str, ...]
    uid: int
    gid: int
    #: Its working directory as we would call it; / where we cannot see that place.
    cwd: str
    #: Does it live in another network namespace than we do?
    other_network: bool

    def argument(self, *names: str) -> t.Optional[str]:
        """The value behind the last of these options (`-c FILE`, `--conf-file=FILE`), None when it has none."""
        found = None
        for index, word in enumerate(self.argv[1:], 1):
            for name in names:
                if word == name and index + 1 < len(self.argv):
                    found = self.argv[index + 1]
                elif name.startswith("--") and word.startswith(name + "="):
                    found = word[len(name) + 1 :]
        return found

    def path(self, given: str) -> str:
        """A path as the server means it."""
        return os.path.realpath(os.path.join(self.cwd, given))

    def sees(self, path: str) -> bool:
        """Is what the server finds under the path the file that we find there? Not so in a container, or a chroot."""
        try:
            return os.path.samestat(os.stat("/proc/%d/root%s" % (self.pid, path)), os.stat(path))
        except OSError:
            return False


def find_binary(name: str) -> t.Optional[str]:
    return shutil.which(name, path=SEARCH_PATH) or shutil.which(name)


def _working_directory(pid: str) -> str:
    link = "/proc/%s/cwd" % pid
    path = os.readlink(link)
    return path if os.path.exists(path) and os.path.samestat(os.stat(path), os.stat(link)) else "/"


def running(binary: str) -> t.List[Process]:
    """Every process of that program, by number. Whether it sees the files we see, `Process.sees` tells."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as stream:
                argv = tuple(os.fsdecode(word) for word in stream.read().split(b"\0")[:-1])
            if not argv or os.path.basename(argv[0]) != binary:
                continue
            status = os.stat("/proc/%s" % entry)
            other_network = os.readlink("/proc/%s/ns/net" % entry) != os.readlink("/proc/self/ns/net")
            process = Process(int(entry), argv, status.st_uid, status.st_gid, _working_directory(entry), other_network)
        except OSError:
            continue  # it ended meanwhile, or is not ours to look at
        found.append(process)
    return sorted(found, key=lambda item: item.pid)


def run_in_view(
    command: t.Sequence[str],
    process: t.Optional[Process],
    as_user: bool = True,
    cwd: t.Optional[str] = None,
    given: bytes = b"",
) -> "subprocess.CompletedProcess[str]":
    """Run a server's own checker as the server runs: in its network namespace (checkers look for interfaces) and, with
    `as_user`, as its user (which must be able to read the files). `given` is what it reads from its standard input.
    Raises DhcpError when it cannot be run.
    """
    words = list(command)
    if process is not None:
        if as_user and process.uid != os.geteuid() and os.geteuid() == 0:
            words = ["setpriv", "--reuid=%d" % process.uid, "--regid=%d" % process.gid, "--init-groups", *words]
        if process.other_network:
            words = ["nsenter", "--net=/proc/%d/ns/net" % process.pid, *words]
    # The lock file is for log files two Kea servers share; a check writes none and must not need its directory.
    environment = dict(os.environ, KEA_LOCKFILE_DIR="none", LC_ALL="C")
    try:
        done = subprocess.run(
            words,
            input=given,
            capture_output=True,
            timeout=CHECK_TIMEOUT,
            cwd=cwd or (process.cwd if process is not None else "/"),
            env=environment,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise DhcpError("%s cannot be run: %s" % (" ".join(command), exc)) from exc
    said, complained = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(words, done.returncode, said, complained)
