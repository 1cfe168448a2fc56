# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our rules that run, and what changes them into others, rule by rule.

firewalld knows a new service only after a reload, which would close the host for a moment and lose what others added to
what runs. So what runs names the ports themselves until then.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import swap
from .rules import Accept, Service, by_ports, by_service
from .state import State
from .zones import Placement

#: Changes of what runs in one step: each costs firewalld some 10 ms, and a step has a minute.
_BATCH = 1000
Rules = t.Dict[str, t.List[str]]  # by zone, in the rich language


@dataclass
class Running:
    """Our rules that run and those that should, by zone."""

    before: Rules = field(default_factory=dict)
    after: Rules = field(default_factory=dict)

    def exchanges(self, back: bool = False) -> t.List[t.Dict[str, t.Any]]:
        """For the program that exchanges, a few at a time: what changes the ones into the others.

        What is to be let in comes first.
        """
        old, new = (self.after, self.before) if back else (self.before, self.after)
        changes = [(zone, "add", rule) for zone, rule in _missing(new, old)]
        changes += [(zone, "remove", rule) for zone, rule in _missing(old, new)]
        found = []
        for first in range(0, len(changes), _BATCH):
            rules: t.Dict[str, Rules] = {}
            for zone, what, rule in changes[first : first + _BATCH]:
                rules.setdefault(zone, {}).setdefault(what, []).append(rule)
            found.append({"rules": rules})
        return found

    def shown(self) -> t.Tuple[t.Optional[str], t.Optional[str]]:
        """What runs before and after, for a difference; None is nothing."""
        return _lines(self.before), _lines(self.after)


def plan(state: State, placements: t.Sequence[Placement]) -> Running:
    """What has to become of our rules that run: each by its service where firewalld knows it with the right ports."""
    if not state.runs:
        return Running()
    running = Running(before=ours(state.running))
    there_by_zone = {zone: set(rules) for zone, rules in running.before.items()}
    after: t.Dict[str, t.Dict[str, None]] = {}
    for item in placements:
        there = there_by_zone.get(item.zone, set())
        service = Service.of(item.opening)
        short = [by_service(item.opening, item.network).text]
        each = [rule.text for rule in by_ports(item.opening, item.network)]
        known = service.same_ports(state.services.get(service.name, {}))
        rules = short if known and (short[0] in there or not there.issuperset(each)) else each
        after.setdefault(item.zone, {}).update(dict.fromkeys(rules))
    running.after = {zone: list(rules) for zone, rules in after.items()}
    return running


def plan_of_what_lasts(state: State, placements: t.Sequence[Placement]) -> Running:
    """The same of what will run when firewalld is started, each rule by its ports: only to judge by."""
    found = Running()
    for zone, rules in ours(state.lasting).items():
        for text in rules:
            rule = Accept.parse(text)
            if rule is not None:
                found.before.setdefault(zone, []).extend(item.text for item in rule.with_ports(state.ports))
    for placement in placements:
        rules = [rule.text for rule in by_ports(placement.opening, placement.network)]
        found.after.setdefault(placement.zone, []).extend(rules)
    return found


def ours(zones: t.Mapping[str, t.Any]) -> Rules:
    """Our rules by zone, from the settings of zones."""
    found = {}
    for zone, settings in zones.items():
        rules = [rule for rule in settings.get("rules_str", []) if swap.is_ours(rule)]
        if rules:
            found[zone] = rules
    return found


def _missing(wanted: Rules, there: Rules) -> t.Iterator[t.Tuple[str, str]]:
    for zone, rules in wanted.items():
        known = set(there.get(zone, []))
        for rule in rules:
            if rule not in known:
                yield zone, rule


def _lines(rules: Rules) -> t.Optional[str]:
    return "".join("zone %s: %s\n" % (zone, rule) for zone in sorted(rules) for rule in sorted(rules[zone])) or None
