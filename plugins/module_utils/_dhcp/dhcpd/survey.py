# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a configuration of ISC dhcpd sets, where, and for whom: every option statement with its level and condition."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, field, replace

from .conditions import Facts, Known, Verdict, any_of, equal, judge
from .options import REQUEST_LIST, Definitions, Value, literal_bytes, requested_codes, value_of
from .text import Statement, Token, line_of

# Lower wins (measured on 4.4.3): a host declaration, then classes, and so on. A group takes the rank of what is in it.
HOST, CLASS, POOL, SUBNET, NETWORK, GROUP, GLOBAL = range(7)
#: In the words of backend.LEVELS.
LEVELS = ("host", "class", "pool", "subnet", "shared_network", "shared_network", "global")
_CONDITIONS = ("if", "elsif", "else")
VENDOR_OPTIONS = 43


@dataclass(frozen=True)
class Clause:
    """A condition that must be true, or (`wanted` false) must not be."""

    tokens: t.Tuple[Token, ...]
    wanted: bool
    text: str

    def holds(self, facts: Facts) -> Verdict:
        verdict = judge(self.tokens, facts)
        return None if verdict is None else verdict == self.wanted


@dataclass(frozen=True)
class Place:
    """Where a statement stands."""

    rank: int = GLOBAL
    #: Subnet in CIDR notation, addresses of the pool, name of the network, class or host.
    name: str = ""
    label: str = "global"
    #: Subnets whose clients are concerned; None: those of all subnets.
    subnets: t.Optional[t.FrozenSet[str]] = None
    #: MAC addresses of the hosts; None where a host is known by something else.
    macs: t.Optional[t.FrozenSet[str]] = None
    #: Of a subclass: what the expression of its class must be.
    data: t.Optional[Token] = None
    clauses: t.Tuple[Clause, ...] = ()


@dataclass(frozen=True)
class Declared:
    """One option, as the configuration sets it somewhere."""

    place: Place
    value: Value
    source: str
    #: Offsets of the statement in that file, without the label of a case.
    start: int
    end: int
    line: int
    ours: bool
    #: Counts statements as dhcpd reads them: of two at the same place, the later one wins.
    number: int
    #: Only of dhcp-parameter-request-list.
    codes: t.FrozenSet[int] = frozenset()
    #: It is a `vendor-option-space`, which fills option 43 unless that is set itself.
    is_space: bool = False
    #: A `default` statement, which gives way to everything else, wherever that stands.
    is_default: bool = False

    @property
    def code(self) -> int:
        return self.value.code

    @property
    def rank(self) -> int:
        return self.place.rank

    @property
    def where(self) -> str:
        return "%s:%d" % (self.source, self.line)

    @property
    def condition(self) -> str:
        return " and ".join(clause.text for clause in self.place.clauses)


@dataclass
class _Class:
    order: int
    match_if: t.List[t.Tuple[Token, ...]] = field(default_factory=list)
    match: t.List[t.Tuple[Token, ...]] = field(default_factory=list)
    subclasses: t.List[Token] = field(default_factory=list)


