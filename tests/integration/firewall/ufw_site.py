# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with ufw."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from .walled_host import WalledHost


class UfwHost(WalledHost):
    """ufw as it comes with Debian: everything that comes in is dropped."""

    backend = "ufw"
    programs: ClassVar = {**WalledHost.programs, "ufw": "ufw", "iptables": "iptables"}
    copied = ("/etc/ufw", "/etc/default/ufw")

    def start_firewall(self) -> None:
        """Have ufw's rules loaded."""
        self.ufw("--force", "enable")

    def ufw(self, *words: str) -> str:
        """What ufw says."""
        return self.do("ufw", *words)

    def path(self, path: str) -> Path:
        """Where the host's copy of a file is."""
        return self.folder / "copies" / path.lstrip("/")

    def running(self) -> dict[str, list[str]]:
        """Every chain that runs, of both versions of IP, with its rules in their order."""
        found: dict[str, list[str]] = {}
        for program in ("iptables-save", "ip6tables-save"):
            for line in self.do(program, "-t", "filter").splitlines():
                if line.startswith(":"):
                    found[program + line.split()[0]] = []
                elif line.startswith("-A "):
                    found[f"{program}:{line.split()[1]}"].append(line)
        return found
