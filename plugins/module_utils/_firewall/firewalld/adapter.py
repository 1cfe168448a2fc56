# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""firewalld: a service for each opening, let in by rich rules in the zones that packets from there are asked in.

What runs is changed rule by rule and never reloaded: a reload closes the host for a moment, and drops whatever others
have added to what runs.
"""

from __future__ import annotations

import glob
import inspect
import json
import os
import re
import shutil
import tempfile
import typing as t
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

from ..backend import Backend, Connection, Plan
from ..errors import FirewallError
from ..host import has, read_file, run, said, unified
from ..intent import Opening
from ..steps import SEARCH_PATH, Steps
from . import swap
from .cut import State, cut_by, open_to_others
from .rules import FOLDER, Accept, Service, by_ports, by_service, delivered_path, service_path, zone_path
from .swap import PREFIX
from .zones import Placement

_WHAT = "firewalld"
#: Changes of what runs in one step: each costs firewalld some 10 ms, and a step has a minute.
_BATCH = 1000
_Rules = t.Dict[str, t.List[str]]  # by zone, in the rich language


@dataclass
class _Running:
    """Our rules that run and those that should, by zone."""

    before: _Rules = field(default_factory=dict)
    after: _Rules = field(default_factory=dict)

    def steps(self, back: bool = False) -> Steps:
        """What changes the ones into the others; what is to be let in comes first."""
        old, new = (self.after, self.before) if back else (self.before, self.after)
        changes = [(zone, "add", rule) for zone, rule in _missing(new, old)]
        changes += [(zone, "remove", rule) for zone, rule in _missing(old, new)]
        steps = Steps()
        for first in range(0, len(changes), _BATCH):
            rules: t.Dict[str, t.Dict[str, t.List[str]]] = {}
            for zone, what, rule in changes[first : first + _BATCH]:
                rules.setdefault(zone, {}).setdefault(what, []).append(rule)
            _step(steps, {"rules": rules})
        return steps

    def shown(self, rules: _Rules) -> t.Optional[str]:
        lines = ["zone %s: %s\n" % (zone, rule) for zone in sorted(rules) for rule in sorted(rules[zone])]
        return "".join(lines) or None


def _missing(wanted: _Rules, there: _Rules) -> t.Iterator[t.Tuple[str, str]]:
    for zone, rules in wanted.items():
        known = set(there.get(zone, []))
        for rule in rules:
            if rule not in known:
                yield zone, rule


@dataclass
class _File:
    """A file of ours, or a zone's that has our rules: its text before and after, and what firewalld is told."""

    path: str
    before: t.Optional[str]
    after: t.Optional[str]
    there: t.Dict[str, t.Any]
    wanted: t.Dict[str, t.Any]
    #: What the file says that came with firewalld, which a file of its own stands in for.
    origin: t.Optional[str] = None
    #: firewalld remembers something else than the file says.
    forgotten: bool = False

    @property
    def changed(self) -> bool:
        return self.forgotten or self.before != self.after

    def said(self, back: bool = False) -> t.Dict[str, t.Any]:
        old, new = (self.after, self.before) if back else (self.before, self.after)
        return dict(self.there if back else self.wanted, path=self.path, **{"from": old, "to": new})

    def diff(self) -> t.Dict[str, str]:
        old, new = (self.origin if text is None else text for text in (self.before, self.after))
        text = unified(self.path, old, new)
        return {"prepared": text or "--- %s\n+++ %s (firewalld is told of it)\n" % (self.path, self.path)}


@dataclass
class FirewalldPlan(Plan):
    """A plan with what it is to lead to."""

    running: _Running = field(default_factory=_Running)
    services: t.List[_File] = field(default_factory=list)
    zones: t.List[_File] = field(default_factory=list)


