# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proofs counted: shown in one table when they are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

COLUMNS = ("rounds", "claims", "released", "kills", "burned", "doubles", "unaudited")
_FOUND: dict[str, Counter[str]] = {}


def count(proof: str, **found: int) -> None:
    """Add to the counts of a proof."""
    unknown = set(found) - set(COLUMNS)
    assert not unknown, f"no such column: {unknown}"
    _FOUND.setdefault(proof, Counter()).update(found)


def counts() -> dict[str, dict[str, int]]:
    """What was counted in this process, as plain data."""
    return {proof: dict(found) for proof, found in _FOUND.items()}


def add(more: Mapping[str, Mapping[str, int]]) -> None:
    """Add what another process counted."""
    for proof, found in more.items():
        count(proof, **found)


def table() -> Iterator[str]:
    """The lines of the table; none when nothing was counted. A column a proof does not count stays empty."""
    if not _FOUND:
        return
    width = max(map(len, _FOUND)) + 2
    yield " " * width + "".join(f"{name:>11}" for name in COLUMNS)
    total: Counter[str] = Counter()
    for proof, found in _FOUND.items():
        total.update(found)
        yield f"{proof:{width}}" + "".join(f"{found.get(name, ''):>11}" for name in COLUMNS)
    yield f"{'together':{width}}" + "".join(f"{total[name]:>11}" for name in COLUMNS)
