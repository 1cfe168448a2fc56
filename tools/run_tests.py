# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every suite of make test and end with one honest summary: what passed, what failed, and loudly what was skipped.

python -m tools.run_tests [SUITE …]. The last line reads "N passed, N failed, N skipped".
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LONG = "long-"
"""How suites begin that take minutes; they run when they are named."""
# unit-postgresql: the tests of the service once more, with the other database.
# Several at a time where tests mostly wait for Ansible or DHCP;
# what measures races and kills has the machine for itself.
SUITES = {
    "unit": ["-n", "auto", "tests/unit"],
    "unit-postgresql": ["-n", "auto", "tests/unit/service"],
    "proofs": ["tests/proofs"],
    "integration": ["-n", "3", "--dist", "loadfile", "tests/integration"],
    "e2e": ["tests/e2e"],
    "molecule": ["molecule/test_scenarios.py", "--timeout", "1800"],
    "long-proofs": ["tests/proofs", "--timeout", "3600"],
    "long-integration": ["-n", "3", "--dist", "loadfile", "tests/integration", "--timeout", "3600"],
}


@dataclass
class Summary:
    """Counts, and what a person must read."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def read(self, report: Path) -> None:
        """Add the results of a JUnit report."""
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.counts["failed"] += 1
                self.failed.append(name)
            elif skip is not None:
                self.counts["skipped"] += 1
                self.skipped[skip.get("message") or "no reason given"] += 1
            else:
                self.counts["passed"] += 1


def run(suite: str, summary: Summary) -> None:
    """Run one suite with pytest and add its results; a suite that could not even start counts as one failure."""
    paths = [argument for argument in SUITES[suite] if (REPOSITORY / argument).exists()]
    report = REPOSITORY / "build" / "reports" / f"{suite}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    if not paths:
        summary.counts["failed"] += 1
        summary.failed.append(f"{suite}: nothing to run in {' '.join(SUITES[suite])}")
        return
    print(f"\n━━━ {suite} ━━━", flush=True)
    marked = "long" if suite.startswith(LONG) else "not long"
    command = [sys.executable, "-m", "pytest", "-m", marked, *SUITES[suite], f"--junitxml={report}", "--durations=5"]
    started, before = time.monotonic(), summary.counts["failed"]
    environment = os.environ | ({"AUTOPROV_TEST_DATABASE": "postgresql"} if suite == "unit-postgresql" else {})
    status = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, env=environment, check=False).returncode
    print(f"{suite}: {time.monotonic() - started:.0f} s", flush=True)
    if report.exists():
        summary.read(report)
    if status != 0 and summary.counts["failed"] == before:
        summary.counts["failed"] += 1
        summary.failed.append(f"{suite}: pytest ended with status {status}")


def main(suites: list[str]) -> int:
    """Run the suites, print the summary, return the exit status."""
    unknown = set(suites) - set(SUITES)
    if unknown:
        print(f"No such suite: {', '.join(sorted(unknown))}. There are: {', '.join(SUITES)}")
        return 2
    summary = Summary()
    for suite in suites or (suite for suite in SUITES if not suite.startswith(LONG)):
        run(suite, summary)
    print("\n━━━ summary ━━━")
    for reason, count in sorted(summary.skipped.items()):
        print(f"SKIPPED {count} times: {reason}")
    if summary.skipped and os.environ.get("AUTOPROV_NO_SKIPS", "") in ("", "0"):
        print("What was skipped was NOT tested on this machine.")
    for name in summary.failed:
        print(f"FAILED  {name}")
    counts = summary.counts
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 0 if counts["failed"] == 0 and counts["passed"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
