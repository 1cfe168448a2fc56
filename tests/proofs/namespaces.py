# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network and mount namespaces of a proof's own."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest

_NUMBERS = itertools.count(1)


def requires_root() -> None:
    """Skip the test where there is no right to make namespaces."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for namespaces")


class Cable:
    """Two network namespaces and a cable between them."""

    first, second = "198.18.7.1", "198.18.7.2"
    """Their addresses."""

    def __init__(self) -> None:
        name = f"ap-{os.getpid()}-{next(_NUMBERS)}"
        self._names = [f"{name}-a", f"{name}-b"]
        for one in self._names:
            _ip("netns", "add", one)
        one, two = self._names
        _ip("link", "add", "cable", "netns", one, "type", "veth", "peer", "name", "cable", "netns", two)
        for one, address in zip(self._names, (self.first, self.second), strict=True):
            _ip("-n", one, "addr", "add", f"{address}/24", "dev", "cable")
            _ip("-n", one, "link", "set", "lo", "up")
            _ip("-n", one, "link", "set", "cable", "up")

    @property
    def in_first(self) -> tuple[str, ...]:
        """A command that runs another at the first end."""
        return ("ip", "netns", "exec", self._names[0])

    @property
    def in_second(self) -> tuple[str, ...]:
        """A command that runs another at the second end."""
        return ("ip", "netns", "exec", self._names[1])

    def set_mac(self, mac: str) -> None:
        """Give the second end this MAC address."""
        spelled = ":".join(mac[index : index + 2] for index in range(0, 12, 2))
        _ip("-n", self._names[1], "link", "set", "cable", "address", spelled)

    def cut(self) -> None:
        """Nothing goes through any more, and the second end has no address."""
        _ip("-n", self._names[1], "link", "set", "cable", "down")
        _ip("-n", self._names[1], "addr", "flush", "dev", "cable")

    def mend(self) -> None:
        """As before the cut."""
        _ip("-n", self._names[1], "addr", "add", f"{self.second}/24", "dev", "cable")
        _ip("-n", self._names[1], "link", "set", "cable", "up")

    def remove(self) -> None:
        """Leave nothing."""
        for name in self._names:
            _ip("netns", "delete", name)


def on_small_disk(folder: Path, kibibytes: int) -> tuple[str, ...]:
    """A command that runs another where that folder is a disk of its own, of that size."""
    folder.mkdir()
    script = f'mount -t tmpfs -o size={kibibytes}k tmpfs "$0" && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, str(folder))


def after_a_reboot(boot_id: Path, seconds_since: int) -> tuple[str, ...]:
    """A command that runs another as if the machine had booted so many seconds ago, with the boot id in that file."""
    running = int(float(Path("/proc/uptime").read_text().split()[0]))
    script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    time = ("--time", "--boottime", str(seconds_since - running))
    return ("unshare", "--mount", *time, "sh", "-c", script, str(boot_id))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
