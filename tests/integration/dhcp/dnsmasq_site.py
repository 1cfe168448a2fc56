# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site with dnsmasq, started as Debian's package does it: a configuration, and a folder given by -7."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from .chroots import ANSIBLE, Chroot
from .sites import REPOSITORY, Answer, Site, run

# An administrator's file: comments, odd spacing, quotes, everything that must stay.
CONFIG = """# The DHCP server of the voice network. Ask Jo before you change it!
port=0
interface = srv0   # the voice port
bind-dynamic
no-ping

dhcp-range=198.18.0.50,198.18.0.250,1h
\tdhcp-option = option:ntp-server , 198.18.0.1  # our clock
#dhcp-option=66,"not this one"
"""

# Ends the server by its process number, waits for its end, and starts it again: what a supervisor would do.
RESTART = """#!/bin/sh
echo restart >>"%(folder)s/restarts"
pid=$(cat "%(folder)s/dnsmasq.pid")
if kill "$pid" 2>/dev/null; then
    # What has ended may stay a zombie for a while, where process 1 is no init.
    while grep -q "^State:.[^Z]" "/proc/$pid/status" 2>/dev/null; do sleep 0.01; done
fi
exec "%(folder)s/start"
"""


class DnsmasqSite(Site):
    """dnsmasq in the background, as services run it; `start` and `restart` are scripts in the site's folder."""

    program, package = "dnsmasq", "dnsmasq-base"

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(folder, prefix)
        self.config = folder / "dnsmasq.conf"
        self.drop_ins = folder / "dnsmasq.d"
        self.own = self.drop_ins / "zz-autoprov.conf"
        self.chroot: Chroot | None = None
        self.arguments = [f"--conf-file={self.config}", "-7", f"{self.drop_ins},.dpkg-dist,.dpkg-old,.dpkg-new"]

    def settle_in(self, chroot: Chroot) -> None:
        """Live in another Debian release from now on."""
        self.chroot = chroot
        self.python, self.python_path = "/usr/bin/python3", f"{REPOSITORY}/collections:{ANSIBLE}"

    def inside(self, *command: str) -> list[str]:
        return self.chroot.enter(self.server, *command) if self.chroot else super().inside(*command)

    def build(self) -> None:
        super().build()
        self.drop_ins.mkdir()
        (self.drop_ins / "README").write_text("# All files in this directory will be read.\n")

    def connect(self, number: int) -> None:
        """One more cable: srv<number> with 198.18.<number>.1, and cli<number>."""
        ours, theirs = f"srv{number}", f"cli{number}"
        run(
            "ip",
            "link",
            "add",
            ours,
            "netns",
            self.server,
            "type",
            "veth",
            "peer",
            "name",
            theirs,
            "netns",
            self.client,
        )
        run("ip", "-n", self.server, "addr", "add", f"198.18.{number}.1/24", "dev", ours)
        run("ip", "-n", self.server, "link", "set", ours, "up")
        run("ip", "-n", self.client, "link", "set", theirs, "up")

    def write(self, text: str = CONFIG) -> None:
        """Write the administrator's configuration."""
        self.config.write_text(text)

    def script(self, name: str, text: str) -> list[str]:
        """A script in the site's folder, as words to run it."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return [str(path)]

    def start(self) -> None:
        """Start dnsmasq; it is there when the command ends."""
        own = [f"--dhcp-leasefile={self.folder}/leases", f"--pid-file={self.folder}/dnsmasq.pid", "--user=root"]
        words = ["dnsmasq", *own, f"--log-facility={self.log}", *self.arguments]
        self.script("start", "#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in words) + "\n")
        self.script("restart", RESTART % {"folder": self.folder})
        done = subprocess.run(self.inside(str(self.folder / "start")), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        # The kernel tells when a process started to the tick: what is written within that tick is not newer.
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))

    @property
    def pid(self) -> int:
        """The running server's process number; 0 when none runs."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "dnsmasq.pid").read_text())
            if b"dnsmasq" in Path(f"/proc/{pid}/cmdline").read_bytes():  # a zombie has none
                return pid
        return 0

    def stop(self) -> None:
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + 10
        while self.pid:
            assert time.monotonic() < end, "dnsmasq does not end"
            time.sleep(0.01)

    def restarted(self, text: str | None = None) -> None:
        """The server with another configuration of the administrator's."""
        self.stop()
        if text is not None:
            self.write(text)
        self.start()

    def module(self, name: str = "dhcp_options", check: bool = False, **arguments: Any) -> Answer:
        if name == "dhcp_options":
            arguments = {"server": "dnsmasq", "restart_command": [str(self.folder / "restart")], **arguments}
        return super().module(name, check, **arguments)

    def restarts(self) -> int:
        """How often a module has restarted the server."""
        path = self.folder / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def files(self) -> dict[str, bytes]:
        """Everything that dnsmasq reads, and our file if it is beside them."""
        paths = [self.config, *self.drop_ins.iterdir(), *self.folder.glob("dnsmasq-autoprov*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(paths) if path.is_file()}
