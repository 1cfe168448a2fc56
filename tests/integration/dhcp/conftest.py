# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites with a running DHCP server, one fixture for each server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kea_site import KeaSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[KeaSite]:
    """A running Kea with the administrator's configuration, and a client beside it."""
    KeaSite.require()
    kea = KeaSite(tmp_path, f"apd{os.getpid()}")
    try:
        kea.build()
        kea.write()
        kea.start()
        yield kea
    finally:
        kea.tear_down()
