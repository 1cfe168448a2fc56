# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our file: which lines make dnsmasq send each setting to exactly those it is for."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t

from ..errors import DhcpError
from ..intent import GLOBAL, PHONE, SHARED_NETWORK, SUBNET, VENDOR, OptionSetting, Scope
from ..options import display, option_name
from ..vendors import VENDORS
from .model import DnsmasqModel, Range
from .text import MAX_LINE_BYTES
from .values import hexadecimal, spell

#: All our tags begin with this.
TAG_PREFIX = "autoprov-"
#: Nobody has it, so that `tag:!` of it is everybody, but as a tag, which wins over no tag.
_NOBODY = TAG_PREFIX + "nobody"
HEADER = (
    "# Written by autoprov (module dhcp_options), which replaces it as a whole: what is changed here is lost.\n"
    "# Before you remove it by hand, run the module with state=absent: it also takes back what it changed elsewhere.\n"
)
Conditions = t.Tuple[str, ...]
#: For each setting, the tags of each line that sends it.
Placement = t.Dict[t.Tuple[Scope, int], t.List[Conditions]]


def class_order(scope: Scope) -> t.Tuple[int, int, str]:
    """Sort key: of clients' own tags the last line wins, so one phone comes last, before it the longest prefix."""
    if scope.kind == PHONE:
        return 3, 0, scope.name
    if scope.name in VENDORS:
        return 0, 0, "".join(chr(0x10FFFF - ord(letter)) for letter in scope.name)  # the first by name wins
    return (2, len(scope.option60_prefixes[0]), scope.name) if scope.option60_prefixes else (1, 0, scope.name)


def tag_of(scope: Scope) -> str:
    """The tag of a vendor, a class, an OUI or a phone."""
    if scope.kind == PHONE:
        return TAG_PREFIX + "mac-" + scope.name
    if scope.name in VENDORS:
        return TAG_PREFIX + scope.name
    if not scope.option60_prefixes:
        return TAG_PREFIX + "oui-" + "-".join(scope.ouis)
    readable = re.sub("[^A-Za-z0-9]", "", scope.option60_prefixes[0])[:24]
    return "%s60-%s-%s" % (TAG_PREFIX, readable, hashlib.sha256(scope.option60_prefixes[0].encode()).hexdigest()[:8])


def _matchers(scope: Scope) -> t.List[str]:
    """The lines that give the tag. dhcp-vendorclass would find its text anywhere in option 60; in bytes, a dhcp-match
    compares the beginning. dhcp-mac, unlike dhcp-host, decides nothing but the tag."""
    tag = tag_of(scope)
    if scope.kind == PHONE:
        return ["dhcp-mac=set:%s,%s" % (tag, ":".join(re.findall("..", scope.name)))]
    lines = []
    for prefix in scope.option60_prefixes:
        # A single number would not be taken for bytes.
        digits = hexadecimal(prefix.encode("ascii")) + (":*" if len(prefix) == 1 else "")
        lines.append("dhcp-match=set:%s,60,%s" % (tag, digits))
    for oui in scope.ouis:
        lines.append("dhcp-mac=set:%s,%s:*:*:*" % (tag, ":".join(re.findall("..", oui))))
    return lines


