# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a dnsmasq configuration means for options: address ranges, what sets which tag, what is sent to whom."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ..errors import DhcpError
from . import values
from .config import DnsmasqConfiguration
from .text import Line, Word

#: (interface, network) that this host reaches without a router.
Route = t.Tuple[str, ipaddress.IPv4Network]
_SET_BY_CLIENT = {"dhcp-userclass", "dhcp-circuitid", "dhcp-remoteid", "dhcp-subscrid", "dhcp-name-match"}
#: dnsmasq sets these itself.
_BUILT_IN = ("known", "known-othernet", "bootp", "cpewan-id")
_OPTIONS = {"dhcp-option": False, "dhcp-option-force": True}


@dataclass(frozen=True)
class Range:
    """A dhcp-range of IPv4 addresses. `tag` is the one it sets, empty without."""

    start: ipaddress.IPv4Address
    subnet: ipaddress.IPv4Network
    tag: str
    line: Line


@dataclass(frozen=True)
class Source:
    """One way in which a client comes by a tag. `kind`: range, mac, class, prefix, client, tags."""

    kind: str
    #: mac: 12 digits, ? for any; class: text anywhere in option 60; prefix: how it begins, ? for any byte.
    value: str
    line: Line
    #: kind tags: which tags it takes (tag-if).
    conditions: t.Tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent:
    """An option for those clients that have all the tags of `conditions` (`!tag`: that have not)."""

    code: int
    conditions: t.Tuple[str, ...]
    value: str
    #: The bytes; None where only dnsmasq can tell.
    data: t.Optional[bytes]
    forced: bool
    line: Line
    #: Where it was read: of equals, the last wins.
    order: int
    #: Sent whatever dhcp-option says: dhcp-boot, and what is packed for a vendor (43).
    beside: bool = False


