# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""nftables, where no other firewall rules: a table of our own, and our accepts in chains of others that drop.

Everything is exchanged in one transaction: our table and our rules elsewhere are either the old or the new ones.
Nothing of others is changed, and never is the ruleset flushed.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import typing as t
from dataclasses import dataclass, field

from ..backend import Backend, Connection, Plan
from ..errors import FirewallError
from ..intent import Opening
from ..profiles import UDP
from ..steps import SEARCH_PATH
from . import swap
from .cut import cut_by
from .elsewhere import Closing, Elsewhere, restoring
from .judge import Judge
from .lasting import Lasting, lasting, unified
from .match import Lookup
from .rules import HOOK, OwnTable, lines, replacing
from .ruleset import Ruleset
from .swap import OWN_TABLE

_WHAT = "nftables"


@dataclass
class NftablesPlan(Plan):
    """A plan with what it is to lead to."""

    own: OwnTable = field(default_factory=lambda: OwnTable((), ()))
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    files: Lasting = field(default_factory=Lasting)


class Nftables(Backend):
    """The adapter. Everything it knows about the host it reads anew in `read`."""

    name: t.ClassVar[str] = "nftables"

    def __init__(self) -> None:
        self._ruleset = Ruleset([])

    @classmethod
    def found(cls) -> t.Optional[str]:
        if shutil.which("nft", path=SEARCH_PATH) is None:
            return None
        return "nft is installed, and neither firewalld nor ufw is active"

    @property
    def version(self) -> str:
        return self._ruleset.version

    def read(self) -> None:
        if shutil.which("nft", path=SEARCH_PATH) is None:
            raise FirewallError("there is no nft on this host; install nftables")
        self._ruleset = Ruleset.read()

    def plan(self, openings: t.Sequence[Opening]) -> NftablesPlan:
        self._refuse(openings)
        ruleset = self._ruleset
        judge = Judge(ruleset)
        closing = Closing(judge)
        own = OwnTable.of(openings, closing)
        elsewhere = Elsewhere.of(judge, openings)
        files = lasting(own, elsewhere, openings)
        plan = NftablesPlan(list(openings), own=own, elsewhere=elsewhere, files=files)
        plan.notes = [*elsewhere.notes, *closing.notes(), *_legacy_notes(openings)]
        if not _carries(ruleset, own, elsewhere):
            wanted = elsewhere.wanted().said(own.script(), strict=True)
            plan.now.run(*_swap(), stdin=json.dumps(wanted), what=_WHAT)
            before = restoring(ruleset).said(replacing(_own_text(ruleset)))
            plan.undo.run(*_swap(), stdin=json.dumps(before), what=_WHAT)
            plan.diff.append({"prepared": self._diff(plan)})
        plan.lasting += files.steps()
        plan.undo += files.undo()
        plan.diff += files.diff()
        if openings:
            plan.notes += files.notes
        return plan

    def would_cut(self, plan: Plan, connection: Connection) -> t.Optional[str]:
        plan = t.cast("NftablesPlan", plan)
        return cut_by(self._ruleset, plan.own, plan.elsewhere, connection) if plan.now else None

    def check(self, plan: Plan) -> None:
        plan = t.cast("NftablesPlan", plan)
        for step in plan.now:
            try:
                swap.swap(dict(json.loads(step.stdin), check=True))
            except RuntimeError as exc:
                raise FirewallError("nftables would refuse the change: %s" % exc) from exc
        plan.files.check()

    def verify(self, plan: Plan) -> None:
        plan = t.cast("NftablesPlan", plan)
        ruleset = Ruleset.read()
        if not _carries(ruleset, plan.own, plan.elsewhere):
            raise FirewallError(
                "the rules that run do not carry the change, though nft took it; somebody changes them at the same "
                "time, or nft %s says them in another way than known" % ruleset.version
            )

    def _refuse(self, openings: t.Sequence[Opening]) -> None:
        """Raise FirewallError for what cannot be here, all of it at once."""
        faults = []
        zones = dict.fromkeys(zone for opening in openings for zone in opening.sources.zones)
        if zones:
            faults.append("nftables has no zones (%s); say from where with networks or interfaces" % ", ".join(zones))
        for opening in openings:
            patterns = [name for name in opening.sources.interfaces if "*" in name]
            if patterns:
                faults.append("%s: %s is a pattern; name each interface" % (opening.name, ", ".join(patterns)))
            if not lines(opening):
                faults.append(
                    "%s: packets to %s come from IPv4 networks only, and none is given; give one, or leave it out"
                    % (opening.name, opening.group)
                )
        if openings and any(name == "firewalld" for _unused, name in self._ruleset.tables):
            faults.append("firewalld is active, and would lose what nft changes; leave backend out, or name firewalld")
        if openings and any(name == "ufw-user-input" for _unused, _unused, name in self._ruleset.chains):
            faults.append("ufw is active, and would lose what nft changes; leave backend out, or name ufw")
        if faults:
            raise FirewallError(*faults)

    def _diff(self, plan: NftablesPlan) -> str:
        """Our rules, before and after, as nft prints them."""
        before, after = _own_text(self._ruleset), plan.own.text()
        if _own_carries(self._ruleset, plan.own):
            before = after  # the same, however this nft breaks its lines
        texts = []
        for text, rules in (
            (before, restoring(self._ruleset)),
            (after, plan.elsewhere.wanted()),
        ):
            said = rules.said("")["rules"]
            shown = ["add rule %(family)s %(table)s %(chain)s %(rule)s\n" % rule for rule in said]
            texts.append((text + "".join(shown)) or None)
        return unified("nft list ruleset (ours)", *texts)