class Placer:
    """Finds the tags by which dnsmasq knows clients, and writes our file. Collects every fault."""

    def __init__(self, model: DnsmasqModel) -> None:
        self._model = model
        self.faults: t.List[str] = []
        self.placement: Placement = {}

    def render(self, settings: t.Sequence[OptionSetting]) -> str:
        """The text of our file; `placement` is known then. Raises DhcpError with every fault."""
        classes = sorted({item.scope for item in settings if item.scope.kind in (VENDOR, PHONE)}, key=class_order)
        lines: t.List[str] = []
        for scope in classes:
            lines += ["", "# Who is: %s" % scope, *_matchers(scope)]
            if self._model.is_known(tag_of(scope)):
                self.faults.append("the tag %s is used by another line; rename it there" % tag_of(scope))
        for item in settings:
            if item.scope.kind == GLOBAL:
                lines += self._lines(item, [()])
        lines += self._locations(settings)
        for scope in classes:
            for item in settings:
                if item.scope == scope:
                    lines += self._lines(item, [(tag_of(scope),)])
        if self.faults:
            raise DhcpError(*dict.fromkeys(self.faults))
        return HEADER + "\n".join(lines) + "\n"

    def _lines(self, item: OptionSetting, places: t.List[Conditions]) -> t.List[str]:
        self.placement.setdefault((item.scope, item.code), []).extend(places)
        what = "%s, option %s" % (item.scope, option_name(item.code))
        try:
            value = spell(item.code, item.data)
        except ValueError as exc:
            self.faults.append("%s: %s" % (what, exc))
            return []
        shown = "" if value.startswith('"') else ": %s" % display(item.data)
        lines = ["", "# %s%s" % (what, shown)]
        for place in places:
            tags = "".join("tag:%s," % tag for tag in place)
            line = "dhcp-option-force=%s%d,%s" % (tags, item.code, value)
            if len(line) >= MAX_LINE_BYTES:
                self.faults.append(
                    "%s: the line would be longer than the %d bytes dnsmasq reads" % (what, MAX_LINE_BYTES)
                )
            lines.append(line)
        return lines

    # --- subnets and shared networks ---

    def _locations(self, settings: t.Sequence[OptionSetting]) -> t.List[str]:
        """dnsmasq knows no subnets, only tags of ranges and names of interfaces. So that no two of our lines meet in
        one client, each range gets the most specific setting that holds there."""
        lines: t.List[str] = []
        for code in dict.fromkeys(item.code for item in settings):
            holds: t.Dict[int, OptionSetting] = {}
            for kind in (SHARED_NETWORK, SUBNET):
                for item in settings:
                    if item.scope.kind == kind and item.code == code:
                        holds.update(dict.fromkeys(self._members(item.scope), item))
            for item in dict.fromkeys(holds.values()):
                indexes = {index for index, other in holds.items() if other is item}
                lines += self._lines(item, self._selectors(item.scope, indexes))
        return lines

    def _members(self, scope: Scope) -> t.List[int]:
        subnets = self.subnets_of(scope)
        return [index for index, item in enumerate(self._model.ranges) if item.subnet in subnets]

    def subnets_of(self, scope: Scope) -> t.List[ipaddress.IPv4Network]:
        """The subnets of a subnet scope (one) or a shared network. Collects a fault where there is none."""
        model = self._model
        known = model.subnets
        if scope.kind == SUBNET:
            if ipaddress.IPv4Network(scope.name) in known:
                return [ipaddress.IPv4Network(scope.name)]
            self.faults.append(
                "%s has no dhcp-range; there: %s" % (scope, ", ".join(str(item) for item in known[:10]) or "none")
            )
            return []
        found = []
        for name, address, _line in model.shared:
            if name == scope.name:
                found += [item for item in known if address in item or self._is_at(item, name)]
        if not found:
            names = ", ".join(dict.fromkeys(name for name, _address, _line in model.shared)) or "none"
            self.faults.append(
                "%s has no dhcp-range; in dnsmasq its name is what shared-network= says first, there: %s"
                % (scope, names)
            )
        return list(dict.fromkeys(found))

    def _is_at(self, subnet: ipaddress.IPv4Network, name: str) -> bool:
        """Is it the subnet of the interface, or of the address, that a shared network is named by?"""
        try:
            return ipaddress.IPv4Address(name) in subnet
        except ValueError:
            return any(interface == name and subnet.overlaps(network) for interface, network in self._model.routes)

    def _selectors(self, scope: Scope, indexes: t.Set[int]) -> t.List[Conditions]:
        """The tags by which clients of just these ranges are known: one condition for each line needed."""
        ranges = self._model.ranges
        inside = [item for index, item in enumerate(ranges) if index in indexes]
        outside = [item for index, item in enumerate(ranges) if index not in indexes]
        if all(self._is_pure(item, inside) for item in inside):
            return [(tag,) for tag in dict.fromkeys(item.tag for item in inside)]
        if all(self._is_pure(item, outside) for item in outside):
            return [tuple("!" + tag for tag in dict.fromkeys(item.tag for item in outside)) or ("!" + _NOBODY,)]
        ways = [self._model.attached(item) for item in inside]
        others = {name for item in outside for name in self._model.attached(item)}
        relayed = [item for item in outside if not self._model.attached(item)]
        names = dict.fromkeys(name for way in ways for name in way)
        if all(ways) and not relayed and not any(name in others or name in self._model.sources for name in names):
            return [(name,) for name in names]
        untagged = next(item for item in inside if not self._is_pure(item, inside))
        self.faults.append(
            "%s: dnsmasq cannot tell its clients from others, as the dhcp-range at %s sets no tag of its own; add one "
            "there (dhcp-range=set:NAME,%s,…) and run this again" % (scope, untagged.line.where, untagged.start)
        )
        return []

    def _is_pure(self, item: Range, group: t.Sequence[Range]) -> bool:
        """Is the range's tag set by ranges of this group and nothing else?"""
        return bool(item.tag) and all(
            source.kind == "range" and any(other.line == source.line for other in group)
            for source in self._model.sources[item.tag]
        )