class Survey:
    """Everything that matters here about a configuration whose includes were followed."""

    def __init__(self, statements: t.Sequence[Statement], texts: t.Mapping[str, str]) -> None:
        self._texts = texts
        self.definitions = Definitions()
        self.declared: t.List[Declared] = []
        #: Statements that set dhcp-parameter-request-list: they decide what is sent at all.
        self.request_lists: t.List[Declared] = []
        self.subnets: t.Dict[str, t.List[Statement]] = {}
        self.networks: t.Dict[str, t.List[Statement]] = {}
        self.subnets_of: t.Dict[str, t.FrozenSet[str]] = {}
        self.classes: t.Dict[str, _Class] = {}
        #: The server may call itself something else than the address of its interface.
        self.names_itself = False
        self._number = 0
        self._walk(statements, Place(), False)

    # --- questions ---

    def is_member(self, place: Place, facts: Facts) -> Verdict:
        """Is such a client in the class, or subclass, of that place?"""
        known = self.classes.get(place.name)
        if known is None:
            return None
        if place.data is not None:
            return any_of(self._is_subclass(match, place.data, facts) for match in known.match)
        verdicts = [judge(tokens, facts) for tokens in known.match_if]
        verdicts += [self._is_subclass(match, data, facts) for match in known.match for data in known.subclasses]
        return any_of(verdicts)

    @staticmethod
    def _is_subclass(match: t.Tuple[Token, ...], data: Token, facts: Facts) -> Verdict:
        literal = literal_bytes([data])
        text = "".join(token.value for token in match)
        if literal is None:
            return None
        if text == "hardware":
            return equal(Known(b"\x01" + facts.mac.first, facts.mac.whole), Known(literal, True))
        if text == "optionvendor-class-identifier":
            return equal(facts.vendor_class, Known(literal, True))
        return None

    def class_order(self, name: str) -> int:
        known = self.classes.get(name)
        return known.order if known else len(self.classes)

    # --- the walk ---

    def _walk(self, items: t.Sequence[Statement], place: Place, ours: bool) -> None:
        earlier: t.List[Clause] = []  # of the same chain of if, elsif, else
        for item in items:
            self._number += 1
            if item.keyword not in ("elsif", "else"):
                earlier = []
            if item.included is not None:
                self._walk(item.children, place, ours or item.own)
            elif not item.is_block:
                self._statement(item, place, ours)
            elif item.keyword in _CONDITIONS:
                own = self._clause(item)
                chain = tuple(replace(clause, wanted=False) for clause in earlier) + own
                self._walk(item.children, replace(place, clauses=place.clauses + chain), ours)
                earlier += own
            elif item.keyword == "switch":
                clause = Clause((), True, item.raw())
                self._walk(item.children, replace(place, clauses=(*place.clauses, clause)), ours)
            else:
                self._block(item, place, ours)

    @staticmethod
    def _clause(item: Statement) -> t.Tuple[Clause, ...]:
        tokens = item.tokens[1:]
        if item.keyword == "else" and item.word(1) == "if":
            tokens = tokens[1:]
        return (Clause(tuple(tokens), True, item.raw()),) if tokens else ()

    def _block(self, item: Statement, place: Place, ours: bool) -> None:
        name = _name(item.tokens[1]) if len(item.tokens) > 1 else ""
        inside: t.Optional[Place] = None
        if item.keyword == "subnet":
            cidr = _cidr(name, item.word(3))
            self.subnets.setdefault(cidr, []).append(item)
            inside = Place(SUBNET, cidr, "subnet %s" % cidr, frozenset((cidr,)))
        elif item.keyword == "shared-network":
            self.networks.setdefault(name, []).append(item)
            self.subnets_of[name] = self.subnets_of.get(name, frozenset()) | frozenset(_subnets_in(item.children))
            inside = Place(NETWORK, name, "shared network %s" % _shown(name), self.subnets_of[name])
        elif item.keyword == "pool":
            ranges = ", ".join(child.raw(1) for child in item.children if child.keyword == "range")
            inside = Place(POOL, ranges, "pool %s in %s" % (ranges or "?", place.label), place.subnets)
        elif item.keyword in ("class", "subclass"):
            known = self.classes.setdefault(name, _Class(len(self.classes)))
            data = item.tokens[2] if item.keyword == "subclass" and len(item.tokens) > 2 else None
            if data is not None:
                known.subclasses.append(data)
            label = "%s %s" % (item.keyword, _shown(" ".join([name, data.raw if data else ""]).strip()))
            inside = Place(CLASS, name, label, data=data)
        elif item.keyword == "host":
            macs = _macs_of(item)
            inside = Place(HOST, name, "host %s" % _shown(name), macs=frozenset(macs) if macs else None)
        elif item.keyword == "group":
            self._group(item, place, ours)
        if inside is not None:
            self._walk(item.children, inside, ours)

    def _group(self, item: Statement, place: Place, ours: bool) -> None:
        """Options in a group concern what is in it: hosts with the rank of a host, subnets just above global."""
        label = "group in %s line %d" % (item.source, line_of(self._texts[item.source], item.start))
        hosts, subnets = _hosts_in(item.children), _subnets_in(item.children)
        places = []
        if hosts:
            macs = [_macs_of(host) for host in hosts]
            known = frozenset(mac for group in macs for mac in group) if all(macs) else None
            places.append(Place(HOST, label, label, macs=known))
        if subnets:
            places.append(Place(GROUP, label, label, frozenset(subnets)))
        for child in item.children:
            options_in_it = not child.is_block or child.keyword in (*_CONDITIONS, "switch")
            for inside in (places or [place]) if options_in_it else [place]:
                self._walk([child], inside, ours)

    def _statement(self, item: Statement, place: Place, ours: bool) -> None:
        first, label = _behind_case_label(item)
        if label:
            place = replace(place, clauses=(*place.clauses, Clause((), True, label)))
        keyword = item.word(first)
        if keyword == "match" and place.rank == CLASS:
            known = self.classes[place.name]
            if item.word(1) == "if":
                known.match_if.append(tuple(item.tokens[2:]))
            else:
                known.match.append(tuple(item.tokens[1:]))
        elif keyword == "subclass" and len(item.tokens) > 2:
            name = _name(item.tokens[1])
            self.classes.setdefault(name, _Class(len(self.classes))).subclasses.append(item.tokens[2])
        elif keyword == "vendor-option-space":
            value = Value(VENDOR_OPTIONS, item.raw(first), None)
            self.declared.append(replace(self._declare(place, value, item, first, ours), is_space=True))
        elif keyword == "server-identifier":
            self.names_itself = True
        elif not self.definitions.learn(item):
            found = value_of(item, self.definitions, first)
            if found is not None and found.code == REQUEST_LIST:
                declared = self._declare(place, found, item, first, ours)
                self.request_lists.append(replace(declared, codes=requested_codes(item, first)))
            elif found is not None:
                declared = self._declare(place, found, item, first, ours)
                self.declared.append(replace(declared, is_default=keyword == "default"))
                self.names_itself |= found.code == 54

    def _declare(self, place: Place, value: Value, item: Statement, first: int, ours: bool) -> Declared:
        start = item.tokens[first].start
        line = line_of(self._texts[item.source], start)
        return Declared(place, value, item.source, start, item.end, line, ours, self._number)


