# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What adapters ask of the host: files, programs, routes, and differences for people."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import shutil
import subprocess
import typing as t

from .errors import FirewallError
from .steps import SEARCH_PATH

_TIMEOUT = 60.0  # seconds


def has(program: str) -> bool:
    """Whether a program is installed where those of administrators are."""
    return shutil.which(program, path=SEARCH_PATH) is not None


def run(*command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a command, without a shell and in English. Raises FirewallError when it cannot be run at all."""
    try:
        return subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_TIMEOUT,
            env=dict(os.environ, PATH=SEARCH_PATH, LC_ALL="C"),
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise FirewallError("%s cannot be run: %s" % (command[0], exc)) from exc


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command said, on one line."""
    return " ".join((done.stderr or done.stdout).split()) or "it gave no reason (status %d)" % done.returncode


def read_file(path: str) -> t.Optional[str]:
    """The text of a file with its line ends as they are, None when there is none. Raises FirewallError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise FirewallError("%s cannot be read: %s; run as root (become: true)" % (path, exc.strerror)) from exc


def file_mode(path: str, default: int = 0o644) -> int:
    """The mode of a file, or that of a new one."""
    try:
        return os.stat(path).st_mode & 0o7777
    except OSError:
        return default


def unified(name: str, old: t.Optional[str], new: t.Optional[str]) -> str:
    """A unified diff; None is that there is nothing."""
    here, there = ("/dev/null" if text is None else name for text in (old, new))
    before, after = ((text or "").splitlines(keepends=True) for text in (old, new))
    text = "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, after, here, there)
    )
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def interface_towards(address: str) -> t.Optional[str]:
    """The interface by which this host reaches an address, and mostly is reached from there; None without a route."""
    if not has("ip"):
        return None
    done = run("ip", "-o", "route", "get", address)
    found = re.search(r"\bdev (\S+)", done.stdout) if done.returncode == 0 else None
    return found.group(1) if found else None


def parse_address(text: str) -> t.Optional[t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    """An address as sshd tells it (with a zone, or an IPv4 one in IPv6's clothes); None when it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
