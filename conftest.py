# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proofs counted, in one process or brought together from several, printed in one table."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proofs import tally


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what this worker counted, where there are several."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["counts"] = tally.counts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker counted."""
    tally.add(getattr(node, "workeroutput", {}).get("counts", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the proofs counted."""
    for number, line in enumerate(tally.table()):
        if number == 0:
            terminalreporter.section("what the proofs counted")
        terminalreporter.write_line(line)
