# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our rules: what each means, its text for nft, and the same read back from what runs.

Rules are compared by what they mean, never by how a version of nft prints them.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import typing as t
from dataclasses import dataclass, replace

from ..intent import Opening
from ..profiles import TCP, UDP
from .match import Intervals, Lookup, addresses, intervals, listed, merged
from .ruleset import Rule
from .swap import OWN_TABLE, Json

#: Networks of a version of IP → the name of their set.
Sets = t.Dict[t.Tuple[int, Intervals], str]

#: Where our own table stands: before the other filters, so that what it closes is closed before they are asked.
HOOK = ("input", "filter", -5, "accept")
_EVERYBODY_ELSE = "autoprov closes this to everybody else"
_FAMILY = {4: "ip", 6: "ip6"}
#: The rules at the top of our table, which are about no port: text, and how nft says it in JSON.
_ALWAYS: t.Tuple[t.Tuple[str, t.List[Json]], ...] = (
    (
        "ct state established,related accept",
        [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}],
    ),
    ('iifname "lo" accept', [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}]),
)


@dataclass(frozen=True)
class Line:
    """One rule of ours: packets to these ports, from these senders, get this verdict."""

    verdict: str  # accept, drop, or `jump openings`
    protocol: str
    ports: Intervals
    comment: str = ""
    #: 4 or 6, None is both. Addresses are numbers of that version; none is any.
    version: t.Optional[int] = None
    senders: Intervals = ()
    interfaces: t.Tuple[str, ...] = ()
    group: t.Optional[str] = None

    def text(self, sets: t.Optional[Sets] = None) -> str:
        """As nft reads and prints it, in a table of the family inet (which ip and ip6 read as well)."""
        words = []
        if self.interfaces:
            words.append("iifname " + _either(['"%s"' % name for name in self.interfaces]))
        if self.senders and self.version is not None:
            name = (sets or {}).get((self.version, self.senders))
            senders = "@" + name if name else _either(address_texts(self.version, self.senders))
            words.append("%s saddr %s" % (_FAMILY[self.version], senders))
        if self.group is not None:
            words.append("%s daddr %s" % (_FAMILY[ipaddress.ip_address(self.group).version], self.group))
        if self.version is not None and not self.senders and self.group is None:
            words.append("meta nfproto ipv%d" % self.version)
        words.append("%s dport %s" % (self.protocol, _either(port_texts(self.ports))))
        words.append("counter " + self.verdict if self.verdict in ("accept", "drop") else self.verdict)
        return " ".join(words + (['comment "%s"' % self.comment] if self.comment else []))

    def plain(self) -> t.List[Line]:
        """The same in rules that need no set, which is what iptables can read."""
        senders: t.List[Intervals] = [()]
        if self.senders and self.version is not None:
            senders = [addresses([network]) for network in _networks(self.version, self.senders)]
        interfaces: t.List[t.Tuple[str, ...]] = [(name,) for name in self.interfaces] or [()]
        return [
            replace(self, senders=sender, interfaces=interface, ports=(ports,))
            for sender, interface, ports in itertools.product(senders, interfaces, self.ports)
        ]

    def in_family(self, family: str) -> Line:
        """The same for a table of one version of IP, where that version goes without saying."""
        return self if self.senders or family == "inet" else replace(self, version=None)


def _either(texts: t.Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else "{ %s }" % ", ".join(texts)


def port_texts(ports: Intervals) -> t.List[str]:
    return [str(first) if first == last else "%d-%d" % (first, last) for first, last in ports]


def _address(version: int, number: int) -> t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)


def _networks(version: int, senders: Intervals) -> t.List[t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]]:
    found: t.List[t.Any] = []
    for first, last in senders:
        found += ipaddress.summarize_address_range(_address(version, first), _address(version, last))
    return found


@functools.lru_cache(maxsize=1024)
def address_texts(version: int, senders: Intervals) -> t.Tuple[str, ...]:
    """Networks where they are such, ranges of addresses otherwise."""
    texts = []
    for item in senders:
        networks = _networks(version, (item,))
        if len(networks) > 1:
            texts.append("%s-%s" % (_address(version, item[0]), _address(version, item[1])))
        else:
            single = networks[0].num_addresses == 1
            texts.append(str(networks[0].network_address) if single else str(networks[0]))
    return tuple(texts)


