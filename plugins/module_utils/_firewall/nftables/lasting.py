# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What brings our rules back when the host starts, and when nftables.service starts again (which flushes everything).

* Our own table is a file of its own. Where nftables.service loads the administrator's rules, one line at the end of
  his file includes it. Rules for his chains are in it too, where they can be in a way that never keeps his file from
  being loaded: at the end of a chain, or at its beginning where nothing protects before.
* For everything else there is a unit of our own, ``autoprov-nft.service``, after those that load rules and again
  whenever they do. It runs the same small program that exchanges our rules in a run.
"""

from __future__ import annotations

import difflib
import glob
import inspect
import json
import os
import re
import shutil
import subprocess
import typing as t
from dataclasses import dataclass, field

from ..errors import FirewallError
from ..intent import Opening
from ..steps import SEARCH_PATH, Steps
from . import swap
from .elsewhere import Elsewhere
from .judge import Judge
from .rules import OwnTable
from .ruleset import Ruleset

DIRECTORY = "/etc/nftables.d"
RULES = DIRECTORY + "/autoprov.nft"
DATA = DIRECTORY + "/autoprov.json"
LIBRARY = "/usr/local/lib/autoprov-firewall"
PROGRAM = LIBRARY + "/nftables_swap.py"
UNIT_NAME = "autoprov-nft.service"
UNIT = "/etc/systemd/system/" + UNIT_NAME

_UNIT_FOLDERS = ("/lib/systemd/system", "/usr/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system")
#: Who loads rules when a host starts, and flushes ours by that.
_LOADERS = ("nftables.service", "netfilter-persistent.service", "iptables.service", "ip6tables.service")
_CONFIGS = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")
_OUR_FOLDER = "# The folder is ours as well.\n"
_INCLUDE = 'include "%s/autoprov*.nft"\n' % DIRECTORY  # with an asterisk, a missing file is no error
_MARK = "# Added by autoprov, and taken out by it with the last port: the ports that telephones need.\n"
_MARK_LINE_END = _MARK[:-2] + ", with the line end before.\n"
_BLOCK = re.compile("(?:\n%s|%s)%s" % tuple(map(re.escape, (_MARK_LINE_END, _MARK, _INCLUDE))))
_OTHER_INCLUDE = re.compile(r'^\s*include\s+"%s/(?:autoprov|\*)[^"]*"' % re.escape(DIRECTORY), re.MULTILINE)


@dataclass
class Lasting:
    """The files that are there, and those that are wanted."""

    #: By path; None is no such file. Modes are those of the files that are there, else 0644.
    before: t.Dict[str, t.Optional[str]] = field(default_factory=dict)
    after: t.Dict[str, t.Optional[str]] = field(default_factory=dict)
    #: The file that nftables.service loads, None where it does not.
    config: t.Optional[str] = None
    #: Every file that may have our line: that one, and one that was loaded once.
    configs: t.List[str] = field(default_factory=list)
    notes: t.List[str] = field(default_factory=list)

    @property
    def changed(self) -> t.List[str]:
        return [path for path in self.after if self.after[path] != self.before[path]]

    def steps(self) -> Steps:
        """What makes the files so."""
        steps = Steps()
        if not self.changed:
            return steps
        enable = self.after[UNIT] is not None
        if self.before[UNIT] is not None and not enable:
            steps.run("systemctl", "--quiet", "disable", *_now(), UNIT_NAME)
        # The line that includes a file comes after the file, and goes before it.
        paths = sorted(self.changed, key=lambda path: (path in self.configs) == (self.after[RULES] is not None))
        for path in paths:
            if self.after[path] is not None and not os.path.isdir(os.path.dirname(path)):
                steps.run("mkdir", "-p", os.path.dirname(path))
        for path in paths:
            steps.write(path, self.after[path], _mode(path))
        _remove_folders(steps, self)
        if UNIT in self.changed or enable:
            if os.path.isdir("/run/systemd/system"):
                steps.run("systemctl", "daemon-reload")
            if enable:
                steps.run("systemctl", "--quiet", "enable", UNIT_NAME)
            if enable and os.path.isdir("/run/systemd/system"):
                steps.run("systemctl", "restart", UNIT_NAME)
        return steps

    def undo(self) -> Steps:
        """What makes them as they were, whatever of `steps` was done."""
        steps = Steps()
        if not self.changed:
            return steps
        if self.before[UNIT] is None and self.after[UNIT] is not None:
            command = "systemctl --quiet disable %s %s 2>/dev/null || true" % (" ".join(_now()), UNIT_NAME)
            steps.run("sh", "-c", command)
        for path in sorted(self.changed, key=lambda path: path not in self.configs):
            if os.path.isdir(os.path.dirname(path)):
                steps.write(path, self.before[path], _mode(path))
            else:
                steps.run("sh", "-c", 'rm -f -- "$1"', "sh", path)
        _remove_folders(steps, self)
        if UNIT in self.changed and os.path.isdir("/run/systemd/system"):
            steps.run("systemctl", "daemon-reload")
        return steps

    def diff(self) -> t.List[t.Dict[str, str]]:
        """Unified diffs of the files a person reads. Those that only our unit reads are named."""
        found = []
        for path in self.changed:
            old, new = self.before[path], self.after[path]
            if path in (PROGRAM, DATA):
                what = "its program" if path == PROGRAM else "the same rules"
                old, new = old and "(what was there)\n", new and "(%s, for %s)\n" % (what, UNIT_NAME)
            found.append({"prepared": unified(path, old, new)})
        return found

    def check(self) -> None:
        """Have nft judge the administrator's file with ours included, changing nothing. Raises FirewallError."""
        if self.config is None or self.config not in self.changed or self.after[RULES] is None:
            return
        without = _BLOCK.sub("", self.before[self.config] or "")
        try:
            swap.nft("-c", "-f", "-", stdin=without)
        except RuntimeError as exc:
            raise FirewallError(
                "%s cannot be loaded as it is, so nothing would be there after a restart: %s; mend it first"
                % (self.config, exc)
            ) from exc
        try:
            swap.nft("-c", "-f", "-", stdin="%s\n%s" % (without, self.after[RULES]))
        except RuntimeError as exc:
            raise FirewallError("%s cannot be loaded with our rules: %s" % (self.config, exc)) from exc


