# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m demo``: tell the story of a site; the exit status is the truth."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from demo.needs import missing
from demo.site import Site, SiteError, standing_machine, take_down
from demo.story import Story
from demo.table import State, Step, play, table, watcher_for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo, or look after a site that was left standing."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="A telephone site in network namespaces.")
    parser.add_argument("--keep", action="store_true", help="leave the site standing (also: KEEP=1)")
    parser.add_argument("--down", action="store_true", help="take down a site that was left standing")
    parser.add_argument(
        "--enter", nargs=argparse.REMAINDER, metavar="MACHINE COMMAND", help="run a command in a machine"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the steps as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the table as SVG")
    options = parser.parse_args(arguments)
    try:
        if options.down:
            print("The site was taken down." if take_down() else "No site is standing.")
            return 0
        if options.enter is not None:
            return _enter(options.enter)
        return _tell(options.keep or os.environ.get("KEEP", "") not in ("", "0"), options.report, options.picture)
    except SiteError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


def _tell(keep: bool, report: Path | None, picture: Path | None) -> int:
    if lacking := missing():
        raise SiteError(f"the demo needs {'; '.join(lacking)}")
    console = Console(highlight=False, soft_wrap=True)
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, _interrupt)
    interrupted = False
    with Site() as site:
        if keep:
            site.keep()
        steps = Story(site, keep=keep).steps()
        try:
            with watcher_for(console, steps) as watcher:
                play(steps, watcher)
        except KeyboardInterrupt:
            interrupted = True
    failed = [step for step in steps if step.state is State.FAILED]
    passed = sum(step.state is State.PASSED for step in steps)
    seconds = sum(step.seconds for step in steps)
    for step in failed:
        if step.details:
            console.print(f"\n{step.subject}: {step.title}\n{step.details}", markup=False)
    if failed and not keep:
        console.print("\nKEEP=1 leaves the site standing, to be looked at.", markup=False)
    console.print(f"\n{passed} of {len(steps)} steps as expected, {seconds:.0f} s", markup=False)
    if report:
        report.write_text(json.dumps([_as_data(step) for step in steps], indent=2) + "\n", "utf-8")
    if picture:
        _draw(steps, picture)
    if keep:
        console.print(_KEPT.format(python=sys.executable), markup=False)
    if interrupted:
        console.print("Interrupted; the site was taken down." if not keep else "Interrupted.", markup=False)
        return 130
    return 0 if passed == len(steps) else 1


_KEPT = """
The site is left standing. To look at it, as root:
  {python} -m demo --enter appliance autoprov phones
  {python} -m demo --enter appliance              a shell on the appliance; also: registrar
  ip netns exec ap-snom ip address                the same for ap-yealink, ap-gigaset, ap-stranger
To take it down:
  {python} -m demo --down"""


def _enter(words: Sequence[str]) -> int:
    if not words:
        raise SiteError("which machine? appliance or registrar")
    machine = standing_machine(words[0])
    return subprocess.run(machine.command(words[1:] or ["bash"]), check=False).returncode


def _as_data(step: Step) -> dict[str, object]:
    return {
        "subject": step.subject,
        "title": step.title,
        "expected": step.expected,
        "seen": step.seen,
        "state": step.state.name.lower(),
        "seconds": round(step.seconds, 3),
    }


def _draw(steps: Sequence[Step], picture: Path) -> None:
    console = Console(record=True, width=150, file=io.StringIO(), force_terminal=True)
    console.print(table(steps))
    # Without the fonts that the library would have a viewer fetch: the reader's own monospaced font serves.
    drawn = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", console.export_svg(title="make demo"), flags=re.DOTALL)
    picture.write_text(drawn, encoding="utf-8")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
