# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Would a change cut off the connection Ansible came over? As far as the rules alone tell.

Told for certain: our own table would drop its new packets, or it was let in by a rule of ours, in a chain that drops,
which the change takes away. What hangs on something else (by which interface packets come, a rate, a mark) cannot be
told beforehand; the timer takes such a change back.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..backend import Connection
from ..profiles import TCP
from .elsewhere import Elsewhere, running_in
from .judge import Judge
from .match import Traffic
from .rules import Line, OwnTable
from .ruleset import Ruleset


def cut_by(ruleset: Ruleset, own: OwnTable, elsewhere: Elsewhere, connection: Connection) -> t.Optional[str]:
    """What would drop new packets of that connection after the change, None when nothing certainly would."""
    try:
        source = ipaddress.ip_address(connection.source.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(source, "ipv4_mapped", None)
    source = mapped or source
    number = int(source)
    packet = Traffic(TCP, ((connection.port, connection.port),), source.version, ((number, number),))
    if not any(_takes(line, packet) for line in own.accepts):
        for line in own.closes:
            if _takes(line, packet):
                return "our own table would drop it (%s)" % line.text()
    judge = Judge(ruleset)
    for chain in ruleset.base_chains("input"):
        before = [line for line, _unused in running_in(ruleset, chain) if line is not None and _takes(line, packet)]
        after = [item.line for item in elsewhere.rules if item.chain is chain and _takes(item.line, packet)]
        if before and not after:
            hit = judge.surely_drops(chain, packet)
            if hit is not None:
                by = "its policy" if hit.rule is None else ruleset.text(hit.chain, hit.rule)
                return "%s would drop it (%s) without our rule there: %s" % (chain, by, before[0].text())
    return None


def _takes(line: Line, packet: Traffic) -> bool:
    """Whether a rule of ours is about such a packet, by whichever interface it comes."""
    ((port, _unused),) = packet.ports
    ((number, _unused),) = packet.named
    return (
        line.protocol == packet.protocol
        and line.group is None
        and line.version in (None, packet.version)
        and any(first <= port <= last for first, last in line.ports)
        and (not line.senders or any(first <= number <= last for first, last in line.senders))
    )