def unified(name: str, old: t.Optional[str], new: t.Optional[str]) -> str:
    """A unified diff; None is that there is nothing."""
    here, there = ("/dev/null" if text is None else name for text in (old, new))
    before, after = ((text or "").splitlines(keepends=True) for text in (old, new))
    text = "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, after, here, there)
    )
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def lasting(own: OwnTable, elsewhere: Elsewhere, openings: t.Sequence[Opening]) -> Lasting:
    """The files that bring these rules back. Raises FirewallError when a file cannot be read."""
    found = Lasting(config=config_of_service())
    for path in (RULES, DATA, PROGRAM, UNIT):
        found.before[path] = _read(path)
        found.after[path] = None
    for path in dict.fromkeys([*filter(None, [found.config]), *map(os.path.realpath, _CONFIGS)]):
        text = _read(path)
        if text is not None and (path == found.config or _BLOCK.search(text)):
            found.configs.append(path)
            found.before[path] = text
            found.after[path] = _BLOCK.sub("", text)
    if not own.accepts:
        return found
    text = _heading(found) + own.script()
    by_unit = bool(elsewhere.rules)
    if found.config is not None:
        plain = t.cast("str", found.after[found.config])
        if _OTHER_INCLUDE.search(plain) is None:
            found.after[found.config] = _with_block(plain)
            static, by_unit = _static(plain, elsewhere, openings)
            text += static
    else:
        by_unit = True
    found.after[RULES] = text
    if by_unit and shutil.which("systemctl", path=SEARCH_PATH) is None:
        what = "rules in chains of others" if found.config else "rules"
        found.notes.append(
            "nothing on this host brings our %s back when it starts: neither nftables.service nor systemd is there; "
            "have `nft -f %s` run at its start, or run this again" % (what, RULES)
        )
    elif by_unit:
        said = elsewhere.wanted(handles=False).said(own.script())
        found.after[DATA] = json.dumps(said, indent=1, sort_keys=True) + "\n"
        found.after[PROGRAM] = inspect.getsource(swap)
        found.after[UNIT] = _unit()
        if found.config is not None:
            found.notes.append(
                "after `nft -f %s` by hand, run `systemctl restart %s`: it puts our rules back into chains of others "
                "(a restart or reload of nftables.service does so by itself)" % (found.config, UNIT_NAME)
            )
    return found