def versions(group: t.Optional[str]) -> t.Tuple[int, ...]:
    """The versions of IP of packets to a multicast group; both for packets to this host."""
    return (4, 6) if group is None else (ipaddress.ip_address(group).version,)


@functools.lru_cache(maxsize=None)
def lines(opening: Opening) -> t.Tuple[Line, ...]:
    """The accepts of an opening: one for each protocol, and for each version of IP where networks are named."""
    found: t.List[Line] = []
    for protocol in (TCP, UDP):
        ports = merged((item.first, item.last) for item in opening.ports if item.protocol == protocol)
        if not ports:
            continue
        line = Line("accept", protocol, ports, "autoprov:" + opening.name, group=opening.group)
        line = replace(line, interfaces=tuple(sorted(opening.sources.interfaces)))
        if not opening.sources.networks:
            found.append(line)
        for version in (4, 6):
            networks = [item for item in opening.sources.networks if item.version == version]
            if networks and version in versions(opening.group):
                found.append(replace(line, version=version, senders=addresses(networks)))
    return tuple(found)


@dataclass(frozen=True)
class OwnTable:
    """Our own table: who gets in, and that nobody else does. Without openings there is none."""

    accepts: t.Tuple[Line, ...]
    closes: t.Tuple[Line, ...]

    @classmethod
    def of(cls, openings: t.Sequence[Opening], closed: t.Callable[[Opening, Line], bool]) -> OwnTable:
        """The table for these openings.

        `closed` tells whether somebody else's firewall closes such packets, of one version of IP, to everybody it does
        not know. Who else may come in is then his decision; where nobody decides, we close.
        """
        accepts = [line for opening in openings for line in lines(opening)]
        open_else: t.Dict[t.Tuple[str, str], t.Dict[int, t.Set[t.Tuple[int, int]]]] = {}
        for opening in openings:
            if not (opening.sources.networks or opening.sources.interfaces):
                continue
            for item in opening.ports:
                ports = (item.first, item.last)
                for version in versions(opening.group):
                    if not closed(opening, Line("drop", item.protocol, (ports,), version=version, group=opening.group)):
                        key = (opening.group or "", item.protocol)
                        open_else.setdefault(key, {}).setdefault(version, set()).add(ports)
        closes = []
        for (group, protocol), found in sorted(open_else.items()):
            both = found.get(4, set()) & found.get(6, set())
            if group:
                both = found[versions(group)[0]]  # which goes without saying
            shares: t.List[t.Tuple[t.Optional[int], t.Set[t.Tuple[int, int]]]] = [(None, both)]
            shares += [(version, ports_of - both) for version, ports_of in sorted(found.items())]
            for share, ports_of in shares:
                if ports_of:
                    line = Line("drop", protocol, merged(ports_of), _EVERYBODY_ELSE, share, group=group or None)
                    closes.append(line)
        return cls(tuple(accepts), tuple(closes))

    def jumps(self) -> t.List[Line]:
        """New packets to any of our ports are looked at more closely; all others pass at once."""
        found = []
        for protocol in (TCP, UDP):
            ports = merged(item for line in self.accepts if line.protocol == protocol for item in line.ports)
            if ports:
                found.append(Line("jump openings", protocol, ports))
        return found

    def text(self) -> str:
        """The table as nft reads and prints it; empty when there is none."""
        if not self.accepts:
            return ""
        sets: Sets = {}
        for line in self.accepts:
            if line.senders and line.version is not None and (line.version, line.senders) not in sets:
                number = sum(1 for version, _unused in sets if version == line.version) + 1
                sets[(line.version, line.senders)] = "networks_%d_v%d" % (number, line.version)
        parts = []
        for (version, senders), name in sets.items():
            elements = ", ".join(address_texts(version, senders))
            kind = "ipv4_addr" if version == 4 else "ipv6_addr"
            parts.append(
                "\tset %s {\n\t\ttype %s\n\t\tflags interval\n\t\telements = { %s }\n\t}\n" % (name, kind, elements)
            )
        hook, kind, priority, policy = HOOK
        head = "type %s hook %s priority filter - %d; policy %s;" % (kind, hook, -priority, policy)
        rules = [head, *(text for text, _unused in _ALWAYS), *(line.text() for line in self.jumps())]
        parts.append("\tchain input {\n%s\t}\n" % "".join("\t\t%s\n" % rule for rule in rules))
        rules = [line.text(sets) for line in (*self.accepts, *self.closes)]
        parts.append("\tchain openings {\n%s\t}\n" % "".join("\t\t%s\n" % rule for rule in rules))
        # What is jumped to stands above the jump only for people; nft takes a table as a whole.
        return "table %s %s {\n%s}\n" % (*OWN_TABLE, "\n".join(parts))

    def script(self) -> str:
        """What replaces the table that runs by this one, whether it runs or not."""
        return replacing(self.text())

    def carried_by(self, chains: t.Mapping[str, t.Sequence[Rule]], lookup: Lookup) -> bool:
        """Whether the table that runs (the rules of its chains, by name) means the same."""
        if not self.accepts or set(chains) != {"input", "openings"} or len(chains["input"]) < len(_ALWAYS):
            return False
        for (_unused, wanted), rule in zip(_ALWAYS, chains["input"]):  # noqa: B905 -- Python 3.8 on hosts
            if [_plain_match(part) for part in rule.expr] != [
                _plain_match(part) for part in [*wanted, {"accept": None}]
            ]:
                return False
        running = [parse(rule, lookup) for rule in [*chains["input"][len(_ALWAYS) :], *chains["openings"]]]
        return running == [*self.jumps(), *self.accepts, *self.closes]