def _name(token: Token) -> str:
    return token.value if token.kind == "string" else token.raw


def _shown(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "replace")


def _cidr(address: str, netmask: str) -> str:
    try:
        return str(ipaddress.IPv4Network("%s/%s" % (address, netmask), strict=False))
    except ValueError:
        return "%s/%s" % (address, netmask)


def _behind_case_label(item: Statement) -> t.Tuple[int, str]:
    """`case "a": option …` and `default: option …` of a switch: the index behind the label, and the label."""
    if item.keyword == "case" or item.keyword == "default:" or (item.keyword == "default" and item.word(1) == ":"):
        for index, token in enumerate(item.tokens):
            if token.kind == "word" and token.raw.endswith(":"):
                return index + 1, " ".join(part.raw for part in item.tokens[: index + 1])
    return 0, ""


def _inner(items: t.Iterable[Statement], keyword: str) -> t.Iterator[Statement]:
    """Blocks of that kind, looked for in groups, shared networks and included files too."""
    for item in items:
        if item.keyword == keyword and item.is_block:
            yield item
        elif item.included is not None or item.keyword in ("group", "shared-network"):
            yield from _inner(item.children, keyword)


def _hosts_in(items: t.Iterable[Statement]) -> t.List[Statement]:
    return list(_inner(items, "host"))


def _subnets_in(items: t.Iterable[Statement]) -> t.List[str]:
    return [_cidr(item.word(1), item.word(3)) for item in _inner(items, "subnet")]


def _macs_of(host: Statement) -> t.List[str]:
    found = []
    for item in host.children:
        if item.keyword == "hardware" and len(item.tokens) == 3:
            parts = re.split("[:-]", item.word(2))
            found.append("".join(part.zfill(2) for part in parts))
    return found
