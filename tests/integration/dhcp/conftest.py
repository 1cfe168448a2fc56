# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites with a running DHCP server, one fixture for each server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .chroots import chroot
from .kea_site import KeaSite

#: Kea as this machine has it (2.2 on Debian 12), 2.6, 3.0: by Debian release, None is this machine.
GENERATIONS = [
    pytest.param(None, id="kea-here"),
    pytest.param("trixie", id="kea-trixie"),
    pytest.param("forky", id="kea-forky"),
]


@contextlib.contextmanager
def running_kea(folder: Path, release: str | None) -> Iterator[KeaSite]:
    """A running Kea with the administrator's configuration, and a client beside it."""
    KeaSite.require()
    with contextlib.ExitStack() as stack:
        kea = KeaSite(folder, f"apd{os.getpid()}")
        if release is not None:
            kea.settle_in(stack.enter_context(chroot(release, folder)))
        stack.callback(kea.tear_down)
        kea.build()
        kea.write()
        kea.start()
        yield kea


@pytest.fixture
def site(tmp_path: Path) -> Iterator[KeaSite]:
    """A site with the Kea that this machine has."""
    with running_kea(tmp_path, None) as kea:
        yield kea


@pytest.fixture(params=GENERATIONS)
def each_kea(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeaSite]:
    """A site with each generation of Kea."""
    with running_kea(tmp_path, request.param) as kea:
        yield kea
