# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Exchange everything of ours in nftables, in one transaction: our own table, and our rules in chains of others.

Rules in chains of others are found by their comment, ``autoprov:NAME``, wherever they are by now. This file is imported
by the module; it is also a whole program, for the timer that takes a change back (``python -c``) and for the host's
start (``autoprov-nft.service``). So it imports nothing but the standard library.

What it is told (JSON, by a file or by standard input):

* ``table``: a script for our own table, which replaces or deletes it; empty leaves it alone.
* ``rules``: those for chains of others: ``family``, ``table``, ``chain``, ``rule`` (text), and ``before``: which of the
  ``anchors`` it goes before, or null for the end of the chain.
* ``anchors``: rules of others, by ``expr`` and, where it is known, ``handle``.
* ``strict``: refuse when a chain, or the rule to go before, is no longer there. Otherwise a chain that is gone is
  passed over, and another place is found: that of a rule that reads the same, the end, or before a final drop.
* ``check``: have nft judge it, and change nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import typing as t

Json = t.Dict[str, t.Any]
ChainKey = t.Tuple[str, str, str]  # family, table, chain

SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin"
TIMEOUT = 60.0  # seconds
ATTEMPTS = 3
#: The family and the name of our own table.
OWN_TABLE = ("inet", "autoprov")
TAG = re.compile(r"^autoprov:[a-z][a-z0-9_]{0,30}$")
#: Tables of iptables-nft, which cannot read every rule that nft can write.
IPTABLES_TABLES = ("filter", "mangle", "nat", "raw", "security")


def nft(*words: str, stdin: str = "") -> str:
    """What nft prints. Raises RuntimeError with what it says when it fails."""
    try:
        done = subprocess.run(
            ["nft", *words],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            env=dict(os.environ, PATH=SEARCH_PATH, LC_ALL="C"),
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise RuntimeError("nft cannot be run: %s" % exc) from exc
    if done.returncode:
        raise RuntimeError("nft says: %s" % (" ".join((done.stderr or done.stdout).split()) or "nothing"))
    return done.stdout


def read_ruleset() -> t.List[Json]:
    """All tables, chains, rules and sets (those with a name without their elements). Raises RuntimeError."""
    try:
        return t.cast("t.List[Json]", json.loads(nft("-j", "-t", "list", "ruleset"))["nftables"])
    except (ValueError, KeyError) as exc:
        raise RuntimeError("nft does not answer in JSON: %s; install an nft that was built with it" % exc) from exc


def rules_by_chain(ruleset: t.Sequence[Json]) -> t.Dict[ChainKey, t.List[Json]]:
    """The rules of each chain in their order, each chain of the ruleset, also an empty one."""
    chains: t.Dict[ChainKey, t.List[Json]] = {}
    for item in ruleset:
        chain, rule = item.get("chain"), item.get("rule")
        if chain is not None:
            chains.setdefault((chain["family"], chain["table"], chain["name"]), [])
        elif rule is not None:
            chains.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule)
    _add_saved(chains)
    return chains


def iptables_table(family: str, table: str) -> bool:
    """Whether a table has a name that iptables uses: what stands there, iptables must be able to read."""
    return family in ("ip", "ip6") and table in IPTABLES_TABLES


def has_xt(rule: Json) -> bool:
    """Whether a part of the rule is known to iptables alone."""
    return any("xt" in part for part in rule.get("expr", ()))


def _add_saved(chains: t.Dict[ChainKey, t.List[Json]]) -> None:
    """Add to the rules of iptables-nft's tables what iptables-save says of them (`saved`), and their comments.

    What iptables wrote is partly in a form that iptables alone reads, also after `iptables-restore` of our own rules.
    """
    wanted = {key[:2] for key, rules in chains.items() if iptables_table(*key[:2]) and any(map(has_xt, rules))}
    for family, table in sorted(wanted):
        saved = _saved(family, table)
        for key, rules in chains.items():
            lines = saved.get(key[2], [])
            if key[:2] != (family, table) or len(lines) != len(rules):
                continue  # changed in between, or written in a way that iptables does not list
            for rule, line in zip(rules, lines):  # noqa: B905 -- Python 3.8 on hosts
                rule["saved"] = line
                found = re.search(r'--comment (?:"((?:[^"\\]|\\.)*)"|(\S+))', line)
                if found and "comment" not in rule:
                    rule["comment"] = found.group(1) or found.group(2)


