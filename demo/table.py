# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps with what was expected and what was seen, and how a person watches them: a live table, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.site import SiteError

Progress = Callable[[str], None]
"""Told what is going on while a step runs."""
Action = Callable[[Progress], str]
"""Does a step, and returns what was seen. Raises :class:`~demo.site.SiteError` with what was seen instead."""


class StepError(SiteError):
    """A step saw something else than was expected; the message is what it saw."""

    def __init__(self, seen: str, details: str = "") -> None:
        super().__init__(seen)
        self.details = details
        """More for the person who has to find out why; shown below the table."""


class State(Enum):
    """Where a step stands; the value is its sign in the table."""

    WAITING = " "
    RUNNING = "…"
    PASSED = "✓"
    FAILED = "✗"
    SKIPPED = "-"


_STYLES = {State.PASSED: "green", State.FAILED: "bold red", State.RUNNING: "cyan"}
_WORDS = {State.PASSED: "ok", State.FAILED: "FAILED", State.SKIPPED: "skipped"}


@dataclass
class Step:
    """One line of the story."""

    subject: str
    title: str
    expected: str
    action: Action
    essential: bool = False
    """Whether nothing after it makes sense when it fails; else only what follows with the same subject is skipped."""
    always: bool = False
    """Whether it is done whatever happened before."""
    state: State = State.WAITING
    seen: str = ""
    seconds: float = 0.0
    details: str = ""

    def run(self, progress: Progress) -> None:
        """Do it, and note what was seen and how long it took."""
        started = time.monotonic()
        self.state = State.RUNNING
        try:
            self.seen = self.action(progress)
            self.state = State.PASSED
        except SiteError as error:
            self.seen = str(error)
            self.details = error.details if isinstance(error, StepError) else ""
            self.state = State.FAILED
        except Exception as error:
            # A fault of the demo itself; a person is told which, and the story goes on where it can.
            self.seen = f"{type(error).__name__}: {error}"
            self.state = State.FAILED
        except BaseException:
            self.seen = "interrupted"
            self.state = State.FAILED
            raise
        finally:
            self.seconds = time.monotonic() - started


def play(steps: Sequence[Step], watcher: Watcher) -> None:
    """Run the steps in order; what a failed one makes pointless is skipped."""
    broken: set[str] = set()
    over = False
    for step in steps:
        if (over or step.subject in broken) and not step.always:
            step.state = State.SKIPPED
            step.seen = "not tried, because of what failed before"
            watcher.ended(step)
            continue
        watcher.started(step)
        step.run(watcher.progress)
        if step.state is State.FAILED:
            broken.add(step.subject)
            over = over or step.essential
        watcher.ended(step)


class Watcher:
    """Shows steps as plain lines, one for each that ended; what a log wants."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def started(self, step: Step) -> None:
        """The step begins."""

    def progress(self, text: str) -> None:
        """What the running step is busy with."""

    def ended(self, step: Step) -> None:
        """The step has its result."""
        word = _WORDS[step.state]
        line = (
            f"{word:7} {step.seconds:5.1f} s  {step.subject}: {step.title}: expected {step.expected}; seen {step.seen}"
        )
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveTable(Watcher):
    """Shows all steps in a table that fills in while a person watches, and stays when they have ended."""

    def __init__(self, console: Console, steps: Sequence[Step]) -> None:
        super().__init__(console)
        self._steps = steps
        self._running: Step | None = None
        self._since = 0.0
        self._live = Live(
            console=console, get_renderable=self._current, refresh_per_second=8, transient=True, redirect_stderr=False
        )

    def __enter__(self) -> Watcher:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self.console.print(table(self._steps))

    def started(self, step: Step) -> None:
        """The step begins."""
        self._running = step
        self._since = time.monotonic()

    def progress(self, text: str) -> None:
        """What the running step is busy with."""
        if self._running:
            self._running.seen = text

    def ended(self, step: Step) -> None:
        """The step has its result."""
        self._running = None

    def _current(self) -> Table:
        if self._running:
            self._running.seconds = time.monotonic() - self._since
        # A table higher than the window cannot be redrawn in place: show the part where something happens.
        room = max(self.console.height - 6, 5)
        position = self._steps.index(self._running) if self._running else len(self._steps) - 1
        first = max(0, min(position - room * 2 // 3, len(self._steps) - room))
        return table(self._steps[first : first + room], one_line=True)


def table(steps: Iterable[Step], *, one_line: bool = False) -> Table:
    """The steps as a table; ``one_line`` cuts what does not fit, so that its height is known."""
    drawn = Table(title="autoprov: plug it in, it rings", title_justify="left", header_style="bold", expand=False)
    overflow: Literal["ellipsis", "fold"] = "ellipsis" if one_line else "fold"
    for heading, ratio in (("", 3), ("step", 4), ("expected", 6), ("seen", 7)):
        drawn.add_column(heading, ratio=ratio, overflow=overflow, no_wrap=one_line)
    drawn.add_column("", justify="center", width=1)
    drawn.add_column("s", justify="right", width=5)
    before = ""
    for step in steps:
        style = _STYLES.get(step.state, "dim")
        subject = step.subject if step.subject != before else ""
        before = step.subject
        seconds = f"{step.seconds:.1f}" if step.state not in (State.WAITING, State.SKIPPED) else ""
        sign = Text(step.state.value, style=style)
        words = [Text(word) for word in (subject, step.title, step.expected)]
        drawn.add_row(*words, Text(step.seen, style=style if step.state is State.FAILED else ""), sign, seconds)
    return drawn


def watcher_for(console: Console, steps: Sequence[Step]) -> Watcher:
    """A live table where someone watches a terminal, else plain lines."""
    return LiveTable(console, steps) if console.is_terminal and not console.is_dumb_terminal else Watcher(console)
