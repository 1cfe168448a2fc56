# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""How many packets of a kind does a part of a rule concern: all, some, none; and does it single out senders?"""

from __future__ import annotations

import functools
import ipaddress
import typing as t
from dataclasses import dataclass

from ..intent import Network
from ..profiles import TCP
from .swap import Json

NONE, SOME, ALL = 0, 1, 2
Intervals = t.Tuple[t.Tuple[int, int], ...]
_EVERY_ADDRESS: t.Dict[int, Intervals] = {4: ((0, 2**32 - 1),), 6: ((0, 2**128 - 1),)}
_MULTICAST: t.Dict[int, Intervals] = {4: ((0xE0000000, 0xEFFFFFFF),), 6: ((0xFF << 120, 2**128 - 1),)}


class Extent(t.NamedTuple):
    """How many of the packets, and whether because of who sends them (or of something nobody here can judge)."""

    share: int
    protects: bool = False

    def within(self, other: Extent) -> Extent:
        """What is left when both must hold."""
        if other.share == ALL and not other.protects:
            return self
        return Extent(min(self.share, other.share), self.protects or other.protects)


UNKNOWN = Extent(SOME, True)


@dataclass(frozen=True)
class Traffic:
    """A kind of packets that reach this host and ask for something new."""

    protocol: str
    ports: Intervals
    version: int  # 4 or 6
    #: Addresses of senders as numbers, and interfaces; empty is any.
    named: Intervals = ()
    interfaces: t.Tuple[str, ...] = ()
    #: The multicast group they are sent to; None is an address of this host.
    group: t.Optional[str] = None

    @property
    def senders(self) -> Intervals:
        return self.named or _EVERY_ADDRESS[self.version]

    @property
    def single(self) -> bool:
        """Whether one sender is named."""
        return len(self.named) == 1 and self.named[0][0] == self.named[0][1]

    @property
    def packet_types(self) -> t.FrozenSet[str]:
        if self.group is not None:
            return frozenset(["multicast"])
        # Who asks for an address by DHCP sends to everybody.
        dhcp = self.protocol != TCP and _covers(self.ports, 67)
        return frozenset(["host", "broadcast"] if dhcp else ["host"])


class Lookup:
    """The sets of a table that have a name; and which ports the rules that were made ready are about."""

    def __init__(self, elements: t.Callable[[str, bool], t.Optional[t.List[t.Any]]]) -> None:
        """`elements` of a set by its name, and whether they are senders (they may be many); None when nobody knows."""
        self.elements = elements
        self.ports: t.List[Intervals] = []


def merged(found: t.Iterable[t.Tuple[int, int]]) -> Intervals:
    """The same numbers in the fewest intervals, in order."""
    result: t.List[t.Tuple[int, int]] = []
    for first, last in sorted(found):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def addresses(networks: t.Iterable[Network]) -> Intervals:
    return merged((int(item.network_address), int(item.broadcast_address)) for item in networks)


def _covers(intervals: Intervals, number: int) -> bool:
    return any(first <= number <= last for first, last in intervals)


def share_in(wanted: Intervals, matched: Intervals) -> int:
    """How much of `wanted` is in `matched`, which is merged."""
    touched = False
    for first, last in wanted:
        inside = [(low, high) for low, high in matched if low <= last and first <= high]
        if not inside:
            if touched:
                return SOME
            continue
        if not (inside[0][0] <= first and last <= inside[0][1]):
            return SOME
        touched = True
    if not touched:
        return NONE
    return ALL if all(any(low <= first and last <= high for low, high in matched) for first, last in wanted) else SOME


def _names(wanted: t.AbstractSet[str], matched: t.Iterable[str]) -> int:
    matched = set(matched)
    if wanted <= matched:
        return ALL
    return SOME if wanted & matched else NONE


def listed(value: t.Any, lookup: Lookup, senders: bool = False) -> t.Optional[t.List[t.Any]]:
    """The single values on the right side of a match, those of a set with a name too; None when nobody knows."""
    if isinstance(value, str) and value.startswith("@"):
        elements = lookup.elements(value[1:], senders)
        return None if elements is None else [_bare(item) for item in elements]
    if isinstance(value, dict) and isinstance(value.get("set"), list):
        return [_bare(item) for item in value["set"]]
    return [_bare(item) for item in value] if isinstance(value, list) else [value]


def _bare(item: t.Any) -> t.Any:
    """An element without its counter, comment or timeout."""
    return item["elem"].get("val") if isinstance(item, dict) and isinstance(item.get("elem"), dict) else item


