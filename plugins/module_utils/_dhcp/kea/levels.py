# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Every option that a Kea configuration sets: at which level, for whom, and in which order the levels win."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .entries import (
    CLASS,
    CLASS_PREFIX,
    GLOBAL_LEVEL,
    HOOK,
    HOST,
    IN_SUBNET,
    MARK,
    NETWORK,
    POOL,
    definitions_of,
    is_true,
    option_code,
    shown_value,
)
from .hooks import LIBRARY, data_of
from .text import Node

#: In the words of all servers (backend.LEVELS).
LEVEL_NAMES = {
    HOOK: "hook",
    HOST: "host",
    POOL: "pool",
    IN_SUBNET: "subnet",
    NETWORK: "shared_network",
    CLASS: "class",
    GLOBAL_LEVEL: "global",
}
VENDOR_CLASS_PREFIX = "VENDOR_CLASS_"
#: When Kea decides on a class, which is the order in which classes win: by option 60; through a reservation that is
#: global, or in a subnet of no shared network; by their tests (in the order of the configuration); through any other
#: reservation; by tests that need the reservation; at last what only a subnet asks for.
BY_OPTION_60, BY_EARLY_RESERVATION, BY_TEST, BY_RESERVATION, BY_HOST, ON_DEMAND = range(6)
_ON_DEMAND_KEYS = ("only-if-required", "only-in-additional-list")  # Kea 3.0 has given it another name
_KNOWN = re.compile(r"member\s*\(\s*'(KNOWN|UNKNOWN)'\s*\)")
_MEMBER = re.compile(r"member\s*\(\s*'([^']*)'\s*\)")


@dataclass(frozen=True)
class ClientClass:
    """A class, and when Kea decides who belongs to it (see BY_OPTION_60 and the others)."""

    name: str
    test: str
    decided: int
    #: Its place in the configuration: (index among the administrator's classes, 1), or (index, 0, …) of an include.
    position: t.Tuple[int, ...]
    ours: bool

    @property
    def order(self) -> t.Tuple[int, ...]:
        """Lower wins."""
        return (self.decided, *self.position)


@dataclass(frozen=True)
class Reservation:
    """A host that Kea knows."""

    #: 12 lower-case digits; empty when it is known by something else than its MAC address.
    mac: str
    identifier: str
    #: CIDR; empty for a global reservation.
    subnet: str
    #: Subnets in which Kea looks at it: global ones want reservations-global, the others reservations-in-subnet.
    subnets: t.FrozenSet[str]
    #: Are these all subnets there are?
    everywhere: bool
    classes: t.Tuple[str, ...]


@dataclass(frozen=True)
class KeaOption:
    """An option as it stands in the configuration."""

    rank: int
    label: str
    #: Subnet (CIDR), pool, name of the network or class, or what a host is known by; empty for global.
    name: str
    code: int
    value: str
    always_send: bool
    ours: bool
    entry: Node
    network: str = ""
    subnet: str = ""
    client_class: t.Optional[ClientClass] = None
    host: t.Optional[Reservation] = None
    #: How many pools the subnet has; only for options of a pool.
    pools: int = 0

    @property
    def level(self) -> str:
        return LEVEL_NAMES[self.rank]

    @property
    def order(self) -> t.Tuple[int, ...]:
        """Lower wins."""
        return (self.rank, *(self.client_class.order if self.client_class else ()))

    @property
    def conditional(self) -> bool:
        """Does a hook library decide by an expression of its own whether it sets the option?"""
        return self.rank == HOOK and data_of(self.entry.text("supersede")) is None

    @property
    def condition(self) -> str:
        """Who is concerned, as the configuration says it."""
        if self.rank == HOOK:
            return "member('%s')" % self.name if self.name else ""
        return self.client_class.test if self.client_class is not None else ""

    @property
    def mac(self) -> str:
        return self.host.mac if self.host else ""


def subnets_of(dhcp4: Node) -> t.Iterator[t.Tuple[str, Node, Node]]:
    """(name of the shared network or empty, the object around, the subnet) for every subnet."""
    for network in dhcp4.items("shared-networks"):
        for subnet in network.items("subnet4"):
            yield network.text("name"), network, subnet
    for subnet in dhcp4.items("subnet4"):
        yield "", dhcp4, subnet


def client_classes(dhcp4: Node) -> t.List[ClientClass]:
    """Every class in the order of the configuration."""
    found: t.Dict[str, ClientClass] = {}
    early = is_true(dhcp4.get("early-global-reservations-lookup"), False)
    given_early = {
        name for host, _item, network in reservations(dhcp4) if not (network and host.subnet) for name in host.classes
    }
    for position, item in enumerate(dhcp4.items("client-classes")):
        name, test = item.text("name"), item.text("test")
        needs_host = bool(_KNOWN.search(test)) or any(
            found[other].decided == BY_HOST for other in _MEMBER.findall(test) if other in found
        )
        if any(is_true(item.get(key), False) for key in _ON_DEMAND_KEYS):
            decided = ON_DEMAND
        elif name.startswith(VENDOR_CLASS_PREFIX) and not test:
            decided = BY_OPTION_60
        elif not test and item.get("template-test") is None:
            decided = BY_EARLY_RESERVATION if early or name in given_early else BY_RESERVATION
        else:
            decided = BY_HOST if needs_host and not early else BY_TEST
        found[name] = ClientClass(name, test, decided, (position, 1), _is_marked(item))
    return list(found.values())