class Firewalld(Backend):
    """The adapter. Everything it knows about the host it reads anew in `read`."""

    name: t.ClassVar[str] = "firewalld"

    def __init__(self) -> None:
        self._state = State({})

    @classmethod
    def found(cls) -> t.Optional[str]:
        if not has("firewall-cmd") or run("firewall-cmd", "--state").returncode != 0:
            return None
        return "firewalld runs (firewall-cmd --state)"

    @property
    def version(self) -> str:
        return self._state.version

    def read(self) -> None:
        if not has("firewall-cmd"):
            raise FirewallError("there is no firewall-cmd on this host; install firewalld")
        done = run(*_program(), stdin=json.dumps({"read": True}))
        if done.returncode == 3:
            raise FirewallError("%s; start it (systemctl start firewalld), or leave backend out" % said(done))
        if done.returncode != 0:
            raise FirewallError(
                "firewalld cannot be asked for its state, by %s, which it runs on (0.9 or newer is needed): %s"
                % (_interpreter(), said(done))
            )
        self._state = State(json.loads(done.stdout))

    def plan(self, openings: t.Sequence[Opening]) -> FirewalldPlan:
        placements, notes = self._state.zones.place(openings)
        plan = FirewalldPlan(list(openings), notes=notes)
        wanted: t.Dict[str, t.Dict[Accept, None]] = {}
        for item in placements:
            wanted.setdefault(item.zone, {})[by_service(item.opening, item.network)] = None
        plan.running = self._running(placements)
        plan.services = self._services(openings, plan.notes)
        plan.zones = self._zones(wanted)
        plan.now += plan.running.steps()
        lasts: t.Dict[str, t.Any] = {
            "services": [item.said() for item in plan.services if item.changed],
            "zones": [item.said() for item in plan.zones if item.changed],
        }
        if any(lasts.values()):
            if plan.now:  # should firewalld have been reloaded before the change is confirmed
                lasts["rules"] = {zone: {"add": rules} for zone, rules in plan.running.after.items()}
            _step(plan.lasting, lasts)
        plan.undo += plan.running.steps(back=True)
        back = {
            "services": [item.said(back=True) for item in plan.services if item.changed],
            "zones": [item.said(back=True) for item in plan.zones if item.changed],
        }
        if any(back.values()):
            _step(plan.undo, back)
        if plan.now:
            before, after = (plan.running.shown(rules) for rules in (plan.running.before, plan.running.after))
            plan.diff.append({"prepared": unified("firewall-cmd --list-rich-rules (ours)", before, after)})
        plan.diff += [item.diff() for item in [*plan.services, *plan.zones] if item.changed]
        plan.notes += self._notes(placements)
        return plan

    def would_cut(self, plan: Plan, connection: Connection) -> t.Optional[str]:
        plan = t.cast("FirewalldPlan", plan)
        return cut_by(self._state, plan.running.before, plan.running.after, connection) if plan.now else None

    def check(self, plan: Plan) -> None:
        """Have firewalld's own checker read a copy of everything that lasts, with the change in it."""
        plan = t.cast("FirewalldPlan", plan)
        if not plan.lasting or not has("firewall-offline-cmd"):
            return
        with tempfile.TemporaryDirectory(prefix="autoprov-firewalld-") as folder:
            copy = os.path.join(folder, "firewalld")
            shutil.copytree(FOLDER, copy, symlinks=True)
            # A fault of the administrator's own is his, and was there before.
            before = run("firewall-offline-cmd", "--system-config=" + copy, "--check-config")
            for item in [*plan.services, *plan.zones]:
                path = os.path.join(copy, os.path.relpath(item.path, FOLDER))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if item.after is not None:
                    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                        stream.write(item.after)
                elif os.path.exists(path):
                    os.unlink(path)
            after = run("firewall-offline-cmd", "--system-config=" + copy, "--check-config")
        if before.returncode != 0:
            raise FirewallError(
                "what is configured in %s cannot be loaded as it is: %s; mend it first" % (FOLDER, said(before))
            )
        if after.returncode != 0:
            raise FirewallError("firewalld would refuse the change: %s" % said(after))

    def verify(self, plan: Plan) -> None:
        again = Firewalld()
        again.read()
        missing = again.plan(plan.openings).now
        if missing:
            raise FirewallError(
                "the rules that run do not carry the change, though firewalld took it; somebody changes them at the "
                "same time, or firewalld %s says them in another way than known" % again.version
            )

    def _running(self, placements: t.Sequence[Placement]) -> _Running:
        """Our rules that run: by the service where firewalld knows it with the right ports, by each port otherwise."""
        running = _Running()
        for zone, settings in self._state.running.items():
            ours = [rule for rule in settings.get("rules_str", []) if swap.is_ours(rule)]
            if ours:
                running.before[zone] = ours
        there_by_zone = {zone: set(rules) for zone, rules in running.before.items()}
        after: t.Dict[str, t.Dict[str, None]] = {}
        for item in placements:
            there = there_by_zone.get(item.zone, set())
            service = Service.of(item.opening)
            short = [by_service(item.opening, item.network).text]
            each = [rule.text for rule in by_ports(item.opening, item.network)]
            known = service.same_ports(self._state.services.get(service.name, {}))
            rules = short if known and (short[0] in there or not there.issuperset(each)) else each
            after.setdefault(item.zone, {}).update(dict.fromkeys(rules))
        running.after = {zone: list(rules) for zone, rules in after.items()}
        return running

    def _services(self, openings: t.Sequence[Opening], notes: t.List[str]) -> t.List[_File]:
        wanted = {service.name: service for service in map(Service.of, openings)}
        paths = glob.glob(service_path(glob.escape(PREFIX) + "*"))
        there = [os.path.splitext(os.path.basename(path))[0] for path in sorted(paths)]
        files = []
        for name in dict.fromkeys([*there, *wanted]):
            before = read_file(service_path(name))
            after = wanted[name].text if name in wanted else None
            users = self._users(name) if after is None else []
            if users:
                notes.append(
                    "service %s is kept, because %s names it; take it out there first" % (name, ", ".join(users))
                )
                after = before
            said = wanted[name].said() if name in wanted else {}
            old = _service_said(before) if before is not None else {}
            files.append(_File(service_path(name), before, after, dict(old, name=name), dict(said, name=name)))
        return files

    def _users(self, service: str) -> t.List[str]:
        """The files of others that name a service of ours, which could not be loaded without it."""
        users = []
        for path in sorted(glob.glob(FOLDER + "/*/*.xml")):
            text = swap.take_out(read_file(path) or "")[0]
            if re.search(r'<(service|include) [^>]*(name|service)="%s"' % re.escape(service), text):
                users.append(path)
        return users

    def _zones(self, wanted: t.Mapping[str, t.Iterable[Accept]]) -> t.List[_File]:
        files = []
        faults = []
        for zone in sorted(self._state.lasting):
            path, delivered = zone_path(zone), delivered_path(zone)
            before = read_file(path)
            rules = list(wanted.get(zone, []))
            text = before
            if before is None and rules:
                origin = read_file(delivered)
                if origin is None:
                    faults.append(
                        "zone %s has no file of its own (neither %s nor %s); name another zone"
                        % (zone, path, delivered)
                    )
                    continue
                text = swap.made_here(origin, delivered)
            if text is None:
                continue
            try:
                ElementTree.fromstring(text.encode("utf-8", "surrogateescape"))  # noqa: S314 -- root's own file
            except ElementTree.ParseError as exc:
                faults += ["%s cannot be read: %s; mend it first" % (path, exc)] if rules else []
                continue
            ours = swap.take_out(text)[1]
            texts = [rule.text for rule in rules]
            remembered = [rule for rule in self._state.lasting[zone].get("rules_str", []) if swap.is_ours(rule)]
            after: t.Optional[str] = text
            if sorted(ours) != sorted(texts):
                after = swap.put_in(text, [rule.block for rule in rules])
            if not rules:
                after = swap.unmade(after or "")
            about = {"zone": zone, "origin": delivered}
            files.append(
                _File(
                    path,
                    before,
                    after,
                    dict(about, **_zone_said(ours if before is not None else [])),
                    dict(about, **_zone_said(texts)),
                    read_file(delivered),
                    sorted(remembered) != sorted(texts),
                )
            )
        if faults:
            raise FirewallError(*faults)
        return files

    def _notes(self, placements: t.Sequence[Placement]) -> t.List[str]:
        notes = []
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