def intervals(values: t.Optional[t.Sequence[t.Any]]) -> t.Optional[Intervals]:
    """Ports or addresses as numbers; None when one of them is neither."""
    if values is None:
        return None
    found = []
    try:
        for value in values:
            if isinstance(value, dict) and "prefix" in value:
                found.append(_prefix(value["prefix"]["addr"], value["prefix"]["len"]))
            elif isinstance(value, dict) and "range" in value:
                first, last = value["range"]
                found.append((_number(first), _number(last)))
            else:
                found.append((_number(value), _number(value)))
    except (ValueError, TypeError, KeyError):
        return None
    return merged(found)


def _number(value: t.Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else _address(value)


@functools.lru_cache(maxsize=1024)
def _address(text: str) -> int:
    return int(ipaddress.ip_address(text))


@functools.lru_cache(maxsize=1024)
def _prefix(address: str, length: int) -> t.Tuple[int, int]:
    network = ipaddress.ip_network("%s/%d" % (address, length), strict=False)
    return int(network.network_address), int(network.broadcast_address)


#: How many of the packets go on to the next part of a rule. Made once for a part, asked for many kinds of packets.
Test = t.Callable[[Traffic], Extent]
#: The share of the packets that a value takes; None when nobody knows.
_Share = t.Callable[[Traffic], t.Optional[int]]


def part_test(part: Json, lookup: Lookup) -> t.Optional[Test]:
    """The test of a part of a rule; None for a part that every packet passes."""
    for key, value in part.items():
        if key == "match":
            return match_test(value["op"], value["left"], value["right"], lookup)
        if key == "limit":
            # `limit rate over` singles out who sends too much; without `over` it is about how often we answer.
            return _always(UNKNOWN if isinstance(value, dict) and value.get("inv") else Extent(SOME))
        if key == "quota":
            return _always(Extent(SOME))
        if key == "xt":
            return None if value.get("type") == "target" else _always(UNKNOWN)
        if key in ("meter", "ct count") or (key == "set" and isinstance(value, dict) and value.get("stmt")):
            return _always(UNKNOWN)
    return None


def _always(extent: Extent) -> Test:
    return lambda traffic: extent


def match_test(op: str, left: t.Any, right: t.Any, lookup: Lookup) -> Test:
    """How many of the packets a match concerns."""
    if op in _COMPARED and isinstance(right, int):
        op, right = "==", {"range": list(_COMPARED[op](right))}
    if op not in ("==", "in", "!=") or not isinstance(left, dict) or len(left) != 1:
        return _always(UNKNOWN)
    ((kind, what),) = left.items()
    make = _LEFT.get(kind)
    share_of = make(what, right, lookup) if make is not None else _unknown
    senders = kind == "payload" and what.get("field") == "saddr"
    negated = op == "!="

    def test(traffic: Traffic) -> Extent:
        share = share_of(traffic)
        if share is None:
            return UNKNOWN
        if negated:
            return Extent(ALL - share, senders and share == SOME)
        return Extent(share, senders and share != NONE and right != _ANY_SENDER.get(traffic.version))

    return test


#: What a comparison with a port means: from where to where.
_COMPARED: t.Dict[str, t.Callable[[int], t.Tuple[int, int]]] = {
    "<": lambda number: (0, number - 1),
    "<=": lambda number: (0, number),
    ">": lambda number: (number + 1, 65535),
    ">=": lambda number: (number, 65535),
}
_ANY_SENDER = {version: {"prefix": {"addr": text, "len": 0}} for version, text in ((4, "0.0.0.0"), (6, "::"))}  # noqa: S104


def _unknown(traffic: Traffic) -> t.Optional[int]:
    return None


def _all(traffic: Traffic) -> t.Optional[int]:
    return ALL


def _none(traffic: Traffic) -> t.Optional[int]:
    return NONE


def _share_of_ports(ports: Intervals, traffic: Traffic) -> t.Optional[int]:
    return share_in(traffic.ports, ports)


def _payload(what: Json, right: t.Any, lookup: Lookup) -> _Share:
    protocol, field = what.get("protocol"), what.get("field")
    if protocol in ("ip", "ip6"):
        make = {"saddr": _source, "daddr": _destination, "protocol": _protocol, "nexthdr": _protocol}.get(str(field))
        of_address = make(right, lookup) if make is not None else _unknown
        version = 4 if protocol == "ip" else 6
        return lambda traffic: of_address(traffic) if traffic.version == version else NONE
    if protocol not in ("tcp", "udp", "th"):
        return _none if protocol in ("icmp", "icmpv6", "igmp", "esp", "ah", "sctp", "dccp") else _unknown
    share_of: _Share = _unknown
    if field == "dport":
        matched = intervals(listed(right, lookup))
        if matched is not None:
            lookup.ports.append(matched)
            share_of = functools.partial(_share_of_ports, matched)
    elif field == "flags":
        share_of = _all if "syn" in (listed(right, lookup) or []) else _none
    return lambda traffic: share_of(traffic) if protocol in ("th", traffic.protocol) else NONE


def _source(right: t.Any, lookup: Lookup) -> _Share:
    matched = intervals(listed(right, lookup, True))
    return lambda traffic: SOME if matched is None else share_in(traffic.senders, matched)


def _destination(right: t.Any, lookup: Lookup) -> _Share:
    matched = intervals(listed(right, lookup))

    def share_of(traffic: Traffic) -> t.Optional[int]:
        if matched is None:
            return SOME
        if traffic.group is not None:
            return ALL if _covers(matched, int(ipaddress.ip_address(traffic.group))) else NONE
        # One of this host's own addresses, nobody says which: certainly no multicast group.
        return NONE if share_in(matched, _MULTICAST[traffic.version]) == ALL else SOME

    return share_of


def _flags(what: t.Any, right: t.Any, lookup: Lookup) -> _Share:
    """`tcp flags & (fin | syn | rst | ack) == syn`: a packet that asks for something new has syn alone."""
    field, mask = what if isinstance(what, list) and len(what) == 2 else (None, None)
    if field != {"payload": {"protocol": "tcp", "field": "flags"}}:
        return _unknown
    masked, value = _flag_names(mask), _flag_names(right)
    share = None if masked is None or value is None else ALL if masked & {"syn"} == value else NONE
    return lambda traffic: share if traffic.protocol == TCP else NONE


def _flag_names(value: t.Any) -> t.Optional[t.Set[str]]:
    if value == 0:
        return set()
    if isinstance(value, dict) and isinstance(value.get("|"), list):
        value = value["|"]
    names: t.Set[str] = set()
    for item in value if isinstance(value, list) else [value]:
        inner = {item} if isinstance(item, str) else _flag_names(item) if isinstance(item, dict) else None
        if inner is None:
            return None
        names |= inner
    return names


def _protocol(right: t.Any, lookup: Lookup) -> _Share:
    numbers = {6: "tcp", 17: "udp"}
    values = [numbers.get(item, "") if isinstance(item, int) else str(item) for item in listed(right, lookup) or ()]
    return lambda traffic: _names({traffic.protocol}, values) if values else None


def _meta(what: Json, right: t.Any, lookup: Lookup) -> _Share:
    key = what.get("key")
    if key == "l4proto":
        return _protocol(right, lookup)
    values = listed(right, lookup)
    if values is None or any(isinstance(item, dict) for item in values):
        return _unknown
    names = ["host" if item == "unicast" else str(item) for item in values]
    if key == "nfproto":
        return lambda traffic: _names({"ipv%d" % traffic.version}, names)
    if key == "protocol":
        return lambda traffic: _names({"ip" if traffic.version == 4 else "ip6"}, names)
    if key in ("iif", "iifname"):
        return lambda traffic: _interfaces(traffic, names)
    if key == "pkttype":
        return lambda traffic: _names(traffic.packet_types, names)
    return _unknown


def _interfaces(traffic: Traffic, patterns: t.Sequence[str]) -> int:
    def fits(name: str) -> bool:
        return any(name.startswith(item[:-1]) if item.endswith("*") else name == item for item in patterns)

    if not traffic.interfaces:  # any that leads out of this host
        return NONE if set(patterns) == {"lo"} else SOME
    found = sum(map(fits, traffic.interfaces))
    return ALL if found == len(traffic.interfaces) else SOME if found else NONE


def _conntrack(what: Json, right: t.Any, lookup: Lookup) -> _Share:
    values = listed(right, lookup)
    names = list(map(str, values or ()))
    known = {"state": {"new"}, "direction": {"original"}}.get(str(what.get("key")))
    if values is None:
        return _unknown
    if known is not None:
        wanted = known
        return lambda traffic: _names(wanted, names)
    # Packets that ask for something new are no answers, and were sent to where they arrive.
    return (
        _none if what.get("key") == "status" and set(names) <= {"dnat", "snat", "seen-reply", "assured"} else _unknown
    )


def _fib(what: Json, right: t.Any, lookup: Lookup) -> _Share:
    values = listed(right, lookup)
    if values is None or what.get("result") != "type" or "daddr" not in (what.get("flags") or ()):
        return _unknown
    names = list(map(str, values))
    kinds = {"host": "local", "multicast": "multicast", "broadcast": "broadcast"}
    return lambda traffic: _names({kinds[item] for item in traffic.packet_types}, names)


_LEFT: t.Dict[str, t.Callable[[t.Any, t.Any, Lookup], _Share]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _conntrack,
    "fib": _fib,
    "&": _flags,
}
