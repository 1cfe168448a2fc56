# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq files of any layout survive 50 edits, and are as they were when ours is taken back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq import plan, text
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.config import CommandLine
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent

LINES = [
    *(b"# a comment", b"", b"   \t ", b"#dhcp-option=66,off", b"domain-needed", b"\tlog-dhcp   # why not"),
    *(b"dhcp-option=66,old", b"dhcp-option = option:tftp-server , old", b'dhcp-option=66,"a # b", c'),
    *(b'dhcp-option-force=tag:voice,66,"voice"', b"dhcp-option=tag:s,66,snom", b"dhcp-vendorclass=set:s,snom"),
    *(b"dhcp-host=02:00:00:00:00:01,set:p", b"dhcp-option=tag:p,66,phone\r", b"address=/caf\xe9.example/198.18.0.1"),
    *(b"dhcp-option=160,198.18.0.1", b"dhcp-userclass=set:u,x", b"dhcp-option=tag:u,66,user", b"auth-zone=x=y,z"),
]
RANGES = b"dhcp-range=set:voice,198.18.0.50,198.18.0.99,255.255.255.0\n"
SCOPES: list[dict[str, str]] = [{}, {"subnet": "198.18.0.0/24"}, {"vendor": "snom"}, {"mac": "02:00:00:00:00:01"}]
ENTRIES = [{**scope, "code": code, "value": value} for scope in SCOPES for code in (66, 160) for value in ("a", "b")]


@st.composite
def texts(draw: Any) -> bytes:
    """A file: lines in any order, which may end in nothing."""
    lines: list[bytes] = draw(st.lists(st.sampled_from(LINES), max_size=12))
    return b"\n".join(lines) + draw(st.sampled_from([b"", b"\n", b"\n\n"]))


def unique(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each scope and option."""
    return list({str({**entry, "value": ""}): entry for entry in entries}.values())


EDITS = st.one_of(
    st.tuples(st.sampled_from(["replace", "keep"]), st.lists(st.sampled_from(ENTRIES), max_size=5).map(unique)),
    st.tuples(st.just("administrator"), st.sampled_from(LINES)),
)


@settings(max_examples=60, deadline=None)
@given(main=texts(), other=texts(), folder=st.booleans(), edits=st.lists(EDITS, min_size=50, max_size=50))
def test_any_layout_survives(main: bytes, other: bytes, folder: bool, edits: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        (root / "d").mkdir()
        theirs = {root / "dnsmasq.conf": RANGES + main, root / "d" / "theirs": other}
        for path, content in theirs.items():
            path.write_bytes(content)
        if not folder:
            theirs[root / "dnsmasq.conf"] += b"\nconf-file=%s" % str(root / "d" / "theirs").encode()
            (root / "dnsmasq.conf").write_bytes(theirs[root / "dnsmasq.conf"])
        options = (("conf-dir", str(root / "d")),) if folder else ()
        command = CommandLine(options, str(root / "dnsmasq.conf"), True)
        for how, what in edits:
            if how == "administrator":
                path = root / "d" / "theirs"
                line = (b"" if theirs[path].endswith(b"\n") or not theirs[path] else b"\n") + what + b"\n"
                theirs[path] += line
                path.write_bytes(path.read_bytes() + line)
                continue
            run(command, what, how)
            for path, content in theirs.items():
                assert text.without_ours(path.read_bytes()) == content
        run(command, [], "fail")
        left = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert left == theirs, "byte for byte"


def run(command: CommandLine, entries: list[dict[str, Any]], on_conflict: str) -> None:
    """One call of the module, and a second one, which finds nothing to do."""
    wanted = build_intent(options=entries)
    made = plan.draft(command, "/", [], wanted, on_conflict)
    for change in made.changes:
        assert (Path(change.path).read_bytes() if Path(change.path).exists() else None) == change.before
        if change.after is None:
            Path(change.path).unlink()
        else:
            Path(change.path).write_bytes(change.after)
    assert not plan.draft(command, "/", [], wanted, on_conflict).changes
    ours = {(item.code, item.data) for item in made.model.sent if item.line.path == made.own_path}
    assert ours == {(item.code, item.data) for item in made.settings}
    if on_conflict == "replace":
        assert {item.scope for item in wanted} >= {item.scope for item in made.settings}
