# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Ports as firewalls want them: few ranges, in an order that does not change."""

from __future__ import annotations

import typing as t

from .intent import Network, Opening
from .profiles import TCP, UDP, PortRange


def joined(ports: t.Iterable[PortRange]) -> t.List[PortRange]:
    """The same ports in as few ranges as possible, by protocol and number."""
    found: t.List[PortRange] = []
    for item in sorted(ports, key=lambda item: (item.protocol, item.first, item.last)):
        last = found[-1] if found else None
        if last is not None and last.protocol == item.protocol and item.first <= last.last + 1:
            found[-1] = PortRange(item.protocol, last.first, max(last.last, item.last))
        else:
            found.append(item)
    return found


def versions(opening: Opening) -> t.Tuple[int, ...]:
    """The versions of IP that an opening is about: of packets to a multicast group, only the group's."""
    if opening.group is None:
        return (4, 6)
    return (6,) if ":" in opening.group else (4,)


def senders(opening: Opening) -> t.List[t.Optional[Network]]:
    """The networks of an opening, as far as packets can come from there; one None for any. Empty is nobody."""
    if not opening.sources.networks:
        return [None]
    return [item for item in opening.sources.networks if item.version in versions(opening)]


def nobody(openings: t.Sequence[Opening]) -> t.List[str]:
    """The faults of openings that let nobody in."""
    return [
        "%s: packets to %s come from IPv%d networks only, and none is given; give one, or leave it out"
        % (opening.name, opening.group, versions(opening)[0])
        for opening in openings
        if not senders(opening)
    ]


def overlap(ports: t.Iterable[PortRange], wanted: PortRange) -> bool:
    """Whether some of these ports are among the wanted ones."""
    return any(
        item.protocol == wanted.protocol and item.first <= wanted.last and wanted.first <= item.last for item in ports
    )


def parse_range(text: str, protocol: str) -> t.Optional[PortRange]:
    """`5060`, `10000-20000` or `10000:20000`; None for anything else, and for protocols that are not ours."""
    first, _unused, last = text.replace(":", "-").partition("-")
    if protocol not in (TCP, UDP) or not first.isdigit() or not (last or first).isdigit():
        return None
    return PortRange(protocol, int(first), int(last or first))
