# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a chain of rules does with a kind of packets, as far as it can be told from the rules alone.

Of the rules that drop, two sorts are told apart:

* Rules that *protect*: they name senders (a set of banned addresses, too many connections at once), or look at
  something we know nothing about. They stay in force: an accept of ours goes behind them.
* Rules that merely *close*: a final drop or reject, also one that is limited in how often it answers, or that names
  an interface or a range of ports. An accept of ours goes before them.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, replace

from .match import ALL, NONE, UNKNOWN, Extent, Lookup, Test, Traffic, match_test, part_test, share_in
from .ruleset import Chain, Rule, Ruleset
from .swap import ChainKey, Json

_DEEPEST = 16  # nftables allows no more jumps within jumps
_VERDICTS = ("accept", "drop", "reject", "return", "jump", "goto", "queue", "continue")
_EVERYTHING = Extent(ALL)
_NOTHING = Extent(NONE)


class Does(enum.Enum):
    """What becomes of the packets that a rule, or the policy, decides about."""

    ACCEPT = "accept"
    DROP = "drop"
    UNKNOWN = "unknown"  # a program decides (queue), or something nobody here can read


@dataclass(frozen=True)
class Hit:
    """A rule, or the policy, that decides about some of the packets."""

    does: Does
    extent: Extent
    #: The rule of the base chain that it hangs on: `rule`, or the one that jumps to it, or returns to the policy.
    top: t.Optional[Rule]
    #: None for the policy.
    rule: t.Optional[Rule]
    #: Where `rule` stands, or whose policy it is.
    chain: Chain


@dataclass(frozen=True)
class Place:
    """Where in a base chain an accept for some packets belongs."""

    #: False when nothing here merely closes.
    needed: bool
    #: The first rule that closes, which it goes before; None for the end, where the policy closes.
    before: t.Optional[Rule] = None
    #: How many rules of others it has before it: at least (those that protect), and at most.
    lowest: int = 0
    highest: int = 0
    #: What closes. When nothing does: what lets the packets in, or what drops all of them to protect.
    by: t.Optional[Hit] = None


#: One verdict of a rule: its own test, where it is one of several (a map), the verdict, and where it leads to.
_Choice = t.Tuple[t.Optional[Test], str, str]
#: A rule made ready: the tests of its parts, and its verdicts.
_Ready = t.Tuple[t.List[Test], t.List[_Choice]]
_DOES = {"accept": Does.ACCEPT, "drop": Does.DROP, "reject": Does.DROP, "queue": Does.UNKNOWN, "unknown": Does.UNKNOWN}