def reservations(dhcp4: Node) -> t.List[t.Tuple[Reservation, Node, str]]:
    """(host, its object, the shared network it is in) for every reservation."""
    found = []

    def collect(holder: Node, network: str, subnet: str, subnets: t.FrozenSet[str], everywhere: bool = False) -> None:
        for host in holder.items("reservations"):
            mac = re.sub(r"[^0-9a-f]", "", host.text("hw-address").lower())
            shown = next((host.text(key) for key in _IDENTIFIERS if host.text(key)), "?")
            classes = tuple(str(item.scalar) for item in host.items("client-classes"))
            found.append((Reservation(mac, shown, subnet, subnets, everywhere, classes), host, network))

    for_global, count = set(), 0
    for network, around, subnet in subnets_of(dhcp4):
        chain, cidr = (subnet, around, dhcp4), subnet.text("subnet")
        count += 1
        if _inherited(chain, "reservations-global", False):
            for_global.add(cidr)
        if subnet.items("reservations"):
            in_subnet = _inherited(chain, "reservations-in-subnet", True)
            collect(subnet, network, cidr, frozenset((cidr,) if in_subnet else ()))
    collect(dhcp4, "", "", frozenset(for_global), len(for_global) == count)
    return found


_IDENTIFIERS = ("hw-address", "client-id", "duid", "circuit-id", "flex-id", "hostname", "ip-address")
_OLD_MODES = {
    "reservations-global": {"global": True, "disabled": False, "off": False, "out-of-pool": False, "all": False},
    "reservations-in-subnet": {"global": False, "disabled": False, "off": False, "out-of-pool": True, "all": True},
}


def _inherited(chain: t.Sequence[Node], key: str, default: bool) -> bool:
    """A flag as Kea inherits it: subnet, shared network, global; the old reservation-mode says the same."""
    for holder in chain:
        if holder.get(key) is not None:
            return is_true(holder.get(key), default)
        mode = holder.text("reservation-mode").lower()
        if mode in _OLD_MODES[key]:
            return _OLD_MODES[key][mode]
    return default


def _is_marked(item: Node) -> bool:
    context = item.get("user-context")
    return context is not None and context.value() == MARK


def options_of(dhcp4: Node) -> t.List[KeaOption]:
    """Every option set in the tree, what wins first."""
    definitions = definitions_of(dhcp4)
    found: t.List[KeaOption] = []

    def collect(rank: int, label: str, holder: Node, name: str = "", **more: t.Any) -> None:
        for entry in holder.items("option-data"):
            code = option_code(entry, definitions)
            if code is not None:
                always, value = is_true(entry.get("always-send"), False), shown_value(entry)
                found.append(KeaOption(rank, label, name, code, value, always, _is_marked(entry), entry, **more))

    collect(GLOBAL_LEVEL, "global", dhcp4)
    for entry in _flex_options(dhcp4):
        code, name = option_code(entry, definitions), entry.text("client-class")
        if code is not None:
            value, ours = entry.text("supersede") or entry.text("add") or "removed", name.startswith(CLASS_PREFIX)
            value = value[1:-1] if re.match(r"^'[^']*'$", value) else value
            found.append(KeaOption(HOOK, "hook library flex_option", name, code, value, True, ours, entry))
    classes = {item.name: item for item in client_classes(dhcp4)}
    for item in dhcp4.items("client-classes"):
        name = item.text("name")
        collect(CLASS, "client class %s" % name, item, name, client_class=classes[name])
    for item in dhcp4.items("shared-networks"):
        name = item.text("name")
        collect(NETWORK, "shared network %s" % name, item, name, network=name)
    for network, _around, item in subnets_of(dhcp4):
        cidr, pools = item.text("subnet"), item.items("pools")
        collect(IN_SUBNET, "subnet %s" % cidr, item, cidr, network=network, subnet=cidr)
        for pool in pools:
            name = pool.text("pool")
            label = "pool %s in subnet %s" % (name, cidr)
            collect(POOL, label, pool, name, network=network, subnet=cidr, pools=len(pools))
    for host, item, network in reservations(dhcp4):
        place = "in subnet %s" % host.subnet if host.subnet else "(global)"
        label = "reservation of %s %s" % (host.identifier, place)
        collect(HOST, label, item, host.identifier, network=network, subnet=host.subnet, host=host)
    return sorted(found, key=lambda item: item.order)


def _flex_options(dhcp4: Node) -> t.List[Node]:
    """Entries of the hook library flex_option; the last one wins, so it comes first."""
    entries: t.List[Node] = []
    for element in dhcp4.items("hooks-libraries"):
        parameters = element.get("parameters")
        if element.text("library").endswith(LIBRARY) and parameters is not None:
            entries += parameters.items("options")
    return entries[::-1]
