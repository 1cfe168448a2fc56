# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch the wheels of service/requirements.txt for the Pythons an appliance may have (Debian 12 and 13).

python -m tools.wheelhouse DIRECTORY. Done again only when the lock changes. pip checks every file against the lock's
hashes, here and once more on the appliance.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).resolve().parent.parent / "service" / "requirements.txt"
# Debian 12, Debian 13, and this machine, whose own Python runs the demo's appliance.
PYTHONS = sorted({"3.11", "3.13", f"3.{sys.version_info.minor}"})
# Oldest first; Debian 12 has glibc 2.36.
GLIBC_TAGS = ["manylinux1", "manylinux2010", "manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, 37))]


def locked_requirements(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Return each pinned requirement of a lock with its hashes."""
    joined = re.sub(r"\\\n\s*", " ", lock)
    found = []
    for line in joined.splitlines():
        if not line or line.lstrip().startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        found.append((Requirement(requirement), hashes))
    return found


def wanted_on(python: str, machine: str, lock: str) -> str:
    """Return the lock as Linux with that Python sees it: pip itself would ask the running Python about the markers."""
    environment = {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
    }
    lines = []
    for requirement, hashes in locked_requirements(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            lines.append(
                " ".join([f"{requirement.name}{requirement.specifier}", *(f"--hash={value}" for value in hashes)])
            )
    return "\n".join(lines) + "\n"


def download(python: str, machine: str, lock: str, directory: Path) -> None:
    """Download the wheels for one Python."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(wanted_on(python, machine, lock))
        requirements.flush()
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
        ]
        command += [
            "--implementation",
            "cp",
            "--python-version",
            python,
            "--dest",
            str(directory),
            "-r",
            requirements.name,
        ]
        for tag in [*reversed(GLIBC_TAGS), "linux"]:
            command += ["--platform", f"{tag}_{machine}"]
        subprocess.run(command, check=True)


def main(directory: Path) -> None:
    """Fill the directory unless it already matches the lock."""
    lock, machine = LOCK.read_text(encoding="utf-8"), platform.machine()
    fingerprint = hashlib.sha256("\n".join([lock, machine, *PYTHONS]).encode()).hexdigest()
    stamp = directory / ".lock.sha256"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for python in PYTHONS:
        print(f"Fetching the service's wheels for Python {python} …", flush=True)
        download(python, machine, lock, directory)
    stamp.write_text(fingerprint, encoding="utf-8")
    print(f"{len(list(directory.glob('*.whl')))} wheels in {directory}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