def _zone_said(rules: t.Sequence[str]) -> t.Dict[str, t.Any]:
    parsed = [Accept.parse(rule) for rule in rules]
    return {"rules": list(rules), "blocks": [rule.block for rule in parsed if rule is not None]}


def _service_said(text: str) -> t.Dict[str, t.Any]:
    """A definition that is there, as the program that exchanges wants it."""
    try:
        root = ElementTree.fromstring(text.encode("utf-8", "surrogateescape"))  # noqa: S314 -- our own file
    except ElementTree.ParseError:
        return {"short": "", "description": "", "ports": []}
    ports = [[str(item.get("port")), str(item.get("protocol"))] for item in root.findall("port")]
    return {"short": root.findtext("short", ""), "description": root.findtext("description", ""), "ports": ports}


def _step(steps: Steps, wanted: t.Dict[str, t.Any]) -> None:
    steps.run(*_program(), stdin=json.dumps(wanted), what=_WHAT)


def _program() -> t.List[str]:
    """The command that asks and changes firewalld. It carries its program, and needs nothing of this module."""
    return [_interpreter(), "-I", "-c", inspect.getsource(swap)]


def _interpreter() -> str:
    """The Python that firewalld runs on, which has D-Bus."""
    path = shutil.which("firewall-cmd", path=SEARCH_PATH)
    try:
        with open(path or "", encoding="utf-8", errors="replace") as stream:
            found = re.match(r"#!\s*(/\S+)", stream.readline())
    except OSError:
        found = None
    return found.group(1) if found and not found.group(1).endswith("/env") else "/usr/bin/python3"
