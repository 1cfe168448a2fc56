# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our rules and application profiles in ufw: their text, and every rule of its files read back.

ufw keeps a rule as a line for itself (`### tuple ###`) and lines for iptables. An application profile of ufw has parts
of at most 15 ports, and 1,024 characters in all; a rule that names it becomes one of these for each part. So an opening
of many ports has several profiles: `autoprov-NAME`, `autoprov-NAME-2` …
"""

from __future__ import annotations

import itertools
import re
import typing as t
from dataclasses import dataclass

from ..intent import Network, Opening
from ..ports import joined, parse_range, senders, versions
from ..profiles import TCP, UDP, PortRange
from .swap import COMMENT, PREFIX, Meaning, is_ours, meaning, units

#: ufw's limits.
_PORTS_IN_PART = 15  # a range counts twice
_CHARACTERS = 1000
_ANY = {4: "0.0.0.0/0", 6: "::/0"}
CHAINS = {4: "ufw-user-input", 6: "ufw6-user-input"}


@dataclass(frozen=True)
class Rule:
    """A rule, as ufw says it: its fields are named as ufw names them; `any` and /0 are no condition."""

    action: str
    protocol: str
    dport: str
    dst: str
    sport: str
    src: str
    dapp: str = "-"
    sapp: str = "-"
    #: `in`, `in_eth0`, `out_eth0` …
    direction: str = "in"
    comment: str = ""

    @classmethod
    def parse(cls, text: str) -> t.Optional[Rule]:
        """A rule of a file, None when ufw would pass it over."""
        head, _unused, comment = text.strip().partition(" comment=")
        words = head.split()
        if not 6 <= len(words) <= 9:
            return None
        apps = words[6:8] if len(words) >= 8 else ["-", "-"]
        direction = words[-1] if len(words) in (7, 9) else "in"
        action, protocol, dport, dst, sport, src = words[:6]
        try:
            text = bytes.fromhex(comment).decode("utf-8", "replace")
            return cls(action, protocol, dport, dst, sport, src, apps[0], apps[1], direction, text)
        except ValueError:
            return None

    @property
    def said(self) -> str:
        """As ufw says it in its files."""
        words = [self.action, self.protocol, self.dport, self.dst, self.sport, self.src, self.dapp, self.sapp]
        return " ".join([*words, self.direction, "comment=" + self.comment.encode().hex()])

    @property
    def version(self) -> int:
        return 6 if ":" in self.src else 4

    @property
    def line(self) -> str:
        """What iptables is told of a rule of ours, in the words and the order of ufw."""
        words = ["-i", self.direction[3:]] if self.direction.startswith("in_") else []
        words += ["-p", self.protocol]
        many = "," in self.dport or ":" in self.dport
        words += ["-m", "multiport", "--dports", self.dport] if many else []
        words += ["-d", self.dst] if self.dst != _ANY[self.version] else []
        words += ["--dport", self.dport] if not many else []
        words += ["-s", self.src] if self.src != _ANY[self.version] else []
        return " ".join([*words, "-j ACCEPT -m comment --comment 'dapp_%s'" % self.dapp])

    @property
    def meaning(self) -> t.Optional[Meaning]:
        """What the rule means once it runs, as far as it may be taken for one of ours."""
        if self.action != "allow" or not self.direction.startswith("in") or not self.dapp.startswith(PREFIX):
            return None
        return meaning(self.line)

    @property
    def unit(self) -> str:
        """All its lines in a file."""
        return "\n### tuple ### %s\n-A %s %s\n" % (self.said, CHAINS[self.version], self.line)

    @property
    def as_typed(self) -> str:
        """About what somebody has typed to make it, for notes."""
        where = "" if self.direction in ("in", "out") else " %s on %s" % tuple(self.direction.split("_", 1))
        if self.dapp != "-":
            what = " to any app %s" % self.dapp
        else:
            what = (
                ""
                if self.dport == "any"
                else " %s%s" % (self.dport, "" if self.protocol == "any" else "/" + self.protocol)
            )
        sender = "" if self.src in _ANY.values() else " from %s" % self.src
        return "ufw %s%s%s%s" % (self.action.replace("_", " "), where, sender, what)

    def ports(self) -> t.Optional[t.List[PortRange]]:
        """The ports it is about, of TCP and UDP; None for any."""
        protocols = (TCP, UDP) if self.protocol == "any" else (self.protocol,)
        if self.dport == "any":
            return None if set(protocols) & {TCP, UDP} else []
        found = [parse_range(text, protocol) for protocol in protocols for text in self.dport.split(",")]
        return [item for item in found if item is not None]


def rules_in(text: str) -> t.List[Rule]:
    """Every rule of a file of ufw's, in its order."""
    found = [Rule.parse(said) for said, _unused in units(text)]
    return [rule for rule in found if rule is not None]


