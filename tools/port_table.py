# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of ports in docs/firewall.md, made from the data that the modules work with.

python -m tools.port_table writes it anew; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "collections"))

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.profiles import (  # noqa: E402
    ADMINISTRATORS,
    ANYBODY,
    PHONES,
    PROFILES,
)

PAGE = REPOSITORY / "docs" / "firewall.md"
BEGIN, END = "<!-- ports: made by python -m tools.port_table -->\n", "<!-- end of ports -->\n"
_WHO = {PHONES: "phones", ADMINISTRATORS: "administrators", ANYBODY: "anybody: who asks has no address yet"}


def table() -> str:
    """The table, as Markdown."""
    lines = ["| Profile | Ports | From | For |", "| --- | --- | --- | --- |"]
    for profile in PROFILES.values():
        ports = ", ".join(map(str, profile.ports)) + (f" to {profile.group}" if profile.group else "")
        lines.append(f"| `{profile.name}` | {ports} | {_WHO[profile.who]} | {profile.purpose} |")
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
