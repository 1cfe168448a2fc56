# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What must change in dnsmasq's files so that exactly the wanted settings are ours, and what collides."""

from __future__ import annotations

import os
import typing as t
from dataclasses import asdict, dataclass

from .. import files
from ..backend import Conflict
from ..errors import DhcpError
from ..files import FileChange
from ..intent import GLOBAL, PHONE, SHARED_NETWORK, SUBNET, VENDOR, OptionSetting, Scope
from ..options import display, option_name
from ..vendors import VENDORS
from . import text as dnsmasq_text
from .config import CommandLine, DnsmasqConfiguration
from .entries import Placement, Placer
from .model import DnsmasqModel, Route, Sent
from .precedence import NO, YES, Precedence, Situation

#: Our file in a folder that dnsmasq reads: the last by name, as of clients' tags the last line wins.
NAME_IN_FOLDER = "zz-autoprov.conf"
#: Our file beside the configuration, where dnsmasq reads no folder.
NAME_BESIDE = "dnsmasq-autoprov.conf"
Planned = t.Dict[str, t.Optional[bytes]]


@dataclass
class Draft:
    """A configuration as it would be."""

    settings: t.List[OptionSetting]
    changes: t.List[FileChange]
    conflicts: t.List[Conflict]
    configuration: DnsmasqConfiguration
    model: DnsmasqModel
    placement: Placement
    own_path: str


def own_paths(configuration: DnsmasqConfiguration) -> t.List[str]:
    """Where our file is or may be, the best place first."""
    folders = [item for item in configuration.folders if dnsmasq_text.is_read(NAME_IN_FOLDER, item.filters)]
    places = [os.path.join(item.path, NAME_IN_FOLDER) for item in folders]
    return [*places, os.path.join(os.path.dirname(configuration.main), NAME_BESIDE)]


def situations_of(scope: Scope, model: DnsmasqModel, placer: Placer) -> t.List[Situation]:
    """The clients a setting is for, as far as they differ in what is known of them."""
    if scope.kind == PHONE:
        return [Situation(mac=scope.name)]
    if scope.kind == VENDOR:
        vendor = VENDORS.get(scope.name)
        names = tuple({text.lower() for text in (scope.name, *vendor.option60_prefixes)}) if vendor else ()
        by_class = [Situation(vendor_class=prefix, begins=True, names=names) for prefix in scope.option60_prefixes]
        return by_class + [Situation(mac=oui.ljust(12, "?"), names=names) for oui in scope.ouis]
    if scope.kind in (SUBNET, SHARED_NETWORK):
        return [Situation(subnet=subnet) for subnet in placer.subnets_of(scope)]
    return [Situation()]


def draft(
    command: CommandLine, cwd: str, routes: t.Sequence[Route], settings: t.Sequence[OptionSetting], on_conflict: str
) -> Draft:
    """The configuration in which exactly `settings` are ours. Raises DhcpError with every fault found."""
    current = DnsmasqConfiguration(command, cwd)
    places = own_paths(current)
    # Read once: what is planned must be made from just what it is to replace.
    before: Planned = {path: files.read_bytes(path) for path in places}
    before.update(current.contents)
    existing = [path for path in places if before[path] is not None]
    own_path = existing[0] if existing and existing[0] != places[-1] else places[0]
    planned: Planned = {path: dnsmasq_text.without_ours(content) for path, content in current.contents.items()}
    planned.update(dict.fromkeys(existing))
    base = DnsmasqConfiguration(command, cwd, planned)
    settling = _Settling(DnsmasqModel(base, routes), base, planned, on_conflict)
    settling.settle(settings)
    placement: Placement = {}
    if settling.kept:
        placer = Placer(settling.model)
        planned[own_path] = placer.render(settling.kept).encode("ascii")
        placement = placer.placement
        if own_path == places[-1]:
            _include(base, planned, own_path)
    final = DnsmasqConfiguration(command, cwd, planned)
    if settling.kept and own_path not in final.contents:
        raise DhcpError("dnsmasq would not read %s; name its configuration file with config_file" % own_path)
    changes = [FileChange(path, before[path], after) for path, after in planned.items()]
    # Our file stands before anything names it, and goes when nothing does.
    changes.sort(key=lambda item: (item.after is None, item.path != own_path))
    return Draft(
        settling.kept,
        [item for item in changes if item.before != item.after],
        settling.conflicts,
        final,
        DnsmasqModel(final, routes),
        placement,
        own_path,
    )