class DnsmasqModel:
    """Raises DhcpError where the administrator's lines make no sense to us and it matters."""

    def __init__(self, configuration: DnsmasqConfiguration, routes: t.Sequence[Route]) -> None:
        self.routes = routes
        self.ranges: t.List[Range] = []
        self.sources: t.Dict[str, t.List[Source]] = {}
        self.sent: t.List[Sent] = []
        self.shared: t.List[t.Tuple[str, ipaddress.IPv4Address, Line]] = []
        self.knows_hosts = False
        for order, line in enumerate(configuration.lines):
            self._take(line, order)

    @property
    def interfaces(self) -> t.List[str]:
        return list(dict.fromkeys(name for name, _network in self.routes))

    @property
    def subnets(self) -> t.List[ipaddress.IPv4Network]:
        return list(dict.fromkeys(item.subnet for item in self.ranges))

    def attached(self, item: Range) -> t.List[str]:
        """The interfaces on which clients of a range are served directly; none where a relay agent stands between."""
        return list(dict.fromkeys(name for name, network in self.routes if item.start in network))

    def is_known(self, tag: str) -> bool:
        """Can any client have it?"""
        return tag in self.sources or tag in self.interfaces or tag in _BUILT_IN

    # --- reading ---

    def _take(self, line: Line, order: int) -> None:
        words = list(line.words)
        if not words:
            return
        if line.name == "dhcp-range":
            self._take_range(line, words)
        elif line.name in _OPTIONS:
            self._take_option(line, words, order)
        elif line.name == "dhcp-boot":
            self._take_boot(line, words, order)
        elif line.name == "dhcp-host":
            self._take_host(line, words)
        elif line.name == "dhcp-mac" and len(words) > 1:
            self._add(_tag(words[0]), Source("mac", _mac_pattern(words[-1].text), line))
        elif line.name == "dhcp-vendorclass" and len(words) > 1:
            self._add(_tag(words[0]), Source("class", words[-1].text, line))
        elif line.name == "dhcp-match":
            self._take_match(line, words)
        elif line.name in _SET_BY_CLIENT:
            self._add(_tag(words[0]), Source("client", line.name, line))
        elif line.name == "tag-if":
            taken = tuple(word.text[4:] for word in words if word.text.startswith(("tag:", "net:")))
            for word in words:
                if word.text.startswith("set:"):
                    self._add(word.text[4:], Source("tags", "", line, taken))
        elif line.name == "shared-network" and len(words) > 1:
            try:
                self.shared.append((words[0].text, ipaddress.IPv4Address(words[1].text), line))
            except ValueError:
                return  # DHCPv6

    def _add(self, tag: str, source: Source) -> None:
        self.sources.setdefault(tag, []).append(source)

    def _take_range(self, line: Line, words: t.List[Word]) -> None:
        tag = ""
        while words and not re.match(r"^[0-9A-Fa-f.:]+$", words[0].text):
            word = words.pop(0)
            if not word.text.startswith(("tag:", "net:", "interface:", "constructor:")):
                tag = _tag(word)
        try:
            start = ipaddress.IPv4Address(words[0].text)
        except (ValueError, IndexError):
            return  # DHCPv6
        dotted = [word.text for word in words[1:] if re.match(r"^[0-9]+(\.[0-9]+){3}$", word.text)]
        with_end = len(words) > 1 and words[1].text in dotted
        mask = dotted[1] if with_end and len(dotted) > 1 else dotted[0] if dotted and not with_end else ""
        self.ranges.append(Range(start, self._network(start, mask, line), tag, line))
        if tag:
            self._add(tag, Source("range", str(self.ranges[-1].subnet), line))

    def _network(self, start: ipaddress.IPv4Address, mask: str, line: Line) -> ipaddress.IPv4Network:
        """As dnsmasq finds it: the mask given, that of the interface, that of the old classes A, B, C."""
        if mask:
            try:
                return ipaddress.IPv4Network((int(start), mask), strict=False)
            except ValueError as exc:
                raise DhcpError("%s: the netmask of the dhcp-range: %s; repair it first" % (line.where, exc)) from exc
        for _name, network in self.routes:
            if start in network:
                return network
        first = int(start) >> 24
        return ipaddress.IPv4Network((int(start), 8 if first < 128 else 16 if first < 192 else 24), strict=False)

    def _take_option(self, line: Line, words: t.List[Word], order: int) -> None:
        conditions: t.List[str] = []
        packed = ""
        while words:
            word = words.pop(0)
            code = values.code_of(word)
            if code is not None:
                break
            if word.text.startswith(("vendor:", "encap:", "vi-encap:")):
                packed = word.text
            elif word.text.startswith("option6:"):
                return
            else:
                conditions.append(_tag(word))
        else:
            return
        data = values.value_of(code, words)
        value, forced = ",".join(word.text for word in words), _OPTIONS[line.name]
        if packed.startswith("vendor:"):
            # Option 43 is made of these, for clients whose option 60 holds the text.
            tag = "vendor:" + packed[7:]
            if tag not in self.sources:
                self._add(tag, Source("class", packed[7:], line))
            what = "%d: %s" % (code, value)
            self.sent.append(Sent(43, (tag, *conditions), what, None, forced, line, order, beside=True))
        elif not packed:
            self.sent.append(Sent(code, tuple(conditions), value, data, forced, line, order))

    def _take_boot(self, line: Line, words: t.List[Word], order: int) -> None:
        conditions = []
        while words and words[0].text.startswith(("tag:", "net:")):
            conditions.append(_tag(words.pop(0)))
        for index, code in enumerate((67, 66)):
            text = words[index].text if index < len(words) else ""
            if text:
                data = text.encode("latin-1", "replace")
                self.sent.append(Sent(code, tuple(conditions), text, data, False, line, order, beside=True))

    def _take_host(self, line: Line, words: t.List[Word]) -> None:
        self.knows_hosts = True
        tags = [_tag(word) for word in words if word.text.startswith(("set:", "net:"))]
        patterns = [pattern for pattern in (_mac_pattern(word.text) for word in words) if pattern]
        for tag in tags:
            for pattern in patterns:
                self._add(tag, Source("mac", pattern, line))
            if not patterns:
                self._add(tag, Source("client", "dhcp-host", line))

    def _take_match(self, line: Line, words: t.List[Word]) -> None:
        if len(words) < 2:
            return
        code = values.code_of(words[1])
        digits = words[2].text if len(words) == 3 and not words[2].quoted else ""
        if code == 60 and re.match(r"^([0-9A-Fa-f]{1,2}|\*)(:([0-9A-Fa-f]{1,2}|\*))+$", digits):
            prefix = "".join("\0" if item == "*" else chr(int(item, 16)) for item in digits.split(":"))
            self._add(_tag(words[0]), Source("prefix", prefix, line))
        elif code == 60 and len(words) == 3 and words[2].quoted:
            self._add(_tag(words[0]), Source("class", words[2].text, line))
        else:
            self._add(_tag(words[0]), Source("client", line.name, line))


def _tag(word: Word) -> str:
    """The tag of `set:x`, `tag:x`, `net:x`, or of the bare `x` of old configurations."""
    return word.text[4:] if word.text.startswith(("set:", "tag:", "net:")) else word.text


def _mac_pattern(text: str) -> str:
    """12 digits, ? for any, from `00:04:13:*:*:*` or `1-00:04:…`; empty where it is no MAC address."""
    parts = re.sub(r"^[0-9]+-", "", text.lower()).split(":")
    if len(parts) != 6 or not all(re.match(r"^([0-9a-f]{1,2}|\*)$", part) for part in parts):
        return ""
    return "".join("??" if part == "*" else part.rjust(2, "0") for part in parts)
