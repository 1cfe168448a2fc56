# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other Debian releases to run DHCP servers in, so that one machine tests several generations of them.

A release is unpacked once by mmdebstrap (about 20 s, 300 MB) into .cache/chroots, from the mirror that this machine's
own apt uses, or AUTOPROV_TEST_MIRROR. Each test sees it through an overlay in a mount namespace of its own: what a test
writes is gone with it, and nothing stays mounted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ansible
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = REPOSITORY / ".cache" / "chroots"
COMMON = ["kea-dhcp4-server", "dnsmasq-base", "python3", "iproute2", "procps", "util-linux"]
#: Debian release -> what is in it.
PACKAGES = {"trixie": [*COMMON, "isc-dhcp-server"], "forky": COMMON}
OPTIONS = [
    "--variant=minbase",
    # A release that is not yet one may have a Release file that is older than it says it is good for.
    "--aptopt=Acquire::Check-Valid-Until false",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
]
ANSIBLE = "/opt/ansible"
"""Where the chroot has ansible-core, which modules need (of this machine, so that it need not be installed there)."""


def mirror() -> str:
    """The first http(s) mirror of this machine's apt that is no security archive."""
    given = os.environ.get("AUTOPROV_TEST_MIRROR")
    if given:
        return given
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    for site in sites:
        if re.match(r"https?://", site) and "debian" in site and "security" not in site:
            return site
    pytest.skip("needs a Debian mirror in this machine's apt sources, or AUTOPROV_TEST_MIRROR")


def unpacked(release: str) -> Path:
    """The folder of a release, made when it is not there. Skips the test, and says why, where it cannot be made."""
    words = [*OPTIONS, "--include=" + ",".join(PACKAGES[release])]
    folder = CACHE / f"{release}-{hashlib.sha256(' '.join(words).encode()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        if shutil.which("mmdebstrap") is None:
            pytest.skip(f"needs mmdebstrap to unpack Debian {release}: apt-get install mmdebstrap")
        started = folder.with_suffix(".new")
        shutil.rmtree(started, ignore_errors=True)
        # In a mount namespace of its own: what it mounts is gone with it, even when it is killed.
        private = ["unshare", "--mount", "--propagation", "private"]
        command = [*private, "mmdebstrap", *words, release, str(started), mirror()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            said = " ".join(line for line in done.stderr.splitlines() if line.startswith("E:"))[-500:]
            pytest.skip(f"Debian {release} cannot be unpacked, so its DHCP servers are NOT tested: {said}")
        started.rename(folder)
    return folder


_HOLDER = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -m 0750 run/kea
mkdir -p run/lock
shift 2
while [ $# -gt 0 ]; do
    mkdir -p "./$2"
    mount --bind "$1" "./$2"
    shift 2
done
echo ready
exec sleep infinity
"""


class Chroot:
    """A Debian release as one test sees it. What is told here is seen there under the same path."""

    def __init__(self, root: Path, holder: int) -> None:
        self._root = root
        self._holder = holder

    def enter(self, namespace: str, *command: str) -> list[str]:
        """The command, inside, with the network of that namespace."""
        return [
            *("nsenter", f"--mount=/proc/{self._holder}/ns/mnt", f"--net=/run/netns/{namespace}"),
            *("chroot", str(self._root), *command),
        ]

    def outside(self, path: Path | str) -> Path:
        """A path inside as this process reaches it."""
        return Path(f"/proc/{self._holder}/root{self._root}{path}")


@contextlib.contextmanager
def chroot(release: str, folder: Path) -> Iterator[Chroot]:
    """A Debian release in which `folder` and this checkout are where they are outside."""
    lower, place = unpacked(release), folder / ".chroot"
    for name in ("upper", "work", "root"):
        (place / name).mkdir(parents=True)
    shared = [folder, folder, REPOSITORY, REPOSITORY, Path(ansible.__path__[0]), Path(ANSIBLE) / "ansible"]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLDER, "sh", lower, place, *shared]
    holder = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            holder.kill()
            pytest.fail(f"the chroot of {release} cannot be mounted: {holder.communicate()[1].decode()}")
        yield Chroot(place / "root", holder.pid)
    finally:
        holder.kill()
        holder.wait()