def _saved(family: str, table: str) -> t.Dict[str, t.List[str]]:
    """The rules of each chain as iptables-save prints them; nothing where iptables is not installed, or the old one."""
    names = ("iptables-nft-save", "iptables-save") if family == "ip" else ("ip6tables-nft-save", "ip6tables-save")
    program = next((found for found in (shutil.which(name, path=SEARCH_PATH) for name in names) if found), None)
    lines: t.Dict[str, t.List[str]] = {}
    if program is None:
        return lines
    try:
        text = subprocess.run(
            [program, "-t", table], capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return lines
    for line in text.splitlines():
        if line.startswith("-A "):
            lines.setdefault(line.split(" ", 2)[1], []).append(line)
    return lines


def tagged(rule: Json) -> bool:
    """Whether a rule is one of ours in a chain of others."""
    return (rule["family"], rule["table"]) != OWN_TABLE and bool(TAG.match(str(rule.get("comment") or "")))


def meaning(expr: t.Any) -> t.Any:
    """The parts of a rule without what counts by itself."""
    if isinstance(expr, list):
        return [meaning(item) for item in expr]
    if isinstance(expr, dict):
        return {key: None if key in ("counter", "used", "handle") else meaning(item) for key, item in expr.items()}
    return expr


def swap(wanted: Json) -> t.List[str]:
    """Do it. Returns what a person should know. Raises RuntimeError when nothing was changed."""
    for attempt in range(ATTEMPTS):
        script, remarks = _script(wanted)
        try:
            nft(*(["-c"] if wanted.get("check") else []), "-f", "-", stdin=script)
            return remarks
        except RuntimeError:
            # Somebody else may have changed the chain in between. What is wrong with us is wrong again.
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _script(wanted: Json) -> t.Tuple[str, t.List[str]]:
    chains = rules_by_chain(read_ruleset())
    lines = [wanted.get("table") or ""]
    remarks = []
    for rules in chains.values():
        for rule in rules:
            if tagged(rule):
                lines.append("delete rule %(family)s %(table)s %(chain)s handle %(handle)d" % rule)
    for rule in wanted.get("rules") or []:
        key = (rule["family"], rule["table"], rule["chain"])
        where = "%s %s %s" % key
        if key not in chains:
            gone = "chain %s of table %s %s is not there any more" % (key[2], key[0], key[1])
            if wanted.get("strict"):
                raise RuntimeError("%s; somebody deleted it meanwhile. Run this again" % gone)
            remarks.append("%s, so nothing was put there" % gone)
            continue
        others = [item for item in chains[key] if not tagged(item)]
        before = None if rule.get("before") is None else wanted["anchors"][rule["before"]]
        handle = _place(before, others, bool(wanted.get("strict")), where)
        if handle is None:
            lines.append("add rule %s %s" % (where, rule["rule"]))
        else:
            lines.append("insert rule %s position %d %s" % (where, handle, rule["rule"]))
    return "\n".join(lines) + "\n", remarks


def _place(before: t.Optional[Json], others: t.Sequence[Json], strict: bool, where: str) -> t.Optional[int]:
    """The handle of the rule to go before; None for the end of the chain."""
    if before is not None:
        same = [item["handle"] for item in others if meaning(item["expr"]) == meaning(before["expr"])]
        if before.get("handle") in same:
            return t.cast("int", before["handle"])
        if strict:
            raise RuntimeError("chain %s was changed meanwhile by somebody else; run this again" % where)
        if same:
            return t.cast("int", same[-1])
    if strict or not others:
        return None
    # The chain is not what it was. A last rule that lets nothing by is what we must be before.
    last = others[-1]
    final = all(set(part) <= {"counter", "log", "drop", "reject", "xt", "limit"} for part in last["expr"])
    drops = any(
        "drop" in part or "reject" in part or (part.get("xt") or {}).get("name") in ("REJECT", "DROP")
        for part in last["expr"]
    )
    return t.cast("int", last["handle"]) if final and drops else None


def main(words: t.Sequence[str]) -> int:
    """Do what a file, or else standard input, says. Returns 0, or 1 when nothing was changed."""
    try:
        if words:
            with open(words[0], encoding="utf-8") as stream:
                wanted = json.load(stream)
        else:
            wanted = json.load(sys.stdin)
        for remark in swap(wanted):
            sys.stderr.write("autoprov: %s\n" % remark)
    except (OSError, ValueError, LookupError, RuntimeError) as exc:
        sys.stderr.write("%s\n" % exc)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
