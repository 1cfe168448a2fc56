# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our rules in chains of others: an accept in our own table opens nothing that another chain on the hook drops."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace

from ..intent import Opening
from .judge import Does, Hit, Judge, Place
from .match import ALL, Lookup, Traffic
from .rules import Line, lines, parse, versions
from .ruleset import Chain, Rule, Ruleset
from .swap import ChainKey, Json, iptables_table, meaning


@dataclass(frozen=True)
class Tagged:
    """One rule of ours in a chain of others, and where it goes."""

    chain: Chain
    line: Line
    place: Place


class Wanted:
    """What `swap` is told about rules in chains of others."""

    def __init__(self, handles: bool) -> None:
        """`handles` tells it which rule exactly ours goes before: right as long as the chain is not made anew."""
        self._handles = handles
        self._anchors: t.Dict[t.Tuple[ChainKey, int], int] = {}
        self._found: Json = {"anchors": [], "rules": [], "strict": False}

    def add(self, chain: Chain, text: str, before: t.Optional[Rule]) -> None:
        """One rule, and the rule of others that it goes before; None for the end."""
        index = None
        if before is not None:
            index = self._anchors.setdefault((chain.key, before.handle), len(self._anchors))
            if index == len(self._found["anchors"]):
                anchor: Json = {"expr": meaning(before.raw)}
                self._found["anchors"].append(dict(anchor, handle=before.handle) if self._handles else anchor)
        self._found["rules"].append(
            {"family": chain.family, "table": chain.table, "chain": chain.name, "rule": text, "before": index}
        )

    def said(self, table: str, strict: bool = False) -> Json:
        """All of it, with the script for our own table."""
        return dict(self._found, table=table, strict=strict)


@dataclass
class Elsewhere:
    """What the chains of others need from us, and what a person should know about them."""

    rules: t.List[Tagged] = field(default_factory=list)
    notes: t.List[str] = field(default_factory=list)

    @classmethod
    def of(cls, judge: Judge, openings: t.Sequence[Opening], tell: bool = True) -> Elsewhere:
        """What those chains need. `tell` asks nft for the texts of rules that notes are about."""
        found = cls()
        ruleset = judge.ruleset
        notes: t.Dict[str, t.List[str]] = {}
        for chain in ruleset.base_chains("input"):
            for opening in openings:
                for line in lines(opening):
                    places = {version: judge.place(chain, traffic(line, version)) for version in _versions(chain, line)}
                    found.rules += _tagged(chain, line, places)
                    for item in places.values() if tell else ():
                        _note(notes, ruleset, chain, opening, item)
        for chain in ruleset.base_chains("prerouting") if tell else ():
            for opening in openings if chain.kind == "filter" else ():
                for line in lines(opening):
                    for version in _versions(chain, line):
                        item = judge.place(chain, traffic(line, version))
                        if item.needed and item.by is not None:
                            text = "%s drops {}, before any chain where it could be let in: %s" % (
                                chain,
                                _who(ruleset, item.by),
                            )
                            notes.setdefault(text, []).append(opening.name)
        found.notes = [text.replace("{}", ", ".join(dict.fromkeys(names))) for text, names in notes.items()]
        return found

    def wanted(self, handles: bool = True) -> Wanted:
        """For `swap`; without handles, where they will not be the same (another start of the host)."""
        found = Wanted(handles)
        for item in self.rules:
            found.add(item.chain, item.line.text(), item.place.before)
        return found

    def carried_by(self, ruleset: Ruleset) -> bool:
        """Whether exactly these are there, each where it counts."""
        wanted: t.Dict[t.Any, t.List[Tagged]] = {}
        for item in self.rules:
            wanted.setdefault(item.chain.key, []).append(item)
        for chain in ruleset.chains.values():
            expected = wanted.pop(chain.key, [])
            running = running_in(ruleset, chain)
            if Counter(line for line, _unused in running) != Counter(item.line for item in expected):
                return False
            places: t.Dict[Line, t.Tuple[int, int]] = {
                item.line: (item.place.lowest, item.place.highest) for item in expected
            }
            for line, before in running:
                lowest, highest = places[t.cast("Line", line)]
                if not lowest <= before <= highest:
                    return False
        return not wanted


