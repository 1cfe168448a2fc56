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
from .dhcpd_site import DhcpdSite
from .dnsmasq_site import DnsmasqSite
from .kea_site import KeaSite
from .machines import Machine, require_machines

#: Kea as this machine has it (2.2 on Debian 12), 2.6, 3.0: by Debian release, None is this machine.
GENERATIONS = [
    pytest.param(None, id="kea-here"),
    pytest.param("trixie", id="kea-trixie"),
    pytest.param("forky", id="kea-forky"),
]


NEWER_IN_TIME = [pytest.param(*one.values, id=one.id, marks=pytest.mark.long) for one in GENERATIONS[1:]]


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


@pytest.fixture(params=[GENERATIONS[0], *NEWER_IN_TIME])
def each_kea_in_time(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeaSite]:
    """A site with each generation of Kea; the newer ones in ``make test-long``."""
    with running_kea(tmp_path, request.param) as kea:
        yield kea


@pytest.fixture(params=GENERATIONS[1:])
def unpacked_kea(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeaSite]:
    """A site on another Debian, where a test may take something away."""
    with running_kea(tmp_path, request.param) as kea:
        yield kea


@pytest.fixture
def network(tmp_path: Path) -> Iterator[KeaSite]:
    """The cable and both its ends, with no server yet."""
    KeaSite.require()
    require_machines()
    site = KeaSite(tmp_path, f"apr{os.getpid()}")
    try:
        site.build()
        yield site
    finally:
        site.tear_down()


@pytest.fixture
def machine(network: KeaSite) -> Iterator[Machine]:
    """A machine at the server's end, with Kea installed as Debian brings it, and not running."""
    machine = Machine(network)
    try:
        assert machine.run("python", "-c", "import ansible").returncode == 0, "the tests' own Python is visible"
        yield machine
    finally:
        machine.stop()


@contextlib.contextmanager
def running_dnsmasq(folder: Path, release: str | None) -> Iterator[DnsmasqSite]:
    """A running dnsmasq with the administrator's configuration, and a client beside it."""
    DnsmasqSite.require()
    with contextlib.ExitStack() as stack:
        site = DnsmasqSite(folder, f"apm{os.getpid()}")
        if release is not None:
            site.settle_in(stack.enter_context(chroot(release, folder)))
        stack.callback(site.tear_down)
        site.build()
        site.write()
        site.start()
        yield site


@pytest.fixture
def dnsmasq_site(tmp_path: Path) -> Iterator[DnsmasqSite]:
    """A site with the dnsmasq that this machine has."""
    with running_dnsmasq(tmp_path, None) as site:
        yield site


@pytest.fixture(params=[pytest.param(None, id="dnsmasq-here"), pytest.param("trixie", id="dnsmasq-trixie")])
def each_dnsmasq(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DnsmasqSite]:
    """A site with dnsmasq as this machine has it (2.90 on Debian 12), and with 2.91."""
    with running_dnsmasq(tmp_path, request.param) as site:
        yield site


@pytest.fixture
def dhcpd_site(tmp_path: Path) -> Iterator[DhcpdSite]:
    """A running ISC dhcpd with the administrator's configuration, and a client beside it."""
    DhcpdSite.require()
    dhcpd = DhcpdSite(tmp_path, f"api{os.getpid()}")
    try:
        dhcpd.build()
        dhcpd.write()
        dhcpd.start()
        yield dhcpd
    finally:
        dhcpd.tear_down()
