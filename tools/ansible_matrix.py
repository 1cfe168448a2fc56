# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual environment for each supported ansible-core, made from a hashed lock and kept in .cache/.

python -m tools.ansible_matrix makes all that this host can, and says which it cannot.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tools.interpreters import interpreter

REPOSITORY = Path(__file__).resolve().parent.parent
# ansible-core → Pythons of the controller it runs on, oldest first.
PYTHONS = {
    "2.17": ["3.11", "3.12"],
    "2.18": ["3.11", "3.12", "3.13"],
    "2.19": ["3.11", "3.12", "3.13"],
    "2.20": ["3.12", "3.13", "3.14"],
    "2.21": ["3.12", "3.13", "3.14"],
}


class NoInterpreterError(Exception):
    """This host has no Python for that ansible-core."""


def environment(version: str) -> Path:
    """Return the bin folder of the environment with that ansible-core; make the environment when it is not there yet.

    Raises NoInterpreterError when no fitting Python runs here, CalledProcessError when the installation fails.
    """
    python = next((found for wanted in PYTHONS[version] if (found := interpreter(wanted))), None)
    if python is None:
        first, *others = PYTHONS[version]
        raise NoInterpreterError(
            f"ansible-core {version}: no working Python {first} on this host (or {', '.join(others)})"
        )
    lock = REPOSITORY / "requirements" / f"ansible-{version}.txt"
    fingerprint = hashlib.sha256(f"{python}\n{lock.read_text(encoding='utf-8')}".encode()).hexdigest()
    folder = REPOSITORY / ".cache" / f"ansible-{version}"
    stamp = folder / ".ready"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True, env=_clean_environment())
        pip: list[str | Path] = [
            folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            lock,
        ]
        subprocess.run(pip, check=True, env=_clean_environment())
        stamp.write_text(fingerprint, encoding="utf-8")
    return folder / "bin"


def _clean_environment() -> dict[str, str]:
    """Return the environment without what would lead another Python to this one's packages."""
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


if __name__ == "__main__":
    for core in PYTHONS:
        try:
            print(f"ansible-core {core}: {environment(core)}")
        except NoInterpreterError as error:
            print(error)
