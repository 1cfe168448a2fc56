# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test sanity on the built tarball, with nothing but a Python package index in reach.

python -m tools.sanity [ansible-test option …]

ansible-test would first download a script that installs pip. A stand-in that does the same with Python's own ensurepip
takes its place in ansible-test's cache. Its home is .cache/ansible-test, so that nothing is written to the user's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.interpreters import interpreter, search_path
from tools.unpacked import REPOSITORY, unpack

# Pythons on which modules and module_utils must compile and import, and the controller's.
PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
# ansible-test tries these as well where it finds them; a version manager's shim of one must not stand in its way.
OTHERS = ["3.7", "3.8", "3.14"]
HOME = REPOSITORY / ".cache" / "ansible-test"
# The versions of pip that ansible-core 2.17, 2.18 and 2.19, 2.20 and 2.21 ask for.
STAND_INS = ["get_pip_23_1_2.py", "get_pip_24_2.py", "get_pip_25_2.py"]

STAND_IN = '''\
"""Installs pip with ensurepip, then what it is asked for, as the script it stands in for would."""
import subprocess
import sys

arguments = [value for value in sys.argv[1:] if value not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", "--upgrade"] + (arguments or ["pip"]))
'''


def prepare_home() -> None:
    """Lay the stand-ins and this user's pip settings where ansible-test and its pip look for them."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in STAND_INS:
        (cache / name).write_text(STAND_IN, encoding="utf-8")
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    lines = []
    for line in settings.splitlines():
        section_and_name, _, value = line.partition("=")
        section, _, name = section_and_name.rpartition(".")
        if section in ("global", "install", ":env:") and name not in ("require-virtualenv", "user"):
            text = value.strip("'\"").encode().decode("unicode_escape").strip()
            lines.append(f"{name} = {' '.join(text.split())}")
    configuration = HOME / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text("\n".join(["[global]", *dict.fromkeys(lines), ""]), encoding="utf-8")


def main(options: list[str]) -> int:
    """Run the tests and return ansible-test's exit status."""
    prepare_home()
    folder = unpack(REPOSITORY / "build" / "sanity")
    missing = [version for version in PYTHONS if interpreter(version) is None]
    if missing:
        print(f"SKIPPED: compile and import on Python {', '.join(missing)}: no such Python on this host", flush=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL"))
    }
    environment["HOME"] = str(HOME)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), search_path([*OTHERS, *PYTHONS])])
    ansible_test = shutil.which("ansible-test", path=environment["PATH"])
    if ansible_test is None:
        print("ansible-test is not installed: make setup", file=sys.stderr)
        return 1
    command = [ansible_test, "sanity", "--color", "no", *(options or ["--venv"])]
    return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
