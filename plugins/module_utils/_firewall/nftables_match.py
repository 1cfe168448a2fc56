# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""How many packets of a kind does a part of a rule concern: all, some, none; and does it single out senders?"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from .intent import Network
from .nftables_swap import Json
from .profiles import TCP

NONE, SOME, ALL = 0, 1, 2
Intervals = t.Tuple[t.Tuple[int, int], ...]
#: The elements of a set by its name, and whether they are senders (they may be many); None when nobody knows.
Lookup = t.Callable[[str, bool], t.Optional[t.List[t.Any]]]

_EVERY_ADDRESS: t.Dict[int, Intervals] = {4: ((0, 2**32 - 1),), 6: ((0, 2**128 - 1),)}
_MULTICAST: t.Dict[int, Intervals] = {4: ((0xE0000000, 0xEFFFFFFF),), 6: ((0xFF << 120, 2**128 - 1),)}


class Extent(t.NamedTuple):
    """How many of the packets, and whether because of who sends them (or of something nobody here can judge)."""

    share: int
    protects: bool = False

    def within(self, other: Extent) -> Extent:
        """What is left when both must hold."""
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
    def packet_types(self) -> t.Set[str]:
        if self.group is not None:
            return {"multicast"}
        # Who asks for an address by DHCP sends to everybody.
        return {"host", "broadcast"} if self.protocol != TCP and _covers(self.ports, 67) else {"host"}


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


def _share(wanted: Intervals, matched: Intervals) -> int:
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


def _names(wanted: t.Set[str], matched: t.Iterable[str]) -> int:
    matched = set(matched)
    if wanted <= matched:
        return ALL
    return SOME if wanted & matched else NONE


def listed(value: t.Any, lookup: Lookup, senders: bool = False) -> t.Optional[t.List[t.Any]]:
    """The single values on the right side of a match, those of a set with a name too; None when nobody knows."""
    if isinstance(value, str) and value.startswith("@"):
        elements = lookup(value[1:], senders)
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
                network = ipaddress.ip_network("%(addr)s/%(len)d" % value["prefix"], strict=False)
                found.append((int(network.network_address), int(network.broadcast_address)))
            elif isinstance(value, dict) and "range" in value:
                first, last = value["range"]
                found.append((_number(first), _number(last)))
            else:
                found.append((_number(value), _number(value)))
    except (ValueError, TypeError, KeyError):
        return None
    return merged(found)


