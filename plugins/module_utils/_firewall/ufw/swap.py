# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Exchange what is ours in ufw: in its chains that run, in one transaction each, and in its files.

ufw itself knows no difference between what runs and what lasts, and reloads by emptying its chains first. So its chains
are changed as iptables-restore does it, and its files as a person would edit them, both under ufw's own lock.

This file is imported by the module; it is also a whole program (``python -c``), for the timer that takes a change back.
So it imports nothing but the standard library. What it is told is JSON by standard input:

* ``chains``: for each, ``program`` (iptables or ip6tables), ``chain``, and the ``rules`` of ours it is to have, either
  where ours are, or with how many rules of others each has before it (``[number, rule]``). ``kept``: the meanings of
  rules of others that name a profile of ours.
* ``files``: for each, ``path``, ``mode``, the text it was planned ``from`` and the one it goes ``to`` (null is no
  file). ``rules``: our part of a file of rules, should somebody have changed it since.
* ``check``: have iptables judge it, and change nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import re
import shlex
import subprocess
import sys
import time
import typing as t

Json = t.Dict[str, t.Any]
#: What a rule of ours means: interface, version of IP and sender, destination, protocol, ports, application profile.
Meaning = t.Tuple[str, ...]

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin"
TIMEOUT = 50.0  # seconds
LOCK = "/run/ufw.lock"  # ufw's own
#: What all our application profiles begin with, and the comments of our rules.
PREFIX = "autoprov-"
COMMENT = "autoprov:"
_TAG = "dapp_" + PREFIX  # in the comment that ufw gives a rule of a profile
_END = "\n### END RULES ###\n"
_BEGIN = "### RULES ###\n"
#: A rule in ufw's files: how ufw says it, and the lines for iptables.
UNIT = re.compile(
    r"\n### tuple ### ([^\n]*)\n(?:-A ufw6?-user-(?:input|output|forward|logging-(?:in|out|for)\w+) [^\n]*\n)*"
)
_OURS = re.compile(
    r"^allow \S+ \S+ \S+ \S+ \S+ %s\S+ - in(_\S+)? comment=%s[0-9a-f]*$" % (PREFIX, COMMENT.encode().hex())
)
_FLAGS = {"-s": "source", "-d": "destination", "-i": "interface", "-p": "protocol", "-j": "target"}
_PORTS = ("--dport", "--dports")


# Files


def is_ours(rule: str) -> bool:
    """Whether a rule, as ufw says it in its files, is one of ours."""
    return bool(_OURS.match(rule.strip()))


def units(text: str) -> t.List[t.Tuple[str, str]]:
    """The rules in a file of ufw's: each as ufw says it, and with its lines."""
    return [(found.group(1).strip(), found.group(0)) for found in UNIT.finditer(text)]


def put_in(text: str, ours: t.Sequence[str]) -> str:
    """A file of ufw's with these rules of ours (with their lines), and no others of ours. Raises ValueError."""
    first: t.List[int] = []

    def judge(found: "t.Match[str]") -> str:
        if not is_ours(found.group(1)):
            return found.group(0)
        first.append(found.start())
        return ""

    plain = UNIT.sub(judge, text)
    if not ours:
        return plain
    if first:
        place = first[0]
    elif _END in plain:
        place = plain.rindex(_END)
    elif _BEGIN in plain:  # as it comes with ufw, before anything was added
        place = plain.index(_BEGIN) + len(_BEGIN)
    else:
        raise ValueError("it has no section of rules, so it was not written by ufw")
    return plain[:place] + "".join(ours) + plain[place:]


def _read(path: str) -> t.Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _write(path: str, text: str, mode: int) -> None:
    temporary = os.path.join(os.path.dirname(path), ".autoprov-%d" % os.getpid())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text.encode("utf-8", "surrogateescape"))
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(temporary, path)
    handle = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange_file(item: Json) -> None:
    there, text = _read(item["path"]), item["to"]
    if there not in (item["from"], text) and there is not None and item.get("rules") is not None:
        text = put_in(there, item["rules"])  # somebody has changed it since; what is his stays
    if text == there:
        return
    if text is None:
        os.unlink(item["path"])
    else:
        _write(item["path"], text, item["mode"])


# Chains


