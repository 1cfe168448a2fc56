# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an administrator's Kea file looks like, 50 edits of ours later it is theirs, byte for byte.

Hypothesis makes up the layouts: blanks, line ends and comments of every kind between all words of a configuration.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import OptionSetting, build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import hooks
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.config import KeaConfiguration

SUBNET = {
    "id": 1,
    "subnet": "198.18.0.0/24",
    "pools": [{"pool": "198.18.0.50 - 198.18.0.99", "option-data": [{"code": 67, "data": "pool"}]}],
    "option-data": [{"name": "tftp-server-name", "data": 'a,b // "c" ]}'}, {"code": 42, "data": "198.18.0.1"}],
    "reservations": [{"hw-address": "80:5e:c0:00:00:01", "hostname": "x"}],
}
FULL: dict[str, Any] = {
    "Dhcp4": {
        "interfaces-config": {"interfaces": ["lo"]},
        "lease-database": {"type": "memfile", "persist": False},
        "option-data": [{"name": "tftp-server-name", "data": "boot.example.com"}, {"code": 3, "data": "198.18.0.1"}],
        "client-classes": [{"name": "theirs", "test": "option[12].exists"}],
        "shared-networks": [
            {"name": "floor 1", "option-data": [], "subnet4": [{"id": 2, "subnet": "198.19.0.0/24", "pools": []}]}
        ],
        "subnet4": [SUBNET],
        "reservations": [],
    }
}
BARE: dict[str, Any] = {"Dhcp4": {"interfaces-config": {"interfaces": ["lo"]}, "valid-lifetime": 3600, "subnet4": []}}

GAPS = ["", "", " ", "  ", "\n", "\t", "\r\n", "\n\n      ", ' // ]},{[ "\n', " # <?include\n", " /* [ { , */ ", "//\n"]
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')

ALL = build_intent(
    url="http://a/",
    vendors=["snom", "yealink", "gigaset"],
    options=[
        {"mac": "000413922d24", "code": 66, "value": "http://p/"},
        {"vendor_class": "snomM", "code": 67, "value": "m.xml"},
        {"code": 132, "value": "20"},
        {"code": 159, "value": "http://text/"},
        {"vendor": "snom", "code": 159, "value": "http://text/snom"},
    ],
)
PLACED = build_intent(
    options=[
        {"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"},
        {"subnet": "198.18.0.0/24", "code": 66, "value": "http://s/"},
        {"subnet": "198.19.0.0/24", "code": 66, "value": "http://n/"},
        {"shared_network": "floor 1", "code": 120, "value": "198.19.0.1"},
    ],
)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[str, bool]:
    """A configuration laid out at random, and whether it is the full one."""
    full = draw(st.booleans())
    gaps = draw(st.lists(st.sampled_from(GAPS), min_size=1, max_size=40))
    chance = random.Random(draw(st.integers(0, 2**32)))
    words = WORD.findall(json.dumps(FULL if full else BARE))
    text = "".join(chance.choice(gaps) + chance.choice(gaps) + word for word in words)
    return text + draw(st.sampled_from(GAPS)), full


def draft_and_write(main: Path, wanted: list[OptionSetting], on_conflict: str) -> None:
    by_hook = [item for item in wanted if item.code == 159]
    draft = KeaConfiguration(str(main), "/").draft(wanted, on_conflict, by_hook, LIBRARY)
    for change in draft.changes:
        if change.after is None:
            Path(change.path).unlink()
        else:
            Path(change.path).write_bytes(change.after)
    again = KeaConfiguration(str(main), "/").draft(wanted, on_conflict, by_hook, LIBRARY)
    assert again.changes == [], "once is enough"


def edits(layout: tuple[str, bool], seed: int, look: Callable[[Path], None]) -> None:
    """50 edits at random, some of them refused, with the administrator's own in between; at last all is taken back."""
    text, full = layout
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        main = Path(folder) / "kea-dhcp4.conf"
        main.write_bytes(text.encode())
        theirs = json.loads(json.dumps(FULL if full else BARE))["Dhcp4"]
        choices = ALL + (PLACED if full else [])
        for _ in range(50):
            wanted = chance.sample(choices, chance.randrange(1, len(choices)))
            on_conflict = chance.choice(["fail", "keep", "replace"])
            try:
                draft_and_write(main, wanted, on_conflict)
            except DhcpError as exc:
                if not re.search("has set|holds a comment", str(exc)):
                    raise  # collisions may be refused; a comment in an entry cannot be kept in a comment
            look(main)
        draft_and_write(main, [], "fail")
        assert main.read_bytes().decode() == text
        assert [path.name for path in Path(folder).iterdir()] == ["kea-dhcp4.conf"]
        assert KeaConfiguration(str(main), "/").dhcp4.value() == theirs


@settings(max_examples=25, deadline=None)
@given(layout=layouts(), seed=st.integers(0, 2**32))
def test_fifty_edits_leave_no_trace(layout: tuple[str, bool], seed: int) -> None:
    edits(layout, seed, lambda main: None)


KEA = shutil.which("kea-dhcp4", path="/usr/sbin:/usr/local/sbin:/usr/bin")


LIBRARY = hooks.library((2, 2)) or "/nowhere/libdhcp_flex_option.so"


@pytest.mark.skipif(KEA is None, reason="needs kea-dhcp4: apt-get install kea-dhcp4-server")
@settings(max_examples=4, deadline=None)
@given(layout=layouts(), seed=st.integers(0, 2**32))
def test_kea_reads_every_one_of_them(layout: tuple[str, bool], seed: int) -> None:
    """Kea's own checker, after each of the edits that it can judge: commas and includes stand where Kea wants them."""

    def look(main: Path) -> None:
        done = subprocess.run([str(KEA), "-t", str(main)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said + main.read_text()

    edits(layout, seed, look)


ENVIRONMENT = {"KEA_LOCKFILE_DIR": "none", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
