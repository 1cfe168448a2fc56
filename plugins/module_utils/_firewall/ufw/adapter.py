# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""ufw: an application profile for each opening, and rules that let networks in to it.

What runs is changed in ufw's own chain, and ufw's files when the change is confirmed. Both are as ufw itself would have
made them, by `ufw allow from NETWORK to any app autoprov-NAME comment autoprov:NAME`; so `ufw status`, `ufw delete` and
`ufw app update` work on them.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
import tempfile
import typing as t
from dataclasses import dataclass, field

from ..backend import Backend, Connection, Plan
from ..errors import FirewallError
from ..host import file_mode, has, parse_address, read_file, run, said, unified
from ..intent import Opening
from ..ports import nobody
from ..steps import Steps
from . import swap
from .added import added, as_added
from .cut import closing, cut_by, open_to_others
from .rules import Rule, profiles_text, rules_in, rules_of, sections_in
from .side import FILES, FOLDER, Change, Side, read_side
from .swap import PREFIX, Json

PROFILES = FOLDER + "/applications.d/autoprov"
_CONFIG = FOLDER + "/ufw.conf"
_DEFAULTS = "/etc/default/ufw"
_WHAT = "ufw"
_INTERFACE = re.compile(r"^[a-zA-Z0-9_\-.+,=%@]+$")
_SETTING = re.compile(r"^(\w+)=[\"']?(\w+)[\"']?\s*$", re.MULTILINE)


@dataclass
class UfwPlan(Plan):
    """A plan with what it is to lead to."""

    changes: t.List[Change] = field(default_factory=list)
    #: The file of our application profiles, before and after.
    profiles: t.Tuple[t.Optional[str], t.Optional[str]] = (None, None)


class Ufw(Backend):
    """The adapter. Everything it knows about the host it reads anew in `read`."""

    name: t.ClassVar[str] = "ufw"

    def __init__(self) -> None:
        self._settings: t.Dict[str, str] = {}
        self._sides: t.Dict[int, Side] = {}
        self._profiles: t.Optional[str] = None

    @classmethod
    def found(cls) -> t.Optional[str]:
        if not has("ufw") or _settings().get("enabled") != "yes":
            return None
        return "ufw is enabled (%s)" % _CONFIG

    @property
    def version(self) -> str:
        found = re.search(r"^ufw (\S+)", run("ufw", "--version").stdout)
        return found.group(1) if found else ""

    @property
    def _active(self) -> bool:
        return self._settings.get("enabled") == "yes"

    @property
    def _filters_ipv6(self) -> bool:
        return self._settings.get("ipv6") == "yes" and os.path.exists("/proc/sys/net/ipv6")

    def read(self) -> None:
        if not has("ufw"):
            raise FirewallError("there is no ufw on this host; install ufw")
        self._settings = _settings()
        self._profiles = read_file(PROFILES)
        for version in FILES:
            runs = self._active and (version == 4 or self._filters_ipv6)
            self._sides[version] = read_side(version, runs)

    def plan(self, openings: t.Sequence[Opening]) -> UfwPlan:
        self._refuse(openings)
        plan = UfwPlan(list(openings))
        for version, side in self._sides.items():
            wanted = [rule for opening in openings for rule in rules_of(opening, version)]
            if version == 6 and not self._filters_ipv6:
                wanted = []
            # A rule with another comment is somebody's who has taken it for his own.
            taken = {_without_comment(rule) for rule in side.others}
            wanted = [rule for rule in dict.fromkeys(wanted) if _without_comment(rule) not in taken]
            plan.changes.append(Change(side, wanted, _text(side, wanted)))
        named = {rule.dapp for side in self._sides.values() for rule in side.others if rule.dapp.startswith(PREFIX)}
        text = profiles_text(openings, {})
        sections = sections_in(self._profiles or "")
        mine = sections_in(text or "")
        kept = {name: sections[name] for name in sorted(named & set(sections)) if name not in mine}
        plan.profiles = (self._profiles, profiles_text(openings, kept))
        self._steps(plan)
        self._tell(plan, named, sections)
        return plan

    def would_cut(self, plan: Plan, connection: Connection) -> t.Optional[str]:
        plan = t.cast("UfwPlan", plan)
        source = parse_address(connection.source)
        for change in plan.changes:
            if source is not None and change.side.version == source.version and (change.runs or change.lasts):
                after = rules_in(change.after)
                return cut_by(change.side.rules, after, self._policy, connection)
        return None

    def check(self, plan: Plan) -> None:
        """Have iptables judge what is to run, and ufw read a copy of its files with the change in it."""
        plan = t.cast("UfwPlan", plan)
        chains = [change.chain() for change in plan.changes if change.runs]
        done = run(*_program(), stdin=json.dumps({"chains": chains, "check": True}))
        if done.returncode:
            raise FirewallError("iptables would refuse the change: %s" % said(done))
        with tempfile.TemporaryDirectory(prefix="autoprov-ufw-") as root:
            _copy(root, plan)
            done = run("ufw", "--rootdir=" + root, "--datadir=" + root, "show", "added")
        if done.returncode:
            return  # this ufw keeps its things elsewhere, and cannot be asked about a copy
        wanted = {as_added(rule) for change in plan.changes for rule in change.wanted}
        found = added(done.stdout)
        if found != wanted:
            raise FirewallError(
                "ufw would read the change in another way than meant (`ufw show added`): without %s, with %s. %s"
                % (_listed(wanted - found), _listed(found - wanted), " ".join(done.stderr.split()))
            )

    def verify(self, plan: Plan) -> None:
        again = Ufw()
        again.read()
        if again.plan(plan.openings).now:
            raise FirewallError(
                "the rules that run do not carry the change, though iptables took it; somebody changes them at the "
                "same time (`ufw reload`?), or this iptables says them in another way than known"
            )

    @property
    def _policy(self) -> str:
        return self._settings.get("default_input_policy", "drop")

    def _refuse(self, openings: t.Sequence[Opening]) -> None:
        """Raise FirewallError for what cannot be here, all of it at once."""
        faults = nobody(openings)
        zones = dict.fromkeys(zone for opening in openings for zone in opening.sources.zones)
        if zones:
            faults.append("ufw has no zones (%s); say from where with networks or interfaces" % ", ".join(zones))
        for interface in dict.fromkeys(name for opening in openings for name in opening.sources.interfaces):
            if not _INTERFACE.match(interface):
                faults.append("ufw takes no interface %s; name each one as it is" % interface)
        if faults:
            raise FirewallError(*faults)

    def _steps(self, plan: UfwPlan) -> None:
        running = [change for change in plan.changes if change.runs]
        lasting = [change for change in plan.changes if change.lasts]
        old, new = plan.profiles
        mode = file_mode(PROFILES)
        files: t.List[Json] = [change.file() for change in lasting]
        back: t.List[Json] = [change.file(back=True) for change in lasting]
        if old != new:
            files.insert(0, {"path": PROFILES, "mode": mode, "from": old, "to": new})
            back.append({"path": PROFILES, "mode": mode, "from": new, "to": old})
        if running:
            _step(plan.now, {"chains": [change.chain() for change in running]})
            plan.diff += [{"prepared": change.shown()} for change in running]
        if files:
            # The chains once more: somebody may have had ufw load its files again in between.
            _step(plan.lasting, {"files": files, "chains": [change.chain() for change in running]})
            plan.diff += [{"prepared": unified(item["path"], item["from"], item["to"])} for item in files]
        if running or files:
            _step(plan.undo, {"chains": [change.chain(back=True) for change in running], "files": back})

    def _tell(self, plan: UfwPlan, named: t.Collection[str], sections: t.Mapping[str, str]) -> None:
        """Add what a person should know."""
        openings = plan.openings
        now = sections_in(plan.profiles[1] or "")
        for name in sorted(named):
            if name not in sections:
                plan.notes.append("a rule of yours names the application profile %s, which is not there" % name)
            elif sections[name] != now.get(name):
                plan.notes.append(
                    "a rule of yours names the application profile %s, whose ports have changed: `ufw app update %s` "
                    "has it follow" % (name, name)
                )
            elif name not in {rule.dapp for change in plan.changes for rule in change.wanted}:
                plan.notes.append("the application profile %s is kept, because a rule of yours names it" % name)
        if not openings:
            return
        if not self._active:
            plan.notes.append("ufw is not enabled: the rules are written, and take effect with `ufw enable`")
        elif self._sides[4].running is None:
            plan.notes.append("ufw is enabled but its rules are not loaded; `ufw reload`, or a restart, loads them")
        if not self._filters_ipv6:
            plan.notes.append("ufw does not filter IPv6 here (IPV6=no in %s): nothing is closed to it" % _DEFAULTS)
        for side in self._sides.values():
            plan.notes += closing(side.rules, [item for item in openings if rules_of(item, side.version)])
            plan.notes += open_to_others(side.rules, self._policy, openings)
        plan.notes = list(dict.fromkeys(plan.notes))


