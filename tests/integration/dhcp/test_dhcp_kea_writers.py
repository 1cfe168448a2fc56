# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many writers at once: runs of ours with one truth, with different ones, and an administrator who knows no lock."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .kea_site import KeaSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
WRITERS = 20


@pytest.fixture
def site(each_kea_in_time: KeaSite) -> KeaSite:
    """Everything here holds for each generation of Kea."""
    return each_kea_in_time


def truth(number: int) -> dict[str, Any]:
    """What run `number` wants: each something else, in other places of the configuration."""
    vendors = [["snom"], ["yealink", "gigaset"], []][number % 3]
    place = {"subnet": "198.18.0.0/24"} if number % 2 else {}
    return {"url": URL, "vendors": vendors, "options": [{"code": 132, "value": f"run {number}", **place}]}


class Administrator(threading.Thread):
    """Adds a comment line and replaces the file by rename, again and again, as editors and templates do."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.edits = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            text = self.path.read_text()
            new = self.path.with_suffix(".new")
            new.write_text(f"{text}// edit {self.edits}\n")
            # As an editor that looks whether the file is still the one it has opened.
            if self.path.read_text() == text:
                os.rename(new, self.path)
                self.edits += 1


def test_twenty_truths_and_an_administrator(site: KeaSite) -> None:
    before = site.config.read_text()
    administrator = Administrator(site.config)
    administrator.start()
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            answers = list(pool.map(lambda number: site.module(**truth(number)), range(WRITERS)))
    finally:
        administrator.done.set()
        administrator.join()
    for answer in answers:
        # Whoever met an edit too often says so, and has changed nothing.
        assert answer.code == 0 or "was changed by somebody else" in answer.message, answer
    assert sum(answer.code == 0 for answer in answers) >= WRITERS // 2
    assert administrator.edits > 0

    edits = [int(number) for number in re.findall(r"^// edit (\d+)$", site.config.read_text(), re.MULTILINE)]
    assert edits == list(range(administrator.edits)), "no edit of the administrator's is lost"
    told = re.fullmatch(r"run (\d+)", site.offer()[132])
    assert told is not None
    winner = truth(int(told.group(1)))
    again = site.module(**winner)
    assert (again.code, again.result["changed"]) == (0, False), "one truth stands, whole"

    assert site.module(state="absent").code == 0
    theirs = "".join(f"// edit {number}\n" for number in edits)
    assert site.config.read_text() == before + theirs
    assert not list(site.folder.glob("autoprov-*"))
    assert not list(site.folder.glob(".autoprov-*")), "nothing temporary is left"


def test_an_edit_while_the_run_is_on_is_kept(site: KeaSite) -> None:
    """The administrator saves between our look and our writing: the run begins anew, and overwrites nothing."""
    saved = threading.Event()

    def save() -> None:
        while not any(site.folder.glob(".autoprov-test-*")) and not saved.is_set():
            pass
        text = site.config.read_text()
        site.config.write_text(text + "// saved meanwhile\n")
        saved.set()

    thread = threading.Thread(target=save)
    thread.start()
    done = site.module(url=URL, vendors=["snom"])
    saved.set()
    thread.join()
    assert done.code == 0, done
    assert site.config.read_text().endswith("// saved meanwhile\n")
    assert site.offer("020000000001", "snomD785")[66] == URL
