# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with a running firewall, one fixture for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .firewalld_site import FirewalldHost
from .nftables_host import NftablesHost
from .nftables_site import NftablesSite
from .ufw_site import UfwHost
from .walled_host import WalledHost


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


@pytest.fixture
def firewalld(tmp_path: Path) -> Iterator[FirewalldHost]:
    """A host where firewalld rules as it comes with Debian, and senders in two networks."""
    FirewalldHost.require()
    host = FirewalldHost(tmp_path, f"apf{os.getpid()}")
    try:
        host.build()
        host.start_firewall()
        yield host
    finally:
        host.tear_down()


@pytest.fixture
def ufw(tmp_path: Path) -> Iterator[UfwHost]:
    """A host where ufw rules, and senders in two networks."""
    UfwHost.require()
    host = UfwHost(tmp_path, f"apu{os.getpid()}")
    try:
        host.build()
        host.start_firewall()
        yield host
    finally:
        host.tear_down()


@pytest.fixture(params=[NftablesHost, FirewalldHost, UfwHost], ids=lambda kind: kind.backend)
def any_host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WalledHost]:
    """A host with one firewall after the other: SSH is let in, the rest is not. Its whole /etc is a copy."""
    kind = request.param
    kind.require()
    host = kind(tmp_path, f"apx{os.getpid()}")
    host.copied = ("/etc", "/usr/local/lib")
    try:
        host.build()
        (host.folder / "copies/etc/mtab").unlink(missing_ok=True)  # a link to what is mounted, and no file
        host.start_firewall()
        if kind is UfwHost:
            host.ufw("allow", "22/tcp")
        yield host
    finally:
        host.tear_down()
