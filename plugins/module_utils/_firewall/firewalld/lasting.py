# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What lasts in firewalld: the files of our services, and those of the zones our rules stand in."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import typing as t
from dataclasses import dataclass
from xml.etree import ElementTree

from ..errors import FirewallError
from ..host import read_file, run, said, unified
from ..intent import Opening
from . import swap
from .rules import FOLDER, Accept, Service, delivered_path, service_path, zone_path
from .running import ours
from .state import State, definition
from .swap import PREFIX


@dataclass
class File:
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
        """For the program that exchanges."""
        old, new = (self.after, self.before) if back else (self.before, self.after)
        return dict(self.there if back else self.wanted, path=self.path, **{"from": old, "to": new})

    def diff(self) -> t.Dict[str, str]:
        old, new = (self.origin if text is None else text for text in (self.before, self.after))
        text = unified(self.path, old, new)
        return {"prepared": text or "--- %s\n+++ %s (firewalld is told of it)\n" % (self.path, self.path)}


def services(openings: t.Sequence[Opening], notes: t.List[str]) -> t.List[File]:
    """What becomes of the files of our services; adds to `notes` which are kept, and why."""
    wanted = {service.name: service for service in map(Service.of, openings)}
    paths = glob.glob(service_path(glob.escape(PREFIX) + "*"))
    there = [os.path.splitext(os.path.basename(path))[0] for path in sorted(paths)]
    files = []
    for name in dict.fromkeys([*there, *wanted]):
        before = read_file(service_path(name))
        after = wanted[name].text if name in wanted else None
        users = _users(name) if after is None else []
        if users:
            notes.append("service %s is kept, because %s names it; take it out there first" % (name, ", ".join(users)))
            after = before
        told = wanted[name].said() if name in wanted else {}
        old = definition(before) if before is not None else {}
        files.append(File(service_path(name), before, after, dict(old, name=name), dict(told, name=name)))
    return files


def zones(state: State, wanted: t.Mapping[str, t.Iterable[Accept]]) -> t.List[File]:
    """What becomes of the files of zones, that these rules of ours stand in them. Raises FirewallError, all faults."""
    remembered = ours(state.lasting)
    files = []
    faults: t.List[str] = []
    for zone in sorted(state.lasting):
        rules = list(wanted.get(zone, []))
        file = _zone(zone, rules, faults)
        if file is not None:
            file.forgotten = sorted(remembered.get(zone, [])) != sorted(rule.text for rule in rules)
            files.append(file)
    if faults:
        raise FirewallError(*faults)
    return files


def check(files: t.Sequence[File]) -> None:
    """Have firewalld's own checker read a copy of everything, with these files in it. Raises FirewallError."""
    with tempfile.TemporaryDirectory(prefix="autoprov-firewalld-") as folder:
        copy = os.path.join(folder, "firewalld")
        shutil.copytree(FOLDER, copy, symlinks=True)
        # A fault of the administrator's own is his, and was there before.
        before = run("firewall-offline-cmd", "--system-config=" + copy, "--check-config")
        for item in files:
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


def _users(service: str) -> t.List[str]:
    """The files of others that name a service of ours, which could not be loaded without it."""
    users = []
    for path in sorted(glob.glob(FOLDER + "/*/*.xml")):
        text = swap.take_out(read_file(path) or "")[0]
        if re.search(r'<(service|include) [^>]*(name|service)="%s"' % re.escape(service), text):
            users.append(path)
    return users


def _zone(zone: str, rules: t.Sequence[Accept], faults: t.List[str]) -> t.Optional[File]:
    """What becomes of the file of a zone; None where there is nothing to do, or a fault."""
    path, delivered = zone_path(zone), delivered_path(zone)
    before, origin = read_file(path), read_file(delivered)
    text = before
    if before is None and rules:
        if origin is None:
            faults.append(
                "zone %s has no file of its own (neither %s nor %s); name another zone" % (zone, path, delivered)
            )
            return None
        text = swap.made_here(origin, delivered)
    if text is None:
        return None
    try:
        ElementTree.fromstring(text.encode("utf-8", "surrogateescape"))  # noqa: S314 -- root's own file
    except ElementTree.ParseError as exc:
        faults += ["%s cannot be read: %s; mend it first" % (path, exc)] if rules else []
        return None
    there = swap.take_out(text)[1]
    texts = [rule.text for rule in rules]
    after: t.Optional[str] = text
    if sorted(there) != sorted(texts):
        after = swap.put_in(text, [rule.block for rule in rules])
    if not rules:
        after = swap.unmade(after or "")
    about = {"zone": zone, "origin": delivered}
    return File(
        path,
        before,
        after,
        dict(about, **_said(there if before is not None else [])),
        dict(about, **_said(texts)),
        origin,
    )


def _said(rules: t.Sequence[str]) -> t.Dict[str, t.Any]:
    parsed = [Accept.parse(rule) for rule in rules]
    return {"rules": list(rules), "blocks": [rule.block for rule in parsed if rule is not None]}
