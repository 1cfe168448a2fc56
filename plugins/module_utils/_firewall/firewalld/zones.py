# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Which zone of firewalld a packet is asked in, and so where a rule for it belongs.

firewalld asks the zone that the sender's address is bound to; else that of the interface; else the default zone.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ..errors import FirewallError
from ..host import interface_towards
from ..intent import Network, Opening
from ..ports import nobody, senders
from ..profiles import PROFILES

_CLOSED = ("DROP", "%%REJECT%%")


@dataclass(frozen=True)
class Placement:
    """A network (None: everybody) is to be let in to an opening, in a zone."""

    zone: str
    opening: Opening
    network: t.Optional[Network]


class Zones:
    """The zones that run, as firewalld tells them."""

    def __init__(self, running: t.Mapping[str, t.Any], lasting: t.Mapping[str, t.Any], default: str) -> None:
        self._running = running
        self._lasting = lasting
        self.default = default
        self._bound = [(zone, network) for zone, settings in sorted(running.items()) for network in _networks(settings)]

    def settings(self, zone: str) -> t.Mapping[str, t.Any]:
        return t.cast("t.Mapping[str, t.Any]", self._running.get(zone, {}))

    def of_interface(self, name: t.Optional[str]) -> str:
        """The zone of packets that come in by an interface (None: an unknown one) and whose sender is bound to none."""
        for zone, settings in sorted(self._running.items()):
            if name is not None and name in settings.get("interfaces", []):
                return zone
        return self.default

    def of_address(self, address: t.Any, interface: t.Optional[str]) -> str:
        """The zone of packets from an address that come in by an interface."""
        for zone, network in self._bound:
            if address.version == network.version and address in network:
                return zone
        return self.of_interface(interface)

    def place(self, openings: t.Sequence[Opening]) -> t.Tuple[t.List[Placement], t.List[str]]:
        """Where each opening belongs, and what a person should know. Raises FirewallError, all faults at once."""
        faults = nobody(openings)
        for zone in dict.fromkeys(zone for opening in openings for zone in opening.sources.zones):
            faults += self._refused(zone)
        if faults:
            raise FirewallError(*faults)
        placements: t.List[Placement] = []
        notes: t.List[str] = []
        for opening in openings:
            for network in senders(opening):
                if opening.sources.zones or opening.sources.interfaces or (network is not None and network.prefixlen):
                    for zone in self._zones(opening, network, notes):
                        placements.append(Placement(zone, opening, network))
        where_phones_are = list(dict.fromkeys(item.zone for item in placements))
        for opening in openings:
            for network in senders(opening):
                if opening.sources.zones or opening.sources.interfaces or (network is not None and network.prefixlen):
                    continue
                # DHCP is for those who have no address yet: the phones, where they are. Anybody else may be anywhere.
                profile = opening.name in PROFILES and network is None
                zones = where_phones_are if profile and where_phones_are else [*where_phones_are, self.default]
                placements += [Placement(zone, opening, network) for zone in dict.fromkeys(zones)]
        return list(dict.fromkeys(placements)), list(dict.fromkeys(notes))

    def _refused(self, zone: str) -> t.List[str]:
        """Why nothing can be opened in a zone."""
        if zone not in self._running and zone in self._lasting:
            return ["zone %s is configured but does not run yet: firewall-cmd --reload starts it" % zone]
        if zone not in self._running:
            return ["zone %s does not exist; there are %s" % (zone, ", ".join(sorted(self._running)))]
        if zone not in self._lasting:
            return ["zone %s is not configured any more, and ends with the next reload; name another" % zone]
        return []

    def _zones(self, opening: Opening, network: t.Optional[Network], notes: t.List[str]) -> t.List[str]:
        sources = opening.sources
        if sources.zones:
            return list(sources.zones)
        zones = []
        covered = False
        for zone, bound in self._bound:
            if network is None or not bound.overlaps(network):
                continue
            covered = covered or network.subnet_of(bound)
            if self.settings(zone).get("target") in _CLOSED:
                notes.append("%s is bound to zone %s, which lets nobody in, and stays closed" % (bound, zone))
                continue
            zones.append(zone)
            if sources.interfaces:
                notes.append(
                    "%s is bound to zone %s, where firewalld does not ask by which interface a packet comes: %s is "
                    "open to it by any" % (bound, zone, opening.name)
                )
        if covered:
            return zones
        interfaces: t.Sequence[t.Optional[str]] = sources.interfaces
        if not interfaces and network is not None:
            interfaces = [_interface_of(network)]
        for interface in interfaces:
            zone = self.of_interface(interface)
            zones.append(zone)
            others = [name for name in self.settings(zone).get("interfaces", []) if name not in sources.interfaces]
            if sources.interfaces and (others or zone == self.default):
                notes.append(
                    "%s: zone %s, which %s belongs to, is that of %s too; what is opened there is open by all of them"
                    % (opening.name, zone, interface, ", ".join(others) or "every interface without a zone")
                )
        return zones


def _networks(settings: t.Mapping[str, t.Any]) -> t.Iterator[t.Any]:
    """The networks bound to a zone; MAC addresses and sets of addresses are not told."""
    for source in settings.get("sources", []):
        try:
            yield ipaddress.ip_network(source, strict=False)
        except ValueError:
            continue


def _interface_of(network: Network) -> t.Optional[str]:
    """The interface by which a network is reached, None without a route. Some addresses may be this host's own."""
    count = network.num_addresses
    for index in dict.fromkeys((min(1, count - 1), max(count - 2, 0), min(2, count - 1))):
        name = interface_towards(str(network[index]))
        if name not in (None, "lo"):
            return name
    return None
