# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with firewalld."""

from __future__ import annotations

import subprocess
from typing import ClassVar

from .walled_host import WalledHost


class FirewalldHost(WalledHost):
    """firewalld on a D-Bus of its own. Its default zone, `public`, is that of all interfaces."""

    backend = "firewalld"
    programs: ClassVar = {**WalledHost.programs, "firewalld": "firewalld", "dbus-daemon": "dbus"}
    copied = ("/etc/firewalld",)
    daemon: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        super().build()
        self.start("dbus-daemon", "--system", "--nofork", "--nopidfile", log="dbus.log")
        self.wait(lambda: self.do("sh", "-c", "test -S /run/dbus/system_bus_socket && echo yes", check=False), "D-Bus")

    def start_firewall(self) -> None:
        """Start firewalld and wait until it rules."""
        self.daemon = self.start("firewalld", "--nofork", "--nopid", log="firewalld.log")
        self.wait(lambda: self.do("firewall-cmd", "--state", check=False) == "running\n", "firewalld")

    def stop_firewall(self) -> None:
        """End firewalld; everything that does not last is gone."""
        assert self.daemon is not None
        self.daemon.terminate()
        self.daemon.wait(20)

    def cmd(self, *options: str) -> str:
        """What firewall-cmd says."""
        return self.do("firewall-cmd", *options).strip()

    def running(self) -> dict[str, list[str]]:
        """All settings of all zones that run, each line of them in an order of its own."""
        return _listed(self.cmd("--list-all-zones"))

    def lasting(self) -> dict[str, list[str]]:
        """The same of those that last, as firewalld remembers them."""
        return _listed(self.cmd("--permanent", "--list-all-zones"))


def _listed(text: str) -> dict[str, list[str]]:
    zones: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in " \t":
            lines = zones[line] = []
        elif line:
            lines.append(line)
    return {zone: sorted(lines) for zone, lines in zones.items()}