def config_of_service() -> t.Optional[str]:
    """The file that nftables.service loads when the host starts; None when it is not enabled."""
    if not glob.glob("/etc/systemd/system/*.wants/nftables.service"):
        return None
    found = None
    for folder in _UNIT_FOLDERS:
        unit = os.path.join(folder, "nftables.service")
        for path in (unit, *sorted(glob.glob(unit + ".d/*.conf"))):
            # Debian's file is /etc/nftables.conf, Red Hat's /etc/sysconfig/nftables.conf.
            for line in (_read(path) or "").splitlines():
                named = re.match(r"^ExecStart=\S*nft\s.*?-f\s*(/\S+)", line)
                found = named.group(1) if named else found
    return os.path.realpath(found) if found and os.path.isfile(found) else None


def _static(plain: str, elsewhere: Elsewhere, openings: t.Sequence[Opening]) -> t.Tuple[str, bool]:
    """Rules for the chains that the administrator's file makes, and whether our unit is needed all the same.

    An nft script cannot say "before the last rule" without failing when there are fewer rules by then, and what fails
    here would keep all his rules from being loaded.
    """
    if not elsewhere.rules:
        return "", False
    ruleset = _ruleset_of(plain)
    if ruleset is None:
        return "", True
    script = []
    exact = set()
    for item in Elsewhere.of(Judge(ruleset), openings, tell=False).rules:
        where = " ".join(item.chain.key)
        # Both are there already; should the administrator have renamed them by then, this is no error either.
        there = ["add table %s %s" % item.chain.key[:2], "add chain " + where]
        if item.place.before is None:
            script += [*there, "add rule %s %s" % (where, item.line.text())]
            exact.add((item.chain.key, item.line))
        elif item.place.lowest == 0:
            # Good until he adds a rule that protects; so our unit sees to it as well.
            script += [*there, "insert rule %s %s" % (where, item.line.text())]
    needed = any((item.chain.key, item.line) not in exact for item in elsewhere.rules)
    return "".join(line + "\n" for line in dict.fromkeys(script)), needed


def _ruleset_of(config: str) -> t.Optional[Ruleset]:
    """What the administrator's file makes of an empty host, tried in a namespace of its own; None if unknown."""
    unshare = shutil.which("unshare", path=SEARCH_PATH)
    if unshare is None:
        return None
    try:
        done = subprocess.run(
            [unshare, "--net", "sh", "-c", "nft -f - && nft -j list ruleset"],
            input=config,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=swap.TIMEOUT,
            env=dict(os.environ, PATH=SEARCH_PATH, LC_ALL="C"),
            check=True,
        )
        items = json.loads(done.stdout)["nftables"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
    return Ruleset(items, [item["set"] for item in items if "set" in item])


def _with_block(plain: str) -> str:
    if plain and not plain.endswith("\n"):
        return plain + "\n" + _MARK_LINE_END + _INCLUDE
    return plain + _MARK + _INCLUDE


def _heading(found: Lasting) -> str:
    ours = not os.path.isdir(DIRECTORY) or _OUR_FOLDER in (found.before[RULES] or "")
    return (
        "# Made by autoprov (firewall_ports): the ports that telephones need. Changes here are lost; run it again.\n"
        + (_OUR_FOLDER if ours else "")
    )


def _remove_folders(steps: Steps, found: Lasting) -> None:
    """Folders that we made and that are empty then."""
    ours = any(_OUR_FOLDER in (text or "") for text in (found.before[RULES], found.after[RULES]))
    for folder in ([DIRECTORY] if ours else []) + [LIBRARY]:
        steps.run("sh", "-c", '[ ! -d "$1" ] || rmdir --ignore-fail-on-non-empty "$1"', "sh", folder)


def _unit() -> str:
    loaders = " ".join(_LOADERS)
    python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else shutil.which("python3", path=SEARCH_PATH)
    return """# Made by autoprov (firewall_ports), and removed by it with the last port.
[Unit]
Description=Ports that telephones need, in nftables
DefaultDependencies=no
RequiresMountsFor=/usr/local /etc
After={loaders}
PartOf={loaders}
ReloadPropagatedFrom={loaders}
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} -I {program} {data}
ExecReload={python} -I {program} {data}

[Install]
WantedBy=sysinit.target {loaders}
""".format(loaders=loaders, python=python, program=PROGRAM, data=DATA)


def _now() -> t.List[str]:
    return ["--now"] if os.path.isdir("/run/systemd/system") else []


def _read(path: str) -> t.Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise FirewallError("%s cannot be read: %s; run as root (become: true)" % (path, exc.strerror)) from exc


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode & 0o7777
    except OSError:
        return 0o644
