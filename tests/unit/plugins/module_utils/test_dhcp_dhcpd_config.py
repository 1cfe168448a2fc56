# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcpd's files as they are to become: whatever an administrator's file looks like, it stays, and comes back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import processes
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.config import DhcpdConfiguration
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.switch import ChangedMeanwhile, Switch
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.files import FileChange
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent

SUBNET = "198.18.0.0/24"
FILE = """# a file
option tftp-server-name "theirs"; option ntp-servers 198.18.0.1;
subnet 198.18.0.0 netmask 255.255.255.0 { range 198.18.0.9; option domain-name "x"; }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dhcpd.conf").write_text(FILE)
    return tmp_path


def draft(folder: Path, on_conflict: str = "fail", **intent: Any) -> Any:
    configuration = DhcpdConfiguration(str(folder / "dhcpd.conf"), "/")
    return configuration.draft(build_intent(**intent) if intent else [], on_conflict)


def write(changes: list[FileChange]) -> None:
    for change in changes:
        if change.after is None:
            Path(change.path).unlink()
        else:
            Path(change.path).write_bytes(change.after)


def test_files_and_lines(folder: Path) -> None:
    options = [{"code": 132, "value": "20", "subnet": SUBNET}]
    found = draft(folder, "replace", url="http://a", options=options)
    names = [os.path.basename(change.path) for change in found.changes]
    assert names == ["dhcpd.autoprov-subnet-198.18.0.0_24.conf", "dhcpd.autoprov.conf", "dhcpd.conf"]
    write(found.changes)
    assert draft(folder, "replace", url="http://a", options=options).changes == []
    text = (folder / "dhcpd.conf").read_text()
    assert '# autoprov (dhcp_options) has replaced: "option tftp-server-name \\"theirs\\";"\n option ntp' in text
    assert 'option tftp-server-name = "http://a/";' in (folder / "dhcpd.autoprov.conf").read_text()
    back = draft(folder)
    assert [change.after for change in back.changes if change.path.endswith("dhcpd.conf")] == [FILE.encode()]
    write(back.changes)
    assert os.listdir(folder) == ["dhcpd.conf"]


def test_all_faults_at_once(folder: Path) -> None:
    options = [{"code": 66, "value": "x", "subnet": "10.0.0.0/8"}, {"code": 66, "value": "x", "shared_network": "v"}]
    with pytest.raises(DhcpError) as caught:
        draft(folder, options=[*options, {"code": 66, "value": "x"}])
    first, second, third = caught.value.faults
    assert first == f"subnet 10.0.0.0/8 is not in {folder}/dhcpd.conf; there: {SUBNET}"
    assert second == f"shared network v is not in {folder}/dhcpd.conf; there: none"
    assert third.startswith("option 66 (tftp-server-name), global: the administrator has set theirs in")
    assert caught.value.details["conflicts"][0]["where"] == f"{folder}/dhcpd.conf:2"


def test_our_line_in_a_wrong_place(folder: Path) -> None:
    line = f'include "{folder}/dhcpd.autoprov.conf";'
    (folder / "dhcpd.conf").write_text(FILE.replace("range", line + " range"))
    (folder / "dhcpd.autoprov.conf").write_text("")
    with pytest.raises(DhcpError, match=r"stands in a wrong place; remove it from .*, it will be put where it belongs"):
        draft(folder, options=[{"code": 132, "value": "1"}])
    write(draft(folder).changes)
    assert "autoprov" not in (folder / "dhcpd.conf").read_text()


def test_a_file_that_several_places_include(folder: Path) -> None:
    common, subnet = folder / "common.conf", "subnet 10.%d.0.0 netmask 255.255.0.0 {\n%s}\n"
    common.write_text('option tftp-server-name "theirs";\n')
    include = f'include "{common}";\n'
    (folder / "dhcpd.conf").write_text(subnet % (1, include) + subnet % (2, include))
    entry = {"code": 66, "value": "x", "subnet": "10.1.0.0/16"}
    with pytest.raises(DhcpError, match=r"common.conf is included more than once, so the option in line 1 cannot be"):
        draft(folder, "replace", options=[entry])
    assert draft(folder, "keep", options=[entry]).settings == []


@pytest.mark.parametrize(
    "theirs",
    [
        'subnet 198.18.0.0 netmask 255.255.255.0 { option tftp-server-name "s"; }\noption tftp-server-name "g";',
        'subnet 198.18.0.0 netmask 255.255.255.0 {option tftp-server-name "s";}option tftp-server-name\n"g" ;# end',
    ],
)
def test_a_statement_right_before_our_line(folder: Path, theirs: str) -> None:
    """What is replaced becomes a line of its own; taken back, it is not."""
    (folder / "dhcpd.conf").write_text(theirs)
    everywhere = [{"code": 66, "value": "http://a/"}, {"code": 66, "value": "http://s/", "subnet": SUBNET}]
    for wanted in (everywhere, everywhere[:1], everywhere[1:], everywhere, [{"code": 160, "value": "x"}], everywhere):
        write(draft(folder, "replace", options=wanted).changes)
        assert draft(folder, "replace", options=wanted).changes == []
    write(draft(folder).changes)
    assert (folder / "dhcpd.conf").read_text() == theirs


def test_a_line_number_is_that_of_the_file_as_it_is(folder: Path) -> None:
    write(draft(folder, options=[{"code": 132, "value": "1", "subnet": SUBNET}]).changes)
    text = (folder / "dhcpd.conf").read_text() + 'option default-url "theirs";\n'
    (folder / "dhcpd.conf").write_text(text)
    (conflict,) = draft(folder, "keep", options=[{"code": 114, "value": "http://a/"}]).conflicts
    assert conflict.where == f"{folder}/dhcpd.conf:{text.count(chr(10))}"


def test_a_link_stays_a_link(folder: Path) -> None:
    real = folder / "real.conf"
    real.write_text("subnet 10.1.0.0 netmask 255.255.0.0 {\n}\n")
    (folder / "sub.conf").symlink_to(real)
    (folder / "dhcpd.conf").write_text(f'include "{folder}/sub.conf";\n')
    found = draft(folder, options=[{"code": 132, "value": "1", "subnet": "10.1.0.0/16"}])
    assert str(real) in [change.path for change in found.changes]
    assert str(folder / "sub.conf") not in [change.path for change in found.changes]


# --- whatever it looks like ---

#: Statements an administrator may have at the top; @ is where something may be put in later.
PIECES = [
    'option tftp-server-name "theirs";@',
    'option tftp-server-name # {\n\t "th\\"eirs"\n;',
    "option\tntp-servers 198.18.0.1 ,198.18.0.2;@",
    '# comment { with } braces; and "quotes\n@',
    "@",
    '\nclass "c" { match if substring(hardware, 1, 3) = 00:04:13;@ option tftp-server-name "cls"; }',
    "\n\n   \t\n",
    'if exists vendor-class-identifier { option tftp-server-name "if"; } else {@ }',
    "group {@ host h { hardware ethernet 02:00:00:00:00:01; } }\n",
    'option opt66 code 66 = text; option opt66 "opt";@\r\n',
    "default-lease-time 600;max-lease-time 700;",
    "option vendor-encapsulated-options 01:02;option boot-size 7 ;@",
]
SUBNETS = [
    "subnet 198.18.0.0 netmask 255.255.255.0 {@ range 198.18.0.9 198.18.0.20; }",
    'subnet 198.18.0.0\nnetmask 255.255.255.0\n{\n\toption tftp-server-name "sub";@\n  }',
    'shared-network "v" {@ subnet 198.18.0.0 netmask 255.255.255.0 {}\n}\n',
    "subnet 198.18.0.0 netmask 255.255.255.0 {} # for now",
    'subnet 198.18.0.0 netmask 255.255.255.0 {@ option tftp-server-name "s"; }',
]
#: What an administrator puts in afterwards, by any editor; each stays alone in its line.
INSERTED = ["\n# new\n", "\n", '\nlog (info, "a;b}");\n', "\nif 1 = 1 { }\n", "\n  # { \n"]
ENTRIES: list[dict[str, Any]] = [
    {"code": 66, "value": "http://a/"},
    {"code": 66, "value": "http://s/", "subnet": SUBNET},
    {"code": 132, "value": "20", "subnet": SUBNET},
    {"code": 43, "value": "0102ff", "encoding": "hex"},
    {"code": 66, "value": "http://v/", "vendor": "snom"},
    {"code": 160, "value": 'a"b\\', "vendor_class": "y l"},
    {"code": 66, "value": "http://m/", "mac": "00:04:13:00:00:01"},
]

runs = st.tuples(
    st.just("run"), st.lists(st.sampled_from(range(len(ENTRIES))), unique=True), st.sampled_from(["replace", "keep"])
)
by_hand = st.tuples(st.just("edit"), st.integers(0, 1000), st.sampled_from(INSERTED))
files = st.tuples(st.lists(st.sampled_from(PIECES), max_size=8, unique=True), st.sampled_from(SUBNETS), st.booleans())


def with_marks(pieces: list[str], subnet: str, newline: bool) -> str:
    """A configuration whose every @ is a mark of its own: #3# at the end of a line."""
    text = "".join([*pieces[: len(pieces) // 2], "\n", subnet, "\n", *pieces[len(pieces) // 2 :]])
    parts = text.split("@")
    marked = "".join(f"{part}#{index}#\n" for index, part in enumerate(parts[:-1])) + parts[-1]
    return marked.rstrip("\n") + ("\n" if newline else "")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=files, edits=st.lists(st.one_of(runs, by_hand), min_size=50, max_size=50))
def test_fifty_edits_and_back(tmp_path: Path, file: tuple[list[str], str, bool], edits: list[tuple[Any, ...]]) -> None:
    """Runs of ours and edits of an administrator in any order: without ours, it is what it is with theirs alone."""
    for path in tmp_path.iterdir():
        path.unlink()
    theirs = with_marks(*file)
    config = tmp_path / "dhcpd.conf"
    config.write_bytes(theirs.encode())
    marks = theirs.count("#\n")
    for kind, what, how in edits:
        if kind == "run":
            options = [ENTRIES[index] for index in what]
            write(draft(tmp_path, how, options=options).changes if options else draft(tmp_path).changes)
            again = draft(tmp_path, how, options=options) if options else draft(tmp_path)
            assert again.changes == [], "a second run changes nothing"
        elif marks:
            mark = f"#{what % marks}#"
            assert config.read_bytes().decode().count(mark) == 1
            config.write_bytes(config.read_bytes().decode().replace(mark, mark + how).encode())
            theirs = theirs.replace(mark, mark + how)
    dhcpd = processes.find_binary("dhcpd")
    if dhcpd and os.geteuid() == 0:
        done = subprocess.run([dhcpd, "-t", "-cf", str(config)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    write(draft(tmp_path).changes)
    assert config.read_bytes() == theirs.encode()
    assert os.listdir(tmp_path) == ["dhcpd.conf"]


# --- files that others write to ---


def test_a_file_that_has_changed_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"new\n")
    switch = Switch(str(path))
    with pytest.raises(ChangedMeanwhile):
        switch.put(FileChange(str(path), b"old\n", b"ours\n"))
    assert path.read_bytes() == b"new\n"


def test_lines_appended_to_the_old_file_are_taken_over_and_stay_when_all_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old # end")
    switch = Switch(str(path))
    with path.open("ab") as late:
        switch.put(FileChange(str(path), b"old # end", b"old # end\nours\n"))
        late.write(b"\none\n")
        late.flush()
        switch.take_over_late_lines()
        switch.take_over_late_lines()
        assert path.read_bytes() == b"old # end\nours\n\none\n"
        late.write(b"two\n")
        late.flush()
        switch.undo()
    assert path.read_bytes() == b"old # end\none\ntwo\n"


def test_what_others_have_rewritten_is_left_to_them(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old\n")
    switch = Switch(str(path))
    switch.put(FileChange(str(path), b"old\n", b"ours\n"))
    path.write_bytes(b"theirs\n")
    with pytest.raises(DhcpError, match="was changed by somebody else just now and is left as it is"):
        switch.undo()
    assert path.read_bytes() == b"theirs\n"


def test_undone_files_have_their_old_age(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old\n")
    os.utime(path, (1000, 1000))
    switch = Switch(str(path))
    switch.put(FileChange(str(path), b"old\n", b"ours\n"))
    switch.undo()
    assert (path.read_bytes(), path.stat().st_mtime) == (b"old\n", 1000)