def meaning(line: str) -> t.Optional[Meaning]:
    """What a rule means, as iptables lists it or as ufw writes it; None when it cannot be one of ours."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    said = {"source": "", "destination": "", "interface": "", "protocol": "", "target": "", "ports": "", "app": ""}
    place = 2 if words[:1] == ["-A"] else 0
    while place < len(words):
        word, value = words[place], words[place + 1] if place + 1 < len(words) else ""
        if word in _FLAGS:
            said[_FLAGS[word]] = value
        elif word in _PORTS:
            said["ports"] = value
        elif word == "--comment":
            found = re.match(r"^[\\']*dapp_(%s.*?)[\\']*$" % PREFIX, value)  # iptables adds backslashes
            said["app"] = found.group(1) if found else ""
        elif word != "-m":
            return None
        place += 2
    if said["target"] != "ACCEPT" or not said["app"] or not said["ports"]:
        return None
    networks = [_network(said[name]) for name in ("source", "destination")]
    return (said["interface"], *networks, said["protocol"], said["ports"], said["app"])


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False)) if text else ""


def listed(program: str, chain: str) -> t.Optional[t.List[str]]:
    """The rules of a chain that runs, None when there is no such chain."""
    try:
        done = _run([program, "-S", chain])
    except OSError:
        return None
    if done.returncode:
        return None
    return [line for line in done.stdout.splitlines() if line.startswith("-A ")]


def ours_in(lines: t.Sequence[str], kept: t.Collection[Meaning]) -> t.List[t.Tuple[int, str, Meaning]]:
    """Our rules of a chain: how many of others come before, the rule, what it means."""
    found: t.List[t.Tuple[int, str, Meaning]] = []
    for index, line in enumerate(lines):
        if _TAG in line:
            what = meaning(line) or (line,)  # what nobody can read is ours all the same
            if what not in kept:
                found.append((index - len(found), line.split(" ", 2)[2], what))
    return found


def _exchange_chain(item: Json, check: bool) -> None:
    for attempt in range(3):
        lines = listed(item["program"], item["chain"])
        if lines is None:
            return  # ufw's rules are not loaded; its files are all there is
        script = _script(item, lines)
        if not script:
            return
        done = _run([item["program"] + "-restore", "--noflush", *(["--test"] if check else [])], script)
        if done.returncode == 0:
            return
        if attempt == 2:  # before that, somebody else may have changed the chain in between
            said = " ".join(done.stderr.split())
            raise RuntimeError("%s-restore refused it: %s" % (item["program"], said or "no reason given"))


def _script(item: Json, lines: t.Sequence[str]) -> str:
    """What makes the chain so, for iptables-restore: one transaction; empty when it is so."""
    chain = item["chain"]
    there = ours_in(lines, {tuple(what) for what in item["kept"]})
    others = len(lines) - len(there)
    place = there[0][0] if there else others
    wanted = [(place, rule) if isinstance(rule, str) else (min(rule[0], others), rule[1]) for rule in item["rules"]]
    if [(number, what) for number, _unused, what in there] == [(number, meaning(rule)) for number, rule in wanted]:
        return ""
    script = ["-D %s %s" % (chain, entry[1]) for entry in there]
    for index, (number, rule) in enumerate(wanted):
        if number == others:
            script.append("-A %s %s" % (chain, rule))
        else:
            script.append("-I %s %d %s" % (chain, number + index + 1, rule))
    return "".join("%s\n" % line for line in ["*filter", *script, "COMMIT"])


def _run(command: t.Sequence[str], stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(command),
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=TIMEOUT,
        env=dict(os.environ, PATH=SEARCH_PATH, LC_ALL="C"),
        check=False,
    )


# Everything


@contextlib.contextmanager
def _locked() -> t.Iterator[None]:
    """Hold ufw's lock, which ends with this process."""
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(
                        "ufw has been at work for %d seconds (%s); try again" % (TIMEOUT, LOCK)
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def exchange(wanted: Json) -> t.List[str]:
    """Do what is wanted. Returns the faults."""
    faults = []
    check = bool(wanted.get("check"))
    with _locked():
        for item in wanted.get("chains") or []:
            try:
                _exchange_chain(item, check)
            except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
                faults.append("chain %s: %s" % (item["chain"], exc))
        for item in [] if check else wanted.get("files") or []:
            try:
                _exchange_file(item)
            except (OSError, ValueError) as exc:
                faults.append("%s: %s" % (item["path"], exc))
    return faults


def main() -> int:
    """Do what standard input says. Returns 0, or 1 with the faults on standard error."""
    try:
        faults = exchange(json.load(sys.stdin))
    except (OSError, ValueError, RuntimeError) as exc:
        faults = [str(exc)]
    sys.stderr.write("".join("%s\n" % fault for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