def replacing(table: str) -> str:
    """A script that has our own table read like this, or (empty) be gone, whatever there was."""
    return "add table {0} {1}\ndelete table {0} {1}\n{2}".format(*OWN_TABLE, table)


def _plain_match(part: Json) -> t.Any:
    found = part.get("match")
    return (found["left"], sorted(map(str, listed(found["right"], _NO_SETS) or ()))) if found else sorted(part)


_NO_SETS = Lookup(lambda name, senders: None)


def parse(rule: Rule, lookup: Lookup) -> t.Optional[Line]:
    """What a rule of ours means; None when it is not as we write them."""
    found: t.Dict[str, t.Any] = {}
    for part in rule.expr:
        key, value = next(iter(part.items()))
        if key == "match":
            if not _parse_match(value, found, lookup):
                return None
        elif key in ("accept", "drop"):
            found["verdict"] = key
        elif key == "jump":
            found["verdict"] = "jump %s" % value["target"]
        elif key != "counter":
            return None
    if not {"verdict", "protocol", "ports"} <= set(found):
        return None
    return Line(comment=rule.comment, **found)


def _parse_match(match: Json, found: t.Dict[str, t.Any], lookup: Lookup) -> bool:
    left, values = match["left"], listed(match["right"], lookup, True)
    if match["op"] not in ("==", "in") or values is None or not isinstance(left, dict):
        return False
    payload, meta = left.get("payload") or {}, left.get("meta") or {}
    protocol, field = payload.get("protocol"), payload.get("field")
    numbers = intervals(values) if payload else None
    if protocol in (TCP, UDP) and field == "dport" and numbers is not None:
        found.update(protocol=protocol, ports=numbers)
    elif protocol in ("ip", "ip6") and field == "saddr" and numbers is not None:
        found.update(version=4 if protocol == "ip" else 6, senders=numbers)
    elif protocol in ("ip", "ip6") and field == "daddr" and len(values) == 1:
        found.update(group=str(values[0]))
    elif meta.get("key") == "nfproto" and values in (["ipv4"], ["ipv6"]):
        found.update(version=int(values[0][3:]))
    elif meta.get("key") == "iifname":
        found.update(interfaces=tuple(sorted(map(str, values))))
    else:
        return False
    return True
