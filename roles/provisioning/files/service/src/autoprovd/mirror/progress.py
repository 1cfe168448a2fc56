# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is, on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from autoprovd.mirror.report import size_of
from autoprovd.mirror.sync import Listener

_STATUS_SECONDS = 5.0


@contextmanager
def shown(quiet: bool, as_lines: bool) -> Iterator[Listener]:
    """Bars on a terminal, else a line for each file and one every few seconds."""
    terminal = Console(stderr=True)
    if quiet:
        yield Listener()
    elif terminal.is_terminal and not as_lines:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=terminal, transient=True) as progress:
            yield _Bars(progress)
    else:
        yield _Lines()


class _Bars(Listener):
    """A bar for each file under way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def begins(self, path: str, size: int | None) -> None:
        self._tasks[path] = self._progress.add_task(path, total=size)

    def grows(self, path: str, there: int, size: int | None) -> None:
        self._progress.update(self._tasks[path], completed=there, total=size)

    def ends(self, path: str, size: int, failed: str | None) -> None:
        self._progress.remove_task(self._tasks.pop(path))
        self._progress.console.print(f"{path}: {failed or size_of(size)}", highlight=False, markup=False)


class _Lines(Listener):
    """Lines, for a log."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._there: dict[str, int] = {}
        self._files = 0
        self._started = self._told = time.monotonic()

    def grows(self, path: str, there: int, size: int | None) -> None:
        with self._guard:
            self._there[path] = there
            now = time.monotonic()
            if now - self._told >= _STATUS_SECONDS:
                self._told = now
                total = sum(self._there.values())
                speed = size_of(round(total / (now - self._started)))
                self._say(f"{self._files} files, {size_of(total)} so far, {speed}/s; {path} {_share(there, size)}")

    def ends(self, path: str, size: int, failed: str | None) -> None:
        with self._guard:
            self._files += failed is None
            self._say(f"{path}: {failed or size_of(size)}")

    @staticmethod
    def _say(line: str) -> None:
        click.echo(line, err=True)


def _share(there: int, size: int | None) -> str:
    return f"{100 * there // size} %" if size else size_of(there)
