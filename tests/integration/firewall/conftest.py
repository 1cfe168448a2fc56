# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with a firewall, one fixture for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .nftables_site import NftablesSite


@pytest.fixture
def nft_site(tmp_path: Path) -> Iterator[NftablesSite]:
    """A host with nftables and no rules, a machine in the phones' network, and one in another."""
    NftablesSite.require()
    site = NftablesSite(tmp_path, f"apf{os.getpid()}")
    try:
        site.build()
        yield site
    finally:
        site.tear_down()