class Judge:
    """Judges the chains of one ruleset. What it has found out once, it knows."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._rules: t.Dict[t.Tuple[ChainKey, bool], t.List[t.Tuple[Rule, _Ready]]] = {}
        self._lookups: t.Dict[t.Tuple[str, str, bool], Lookup] = {}
        self._decided: t.Dict[t.Tuple[t.Any, ...], t.List[Hit]] = {}

    def place(self, chain: Chain, traffic: Traffic) -> Place:
        """Where our accept goes, so that such packets get in and every rule that protects is still asked before."""
        order = {rule.handle: index for index, rule in enumerate(chain.others)}
        lowest = 0
        for hit in self.hits(chain, traffic):
            index = len(order) if hit.top is None else order[hit.top.handle]
            if hit.does is Does.DROP and not hit.extent.protects:
                return Place(True, hit.top, min(lowest, index), index, hit)
            if hit.does is not Does.UNKNOWN and hit.extent.share == ALL:
                return Place(False, by=hit)
            if hit.does is not Does.ACCEPT:
                lowest = index + 1
        return Place(False)

    def surely_drops(self, chain: Chain, traffic: Traffic) -> t.Optional[Hit]:
        """What drops each such packet, whatever else is true; None when some may get through, or nobody can tell."""
        for hit in self.hits(chain, traffic):
            if hit.does is not Does.DROP:
                return None
            if hit.extent.share == ALL:
                return hit
        return None

    def hits(self, chain: Chain, traffic: Traffic) -> t.List[Hit]:
        """Who decides about such packets in a base chain, in their order, up to the one that leaves none over."""
        if (chain.family, traffic.version) in (("ip", 6), ("ip6", 4)):
            return []
        # Ports count by which of those named in rules they are: a thousand openings are a few kinds.
        single = traffic.single
        ports = self._lookup(chain, single).ports
        shares = tuple(share_in(traffic.ports, named) for named in ports)
        kind = (chain.key, shares, traffic.packet_types, replace(traffic, ports=()))
        if kind not in self._decided:
            self._decided[kind] = list(self._base(chain, traffic))
        return self._decided[kind]

    def _base(self, chain: Chain, traffic: Traffic) -> t.Iterator[Hit]:
        through = yield from self._walk(chain, traffic, _EVERYTHING, None)
        yield from _policy(chain, through, None)

    def _walk(
        self, chain: Chain, traffic: Traffic, left: Extent, top: t.Optional[Rule], depth: int = 0
    ) -> t.Generator[Hit, None, Extent]:
        """Yield who decides about those that are `left`. Returns who gets to the end, or returns before it."""
        returned = _NOTHING
        for rule, ready in self._rules[(chain.key, traffic.single)]:
            for own, verdict, target in _verdicts(ready, traffic):
                # Who names the senders of all of them and sends them elsewhere sorts packets; he protects from nobody.
                sorts = own.share == ALL and verdict in ("jump", "goto", "return")
                extent = left if sorts else own.within(left)
                ended = _NOTHING
                if verdict in ("jump", "goto"):
                    inner = self.ruleset.chains.get((chain.family, chain.table, target))
                    if inner is None or depth >= _DEEPEST:
                        yield Hit(Does.UNKNOWN, UNKNOWN, top or rule, rule, chain)
                        continue
                    back = yield from self._walk(inner, traffic, extent, top or rule, depth + 1)
                    if verdict == "goto":
                        ended = back  # the end of that chain is the end of this one
                    elif back.share != NONE:
                        continue
                elif verdict == "return":
                    ended = extent
                    left = left.within(own) if own.share != ALL else left
                else:
                    yield Hit(_DOES[verdict], extent, top or rule, rule, chain)
                if depth == 0:
                    yield from _policy(chain, ended, rule)
                else:
                    returned = _either(returned, ended)
                if own.share == ALL:
                    return returned
        return _either(left, returned)

    def _lookup(self, chain: Chain, single: bool) -> Lookup:
        """The sets of a chain's table, all of whose rules are made ready by that."""
        key = (chain.family, chain.table, single)
        found = self._lookups.get(key)
        if found is None:
            found = self._lookups[key] = Lookup(lambda name, _unused: self.ruleset.elements(key[0], key[1], name))
            # Those who are banned may be many, and which they are is not asked: the rule protects in any case.
            unasked = Lookup(lambda name, senders: None if senders else found.elements(name, senders))
            unasked.ports = found.ports
            for item in self.ruleset.chains.values():
                if item.key[:2] == key[:2]:
                    self._rules[(item.key, single)] = [
                        (rule, _ready(rule, unasked if _drops(rule) and not single else found)) for rule in item.others
                    ]
        return found


def _policy(chain: Chain, extent: Extent, top: t.Optional[Rule]) -> t.Iterator[Hit]:
    """The policy of a base chain, for those who came to its end by a rule (return), or by none."""
    if extent.share != NONE:
        does = Does.DROP if chain.policy == "drop" else Does.ACCEPT
        yield Hit(does, Extent(extent.share), top, None, chain)  # a policy names nobody


def _either(one: Extent, other: Extent) -> Extent:
    return max(one, other, key=lambda item: (item.share, not item.protects))


def _verdicts(ready: _Ready, traffic: Traffic) -> t.Iterator[t.Tuple[Extent, str, str]]:
    """What a rule does with how many of the packets: accept, drop, jump …, and to where."""
    tests, choices = ready
    extent = _EVERYTHING
    for test in tests:
        extent = extent.within(test(traffic))
        if extent.share == NONE:
            return
    for own, verdict, target in choices:
        found = extent if own is None else own(traffic).within(extent)
        if found.share != NONE:
            yield found, verdict, target
            if found.share == ALL:
                return


def _drops(rule: Rule) -> bool:
    return any("drop" in part or "reject" in part for part in rule.expr)


def _ready(rule: Rule, lookup: Lookup) -> _Ready:
    tests: t.List[Test] = []
    for part in rule.expr:
        choice = _choice(part)
        if choice is not None:
            return tests, [(None, *choice)] if choice[0] != "continue" else []
        if "vmap" in part:
            return tests, list(_map(part["vmap"], lookup))
        test = part_test(part, lookup)
        if test is not None:
            tests.append(test)
    return tests, []


def _choice(part: Json) -> t.Optional[t.Tuple[str, str]]:
    """The verdict that a part of a rule is, and where it leads to; None when it is none."""
    verdict = next((name for name in _VERDICTS if name in part), None)
    if verdict is None:
        return None
    return verdict, part[verdict].get("target", "") if isinstance(part[verdict], dict) else ""


def _map(vmap: Json, lookup: Lookup) -> t.Iterator[_Choice]:
    """The verdicts of `tcp dport vmap { 22 : accept, 5060 : jump voice }`."""
    data = vmap.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("set"), list):
        yield (lambda traffic: UNKNOWN), "unknown", ""  # a map with a name
        return
    for key, verdict in data["set"]:
        name, target = _choice(verdict) or ("unknown", "")
        if name != "continue":
            yield match_test("==", vmap.get("key"), key, lookup), name, target
