# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a host that serves DHCP itself is to serve: networks, pools, reservations. Checked as a whole."""

from __future__ import annotations

import bisect
import ipaddress
import typing as t
from dataclasses import dataclass, field

from .errors import DhcpError
from .intent import normalize_mac

Address = ipaddress.IPv4Address
Network = ipaddress.IPv4Network


@dataclass(frozen=True)
class Pool:
    """Addresses to give away, both ends included."""

    first: Address
    last: Address


@dataclass(frozen=True)
class Reservation:
    """A client that always gets the same address, the same name, or both."""

    mac: str  # 12 lower-case hexadecimal digits
    address: t.Optional[Address]
    hostname: str
    where: str  # in the input, for messages


@dataclass
class Subnet:
    """A network, and what its clients are told."""

    network: Network
    where: str  # in the input, for messages
    pools: t.List[Pool] = field(default_factory=list)
    gateway: t.Optional[Address] = None
    dns_servers: t.Tuple[Address, ...] = ()
    ntp_servers: t.Tuple[Address, ...] = ()
    domain: str = ""
    #: Subnets on the same wire share the name of their shared network.
    shared_network: str = ""
    reservations: t.List[Reservation] = field(default_factory=list)


@dataclass(frozen=True)
class Service:
    """Everything that is served."""

    interfaces: t.Tuple[str, ...]
    subnets: t.Tuple[Subnet, ...]
    lease_seconds: int


def parse(params: t.Mapping[str, t.Any]) -> Service:
    """The service that the parameters mean (the module's option `serve`). Raises DhcpError with every fault."""
    reader = _Reader()
    service = reader.service(params)
    if reader.faults:
        raise DhcpError(*reader.faults)
    return service


