# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Which clients a Kea configuration concerns: members of classes, hosts with a reservation."""

from __future__ import annotations

import typing as t

from ..intent import PHONE, VENDOR, Scope, normalize_mac
from ..probe import Client
from .expression import Sketch, Text, Verdict, judge
from .levels import ON_DEMAND, VENDOR_CLASS_PREFIX, ClientClass, Reservation, client_classes, reservations
from .text import Node

_ANY = Text(b"", True)


def sketch_of(client: Client, complete: bool) -> Sketch:
    """A client that is told; `complete` when it is our own, which sends nothing else by which it might be known."""
    vendor_class = client.vendor_class.encode("latin-1", "replace") if client.vendor_class else None
    return Sketch(
        Text(bytes.fromhex(normalize_mac(client.mac))), Text(vendor_class) if vendor_class else None, complete
    )


def sketches_of(scope: Scope) -> t.List[Sketch]:
    """All that is known of the clients of a scope, one sketch for each kind of them.

    Phones of a vendor that has vendor classes are taken to send one of them: else every class of the administrator's
    for another vendor would seem to concern them, by their MAC address.
    """
    if scope.kind == PHONE:
        return [Sketch(Text(bytes.fromhex(scope.name)), _ANY)]
    if scope.kind == VENDOR and scope.option60_prefixes:
        return [Sketch(_ANY, Text(prefix.encode("latin-1", "replace"), True)) for prefix in scope.option60_prefixes]
    if scope.kind == VENDOR and scope.ouis:
        return [Sketch(Text(bytes.fromhex(oui), True), _ANY) for oui in scope.ouis]
    return [Sketch(_ANY, _ANY)]


class Members:
    """Who belongs to which class, as far as one can tell from the configuration."""

    def __init__(self, dhcp4: Node) -> None:
        self._classes: t.Dict[str, ClientClass] = {item.name: item for item in client_classes(dhcp4)}
        self._by_mac: t.Dict[str, t.List[Reservation]] = {}
        #: Known by something that we do not see.
        self._others: t.List[Reservation] = []
        for host, _item, _network in reservations(dhcp4):
            if host.subnets and host.mac:
                self._by_mac.setdefault(host.mac, []).append(host)
            elif host.subnets:
                self._others.append(host)

    def has_reservation(self, host: Reservation, client: Sketch, subnet: t.Optional[str]) -> Verdict:
        """Is that reservation this client's, in that subnet (None: in whichever it may be)?"""
        if not host.subnets or (subnet is not None and subnet not in host.subnets):
            return False
        if not host.mac:
            return False if client.complete else None
        same = client.mac.equals(Text(bytes.fromhex(host.mac))) if len(host.mac) == 12 else False
        return None if same and subnet is None and not host.everywhere else same

    def belongs(self, name: str, client: Sketch, subnet: t.Optional[str] = None) -> Verdict:
        """Is the client a member of the class?"""
        return self._belongs(name, client, subnet, frozenset())

    def _belongs(self, name: str, client: Sketch, subnet: t.Optional[str], asked: t.FrozenSet[str]) -> Verdict:
        if name == "ALL":
            return True
        if name in ("KNOWN", "UNKNOWN"):
            known = self._any_reservation(client, subnet, lambda host: True)
            return known if known is None or name == "KNOWN" else not known
        item = self._classes.get(name)
        if (item is None or not item.test) and name.startswith(VENDOR_CLASS_PREFIX):
            wanted = Text(name[len(VENDOR_CLASS_PREFIX) :].encode("latin-1", "replace"))
            return client.vendor_class.equals(wanted) if client.vendor_class is not None else False
        if item is None or name in asked:
            return None  # of a hook library, a high-availability pair, or circular
        if item.test:
            verdict = judge(
                item.test, client, lambda other: self._belongs(other, client, subnet, asked | frozenset((name,)))
            )
        else:
            verdict = self._any_reservation(client, subnet, lambda host: name in host.classes)
        # Whether Kea looks at such a class at all, the subnet decides.
        return None if verdict and item.decided == ON_DEMAND else verdict

    def _any_reservation(
        self, client: Sketch, subnet: t.Optional[str], which: t.Callable[[Reservation], bool]
    ) -> Verdict:
        if client.mac.open:
            candidates = [host for hosts in self._by_mac.values() for host in hosts]
        else:
            candidates = self._by_mac.get(client.mac.known.hex(), [])
        verdicts = [self.has_reservation(host, client, subnet) for host in candidates + self._others if which(host)]
        return True if True in verdicts else None if None in verdicts else False