def _swap() -> t.List[str]:
    """The command that exchanges our rules. It carries its program, and needs nothing of this module to be left."""
    return [sys.executable, "-I", "-c", inspect.getsource(swap)]


def _carries(ruleset: Ruleset, own: OwnTable, elsewhere: Elsewhere) -> bool:
    """Whether the rules that run are exactly these, as far as they are ours."""
    return _own_carries(ruleset, own) and elsewhere.carried_by(ruleset)


def _own_carries(ruleset: Ruleset, own: OwnTable) -> bool:
    if OWN_TABLE not in ruleset.tables:
        return not own.accepts
    chains = [chain for chain in ruleset.chains.values() if chain.key[:2] == OWN_TABLE]
    for chain in chains:
        hook = (chain.hook, chain.kind, chain.priority, chain.policy)
        if chain.name == "input" and hook != HOOK:
            return False
    rules = {chain.name: chain.rules for chain in chains}
    return own.carried_by(rules, Lookup(lambda name, _unused: ruleset.elements(*OWN_TABLE, name)))


def _own_text(ruleset: Ruleset) -> str:
    """Our own table as nft prints it; empty where there is none."""
    if OWN_TABLE not in ruleset.tables:
        return ""
    try:
        return swap.nft("-s", "list", "table", *OWN_TABLE)
    except RuntimeError as exc:
        raise FirewallError("our own table cannot be read: %s" % exc) from exc


def _legacy_notes(openings: t.Sequence[Opening]) -> t.List[str]:
    """What nftables cannot know."""
    notes = []
    try:
        with open("/proc/net/ip_tables_names", encoding="ascii") as stream:
            tables = stream.read().split()
    except OSError:
        tables = []
    if "filter" in tables and openings:
        notes.append(
            "the older iptables (iptables-legacy) has rules here, which nftables does not see; when one of them drops, "
            "open the ports there"
        )
    for opening in openings:
        if opening.sources.networks and any(str(item) == "67/%s" % UDP for item in opening.ports):
            notes.append(
                "%s: who asks for an address by DHCP has none yet, and its packets come from 0.0.0.0; the profile dhcp "
                "lets them in" % opening.name
            )
    return notes
