# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our rules and services in firewalld: what each means, its text in the rich language, in a file, and read back.

Each opening is a service (`autoprov-sip`), let in by one rich rule for each network. What runs may name ports instead.

Our rules have a priority of their own. firewalld asks them behind those that deny, so a banned address stays banned,
and they are told from others' by it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

from ..intent import Network, Opening
from ..ports import joined, parse_range
from ..profiles import PortRange
from .swap import PREFIX, PRIORITY

FOLDER = "/etc/firewalld"
DELIVERED = "/usr/lib/firewalld"  # what came with the package
_TEXT = re.compile(
    r'^rule priority="%d"(?: family="(?P<family>ipv[46])")?(?: source address="(?P<source>[^"]+)")?'
    r'(?: destination address="(?P<destination>[^"]+)")?'
    r' (?:service name="(?P<service>%s[^"]+)"|port port="(?P<port>[0-9-]+)" protocol="(?P<protocol>tcp|udp)") accept$'
    % (PRIORITY, PREFIX)
)


@dataclass(frozen=True)
class Accept:
    """One rule of ours: from a network (empty is any), to a group (empty is this host), a service or else one port."""

    service: str = ""
    port: str = ""
    protocol: str = ""
    source: str = ""
    destination: str = ""
    family: str = ""

    @property
    def text(self) -> str:
        """As firewalld says it in its rich language."""
        words = ['rule priority="%d"' % PRIORITY]
        words += ['family="%s"' % self.family] if self.family else []
        words += ['source address="%s"' % self.source] if self.source else []
        words += ['destination address="%s"' % self.destination] if self.destination else []
        words.append(
            'service name="%s"' % self.service
            if self.service
            else 'port port="%s" protocol="%s"' % (self.port, self.protocol)
        )
        return " ".join([*words, "accept"])

    @property
    def block(self) -> str:
        """As it stands in a zone's file."""
        family = ' family="%s"' % self.family if self.family else ""
        lines = ['<rule priority="%d"%s>' % (PRIORITY, family)]
        for tag, address in (("source", self.source), ("destination", self.destination)):
            lines += ['  <%s address="%s"/>' % (tag, address)] if address else []
        what = 'service name="%s"' % self.service
        lines.append(
            "  <%s/>" % (what if self.service else 'port port="%s" protocol="%s"' % (self.port, self.protocol))
        )
        return "".join("  %s\n" % line for line in [*lines, "  <accept/>", "</rule>"])

    def with_ports(self, ports_of_service: t.Callable[[str], t.Sequence[PortRange]]) -> t.List[Accept]:
        """The same, with the ports of its service instead."""
        if not self.service:
            return [self]
        found = joined(ports_of_service(self.service))
        return [replace(self, service="", port=_ports(item), protocol=item.protocol) for item in found]

    @classmethod
    def parse(cls, text: str) -> t.Optional[Accept]:
        """The rule of ours that a text in the rich language is; None when it is not ours."""
        found = _TEXT.match(text)
        return cls(**{name: value or "" for name, value in found.groupdict().items()}) if found else None


def service_name(opening: Opening) -> str:
    return PREFIX + opening.name


def by_service(opening: Opening, network: t.Optional[Network]) -> Accept:
    """The rule that lets a network (None: everybody) in to an opening's service."""
    return Accept(service=service_name(opening), **_addresses(opening, network))


def by_ports(opening: Opening, network: t.Optional[Network]) -> t.List[Accept]:
    """The same for each of its ports."""
    where = _addresses(opening, network)
    return [Accept(port=_ports(item), protocol=item.protocol, **where) for item in joined(opening.ports)]


def _addresses(opening: Opening, network: t.Optional[Network]) -> t.Dict[str, str]:
    family = ""
    if network is not None:
        family = "ipv%d" % network.version
    elif opening.group is not None:
        family = "ipv6" if ":" in opening.group else "ipv4"
    return {
        "family": family,
        "source": str(network) if network is not None and network.prefixlen else "",
        "destination": opening.group or "",
    }


def _ports(item: PortRange) -> str:
    return str(item).partition("/")[0]


@dataclass(frozen=True)
class Service:
    """A definition of ours."""

    name: str
    short: str
    description: str
    ports: t.Tuple[PortRange, ...]

    @classmethod
    def of(cls, opening: Opening) -> Service:
        return cls(service_name(opening), "autoprov: " + opening.name, opening.purpose, tuple(joined(opening.ports)))

    @property
    def path(self) -> str:
        return service_path(self.name)

    @property
    def text(self) -> str:
        """Its file."""
        lines = ['<?xml version="1.0" encoding="utf-8"?>']
        lines.append("<!-- Made by autoprov (firewall_ports). Changes here are lost; run it again. -->")
        lines += ["<service>", "  <short>%s</short>" % escape(self.short)]
        lines.append("  <description>%s</description>" % escape(self.description))
        for item in self.ports:
            lines.append("  <port port=%s protocol=%s/>" % (quoteattr(_ports(item)), quoteattr(item.protocol)))
        return "".join("%s\n" % line for line in [*lines, "</service>"])

    def said(self) -> t.Dict[str, t.Any]:
        """As the program that exchanges wants it."""
        ports = [[_ports(item), item.protocol] for item in self.ports]
        return {"short": self.short, "description": self.description, "ports": ports}

    def same_ports(self, settings: t.Mapping[str, t.Any]) -> bool:
        """Whether a definition that runs (settings as firewalld tells them) opens the same ports, and nothing else."""
        more = ("protocols", "source_ports", "modules", "destination", "includes", "helpers")
        return not any(settings.get(name) for name in more) and tuple(ports_of(settings)) == self.ports


def ports_of(settings: t.Mapping[str, t.Any]) -> t.List[PortRange]:
    """The TCP and UDP ports of a service's or a zone's settings, as firewalld tells them."""
    found = [parse_range(port, protocol) for port, protocol in settings.get("ports", [])]
    return joined(item for item in found if item is not None)


def service_path(name: str) -> str:
    return "%s/services/%s.xml" % (FOLDER, name)


def delivered_service_path(name: str) -> str:
    """The file of a service that came with firewalld."""
    return "%s/services/%s.xml" % (DELIVERED, name)


def zone_path(name: str) -> str:
    return "%s/zones/%s.xml" % (FOLDER, name)


def delivered_path(name: str) -> str:
    """The file of a zone that came with firewalld."""
    return "%s/zones/%s.xml" % (DELIVERED, name)
