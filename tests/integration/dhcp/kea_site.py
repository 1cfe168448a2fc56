# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site with Kea."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from .chroots import ANSIBLE, Chroot
from .sites import REPOSITORY, SBIN, Site

KEA = shutil.which("kea-dhcp4", path=SBIN)
RUNTIME = Path("/run/kea")  # the only place where Kea 2.6 and later accept a control socket

# An administrator's file: comments of all three kinds, odd spacing, everything that must stay.
CONFIG = """// The DHCP server of the voice network. Ask Jo before you change it!
{ "Dhcp4": {
    "interfaces-config": { "interfaces": [ "srv0" ] }, # the voice port
    "control-socket": { "socket-type": "unix", "socket-name": "%(socket)s" },
    "lease-database": { "type": "memfile", "persist": false },
    "option-data": [
        { "name":"ntp-servers",   "data": "198.18.0.1" } // our clock
    ],
    /* one subnet,
       for now */
    "subnet4": [ { "id": 1, "subnet": "198.18.0.0/24",
        "pools": [ { "pool": "198.18.0.50 - 198.18.0.250" } ]
    } ]
} }
"""


def connect(client: socket.socket, path: Path) -> None:
    """Connect to a socket whose path may be longer than an address may be."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        client.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


class KeaSite(Site):
    """Kea with a control socket."""

    program, package = "kea-dhcp4", "kea-dhcp4-server"

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(folder, prefix)
        self.chroot: Chroot | None = None
        self.config = folder / "kea-dhcp4.conf"
        self.leases = folder / "leases"
        self.socket = RUNTIME / f"{prefix}.sock"

    @classmethod
    def require(cls) -> None:
        super().require()
        profiles = Path("/sys/kernel/security/apparmor/profiles")
        if profiles.exists() and "kea-dhcp4 (enforce)" in profiles.read_text():
            pytest.skip("AppArmor confines Kea to /etc/kea: aa-complain kea-dhcp4, or test in a container")
        if not RUNTIME.exists():
            RUNTIME.mkdir(mode=0o750)

    def copied_hook(self, name: str, other: str) -> Path:
        """The same under another name. Newer Keas load none from elsewhere than their own folder."""
        original = self.hook(name)
        if self.chroot is None and self.version() >= (2, 6):
            pytest.skip("Kea 2.6 and newer load hook libraries from their own folder only, which is this machine's")
        copy = (self.folder if self.chroot is None else original.parent) / f"libdhcp_{other}.so"
        shutil.copy(self.outside(original), self.outside(copy))
        return copy

    def settle_in(self, chroot: Chroot) -> None:
        """Let the server's host be another Debian."""
        self.chroot = chroot
        self.python, self.python_path = "/usr/bin/python3", f"{REPOSITORY}/collections:{ANSIBLE}"

    def tear_down(self) -> None:
        super().tear_down()
        if self.chroot is None:
            for path in RUNTIME.glob(f"{self.prefix}*"):
                path.unlink()

    def inside(self, *command: str) -> list[str]:
        """A command as the server's host runs it: in the chroot, where there is one."""
        return self.chroot.enter(self.server, *command) if self.chroot is not None else super().inside(*command)

    def outside(self, path: Path | str) -> Path:
        """A path of the server's host as this process reaches it."""
        return self.chroot.outside(path) if self.chroot is not None else Path(path)

    def version(self) -> tuple[int, ...]:
        """As in (2, 6, 3)."""
        done = subprocess.run(self.inside("kea-dhcp4", "-v"), capture_output=True, text=True, check=True)
        return tuple(int(part) for part in done.stdout.strip().split("."))

    def hook(self, name: str) -> Path:
        """The path, inside, of one of Kea's hook libraries."""
        root = self.outside("/")
        (found,) = root.glob(f"usr/lib/*/kea/hooks/libdhcp_{name}.so")
        return Path("/") / found.relative_to(root)

    def write(self, text: str = CONFIG) -> str:
        """Write the configuration; %(socket)s in it is this site's control socket."""
        text = text.replace("%(socket)s", str(self.socket))
        self.config.write_bytes(text.encode())
        return text

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KEA_LOCKFILE_DIR": "none",
            "KEA_PIDFILE_DIR": str(self.folder),
            "KEA_DHCP_DATA_DIR": str(self.leases),  # from Kea 2.6 on, leases may be nowhere else
        }

    @property
    def pid(self) -> int:
        """The process of Kea, whoever has started it."""
        return int((self.folder / f"{self.config.stem}.kea-dhcp4.pid").read_text())

    @property
    def restart_script(self) -> Path:
        """What restarts Kea beside it; see `make_restartable`."""
        return self.folder / "restart.sh"

    def make_restartable(self) -> None:
        """Have a script by which Kea is restarted, as a supervisor would."""
        settings = " ".join(f"{name}={value}" for name, value in self.environment.items())
        self.restart_script.write_text(
            f"pid=$(cat {self.folder}/{self.config.stem}.kea-dhcp4.pid); kill $pid\n"
            "while grep -q '^State:.[RSD]' /proc/$pid/status 2>/dev/null; do sleep 0.05; done\n"
            f"rm -f {self.socket}\n"
            f"{settings} setsid kea-dhcp4 -c {self.config} >>{self.log} 2>&1 &\n"
        )

    def kill(self) -> None:
        """End Kea as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End Kea, also one that was restarted meanwhile."""
        if self.process is not None and self.process.poll() is not None and self.restart_script.exists():
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
        super().stop()

    def start(self) -> None:
        """Start Kea and wait until it serves."""
        self.outside(self.socket).unlink(missing_ok=True)  # Kea leaves it behind
        started = self._starts()
        self.launch(
            ["kea-dhcp4", "-c", str(self.config)],
            lambda: self._starts() > started,
            **self.environment,
        )

    def _starts(self) -> int:
        """How often Kea has come up; its control socket is there a little earlier."""
        return self.log.read_text().count("DHCP4_STARTED ") if self.log.exists() else 0

    def reloads(self) -> int:
        """How often Kea has read its configuration anew."""
        return self.log.read_text().count("DHCP4_DYNAMIC_RECONFIGURATION ")

    def files(self) -> dict[str, bytes]:
        """The configuration folder, without the log, the process id and the backup."""
        paths = [path for path in self.folder.iterdir() if path.suffix in (".conf", ".json") and path.is_file()]
        return {path.name: path.read_bytes() for path in sorted(paths)}
