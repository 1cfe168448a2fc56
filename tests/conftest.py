# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: imports by collection name, the repository's path, and no silent skips where none is due."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Generator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# pyproject.toml says the same for this process; a test that starts Python itself inherits PYTHONPATH.
IMPORT_ROOTS = [str(REPOSITORY / "collections"), str(REPOSITORY / "service" / "src")]
for root in reversed(IMPORT_ROOTS):
    if root not in sys.path:
        sys.path.insert(0, root)

ALLOWED_SKIPS = tomllib.loads((REPOSITORY / "tests" / "allowed_skips.toml").read_text(encoding="utf-8"))["skip"]


def no_skips() -> bool:
    """True where a skip is a failure unless it is on the list: CI, or whoever sets AUTOPROV_NO_SKIPS=1."""
    return os.environ.get("AUTOPROV_NO_SKIPS", "") not in ("", "0")


def skip_is_allowed(reason: str) -> bool:
    """True when tests/allowed_skips.toml names this reason as one that no CI machine can remove."""
    return any(re.search(entry["reason"], reason) for entry in ALLOWED_SKIPS)


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a report of a skip into one of a failure, where skips are not wanted and this one is not allowed."""
    if not report.skipped or hasattr(report, "wasxfail") or not no_skips():
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not skip_is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"Skipped where no skip is allowed (AUTOPROV_NO_SKIPS, tests/allowed_skips.toml): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See to tests, and fixtures, that skip."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See to a module that is skipped as a whole while it is collected."""
    report = yield
    refuse_skip(report)
    return report


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture
def checkout_environment() -> dict[str, str]:
    """The environment in which the checkout's own collection and the venv's own tools are found from any directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["ANSIBLE_CONFIG"] = str(REPOSITORY / "ansible.cfg")
    environment["ANSIBLE_NOCOLOR"] = "1"
    return environment
