# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site with ISC dhcpd, which its administrator restarts with a script."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .sites import SBIN, Answer, Site

DHCPD = shutil.which("dhcpd", path=SBIN)

# An administrator's file: odd spacing, comments in odd places, several things on a line, everything that must stay.
CONFIG = """# The DHCP server of the voice network. Ask Jo before you change it!
ping-check   false;   default-lease-time 600; # ten minutes
option ntp-servers    198.18.0.1;# our clock
option opt132 code 132 = text; # { not a block
class "printers" { match if substring(option vendor-class-identifier, 0, 3) = "prn"; option opt132 "30"; }

subnet 198.18.0.0 netmask 255.255.255.0
{ # one subnet,
    range 198.18.0.50 198.18.0.250;
\toption domain-name "a \\"quoted\\" # name };"; } # for now"""

SCRIPT = """#!/bin/sh
# End the old one by its process id, start a new one in the same network namespace.
old=$(cat %(pid)s 2>/dev/null)
[ -n "$old" ] && kill "$old" 2>/dev/null
while [ -n "$old" ] && grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$old/status"; do sleep 0.02; done
exec %(dhcpd)s -4 -cf %(config)s -lf %(leases)s -pf %(pid)s srv0 >>%(log)s 2>&1
"""


class DhcpdSite(Site):
    """dhcpd in the background, as the init script of a system starts it."""

    program, package = "dhcpd", "isc-dhcp-server"

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(folder, prefix)
        self.etc = folder / "dhcp"
        self.etc.mkdir()
        self.config = self.etc / "dhcpd.conf"
        self.leases = folder / "dhcpd.leases"
        self.pid_file = folder / "dhcpd.pid"
        self.script = folder / "restart"

    @classmethod
    def require(cls) -> None:
        super().require()
        profiles = Path("/sys/kernel/security/apparmor/profiles")
        if profiles.exists() and "dhcpd (enforce)" in profiles.read_text():
            pytest.skip("AppArmor confines dhcpd to /etc/dhcp: aa-complain dhcpd, or test in a container")

    def tear_down(self) -> None:
        super().tear_down()
        digest = hashlib.sha256(str(self.config).encode()).hexdigest()[:16]
        Path(f"/run/autoprov-dhcpd-{digest}.changed").unlink(missing_ok=True)

    def write(self, text: str = CONFIG) -> bytes:
        """Write the configuration."""
        self.config.write_bytes(text.encode())
        return text.encode()

    def start(self) -> None:
        """Start dhcpd; it goes to the background once it serves."""
        self.leases.touch()
        names = {"pid": self.pid_file, "config": self.config, "leases": self.leases, "log": self.log, "dhcpd": DHCPD}
        self.script.write_text(SCRIPT % names)
        self.script.chmod(0o755)
        done = subprocess.run(self.inside(str(self.script)), check=False)
        assert done.returncode == 0, self.log.read_text()

    @property
    def pid(self) -> int:
        """The number of the process, another one after each restart; 0 when there is none."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self.pid_file.read_text())
            if str(self.config).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    def stop(self) -> None:
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 10
            while self.pid and time.monotonic() < end:
                time.sleep(0.02)

    def restart(self) -> None:
        """As the administrator does it."""
        self.stop()
        self.start()

    def module(self, name: str = "dhcp_options", check: bool = False, **arguments: Any) -> Answer:
        if name == "dhcp_options":
            arguments.setdefault("restart_command", [str(self.script)])
        return super().module(name, check, **arguments)

    def files(self) -> dict[str, bytes]:
        """The configuration folder, hidden files too, without the backup."""
        paths = [path for path in self.etc.iterdir() if not path.name.endswith(".autoprov-backup")]
        return {path.name: path.read_bytes() for path in sorted(paths)}
