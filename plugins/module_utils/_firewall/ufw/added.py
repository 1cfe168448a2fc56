# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What ufw itself says has been added: `ufw show added`, whose words are those of a person who adds it."""

from __future__ import annotations

import re
import typing as t

from .rules import Rule
from .swap import COMMENT, PREFIX

_ANY = "any"
_ADDED = re.compile(
    r"^ufw allow(?: in on (?P<interface>\S+))?(?: from (?P<sender>\S+))?(?: to (?P<to>\S+))?(?: app)? (?P<app>%s\S+)"
    r" comment '(?P<comment>%s[^']*)'$" % (PREFIX, COMMENT),
    re.MULTILINE,
)


def added(text: str) -> t.Set[t.Tuple[str, ...]]:
    """Our rules in what `ufw show added` prints: interface, sender, destination, application profile, comment."""
    found: t.Set[t.Tuple[str, ...]] = set()
    for item in _ADDED.finditer(text):
        sender, to = item.group("sender") or _ANY, item.group("to") or _ANY
        found.add((item.group("interface") or _ANY, sender, to, item.group("app"), item.group("comment")))
    return found


def as_added(rule: Rule) -> t.Tuple[str, ...]:
    """The same of a rule of ours."""
    interface = rule.direction[3:] if rule.direction.startswith("in_") else _ANY
    sender, to = (_ANY if text in ("0.0.0.0/0", "::/0") else text for text in (rule.src, rule.dst))
    return (interface, sender, to, rule.dapp, rule.comment)
