# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""firewalld: a service for each opening, let in by rich rules in the zones that packets from there are asked in.

What runs is changed rule by rule and never reloaded: a reload closes the host for a moment, and drops whatever others
have added to what runs. Where firewalld does not run, files are all there is.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from .. import host
from ..backend import Backend, Connection, Plan
from ..errors import FirewallError
from ..intent import Opening
from ..steps import Steps
from . import lasting, running, state
from .cut import cut_by, open_to_others
from .rules import Accept, by_service
from .zones import Placement


@dataclass
class FirewalldPlan(Plan):
    """A plan with what it is to lead to."""

    running: running.Running = field(default_factory=running.Running)
    files: t.List[lasting.File] = field(default_factory=list)
    placements: t.List[Placement] = field(default_factory=list)


class Firewalld(Backend):
    """The adapter. Everything it knows about the host it reads anew in `read`."""

    name: t.ClassVar[str] = "firewalld"

    def __init__(self) -> None:
        self._state = state.State({})

    @classmethod
    def found(cls) -> t.Optional[str]:
        if not host.has("firewall-cmd") or host.run("firewall-cmd", "--state").returncode != 0:
            return None
        return "firewalld runs (firewall-cmd --state)"

    @property
    def version(self) -> str:
        return self._state.version

    def read(self) -> None:
        self._state = state.read()

    def plan(self, openings: t.Sequence[Opening]) -> FirewalldPlan:
        placements, notes = self._state.zones.place(openings)
        plan = FirewalldPlan(list(openings), notes=notes, placements=placements)
        wanted: t.Dict[str, t.Dict[Accept, None]] = {}
        for item in placements:
            wanted.setdefault(item.zone, {})[by_service(item.opening, item.network)] = None
        plan.running = running.plan(self._state, placements)
        services = [item for item in lasting.services(openings, plan.notes) if item.changed]
        zones = [item for item in lasting.zones(self._state, wanted) if item.changed]
        plan.files = [*services, *zones]
        for exchange in plan.running.exchanges():
            _step(plan.now, exchange)
        for exchange in plan.running.exchanges(back=True):
            _step(plan.undo, exchange)
        if plan.files:
            lasts: t.Dict[str, t.Any] = {"services": [item.said() for item in services]}
            lasts["zones"] = [item.said() for item in zones]
            if plan.now:  # should firewalld have been reloaded before the change is confirmed
                lasts["rules"] = {zone: {"add": rules} for zone, rules in plan.running.after.items()}
            _step(plan.lasting, lasts)
            back = {"services": [item.said(back=True) for item in services]}
            _step(plan.undo, dict(back, zones=[item.said(back=True) for item in zones]))
        if plan.now:
            before, after = plan.running.shown()
            plan.diff.append({"prepared": host.unified("firewall-cmd --list-rich-rules (ours)", before, after)})
        plan.diff += [item.diff() for item in plan.files]
        plan.notes += self._notes(placements)
        return plan

    def would_cut(self, plan: Plan, connection: Connection) -> t.Optional[str]:
        plan = t.cast("FirewalldPlan", plan)
        judged = plan.running
        if not self._state.runs:  # then it is the next start that would cut
            judged = running.plan_of_what_lasts(self._state, plan.placements)
        return cut_by(self._state, judged.before, judged.after, connection)

    def check(self, plan: Plan) -> None:
        """Have firewalld's own checker read a copy of everything that lasts, with the change in it."""
        plan = t.cast("FirewalldPlan", plan)
        if plan.files and host.has("firewall-offline-cmd"):
            lasting.check(plan.files)

    def verify(self, plan: Plan) -> None:
        again = Firewalld()
        again.read()
        if again.plan(plan.openings).now:
            raise FirewallError(
                "the rules that run do not carry the change, though firewalld took it; somebody changes them at the "
                "same time, or firewalld %s says them in another way than known" % again.version
            )

    def _notes(self, placements: t.Sequence[Placement]) -> t.List[str]:
        notes = []
        if not self._state.runs and placements:
            notes.append("firewalld does not run: what is configured takes effect when it is started")
        if self._state.panic and placements:
            notes.append("firewalld is in panic mode and drops everything (firewall-cmd --panic-off ends it)")
        for zone in dict.fromkeys(item.zone for item in placements):
            here = [item.opening for item in placements if item.zone == zone]
            if not all(opening.sources.zones for opening in here):
                names = ", ".join(dict.fromkeys(opening.name for opening in here))
                default = " (the default zone)" if zone == self._state.zones.default else ""
                notes.append("in zone %s%s: %s" % (zone, default, names))
            notes += open_to_others(
                self._state, zone, [item.opening for item in placements if item.network is not None]
            )
        return list(dict.fromkeys(notes))


def _step(steps: Steps, wanted: t.Dict[str, t.Any]) -> None:
    steps.run(*state.program(), stdin=json.dumps(wanted), what=Firewalld.name)
