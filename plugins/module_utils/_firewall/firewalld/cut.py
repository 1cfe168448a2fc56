# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What firewalld lets in besides our rules: would a change of ours cut off the connection Ansible came over?

Our rules only let in, so a change can cut by what it takes away. What others' rich rules and policies let in counts
where it may; the timer takes back what cannot be told beforehand.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..backend import Connection
from ..host import interface_towards, parse_address
from ..intent import Opening
from ..ports import overlap, parse_range
from ..profiles import TCP, PortRange
from . import swap
from .rules import Accept
from .state import State


def open_to_others(state: State, zone: str, openings: t.Sequence[Opening]) -> t.List[str]:
    """What keeps the ports of these openings open to everybody in a zone, whatever we do."""
    target = state.zones.settings(zone).get("target")
    if target == "ACCEPT" and openings:
        return ["zone %s lets everything in (its target is ACCEPT), so nothing is closed there to anybody" % zone]
    notes = []
    for name, ports in state.open_to_all(zone):
        named = [item.name for item in dict.fromkeys(openings) if any(overlap(ports, one) for one in item.ports)]
        if named:
            notes.append("zone %s opens %s to everybody as well, by %s" % (zone, ", ".join(named), name))
    return notes


def cut_by(
    state: State,
    before: t.Mapping[str, t.Sequence[str]],
    after: t.Mapping[str, t.Sequence[str]],
    connection: Connection,
) -> t.Optional[str]:
    """Why new packets of that connection would no longer get in; None when they would, or never did by our rules.

    `before` and `after`: our rules that run, by zone.
    """
    source = parse_address(connection.source)
    if source is None:
        return None
    zone = state.zones.of_address(source, interface_towards(str(source)))
    port = PortRange(TCP, connection.port, connection.port)
    taken = [rule for rule in before.get(zone, []) if _lets_in(state, rule, source, port)]
    if not taken or any(_lets_in(state, rule, source, port) for rule in after.get(zone, [])):
        return None
    settings = state.zones.settings(zone)
    if settings.get("target") == "ACCEPT" or any(overlap(ports, port) for _unused, ports in state.open_to_all(zone)):
        return None
    if TCP in settings.get("protocols", []) or settings.get("source_ports"):
        return None
    if any(_may_let_in(state, rule, source, port) for rule in settings.get("rules_str", [])):
        return None
    return "zone %s of firewalld would no longer let it in: no service, port or rule there does but ours (%s)" % (
        zone,
        taken[0],
    )


def _lets_in(state: State, text: str, source: t.Any, port: PortRange) -> bool:
    """Whether a rule of ours lets that in."""
    rule = Accept.parse(text)
    if rule is None or rule.destination or (rule.family and rule.family != "ipv%d" % source.version):
        return False
    if rule.source and source not in ipaddress.ip_network(rule.source, strict=False):
        return False
    if rule.service:
        return overlap(state.ports(rule.service), port)
    item = parse_range(rule.port, rule.protocol)
    return item is not None and overlap([item], port)


def _may_let_in(state: State, text: str, source: t.Any, port: PortRange) -> bool:
    """Whether a rich rule of somebody else may let that in."""
    if swap.is_ours(text) or not re.search(r"\baccept\b", text):
        return False
    family = re.search(r'family="ipv(\d)"', text)
    if family and int(family.group(1)) != source.version:
        return False
    network = re.search(r'source address="([^"]+)"', text)
    try:
        if network and source not in ipaddress.ip_network(network.group(1), strict=False):
            return False
    except ValueError:
        return True
    service = re.search(r'service name="([^"]+)"', text)
    named = re.search(r' port port="([^"]+)" protocol="([^"]+)"', text)
    if service:
        return overlap(state.ports(service.group(1)), port)
    if named:
        item = parse_range(*named.groups())
        return item is not None and overlap([item], port)
    return "icmp" not in text
