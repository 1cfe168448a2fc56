# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What ufw does with a packet, as far as its own rules tell: the first that fits decides, else the default policy."""

from __future__ import annotations

import ipaddress
import typing as t

from ..backend import Connection
from ..host import interface_towards, parse_address
from ..intent import Opening
from ..ports import overlap, senders
from ..profiles import TCP, PortRange
from .rules import Rule
from .swap import PREFIX


def cut_by(before: t.Sequence[Rule], after: t.Sequence[Rule], policy: str, connection: Connection) -> t.Optional[str]:
    """Why new packets of that connection would no longer get in; None when they would, or did not before.

    `before` and `after`: all rules of its version of IP, in their order. `policy`: of what no rule is about.
    """
    source, address = parse_address(connection.source), parse_address(connection.address)
    if source is None or policy == "accept":
        return None
    interface = interface_towards(str(source))
    port = PortRange(TCP, connection.port, connection.port)

    def first(rules: t.Sequence[Rule]) -> t.Optional[Rule]:
        return next((rule for rule in rules if _fits(rule, source, address, interface, port)), None)

    old, new = first(before), first(after)
    if old is None or not _lets_in(old) or (new is not None and _lets_in(new)):
        return None
    by = "its default policy (%s)" % policy if new is None else "`%s`" % new.as_typed
    return "ufw would drop it by %s, without our rule `%s`" % (by, old.as_typed)


def closing(rules: t.Sequence[Rule], openings: t.Sequence[Opening]) -> t.List[str]:
    """Rules of others that come before ours and close what is to be open."""
    notes = []
    for rule in rules:
        if rule.dapp.startswith(PREFIX) and _lets_in(rule):
            break
        if not _incoming(rule) or not _closes(rule):
            continue
        for opening in openings:
            hit = _about(rule, opening) and any(
                network is None or _covers(rule.src, network) for network in senders(opening)
            )
            if hit and not (senders(opening) == [None] and rule.src not in ("0.0.0.0/0", "::/0")):
                notes.append("`%s` comes before ours and keeps %s closed" % (rule.as_typed, opening.name))
    return notes


def open_to_others(rules: t.Sequence[Rule], policy: str, openings: t.Sequence[Opening]) -> t.List[str]:
    """What keeps the ports of these openings open to everybody, whatever we do."""
    closed_to_some = [opening for opening in openings if opening.sources.networks or opening.sources.interfaces]
    if policy == "accept" and closed_to_some:
        return ["ufw lets everything in that no rule denies (`ufw default deny` changes that), so nothing is closed"]
    notes = []
    for rule in rules:
        if not _incoming(rule) or not _lets_in(rule) or rule.direction != "in" or rule.dapp.startswith(PREFIX):
            continue
        if rule.src in ("0.0.0.0/0", "::/0") and rule.dst in ("0.0.0.0/0", "::/0"):
            named = [opening.name for opening in closed_to_some if _about(rule, opening)]
            if named:
                notes.append("`%s` opens %s to everybody as well" % (rule.as_typed, ", ".join(named)))
    return notes


def _incoming(rule: Rule) -> bool:
    return rule.direction.startswith("in") and not rule.action.startswith("route:")


def _lets_in(rule: Rule) -> bool:
    return rule.action.split("_")[0] in ("allow", "limit")


def _closes(rule: Rule) -> bool:
    return rule.action.split("_")[0] in ("deny", "reject")


def _about(rule: Rule, opening: Opening) -> bool:
    """Whether a rule is about some port of an opening."""
    ports = rule.ports()
    return rule.sport == "any" and (ports is None or any(overlap(ports, item) for item in opening.ports))


def _covers(text: str, network: t.Any) -> bool:
    try:
        bound: t.Any = ipaddress.ip_network(text, strict=False)
        return bound.version == network.version and bool(network.subnet_of(bound))
    except ValueError:
        return False


def _fits(rule: Rule, source: t.Any, address: t.Any, interface: t.Optional[str], port: PortRange) -> bool:
    """Whether a rule decides about new packets of a connection. What cannot be told beforehand fits when it lets in."""
    if not _incoming(rule) or rule.protocol not in ("any", TCP):
        return False
    if rule.direction.startswith("in_") and interface is not None and rule.direction[3:] != interface:
        return False
    if rule.sport != "any" and _closes(rule):
        return False
    ports = rule.ports()
    if ports is not None and not overlap(ports, port):
        return False
    try:
        if source not in ipaddress.ip_network(rule.src, strict=False):
            return False
        return address is None or address in ipaddress.ip_network(rule.dst, strict=False)
    except ValueError:
        return _lets_in(rule)