def _include(base: DnsmasqConfiguration, planned: Planned, own_path: str) -> None:
    content = planned.get(base.main, base.contents.get(base.main))
    if content is None:
        raise DhcpError(
            "dnsmasq reads no folder, and %s does not exist; name the configuration file with config_file" % base.main
        )
    planned[base.main] = dnsmasq_text.with_include(content, own_path)


class _Settling:
    """Finds the administrator's lines for the same option at the same level; drops ours or theirs, as told."""

    def __init__(self, model: DnsmasqModel, base: DnsmasqConfiguration, planned: Planned, on_conflict: str) -> None:
        self.model = model
        self.kept: t.List[OptionSetting] = []
        self.conflicts: t.List[Conflict] = []
        self._base = base
        self._planned = planned
        self._on_conflict = on_conflict
        self._placer = Placer(model)
        self._precedence = Precedence(model)

    def settle(self, settings: t.Sequence[OptionSetting]) -> None:
        faults: t.List[str] = []
        replaced: t.Dict[t.Tuple[str, int], Sent] = {}
        for item in settings:
            situations = situations_of(item.scope, self.model, self._placer)
            theirs = [other for other in self.model.sent if self._is_same_level(item, other, situations)]
            if theirs and all(_does_the_same(other, item) for other in theirs):
                if all(self._precedence.verdict(theirs[-1].conditions, one) == YES for one in situations):
                    continue  # theirs does what ours would
                theirs = []
            for other in theirs:
                self.conflicts.append(
                    Conflict(str(item.scope), item.code, _shown(other), display(item.data), other.line.where)
                )
                replaced[other.line.path, other.line.number] = other
            if not theirs or self._on_conflict == "replace":
                self.kept.append(item)
        faults += self._placer.faults
        if self._on_conflict == "fail":
            faults += [
                "option %s, %s: the administrator has set %s in %s, wanted is %s; choose on_conflict=replace or "
                "keep, or change it there"
                % (option_name(item.code), item.scope, item.existing, item.where, item.wanted)
                for item in self.conflicts
            ]
        elif self._on_conflict == "replace":
            faults += self._replace(list(replaced.values()))
        if faults:
            raise DhcpError(*dict.fromkeys(faults), details={"conflicts": [asdict(item) for item in self.conflicts]})

    def _is_same_level(self, item: OptionSetting, other: Sent, situations: t.Sequence[Situation]) -> bool:
        if other.code != item.code:
            return False
        if not other.conditions or item.scope.kind == GLOBAL:
            return not other.conditions and item.scope.kind == GLOBAL
        verdict = self._precedence.verdict
        if item.scope.kind in (SUBNET, SHARED_NETWORK):
            elsewhere = [Situation(subnet=subnet) for subnet in self.model.subnets]
            elsewhere = [one for one in elsewhere if one not in situations]
            return (
                bool(situations)
                and all(verdict(other.conditions, one) == YES for one in situations)
                and all(verdict(other.conditions, one) == NO for one in elsewhere)
            )
        sources = [source for tag in other.conditions for source in self.model.sources.get(tag, [])]
        if len(other.conditions) != 1 or other.beside or not sources:
            return False
        if item.scope.kind == PHONE:
            return all(source.kind == "mac" and source.value == item.scope.name for source in sources)
        kinds = all(
            source.kind in ("class", "prefix") or (source.kind == "mac" and "?" in source.value) for source in sources
        )
        return kinds and any(verdict(other.conditions, one) == YES for one in situations)

    def _replace(self, theirs: t.Sequence[Sent]) -> t.List[str]:
        faults = []
        for other in theirs:
            line = other.line
            if line.name == "dhcp-boot":
                faults.append(
                    "%s: a dhcp-boot is more than its option %s, and is not replaced; remove what it says there, or "
                    "leave our option out (global_fallback=false)" % (line.where, option_name(other.code))
                )
            elif not line.path:
                faults.append(
                    "option %s is set on dnsmasq's command line, which is not changed here; remove it there"
                    % option_name(other.code)
                )
            else:
                content = self._planned.get(line.path)
                content = self._base.contents[line.path] if content is None else content
                self._planned[line.path] = dnsmasq_text.without_line(content, line.number)
        return faults


def _does_the_same(other: Sent, item: OptionSetting) -> bool:
    return other.data == item.data and other.forced and not other.beside


def _shown(other: Sent) -> str:
    name = " (by %s)" % other.line.name if other.beside else ""
    return (other.value or "nothing") + name