def running_in(ruleset: Ruleset, chain: Chain) -> t.List[t.Tuple[t.Optional[Line], int]]:
    """Our rules in a chain of others: what they mean, and how many rules of others stand before them."""

    lookup = Lookup(lambda name, _unused: ruleset.elements(chain.family, chain.table, name))
    found: t.List[t.Tuple[t.Optional[Line], int]] = []
    before = 0
    for rule in chain.rules:
        if rule.tagged:
            found.append((parse(rule, lookup), before))
        else:
            before += 1
    return found


def restoring(ruleset: Ruleset) -> Wanted:
    """What puts our rules in chains of others back to where they are in this ruleset."""
    found = Wanted(handles=True)
    for chain in ruleset.chains.values():
        meanings = iter(running_in(ruleset, chain))
        for index, rule in enumerate(chain.rules):
            if rule.tagged:
                line, _unused = next(meanings)
                text = line.text() if line is not None else ruleset.text(chain, rule)
                found.add(chain, text, next((item for item in chain.rules[index:] if not item.tagged), None))
    return found


def traffic(line: Line, version: int) -> Traffic:
    """The packets that a rule of ours is about."""
    senders = line.senders if line.version == version else ()
    return Traffic(line.protocol, line.ports, version, senders, line.interfaces, line.group)


def _versions(chain: Chain, line: Line) -> t.List[int]:
    """The versions of IP that both a chain and a rule are about."""
    found = {"ip": {4}, "ip6": {6}}.get(chain.family, {4, 6})
    if line.version is not None:
        found = found & {line.version}
    return sorted(found & set(versions(line.group)))


def _tagged(chain: Chain, line: Line, places: t.Mapping[int, Place]) -> t.List[Tagged]:
    needed = {version: item for version, item in places.items() if item.needed}
    if not needed:
        return []
    first = next(iter(needed.values()))
    found = []
    if len(needed) == len(places) and all(item.before is first.before for item in needed.values()):
        lowest = max(item.lowest for item in needed.values())
        found.append((line, replace(first, lowest=lowest)))
    else:
        found += [(replace(line, version=version), item) for version, item in needed.items()]
    rules = []
    for wanted, item in found:
        wanted = wanted.in_family(chain.family)
        for part in wanted.plain() if iptables_table(chain.family, chain.table) else [wanted]:
            rules.append(Tagged(chain, part, item))
    return rules


def _note(notes: t.Dict[str, t.List[str]], ruleset: Ruleset, chain: Chain, opening: Opening, found: Place) -> None:
    """Tell who else opens it, and who keeps it closed."""
    if found.needed or found.by is None or found.by.rule is None:
        return
    who = _who(ruleset, found.by)
    if found.by.does is Does.ACCEPT:
        text = "%s lets {} in already: %s" % (chain, who)
    else:
        text = "%s still drops {}: %s. It names senders, so it stays in force" % (chain, who)
    notes.setdefault(text, []).append(opening.name)


def _who(ruleset: Ruleset, hit: Hit) -> str:
    if hit.rule is None:
        return "its policy"
    inside = "" if hit.rule is hit.top else "in chain %s, " % hit.chain.name
    return inside + ruleset.text(hit.chain, hit.rule)


class Closing:
    """Whether others close ports to everybody they do not know; and notes, where they open them to everybody."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._opened: t.Dict[str, t.List[str]] = {}

    def __call__(self, opening: Opening, line: Line) -> bool:
        """Whether somebody else's chain drops such packets of whomever it lets in by no rule."""
        kind = traffic(line, t.cast("int", line.version))
        for chain in self._judge.ruleset.base_chains("input"):
            decided = self._judge.hits(chain, kind)
            if not decided or decided[-1].extent.share != ALL:
                continue
            last = decided[-1]
            if last.does is Does.DROP:
                return True
            if last.does is Does.ACCEPT and last.rule is not None:
                who = "%s (%s)" % (chain, _who(self._judge.ruleset, last))
                self._opened.setdefault(who, []).append(opening.name)
        return False

    def notes(self) -> t.List[str]:
        """What a person should know about those who open our ports to everybody."""
        text = "%s opens %s to everybody; our own table closes it to all but the networks and interfaces given"
        return [text % (who, ", ".join(dict.fromkeys(names))) for who, names in self._opened.items()]
