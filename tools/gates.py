# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the quality gates and say which failed.

python -m tools.gates [NAME …] runs all, or those named. What a gate prints is in build/gates/, and shown when it fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tools.unpacked import REPOSITORY, unpack

UTILS = "collections/ansible_collections/autoprov/appliance/plugins"
SCRIPTS = [".ci/run", "molecule/base-image", "requirements/lock", "tools/debian-packages"]


@dataclass(frozen=True)
class Gate:
    """One gate: what to run, and whether it judges the checkout or the collection as it ships."""

    name: str
    command: list[str]
    shipped: bool = False


PYTHON = sys.executable
GATES = [
    Gate("ruff-check", ["ruff", "check", "."]),
    Gate("ruff-format", ["ruff", "format", "--check", "--diff", "."]),
    Gate(
        "mypy",
        [
            PYTHON,
            "-m",
            "mypy",
            "service/src/autoprovd",
            "demo",
            "tools",
            "tests/proofs",
            "tests/bench",
            f"{UTILS}/module_utils",
        ],
    ),
    Gate("shellcheck", ["shellcheck", *SCRIPTS]),
    Gate("ansible-lint", ["ansible-lint", "--offline", "--strict"]),
    Gate("reuse", ["reuse", "lint", "--lines"]),
    Gate("changelog", ["antsibull-changelog", "lint"]),
    Gate(
        "docs",
        "antsibull-docs lint-collection-docs --plugin-docs --check-extra-docs-refs".split()
        + "--validate-collection-refs all .".split(),
        shipped=True,
    ),
    Gate("sanity", [PYTHON, "-m", "tools.sanity"]),
]


def run(gate: Gate, logs: Path) -> bool:
    """Run one gate; print one line, and its output when it failed. Return whether it passed."""
    started = time.monotonic()
    cwd = unpack(REPOSITORY / "build" / "gates" / "unpacked") if gate.shipped else REPOSITORY
    try:
        done = subprocess.run(
            gate.command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output, passed = done.stdout.decode(errors="replace"), done.returncode == 0
    except FileNotFoundError as error:
        output, passed = f"{error.filename} is not installed: make setup (as root)\n", False
    (logs / f"{gate.name}.log").write_text(output, encoding="utf-8")
    print(f"{'ok    ' if passed else 'FAILED'}  {gate.name:14} {time.monotonic() - started:6.1f} s", flush=True)
    notes = (
        output
        if not passed
        else "".join(f"        {line}\n" for line in output.splitlines() if line.startswith("SKIPPED"))
    )
    if notes:
        print(notes, end="", flush=True)
    return passed


def main(names: list[str]) -> int:
    """Run the gates of those names, or all; return the exit status."""
    unknown = set(names) - {gate.name for gate in GATES}
    if unknown:
        print(f"No such gate: {', '.join(sorted(unknown))}. There are: {', '.join(gate.name for gate in GATES)}")
        return 2
    # The tools of this venv start each other by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    logs = REPOSITORY / "build" / "gates"
    logs.mkdir(parents=True, exist_ok=True)
    results = [run(gate, logs) for gate in GATES if not names or gate.name in names]
    print(f"Gates: {results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