class _Reader:
    """Reads everything, and keeps what is wrong for the end."""

    def __init__(self) -> None:
        self.faults: t.List[str] = []

    def service(self, params: t.Mapping[str, t.Any]) -> Service:
        interfaces = tuple(dict.fromkeys(params.get("interfaces") or ()))
        if not interfaces:
            self.faults.append("interfaces: at least one is needed")
        if not params.get("subnets"):
            self.faults.append("subnets: at least one is needed")
        lease_seconds = params.get("lease_seconds") or 86400
        if not 60 <= lease_seconds <= 0xFFFFFFFE:
            self.faults.append("lease_seconds: %d is not between 60 and 4294967294" % lease_seconds)
        subnets: t.List[Subnet] = []
        for index, entry in enumerate(params.get("subnets") or ()):
            where = "subnets[%d] (%s)" % (index, entry.get("subnet"))
            subnet = self._subnet(entry, where)
            if subnet is None:
                continue
            subnets.append(subnet)
            for number, item in enumerate(entry.get("reservations") or ()):
                reservation = self._reservation(item, "%s: reservations[%d]" % (where, number))
                if reservation is not None:
                    subnet.reservations.append(reservation)
        self._check_overlaps(subnets)
        self._place_free(params.get("reservations") or (), subnets)
        self._check_reservations(subnets)
        return Service(interfaces, tuple(subnets), lease_seconds)

    def _address(self, value: t.Any, where: str) -> t.Optional[Address]:
        try:
            return ipaddress.IPv4Address(str(value).strip())
        except ValueError:
            self.faults.append("%s: %s is not an IPv4 address" % (where, value))
            return None

    def _addresses(self, values: t.Any, where: str) -> t.Tuple[Address, ...]:
        found = [self._address(value, where) for value in values or ()]
        return tuple(address for address in found if address is not None)

    def _subnet(self, entry: t.Mapping[str, t.Any], where: str) -> t.Optional[Subnet]:
        try:
            network = ipaddress.IPv4Network(str(entry.get("subnet")))
        except ValueError:
            self.faults.append("%s: %s" % (where, _network_fault(str(entry.get("subnet")))))
            return None
        # Nobody lives outside. 0.0.0.0 would also be the subnet id 0, which Kea keeps for itself.
        if network.prefixlen > 30 or not 1 <= int(network.network_address) >> 24 <= 223 or network.is_loopback:
            self.faults.append("%s: no clients can be in this network; give one of theirs, up to /30" % where)
            return None
        subnet = Subnet(
            network,
            where,
            dns_servers=self._addresses(entry.get("dns_servers"), "%s: dns_servers" % where),
            ntp_servers=self._addresses(entry.get("ntp_servers"), "%s: ntp_servers" % where),
            domain=str(entry.get("domain") or ""),
            shared_network=str(entry.get("shared_network") or ""),
        )
        if entry.get("gateway"):
            subnet.gateway = self._address(entry["gateway"], "%s: gateway" % where)
            if subnet.gateway is not None and subnet.gateway not in network:
                self.faults.append("%s: the gateway %s is outside" % (where, subnet.gateway))
        for text in entry.get("pools") or ():
            pool = self._pool(str(text), network, where)
            if pool is None:
                continue
            for other in subnet.pools:
                if pool.first <= other.last and other.first <= pool.last:
                    self.faults.append("%s: the pools %s and %s - %s overlap" % (where, text, other.first, other.last))
            subnet.pools.append(pool)
        return subnet

    def _check_overlaps(self, subnets: t.Sequence[Subnet]) -> None:
        widest: t.Optional[Subnet] = None
        for subnet in sorted(subnets, key=lambda item: (item.network.network_address, item.network.prefixlen)):
            if widest is not None and subnet.network.overlaps(widest.network):
                self.faults.append("%s: overlaps %s; make them one, or smaller" % (subnet.where, widest.where))
            else:
                widest = subnet

    def _pool(self, text: str, network: Network, where: str) -> t.Optional[Pool]:
        try:
            if "/" in text:
                part = ipaddress.IPv4Network(text.strip())
                pool = Pool(part.network_address, part.broadcast_address)
            else:
                first, _dash, last = text.partition("-")
                pool = Pool(ipaddress.IPv4Address(first.strip()), ipaddress.IPv4Address(last.strip()))
        except ValueError:
            self.faults.append("%s: the pool %s is not of the form FIRST - LAST" % (where, text))
            return None
        if pool.first > pool.last:
            self.faults.append("%s: the pool %s ends before it begins" % (where, text))
        elif pool.first not in network or pool.last not in network:
            self.faults.append("%s: the pool %s is not inside the network" % (where, text))
        else:
            return pool
        return None

    def _reservation(self, item: t.Mapping[str, t.Any], where: str) -> t.Optional[Reservation]:
        try:
            mac = normalize_mac(str(item.get("mac")))
        except ValueError as exc:
            self.faults.append("%s: %s" % (where, exc))
            return None
        where = "%s (%s)" % (where, item.get("mac"))
        address = self._address(item["address"], where) if item.get("address") else None
        hostname = str(item.get("hostname") or "")
        if address is None and not item.get("address") and not hostname:
            self.faults.append("%s: has neither address nor hostname" % where)
        return Reservation(mac, address, hostname, where)

    def _place_free(self, items: t.Sequence[t.Mapping[str, t.Any]], subnets: t.Sequence[Subnet]) -> None:
        """Reservations that name no subnet: their address does. One that a subnet has already is not written twice."""
        by_start = sorted(subnets, key=lambda subnet: subnet.network.network_address)
        starts = [subnet.network.network_address for subnet in by_start]
        for index, item in enumerate(items):
            where = "reservations[%d]" % index
            if not item.get("address"):
                self.faults.append("%s (%s): has no address" % (where, item.get("mac")))
                continue
            reservation = self._reservation(item, where)
            if reservation is None or reservation.address is None:
                continue
            place = bisect.bisect_right(starts, reservation.address) - 1
            home = by_start[place] if place >= 0 else None
            if home is None or reservation.address not in home.network:
                known = [str(subnet.network) for subnet in subnets[:10]] + ["…"] * (len(subnets) > 10)
                fault = "%s: %s is in none of the subnets (%s); correct it, or add its subnet"
                self.faults.append(fault % (reservation.where, reservation.address, ", ".join(known) or "none"))
                continue
            same = [
                other
                for other in home.reservations
                if (other.mac, other.address) == (reservation.mac, reservation.address)
            ]
            if not same:
                home.reservations.append(reservation)

    def _check_reservations(self, subnets: t.Sequence[Subnet]) -> None:
        by_address: t.Dict[Address, str] = {}
        for subnet in subnets:
            by_mac: t.Dict[str, str] = {}
            for item in subnet.reservations:
                if item.mac in by_mac:
                    fault = "%s: the same phone has another reservation in %s, as %s; keep one"
                    self.faults.append(fault % (item.where, subnet.network, by_mac[item.mac]))
                by_mac.setdefault(item.mac, item.where)
                if item.address is None:
                    continue
                if item.address not in subnet.network:
                    self.faults.append("%s: %s is not inside the network" % (item.where, item.address))
                elif item.address in (subnet.network.network_address, subnet.network.broadcast_address):
                    self.faults.append("%s: %s is no host's address in %s" % (item.where, item.address, subnet.network))
                elif item.address == subnet.gateway:
                    self.faults.append("%s: %s is the gateway" % (item.where, item.address))
                if item.address in by_address:
                    fault = "%s: %s is already reserved, by %s; choose another"
                    self.faults.append(fault % (item.where, item.address, by_address[item.address]))
                by_address.setdefault(item.address, item.where)


def _network_fault(text: str) -> str:
    try:
        return "has host bits set; the network is %s" % ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return "is not a network in CIDR notation, as in 198.18.0.0/24"
