# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does to a mirror, as a person reads it: like the list a package manager shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table

from autoprovd.mirror.store import Release, Stored
from autoprovd.mirror.sync import Change, Outcome


def size_of(count: int | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return "size unknown"
    if count < 1000:
        return f"{count} B"
    scaled = float(count)
    for unit in ("kB", "MB"):
        scaled /= 1000
        if scaled < 999.95:
            return f"{scaled:.1f} {unit}"
    return f"{scaled / 1000:.1f} GB"


def _what(entry: dict[str, Any]) -> str:
    models = ", ".join(entry["models"]) or "all models"
    revisions = f" ({', '.join(entry['revisions'])})" if entry["revisions"] else ""
    words = [entry["language"], "web" if entry.get("interface") == "web" else None]
    kind = " ".join([entry["kind"], *(word for word in words if word)])
    return f"{entry['vendor']} {models}{revisions} {kind}"


def lines_of(outcome: Outcome) -> Iterator[str]:
    """A line for each file that comes, goes, stays instead of another, or cannot be had."""
    for change in outcome.changes:
        if change.action != "present":
            yield _line(change, outcome.failed)


def _line(change: Change, failed: dict[str, str]) -> str:
    what, version = _what(change.entry), change.entry["version"]
    if change.action == "failed":
        return f"failed   {what} {version}: {failed[change.path]}"
    if change.action == "fetch":
        verb, shown = "install ", version
        if change.instead_of is not None:
            verb, shown = "upgrade ", f"{change.instead_of} → {version}"
        return f"{verb} {what} {shown}, {size_of(change.size)}"
    return f"{'keep' if change.action == 'kept' else 'remove':<8} {what} {version}, {size_of(change.size)}"


def listing(files: Iterable[Stored]) -> str:
    """What a release holds, a line a file, in an order that lets two releases be laid side by side."""
    lines = (f"{_what(s.entry)}: {s.entry['version']}, {s.path}, {size_of(s.size)}, sha256 {s.sha256}" for s in files)
    return "".join(f"{line}\n" for line in sorted(lines))


def table_of(release: Release) -> Table:
    """What a release holds, for a terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("File", "For", "Kind", "Version", "From", "Size"):
        table.add_column(heading)
    for stored in release.files:
        entry = stored.entry
        kind = f"{entry['kind']} {entry['language']}" if entry["language"] else entry["kind"]
        models = ", ".join([*entry["models"], *(f"({revision})" for revision in entry["revisions"])]) or "all"
        size = size_of(stored.size)
        table.add_row(stored.path, models, kind, entry["version"], entry["min_from"] or "any", size)
    return table