def _number(value: t.Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else int(ipaddress.ip_address(value))


def part_extent(part: Json, traffic: Traffic, lookup: Lookup) -> Extent:
    """How many of the packets go on to the next part of the rule."""
    for key, value in part.items():
        if key == "match":
            return match_extent(value["op"], value["left"], value["right"], traffic, lookup)
        if key == "limit":
            # `limit rate over` singles out who sends too much; without `over` it is about how often we answer.
            return UNKNOWN if isinstance(value, dict) and value.get("inv") else Extent(SOME)
        if key == "quota":
            return Extent(SOME)
        if key == "xt":
            return Extent(ALL) if value.get("type") == "target" else UNKNOWN
        if key in ("meter", "ct count") or (key == "set" and isinstance(value, dict) and value.get("stmt")):
            return UNKNOWN
    return Extent(ALL)


def match_extent(op: str, left: t.Any, right: t.Any, traffic: Traffic, lookup: Lookup) -> Extent:
    """How many of the packets a match concerns."""
    if op not in ("==", "in", "!="):
        return UNKNOWN
    share, senders = _match(left, right, traffic, lookup)
    if share is None:
        return UNKNOWN
    if op == "!=":
        return Extent(ALL - share, senders and share == SOME)
    return Extent(share, senders and share != NONE)


_Answer = t.Tuple[t.Optional[int], bool]  # the share, and whether senders are named; None when nobody knows


def _match(left: t.Any, right: t.Any, traffic: Traffic, lookup: Lookup) -> _Answer:
    if not isinstance(left, dict) or len(left) != 1:
        return None, False
    ((kind, what),) = left.items()
    answer = _LEFT.get(kind)
    return answer(what, right, traffic, lookup) if answer is not None else (None, False)


def _payload(what: Json, right: t.Any, traffic: Traffic, lookup: Lookup) -> _Answer:
    protocol, field = what.get("protocol"), what.get("field")
    if protocol in ("ip", "ip6"):
        if traffic.version != (4 if protocol == "ip" else 6):
            return NONE, False
        if field in ("protocol", "nexthdr"):
            return _protocol(right, traffic, lookup), False
        if field not in ("saddr", "daddr"):
            return None, False
        matched = intervals(listed(right, lookup, field == "saddr"))
        if field == "saddr":
            named = matched != _EVERY_ADDRESS[traffic.version]
            return (SOME if matched is None else _share(traffic.senders, matched)), named
        if traffic.group is not None and matched is not None:
            group = int(ipaddress.ip_address(traffic.group))
            return (ALL if _covers(matched, group) else NONE), False
        # One of this host's own addresses, nobody says which: certainly no multicast group.
        multicast = matched is not None and _share(matched, _MULTICAST[traffic.version]) == ALL
        return (NONE if multicast else SOME), False
    if protocol not in ("tcp", "udp", "th"):
        return (NONE if protocol in ("icmp", "icmpv6", "igmp", "esp", "ah", "sctp", "dccp") else None), False
    if protocol not in ("th", traffic.protocol):
        return NONE, False
    if field == "dport":
        matched = intervals(listed(right, lookup))
        return (None if matched is None else _share(traffic.ports, matched)), False
    if field == "flags":
        values = listed(right, lookup) or []
        return (ALL if "syn" in values else NONE), False
    return None, False


def _flags(what: t.Any, right: t.Any, traffic: Traffic, lookup: Lookup) -> _Answer:
    """`tcp flags & (fin | syn | rst | ack) == syn`: a packet that asks for something new has syn alone."""
    field, mask = what if isinstance(what, list) and len(what) == 2 else (None, None)
    if field != {"payload": {"protocol": "tcp", "field": "flags"}}:
        return None, False
    if traffic.protocol != TCP:
        return NONE, False
    masked, value = _flag_names(mask), _flag_names(right)
    if masked is None or value is None:
        return None, False
    return (ALL if masked & {"syn"} == value else NONE), False


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


def _protocol(right: t.Any, traffic: Traffic, lookup: Lookup) -> t.Optional[int]:
    values = listed(right, lookup)
    if values is None:
        return None
    numbers = {6: "tcp", 17: "udp"}
    return _names(
        {traffic.protocol}, [numbers.get(item, "") if isinstance(item, int) else str(item) for item in values]
    )


def _meta(what: Json, right: t.Any, traffic: Traffic, lookup: Lookup) -> _Answer:
    key = what.get("key")
    if key == "l4proto":
        return _protocol(right, traffic, lookup), False
    values = listed(right, lookup)
    if values is None or any(isinstance(item, dict) for item in values):
        return None, False
    if key == "nfproto":
        return _names({"ipv%d" % traffic.version}, values), False
    if key == "protocol":
        return _names({"ip" if traffic.version == 4 else "ip6"}, values), False
    if key in ("iif", "iifname"):
        return _interfaces(traffic, [str(item) for item in values]), False
    if key == "pkttype":
        return _names(traffic.packet_types, ["host" if item == "unicast" else item for item in values]), False
    return None, False


def _interfaces(traffic: Traffic, patterns: t.Sequence[str]) -> int:
    def fits(name: str) -> bool:
        return any(name.startswith(item[:-1]) if item.endswith("*") else name == item for item in patterns)

    if not traffic.interfaces:  # any that leads out of this host
        return NONE if set(patterns) == {"lo"} else SOME
    found = sum(map(fits, traffic.interfaces))
    return ALL if found == len(traffic.interfaces) else SOME if found else NONE


def _conntrack(what: Json, right: t.Any, traffic: Traffic, lookup: Lookup) -> _Answer:
    values = listed(right, lookup)
    if values is None:
        return None, False
    known = {"state": {"new"}, "direction": {"original"}}.get(str(what.get("key")))
    if known is not None:
        return _names(known, map(str, values)), False
    if what.get("key") == "status" and set(map(str, values)) <= {"dnat", "snat", "seen-reply", "assured"}:
        return NONE, False
    return None, False


def _fib(what: Json, right: t.Any, traffic: Traffic, lookup: Lookup) -> _Answer:
    values = listed(right, lookup)
    if values is None or what.get("result") != "type" or "daddr" not in (what.get("flags") or ()):
        return None, False
    kinds = {"host": "local", "multicast": "multicast", "broadcast": "broadcast"}
    return _names({kinds[item] for item in traffic.packet_types}, map(str, values)), False


_LEFT: t.Dict[str, t.Callable[[t.Any, t.Any, Traffic, Lookup], _Answer]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _conntrack,
    "fib": _fib,
    "&": _flags,
}
