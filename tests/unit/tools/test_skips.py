# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where skips are not wanted, every way to skip fails, but for the reasons on the list."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
ALLOWED = "ansible-core 2.20: no working Python 3.12 on this host (or 3.13, 3.14)"
WAYS = {
    "call": "def test_it(): pytest.skip({reason!r})",
    "mark": "@pytest.mark.skipif(True, reason={reason!r})\ndef test_it(): pass",
    "fixture": "@pytest.fixture\ndef need(): pytest.skip({reason!r})\ndef test_it(need): pass",
    "module": "pytest.skip({reason!r}, allow_module_level=True)\ndef test_it(): pass",
}


def run(folder: Path, way: str, reason: str, no_skips: str) -> subprocess.CompletedProcess[str]:
    """Run a test that skips in that way, under a copy of our conftest.py."""
    (folder / "tests").mkdir()
    for name in ("conftest.py", "allowed_skips.toml"):
        shutil.copy(TESTS / name, folder / "tests" / name)
    (folder / "tests" / "test_other.py").write_text("def test_other(): pass\n")
    (folder / "tests" / "test_skips.py").write_text(f"import pytest\n{WAYS[way].format(reason=reason)}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["AUTOPROV_NO_SKIPS"] = no_skips
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-ra",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "tests",
    ]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_a_skip_that_could_be_avoided_fails_and_says_why(tmp_path: Path, way: str) -> None:
    done = run(tmp_path, way, "podman is missing", no_skips="1")
    assert done.returncode != 0, done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr
    assert "podman is missing" in done.stdout
    assert "AUTOPROV_NO_SKIPS" in done.stdout


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("reason", "no_skips"), [(ALLOWED, "1"), ("podman is missing", ""), ("podman is missing", "0")]
)
def test_any_other_skip_passes_and_is_shown(tmp_path: Path, way: str, reason: str, no_skips: str) -> None:
    done = run(tmp_path, way, reason, no_skips)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert reason in done.stdout
