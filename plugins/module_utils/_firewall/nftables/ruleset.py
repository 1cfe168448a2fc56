# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The rules that run in nftables, as data: chains with their rules, and sets that are read when they matter."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

from ..errors import FirewallError
from . import xt
from .swap import OWN_TABLE, ChainKey, Json, has_xt, nft, read_ruleset, rules_by_chain, tagged

_FEW_SETS = 8
_COUNTER = re.compile(r"counter packets \d+ bytes \d+")


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule: what it matches and does, as nft says it in JSON."""

    handle: int
    expr: t.List[Json]
    #: The same before what iptables alone can read was made readable.
    raw: t.List[Json]
    comment: str = ""
    #: One of ours in a chain of others.
    tagged: bool = False


@dataclass(eq=False)
class Chain:
    """A chain and its rules. Only a base chain has a hook, a priority and a policy."""

    family: str
    table: str
    name: str
    hook: t.Optional[str] = None
    kind: t.Optional[str] = None  # filter, nat, route
    priority: int = 0
    policy: str = "accept"
    rules: t.List[Rule] = field(default_factory=list)
    #: Those of them that are not ours.
    others: t.List[Rule] = field(default_factory=list)

    def __str__(self) -> str:
        return "chain %s of table %s %s" % (self.name, self.family, self.table)

    @property
    def key(self) -> ChainKey:
        return (self.family, self.table, self.name)


class Ruleset:
    """Everything nftables carries in this network namespace."""

    def __init__(self, items: t.Sequence[Json], sets: t.Sequence[Json] = ()) -> None:
        """`items` as nft lists them. `sets`, with their elements, are those that need not be asked of nft."""
        self.version = ""
        self.tables: t.Set[t.Tuple[str, str]] = set()
        self._dormant: t.Set[t.Tuple[str, str]] = set()
        self.chains: t.Dict[ChainKey, Chain] = {}
        self._sets = {(item["family"], item["table"], item["name"]): item for item in sets}
        self._texts: t.Dict[ChainKey, t.List[str]] = {}
        for item in items:
            if "metainfo" in item:
                self.version = str(item["metainfo"].get("version", ""))
            elif "table" in item:
                found = item["table"]
                self.tables.add((found["family"], found["name"]))
                if "dormant" in (found.get("flags") or ()):
                    self._dormant.add((found["family"], found["name"]))
            elif "chain" in item:
                found = item["chain"]
                chain = Chain(found["family"], found["table"], found["name"])
                if "hook" in found:
                    chain.hook, chain.kind = found["hook"], found.get("type")
                    chain.priority, chain.policy = int(found.get("prio", 0)), found.get("policy", "accept")
                self.chains[chain.key] = chain
        for key, rules in rules_by_chain(items).items():
            if key in self.chains:
                self.chains[key].rules = [_rule(rule) for rule in rules]
                self.chains[key].others = [rule for rule in self.chains[key].rules if not rule.tagged]

    @classmethod
    def read(cls) -> Ruleset:
        """Ask nft. Raises FirewallError."""
        try:
            items = read_ruleset()
            own: t.List[Json] = []
            # A few are asked for one by one, when they matter.
            if sum(1 for item in items if _is_own(item.get("set"))) > _FEW_SETS:
                own = json.loads(nft("-j", "list", "table", *OWN_TABLE))["nftables"]
        except (RuntimeError, ValueError, KeyError) as exc:
            raise FirewallError("the rules cannot be read: %s; run as root (become: true)" % exc) from exc
        return cls(items, [item["set"] for item in own if "set" in item])

    def base_chains(self, hook: str) -> t.List[Chain]:
        """The base chains of others on a hook that see packets of IP, in the order in which they are asked."""
        found = [
            chain
            for chain in self.chains.values()
            if chain.hook == hook
            and chain.family in ("ip", "ip6", "inet")
            and chain.key[:2] != OWN_TABLE
            and chain.key[:2] not in self._dormant
        ]
        return sorted(found, key=lambda chain: (chain.priority, chain.key))

    def elements(self, family: str, table: str, name: str) -> t.Optional[t.List[t.Any]]:
        """The elements of a set with a name; None when nobody knows."""
        key = (family, table, name)
        if key not in self._sets:
            try:
                items = json.loads(nft("-j", "list", "set", *key))["nftables"]
                self._sets[key] = next(item["set"] for item in items if "set" in item)
            except (RuntimeError, ValueError, KeyError, StopIteration):
                self._sets[key] = {}
        found = self._sets[key]
        return t.cast("t.List[t.Any]", found.get("elem", [])) if found else None

    def text(self, chain: Chain, rule: Rule) -> str:
        """A rule as nft prints it."""
        if chain.key not in self._texts:
            try:
                self._texts[chain.key] = nft("-a", "-s", "-t", "list", "chain", *chain.key).splitlines()
            except RuntimeError:
                self._texts[chain.key] = []
        for line in self._texts[chain.key]:
            if line.endswith(" # handle %d" % rule.handle):
                return " ".join(_COUNTER.sub("counter", line.rpartition(" # handle ")[0]).split())
        return "rule with handle %d" % rule.handle


def _is_own(found: t.Optional[Json]) -> bool:
    return found is not None and (found["family"], found["table"]) == OWN_TABLE


def _rule(item: Json) -> Rule:
    raw = list(item.get("expr", ()))
    expr = xt.understood(raw, str(item.get("saved", ""))) if has_xt(item) else raw
    return Rule(int(item["handle"]), expr, raw, str(item.get("comment") or ""), tagged(item))
