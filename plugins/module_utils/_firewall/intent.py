# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What is wanted, in words no firewall knows: these ports are open to these. Checked once, all faults at once."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, replace

from .errors import FirewallError
from .profiles import ADMINISTRATORS, ANYBODY, PHONES, PROFILES, TCP, UDP, PortRange

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_INTERFACE = re.compile(r"^[^\s/\"'{};,]{1,15}$")
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,30}$")


@dataclass(frozen=True)
class Sources:
    """Who may come in: from any of the networks, and by any of the interfaces. Empty means every one."""

    networks: t.Tuple[Network, ...] = ()
    interfaces: t.Tuple[str, ...] = ()
    #: firewalld's zones; other firewalls have none. Empty means the default zone.
    zones: t.Tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [", ".join(map(str, self.networks)) or "anywhere"]
        parts += ["on " + ", ".join(self.interfaces)] if self.interfaces else []
        return " ".join(parts + (["in zone " + ", ".join(self.zones)] if self.zones else []))


@dataclass(frozen=True)
class Opening:
    """Ports that are to be open to some sources. `name` is what tells ours from others' in a firewall."""

    name: str
    ports: t.Tuple[PortRange, ...]
    sources: Sources
    purpose: str
    group: t.Optional[str] = None

    def __str__(self) -> str:
        return "%s (%s) from %s" % (self.name, ", ".join(map(str, self.ports)), self.sources)


def parse_ports(text: str) -> t.Tuple[int, int]:
    """(first, last) of `5060` or `10000-20000`. Raises ValueError."""
    found = re.match(r"^\s*(\d{1,6})\s*(?:[-:]\s*(\d{1,6})\s*)?$", text)
    if not found:
        raise ValueError("%s is neither a port nor a range of ports (5060, 10000-20000)" % text)
    first = int(found.group(1))
    last = int(found.group(2) or first)
    for port in (first, last):
        if not 1 <= port <= 65535:
            raise ValueError("port %d is outside 1..65535" % port)
    if last < first:
        raise ValueError("the range %s ends before it begins" % text)
    return first, last


def parse_network(text: str) -> Network:
    """A network in CIDR notation, or one address. Raises ValueError with the reason and the way out."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        try:
            right = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("%s is no network in CIDR notation: %s" % (text, exc)) from None
        raise ValueError("%s has host bits set; did you mean %s?" % (text, right)) from None


def _sources(
    where: str, networks: t.Sequence[str], interfaces: t.Sequence[str], faults: t.List[str]
) -> t.Optional[Sources]:
    parsed: t.List[Network] = []
    before = len(faults)
    for text in networks:
        try:
            parsed.append(parse_network(str(text)))
        except ValueError as exc:
            faults.append("%s: %s" % (where, exc))
    for name in interfaces:
        if not _INTERFACE.match(str(name)) or name in (".", ".."):
            faults.append("%s: %s cannot be the name of an interface" % (where, name))
    if len(faults) > before:
        return None
    merged: t.List[Network] = []
    for version in (4, 6):
        merged += list(ipaddress.collapse_addresses([item for item in parsed if item.version == version]))  # type: ignore[type-var]
    return Sources(tuple(merged), tuple(dict.fromkeys(map(str, interfaces))))


def _custom(
    index: int, entry: t.Mapping[str, t.Any], known: t.Mapping[str, Sources], faults: t.List[str]
) -> t.Optional[Opening]:
    where = "ports[%d]" % index
    before = len(faults)
    name = str(entry.get("name") or "")
    if not _NAME.match(name):
        faults.append(
            "%s: name %s is needed: lower-case letters, digits and _, beginning with a letter"
            % (where, name or "(empty)")
        )
    elif name in PROFILES:
        faults.append("%s: %s is the name of a profile; choose another" % (where, name))
    protocol = str(entry.get("protocol") or TCP).lower()
    if protocol not in (TCP, UDP):
        faults.append("%s: protocol %s is not known; it is tcp or udp" % (where, entry.get("protocol")))
    ranges: t.List[PortRange] = []
    for text in entry.get("port") or []:
        try:
            ranges.append(PortRange(protocol, *parse_ports(str(text))))
        except ValueError as exc:
            faults.append("%s: %s" % (where, exc))
    if not entry.get("port"):
        faults.append("%s: port is needed" % where)
    for one, other in _overlaps(ranges):
        faults.append("%s: %s and %s overlap; join them" % (where, one, other))
    sources = known[PHONES]
    if entry.get("networks") or entry.get("interfaces"):
        own = _sources(where, entry.get("networks") or (), entry.get("interfaces") or (), faults)
        sources = own or sources
    elif entry.get("anybody"):
        sources = Sources()
    if len(faults) > before:
        return None
    return Opening(name, tuple(ranges), sources, str(entry.get("purpose") or name))


def _overlaps(ranges: t.Sequence[PortRange]) -> t.Iterator[t.Tuple[PortRange, PortRange]]:
    ordered = sorted(ranges, key=lambda item: (item.protocol, item.first))
    for one, other in zip(ordered, ordered[1:]):  # noqa: B905, RUF007 -- Python 3.8 on hosts
        if one.protocol == other.protocol and other.first <= one.last:
            yield one, other


def build_intent(
    profiles: t.Sequence[str] = (),
    ports: t.Sequence[t.Mapping[str, t.Any]] = (),
    networks: t.Sequence[str] = (),
    interfaces: t.Sequence[str] = (),
    admin_networks: t.Sequence[str] = (),
    zones: t.Sequence[str] = (),
) -> t.List[Opening]:
    """Everything that is to be open. `networks` and `interfaces` are the phones'; `admin_networks` the administrators'.
    `zones` are firewalld's, for all of it.

    Raises FirewallError with every fault found.
    """
    faults: t.List[str] = []
    phones = _sources("networks", networks, interfaces, faults)
    admins = _sources("admin_networks", admin_networks, (), faults)
    by_interface = Sources((), phones.interfaces if phones else ())
    known = {PHONES: phones or Sources(), ADMINISTRATORS: admins or Sources(), ANYBODY: by_interface}
    openings: t.Dict[str, Opening] = {}
    for name in dict.fromkeys(profiles):
        profile = PROFILES.get(name)
        if profile is None:
            faults.append("profiles: %s is not known; known are %s" % (name, ", ".join(sorted(PROFILES))))
            continue
        sources = known[profile.who]
        if profile.who == PHONES and not (networks or interfaces):
            faults.append(
                "profile %s: say from where with networks or interfaces (0.0.0.0/0 and ::/0 for anywhere)" % name
            )
        if profile.who == ADMINISTRATORS and not admin_networks:
            faults.append("profile %s: say from where with admin_networks" % name)
        openings[name] = Opening(name, profile.ports, sources, profile.purpose, profile.group)
    for index, entry in enumerate(ports):
        if not (networks or interfaces or entry.get("networks") or entry.get("interfaces") or entry.get("anybody")):
            faults.append("ports[%d]: say from where with networks or interfaces, or anybody: true" % index)
        opening = _custom(index, entry, known, faults)
        if opening is not None and opening.name in openings:
            faults.append("ports[%d]: the name %s is used twice" % (index, opening.name))
        elif opening is not None:
            openings[opening.name] = opening
    if faults:
        raise FirewallError(*dict.fromkeys(faults))
    return [replace(item, sources=replace(item.sources, zones=tuple(zones))) for item in openings.values()]
