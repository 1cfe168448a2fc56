# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What AppArmor would keep Kea from reading: a file that Kea's checker may not open fails with a word that misleads.

Debian confines kea-dhcp4 to /etc/kea. Only rules about files are read; a variable in a rule stands for anything, so
that nothing is called denied which may be allowed.
"""

from __future__ import annotations

import os
import re
import typing as t

PROFILE = "kea-dhcp4"
PROFILE_FILE = "/etc/apparmor.d/usr.sbin.kea-dhcp4"
_LOADED = "/sys/kernel/security/apparmor/profiles"
_INCLUDE = re.compile(r"^#?include\s+(?:if\s+exists\s+)?(?:<([^>]+)>|\"([^\"]+)\")")
_RULE = re.compile(r"^(?:(audit|deny|owner|allow)\s+)*\"?([/@][^\s\"]*)\"?\s+([a-zA-Z]+)\s*,$")
_MAX_DEPTH = 8


def is_enforced() -> bool:
    """Is the profile of Kea loaded, and more than a warning?"""
    try:
        with open(_LOADED, encoding="ascii", errors="replace") as stream:
            return "%s (enforce)" % PROFILE in stream.read()
    except OSError:
        return False


def denied(path: str, access: str = "r", profile_file: str = PROFILE_FILE) -> bool:
    """Would the profile keep Kea from that access? False where the profile cannot be read."""
    try:
        rules = list(_rules(profile_file, os.path.dirname(profile_file), 0))
    except OSError:
        return False
    matching = [rule for rule in rules if rule[1].match(path) and access in rule[2]]
    return not matching or any(is_denial for is_denial, _pattern, _access in matching)


_Rule = t.Tuple[bool, t.Pattern[str], str]


def _rules(path: str, base: str, depth: int) -> t.Iterator[_Rule]:
    with open(path, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream]
    for line in lines:
        include = _INCLUDE.match(line)
        if include and depth < _MAX_DEPTH:
            yield from _included(os.path.join(base, include.group(1) or include.group(2)), base, depth + 1)
        rule = _RULE.match(line)
        if rule and not line.startswith("#"):
            yield line.startswith("deny ") or " deny " in line, _pattern(rule.group(2)), rule.group(3)


def _included(path: str, base: str, depth: int) -> t.Iterator[_Rule]:
    try:
        names = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
        for name in names:
            yield from _rules(os.path.join(path, name) if name else path, base, depth)
    except OSError:
        return


def _pattern(glob: str) -> t.Pattern[str]:
    """AppArmor's globs: * stays in a folder, ** does not, {a,b} is either."""
    parts = []
    for piece in re.findall(r"@\{[^}]*\}|\*\*|\[[^\]]*\]|\\.|.", glob):
        if piece.startswith("@{") or piece == "**":
            parts.append(".*")
        elif piece.startswith("["):
            parts.append(piece)
        elif piece.startswith("\\"):
            parts.append(re.escape(piece[1:]))
        else:
            parts.append({"*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}.get(piece) or re.escape(piece))
    return re.compile("".join(parts) + r"\Z")
