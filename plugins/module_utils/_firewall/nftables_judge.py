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
from dataclasses import dataclass

from .nftables_match import ALL, NONE, UNKNOWN, Extent, Lookup, Traffic, match_extent, part_extent
from .nftables_ruleset import Chain, Rule, Ruleset
from .nftables_swap import Json

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
    #: The rule of the base chain, from which a jump may have led to `rule`; None for the policy.
    top: t.Optional[Rule]
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


def place(ruleset: Ruleset, chain: Chain, traffic: Traffic) -> Place:
    """Where our accept goes, so that such packets get in and every rule that protects is still asked before."""
    order = {rule.handle: index for index, rule in enumerate(chain.others)}
    lowest = 0
    for hit in hits(ruleset, chain, traffic):
        index = len(order) if hit.top is None else order[hit.top.handle]
        if hit.does is Does.DROP and not hit.extent.protects:
            return Place(True, hit.top, min(lowest, index), index, hit)
        if hit.does is not Does.UNKNOWN and hit.extent.share == ALL:
            return Place(False, by=hit)
        if hit.does is not Does.ACCEPT:
            lowest = index + 1
    return Place(False)


def surely_drops(ruleset: Ruleset, chain: Chain, traffic: Traffic) -> t.Optional[Hit]:
    """What drops each such packet, whatever else is true; None when some may get through, or nobody can tell."""
    for hit in hits(ruleset, chain, traffic):
        if hit.does is not Does.DROP:
            return None
        if hit.extent.share == ALL:
            return hit
    return None


def hits(ruleset: Ruleset, chain: Chain, traffic: Traffic) -> t.Iterator[Hit]:
    """Who decides about such packets in a base chain, in their order, up to the one that leaves none over."""
    if (chain.family, traffic.version) in (("ip", 6), ("ip6", 4)):
        return
    through = yield from _walk(ruleset, chain, traffic, _EVERYTHING, None)
    if through.share != NONE:
        policy = Does.DROP if chain.policy == "drop" else Does.ACCEPT
        yield Hit(policy, through, None, None, chain)


def _walk(
    ruleset: Ruleset, chain: Chain, traffic: Traffic, left: Extent, top: t.Optional[Rule], depth: int = 0
) -> t.Generator[Hit, None, Extent]:
    """Yield who decides about those that are `left`. Returns who gets to the end, or returns before it."""
    returned = _NOTHING
    for rule in chain.others:
        for own, verdict, target in _verdicts(ruleset, chain, rule, traffic):
            extent = own.within(left)
            first = top or rule
            if verdict in ("jump", "goto"):
                inner = ruleset.chains.get((chain.family, chain.table, target))
                if inner is None or depth >= _DEEPEST:
                    yield Hit(Does.UNKNOWN, UNKNOWN, first, rule, chain)
                    continue
                back = yield from _walk(ruleset, inner, traffic, extent, first, depth + 1)
                if verdict == "goto":
                    returned = _either(returned, back)  # the end of that chain is the end of this one
                elif back.share != NONE:
                    continue
            elif verdict == "return":
                returned = _either(returned, extent)
                left = left.within(own) if own.share != ALL else left
            else:
                yield Hit(_DOES[verdict], extent, first, rule, chain)
            if own.share == ALL:
                return returned
    return _either(left, returned)


_DOES = {"accept": Does.ACCEPT, "drop": Does.DROP, "reject": Does.DROP, "queue": Does.UNKNOWN, "unknown": Does.UNKNOWN}


def _either(one: Extent, other: Extent) -> Extent:
    return max(one, other, key=lambda item: (item.share, not item.protects))


def _verdicts(ruleset: Ruleset, chain: Chain, rule: Rule, traffic: Traffic) -> t.Iterator[t.Tuple[Extent, str, str]]:
    """What a rule does with how many of the packets: accept, drop, jump …, and to where."""

    def lookup(name: str, senders: bool) -> t.Optional[t.List[t.Any]]:
        # Those who are banned may be many, and which they are is not asked: the rule protects in any case.
        unasked = senders and drops and not single
        return None if unasked else ruleset.elements(chain.family, chain.table, name)

    drops = any("drop" in part or "reject" in part for part in rule.expr)
    single = len(traffic.named) == 1 and traffic.named[0][0] == traffic.named[0][1]
    extent = _EVERYTHING
    for part in rule.expr:
        verdict = next((name for name in _VERDICTS if name in part), None)
        if verdict == "continue":
            return
        if verdict is not None:
            target = part[verdict].get("target", "") if isinstance(part[verdict], dict) else ""
            yield extent, verdict, target
            return
        if "vmap" in part:
            yield from _map(part["vmap"], extent, traffic, lookup)
            return
        extent = extent.within(part_extent(part, traffic, lookup))
        if extent.share == NONE:
            return


def _map(vmap: Json, extent: Extent, traffic: Traffic, lookup: Lookup) -> t.Iterator[t.Tuple[Extent, str, str]]:
    """The verdicts of `tcp dport vmap { 22 : accept, 5060 : jump voice }`."""
    data = vmap.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("set"), list):
        yield extent.within(UNKNOWN), "unknown", ""  # a map with a name
        return
    for key, verdict in data["set"]:
        found = match_extent("==", vmap.get("key"), key, traffic, lookup).within(extent)
        name = next((name for name in _VERDICTS if name in verdict), "unknown")
        if found.share == NONE or name == "continue":
            continue
        yield found, name, verdict[name].get("target", "") if isinstance(verdict.get(name), dict) else ""
        if found.share == ALL:
            return
