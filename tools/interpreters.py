# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the Pythons of this host that really run.

A version manager's shim answers to python3.12 and then refuses to run, or runs something else: so every candidate is
asked who it is, and its own path is what is used.
"""

from __future__ import annotations

import functools
import glob
import os
import subprocess
import sys
from pathlib import Path

# Where version managers keep real interpreters; PATH is searched as well.
FOLDERS = [
    "~/.pyenv/versions/*/bin",
    "~/.local/share/uv/python/*/bin",
    "/opt/python/*/bin",
    "/usr/local/bin",
    "/usr/bin",
]
ASK = "import sys; print(sys.version_info[0], sys.version_info[1], getattr(sys, '_base_executable', sys.executable))"


def _answer(candidate: Path) -> tuple[str, Path] | None:
    """Return version and real path of a candidate that runs, else None."""
    try:
        done = subprocess.run(
            [candidate, "-I", "-c", ASK], capture_output=True, text=True, timeout=20, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    major, minor, executable = done.stdout.strip().split(" ", 2)
    return f"{major}.{minor}", Path(executable)


@functools.cache
def interpreter(version: str) -> Path | None:
    """Return the path of a Python of that version ("3.12") that really runs here, or None."""
    folders = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    for pattern in FOLDERS:
        folders += [Path(found) for found in sorted(glob.glob(os.path.expanduser(pattern)), reverse=True)]
    candidates = [folder / f"python{version}" for folder in folders]
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        candidates.insert(0, Path(sys.executable))
    for candidate in candidates:
        answer = _answer(candidate) if candidate.exists() else None
        if answer and answer[0] == version:
            return answer[1]
    return None


def search_path(versions: list[str]) -> str:
    """Return a PATH in which those versions, where they exist, come before anything else of the same name."""
    folders = [str(found.parent) for version in versions if (found := interpreter(version))]
    return os.pathsep.join([*dict.fromkeys(folders), os.environ.get("PATH", os.defpath)])
