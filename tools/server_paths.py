# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table in docs/server-paths.md, made from the data that the filter and the program on the appliance work with.

python -m tools.server_paths writes it anew; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from autoprovd.server_paths import Place, place_of
from autoprovd.vendors import VENDORS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "server-paths.md"
BEGIN, END = "<!-- paths: made by python -m tools.server_paths -->\n", "<!-- end of paths -->\n"
_FOLDER = "http://198.18.0.1:50080/"
_CONFIRMED = {"en": "English", "de": "German", "both": "both", "no": "no"}


def table() -> str:
    """The table, as Markdown: every model, those with the same path together."""
    models: dict[tuple[str, Place], list[str]] = {}
    for room in VENDORS.values():
        for model in room.models.values():
            place = place_of(room.name, model.name)
            if place is None:
                raise SystemExit(f"server_paths.tsv has no row for {room.title} {model.name}")
            models.setdefault((room.title, place), []).append(model.name)
    lines = [
        "| Phones | In English | Auf Deutsch | Type | Words confirmed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (title, place), names in models.items():
        english, german = f"{place.menu_en} > **{place.field_en}**", f"{place.menu_de} > **{place.field_de}**"
        url = f"`{_FOLDER}{place.file}`"
        lines.append(f"| {title} {', '.join(names)} | {english} | {german} | {url} | {_CONFIRMED[place.confirmed]} |")
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The page with the table as it should be."""
    head, _, rest = text.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE}: the lines {BEGIN.strip()} and {END.strip()} are missing")
    return head + BEGIN + "\n" + table() + "\n" + END + tail


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