def _text(side: Side, wanted: t.Sequence[Rule]) -> str:
    """The file of a side with these rules of ours; as it is when they are there in whatever order."""
    if sorted(rule.said for rule, _unused in side.ours) == sorted(rule.said for rule in wanted):
        return side.text
    try:
        return swap.put_in(side.text, [rule.unit for rule in wanted])
    except ValueError as exc:
        raise FirewallError("%s: %s; `ufw reset` makes a new one" % (side.path, exc)) from exc


def _listed(items: t.Iterable[t.Tuple[str, ...]]) -> str:
    return ", ".join(sorted(" ".join(item) for item in items)) or "nothing"


def _without_comment(rule: Rule) -> t.Tuple[str, ...]:
    return tuple(rule.said.split()[:-1])


def _settings() -> t.Dict[str, str]:
    """ufw's settings, by name in lower case."""
    found: t.Dict[str, str] = {}
    for path in (_DEFAULTS, _CONFIG):
        for name, value in _SETTING.findall(read_file(path) or ""):
            found[name.lower()] = value.lower()
    return found


def _copy(root: str, plan: UfwPlan) -> None:
    """Make a root that ufw can be asked about: its files with the change in them, and nothing it would load."""
    for folder in ("etc/default", "lib/ufw", "usr/share"):
        os.makedirs(os.path.join(root, folder))
    shutil.copytree(FOLDER, root + FOLDER, symlinks=True)
    shutil.copy2(_DEFAULTS, root + _DEFAULTS)
    for name in ("ufw-init", "ufw-init-functions"):
        os.symlink("/lib/ufw/" + name, root + "/lib/ufw/" + name)
    os.symlink("/usr/share/ufw", root + "/usr/share/ufw")
    texts = {change.side.path: change.after for change in plan.changes}
    texts.update({PROFILES: plan.profiles[1] or "", _CONFIG: "ENABLED=no\nLOGLEVEL=low\n"})
    for path, text in texts.items():
        with open(root + path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(text)


def _step(steps: Steps, wanted: Json) -> None:
    steps.run(*_program(), stdin=json.dumps(wanted), what=_WHAT)


def _program() -> t.List[str]:
    """The command that exchanges our rules. It carries its program, and needs nothing of this module to be left."""
    return [sys.executable, "-I", "-c", inspect.getsource(swap)]