def ours_in_file(text: str) -> t.List[t.Tuple[Rule, str]]:
    """Our rules in a file, with their lines."""
    found = [(Rule.parse(said), lines) for said, lines in units(text) if is_ours(said)]
    return [(rule, lines) for rule, lines in found if rule is not None]


def parts(opening: Opening) -> t.List[str]:
    """The ports of an opening in the parts that ufw wants: `5060,10000:20000/udp`."""
    found: t.List[str] = []
    for protocol, ranges in itertools.groupby(joined(opening.ports), key=lambda item: item.protocol):
        part: t.List[str] = []
        weight = 0
        for item in ranges:
            more = 1 if item.first == item.last else 2
            if weight + more > _PORTS_IN_PART:
                found.append(",".join(part) + "/" + protocol)
                part, weight = [], 0
            part.append(str(item.first) if more == 1 else "%d:%d" % (item.first, item.last))
            weight += more
        found.append(",".join(part) + "/" + protocol)
    return found


def profiles(opening: Opening) -> t.Dict[str, t.List[str]]:
    """The application profiles of an opening: their parts by name."""
    found: t.List[t.List[str]] = []
    for part in parts(opening):
        if not found or len("|".join([*found[-1], part])) > _CHARACTERS:
            found.append([])
        found[-1].append(part)
    name = PREFIX + opening.name
    return {name if index == 1 else "%s-%d" % (name, index): items for index, items in enumerate(found, 1)}


def profiles_text(openings: t.Sequence[Opening], kept: t.Mapping[str, str]) -> t.Optional[str]:
    """The file of our application profiles; `kept` are sections that others' rules name. None when there is none."""
    sections = []
    for opening in openings:
        purpose = " ".join(opening.purpose.split())[:200] or opening.name
        for name, items in profiles(opening).items():
            lines = ["[%s]" % name, "title=autoprov: %s" % opening.name, "description=" + purpose]
            sections.append("".join("%s\n" % line for line in [*lines, "ports=" + "|".join(items)]))
    sections += kept.values()
    if not sections:
        return None
    return "\n".join(["# Made by autoprov (firewall_ports). Changes here are lost; run it again.\n", *sections])


def sections_in(text: str) -> t.Dict[str, str]:
    """The application profiles in a file: each with its lines."""
    found = {}
    for item in re.finditer(r"^\[([^\]\n]+)\]\n(?:(?![\[#])[^\n]+\n)*", text, re.MULTILINE):
        found[item.group(1)] = item.group(0)
    return found


def rules_of(opening: Opening, version: int) -> t.List[Rule]:
    """Our rules for an opening, in the order in which ufw would make them."""
    if version not in versions(opening):
        return []
    found = []
    comment = COMMENT + opening.name
    for network, interface in itertools.product(senders(opening), opening.sources.interfaces or ("",)):
        if network is not None and network.version != version:
            continue
        for name, items in profiles(opening).items():
            for part in items:
                ports, _unused, protocol = part.partition("/")
                found.append(
                    Rule(
                        "allow",
                        protocol,
                        ports,
                        opening.group or _ANY[version],
                        "any",
                        _sender(network, version),
                        name,
                        "-",
                        "in_" + interface if interface else "in",
                        comment,
                    )
                )
    return found


def _sender(network: t.Optional[Network], version: int) -> str:
    if network is None or not network.prefixlen:
        return _ANY[version]
    return str(network.network_address) if network.num_addresses == 1 else str(network)
