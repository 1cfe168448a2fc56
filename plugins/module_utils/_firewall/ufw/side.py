# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""ufw's rules for IPv4, or for IPv6: its file of them, its chain that runs, and what becomes of both."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..errors import FirewallError
from ..host import file_mode, read_file, run, said, unified
from . import swap
from .rules import CHAINS, Rule, ours_in_file, rules_in
from .swap import Json, Meaning

FOLDER = "/etc/ufw"
FILES = {4: FOLDER + "/user.rules", 6: FOLDER + "/user6.rules"}
PROGRAMS = {4: "iptables", 6: "ip6tables"}


@dataclass
class Side:
    """IPv4 or IPv6: ufw's file and its chain that runs."""

    version: int
    text: str = ""
    #: The chain's rules as iptables lists them; None when ufw's are not loaded.
    running: t.Optional[t.List[str]] = None

    @property
    def path(self) -> str:
        return FILES[self.version]

    @property
    def rules(self) -> t.List[Rule]:
        """Every rule of the file."""
        return rules_in(self.text)

    @property
    def ours(self) -> t.List[t.Tuple[Rule, str]]:
        return ours_in_file(self.text)

    @property
    def others(self) -> t.List[Rule]:
        mine = {rule for rule, _unused in self.ours}
        return [rule for rule in self.rules if rule not in mine]

    @property
    def kept(self) -> t.List[Meaning]:
        """What rules of others mean that name a profile of ours."""
        return [what for what in (rule.meaning for rule in self.others) if what is not None]


@dataclass
class Change:
    """What becomes of one side."""

    side: Side
    wanted: t.List[Rule]
    after: str

    @property
    def lasts(self) -> bool:
        return self.after != self.side.text

    @property
    def runs(self) -> bool:
        """Whether what runs has to change."""
        if self.side.running is None:
            return False
        there = swap.ours_in(self.side.running, self.side.kept)
        return sorted(entry[2] for entry in there) != sorted(filter(None, (r.meaning for r in self.wanted)))

    def chain(self, back: bool = False) -> Json:
        """For the program that exchanges."""
        rules: t.Sequence[t.Any] = [rule.line for rule in self.wanted]
        if back:
            there = swap.ours_in(self.side.running or [], self.side.kept)
            rules = [[place, rule] for place, rule, _unused in there]
        chain, program = CHAINS[self.side.version], PROGRAMS[self.side.version]
        return {"program": program, "chain": chain, "rules": rules, "kept": self.side.kept}

    def file(self, back: bool = False) -> Json:
        """For the program that exchanges."""
        old, new = (self.after, self.side.text) if back else (self.side.text, self.after)
        ours = [lines for _unused, lines in self.side.ours] if back else [rule.unit for rule in self.wanted]
        path = self.side.path
        return {"path": path, "mode": file_mode(path, 0o640), "from": old, "to": new, "rules": ours}

    def shown(self) -> str:
        """The difference of what runs."""
        there = swap.ours_in(self.side.running or [], self.side.kept)
        after = "".join("%s\n" % " ".join(filter(None, rule.meaning or ())) for rule in self.wanted)
        before = "".join("%s\n" % " ".join(filter(None, entry[2])) for entry in there)
        return unified("%s -S %s (ours)" % (PROGRAMS[self.side.version], CHAINS[self.side.version]), before, after)


def read_side(version: int, runs: bool) -> Side:
    """Read the file of a version of IP, and its chain where ufw runs. Raises FirewallError."""
    text = read_file(FILES[version])
    if text is None:
        raise FirewallError("%s is missing, which ufw keeps its rules in; `ufw reset` makes a new one" % FILES[version])
    return Side(version, text, _chain(version) if runs else None)


def _chain(version: int) -> t.Optional[t.List[str]]:
    """The rules of ufw's chain that runs; None when ufw has loaded nothing. Raises FirewallError when it is cut off."""
    chain = CHAINS[version]
    done = run(PROGRAMS[version], "-S")
    if done.returncode != 0:
        raise FirewallError("%s cannot be asked what runs: %s" % (PROGRAMS[version], said(done)))
    rules: t.Dict[str, t.List[str]] = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if words[:1] in (["-N"], ["-P"]):
            rules.setdefault(words[1], [])
        elif words[:1] == ["-A"]:
            rules.setdefault(words[1], []).append(line)
    if not any(name.startswith("ufw") for name in rules):
        return None
    reached: t.Dict[str, None] = {}
    left = ["INPUT"]
    while left:
        name = left.pop()
        if name in rules and name not in reached:
            reached[name] = None
            left += [target for line in rules[name] for target in re.findall(r" -[jg] (\S+)", line)]
    if chain not in reached:
        raise FirewallError(
            "ufw is enabled, but somebody has %s its chain %s, so nothing that is allowed there gets in; `ufw reload` "
            "makes it anew" % ("taken INPUT's way to" if chain in rules else "deleted", chain)
        )
    return rules[chain]
