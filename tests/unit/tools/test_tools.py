# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small tools behind the Makefile."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from tools import interpreters, wheelhouse
from tools.ansible_matrix import PYTHONS, NoInterpreterError, environment
from tools.run_tests import Summary

LOCK = """\
# a comment
plain==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via somebody
old==2.0 ; python_full_version < '3.13' \\
    --hash=sha256:cc
windows==3.0 ; sys_platform == 'win32' \\
    --hash=sha256:dd
"""
REPORT = """\
<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="no"/></testcase>
<testcase classname="a" name="broken"><error message="no"/></testcase>
<testcase classname="a" name="left_out"><skipped message="no root"/></testcase>
<testcase classname="b" name="left_out"><skipped message="no root"/></testcase>
</testsuite></testsuites>
"""


def test_markers_are_those_of_the_appliance_not_of_this_python() -> None:
    assert wheelhouse.wanted_on("3.11", "x86_64", LOCK).splitlines() == [
        "plain==1.0 --hash=sha256:aa --hash=sha256:bb",
        "old==2.0 --hash=sha256:cc",
    ]
    assert "old" not in wheelhouse.wanted_on("3.13", "x86_64", LOCK)


def test_every_pin_of_the_service_has_a_hash() -> None:
    locked = wheelhouse.locked_requirements(wheelhouse.LOCK.read_text(encoding="utf-8"))
    assert len(locked) > 20
    assert [str(requirement) for requirement, hashes in locked if not hashes] == []


@pytest.mark.parametrize(
    "name",
    ["service/requirements.txt", "requirements/dev.txt", *(f"requirements/ansible-{core}.txt" for core in PYTHONS)],
)
def test_no_lock_names_a_place_on_this_machine_or_an_index(name: str, repository: Path) -> None:
    settings = [line for line in (repository / name).read_text(encoding="utf-8").splitlines() if line.startswith("-")]
    assert settings == []
    assert "://" not in (repository / name).read_text(encoding="utf-8")


def test_a_shim_that_refuses_to_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'python3.99: command not found' >&2\nexit 127\n")
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    interpreters.interpreter.cache_clear()
    assert interpreters.interpreter("3.99") is None


def test_this_python_is_found() -> None:
    interpreters.interpreter.cache_clear()
    found = interpreters.interpreter(f"3.{sys.version_info.minor}")
    assert found is not None
    assert found.exists()


def test_an_ansible_core_without_its_python_says_which_one_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.ansible_matrix.interpreter", lambda version: None)
    with pytest.raises(NoInterpreterError, match=r"ansible-core 2\.20: no working Python 3\.12 on this host"):
        environment("2.20")


def test_the_summary_counts_errors_as_failures_and_keeps_the_reasons_of_skips(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    summary = Summary()
    summary.read(report)
    assert summary.counts == {"passed": 1, "failed": 2, "skipped": 2}
    assert summary.failed == ["a.bad", "a.broken"]
    assert summary.skipped == {"no root": 2}
