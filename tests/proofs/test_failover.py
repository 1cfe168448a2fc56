# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL fails over: the primary dies in the middle of a COMMIT, a standby is promoted, the old primary returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import postgres
from tests.proofs import tally
from tests.proofs.appliance import Appliance
from tests.proofs.databases import Database
from tests.proofs.phones import Phone

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]
CLAIMED, WAITING, TORN = Phone(1), Phone(2), Phone(3)
"""Claimed before the failover; armed and not claimed; claimed in the COMMIT that the failover tears."""
PHONES = [CLAIMED, WAITING, TORN]
ALL = frozenset(CLAIMED.secrets)


@dataclass
class Site:
    """A primary, its standby, and a service that finds whichever can be written."""

    folder: Path
    primary: postgres.Cluster
    standby: postgres.Cluster
    emitted: dict[Phone, int] = field(default_factory=lambda: dict.fromkeys(PHONES, 0))
    """How often a phone received its passwords."""
    claims: int = 0
    node: Appliance = field(init=False)

    def start(self, trust_failover: bool, **settings: bool) -> None:
        """Start the service, with all phones armed and one of them served."""
        hosts = f"{self.primary.folder},{self.standby.folder}"
        self.node = self.another(hosts, {"trust_failover": trust_failover, **settings})
        self.node.start()
        self.node.set_up(PHONES, strict=True, window_seconds=3600)
        assert self.ask(CLAIMED) == ALL

    def another(self, hosts: str, settings: dict[str, bool], name: str = "node") -> Appliance:
        """A service of the same site."""
        url = f"postgresql:///autoprov?host={hosts}&user=postgres"
        key = self.node.key if hasattr(self, "node") else None
        return Appliance(self.folder / name, Database("postgresql", url), key, settings=settings)

    def ask(self, phone: Phone, node: Appliance | None = None) -> frozenset[object]:
        """What a phone receives of its passwords."""
        answer = (node or self.node).ask(phone)
        found = phone.secrets_in(answer)
        self.emitted[phone] += bool(found)
        self.claims += 1
        return found

    def ask_until_served(self, phone: Phone) -> frozenset[object]:
        """The same, once the service has found the database again."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self.ask(phone)
            if found or self.node.ask(phone).startswith(b"HTTP/1.1 200"):
                return found
            time.sleep(0.2)
        raise AssertionError(f"not served after the failover: {self.node.log()[-1500:]}")

    def ask_in_a_torn_commit(self, phone: Phone) -> threading.Thread:
        """Ask while the standby is frozen, and return when the COMMIT waits for it."""
        self.standby.freeze()
        asking = threading.Thread(target=self.ask, args=(phone,))
        asking.start()
        deadline = time.monotonic() + 10
        while not self._waiting():
            assert time.monotonic() < deadline, "no COMMIT waits for the standby"
            time.sleep(0.02)
        return asking

    def _waiting(self) -> list[tuple[object, ...]]:
        return self.primary.query("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'", database="postgres")

    def cancel_the_wait(self) -> None:
        """End the waiting COMMIT as an administrator might."""
        for (pid,) in self._waiting():
            self.primary.query("SELECT pg_cancel_backend(%s)", pid, database="postgres")

    def fail_over(self, forgetting: bool = False) -> None:
        """Kill the primary and promote the standby; ``forgetting`` what was on its way while it was frozen."""
        self.primary.kill()
        if forgetting:
            self.standby.kill()
            self.standby.start()
        else:
            self.standby.thaw()
        self.standby.promote()

    def assert_nothing_twice(self, name: str) -> None:
        """No phone received its passwords twice, and the audit log is whole."""
        doubles = sum(max(0, times - 1) for times in self.emitted.values())
        self.node.assert_audit_whole()
        released = sum(self.emitted.values())
        tally.count(f"postgresql: {name}", claims=self.claims, released=released, kills=1, doubles=doubles)
        assert doubles == 0


def _pair(folder: Path) -> Iterator[Site]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL 15 or newer is missing; run make setup as root")
    with postgres.folder() as path:
        site = Site(folder, postgres.Cluster(path / "a"), postgres.Cluster(path / "b"))
        try:
            site.primary.create(wal_sender_timeout="'60s'")
            site.standby.create_standby_of(site.primary, "s1", wal_receiver_timeout="'60s'")
            yield site
        finally:
            if hasattr(site, "node"):
                site.node.kill()
            for cluster in (site.primary, site.standby):
                cluster.kill()


@pytest.fixture
def asynchronous(folder: Path) -> Iterator[Site]:
    """A primary that does not wait for its standby."""
    yield from _pair(folder)


@pytest.fixture
def synchronous(asynchronous: Site) -> Site:
    """A primary that waits for its standby at each COMMIT."""
    asynchronous.primary.configure(synchronous_standby_names="'s1'")
    asynchronous.primary.reload()
    deadline = time.monotonic() + 20
    while asynchronous.primary.query("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return asynchronous


@pytest.mark.parametrize("trust", [False, True], ids=["sealed", "trusted"])
def test_a_primary_killed_in_the_middle_of_a_commit_releases_nothing_twice(synchronous: Site, trust: bool) -> None:
    """A claim whose COMMIT the primary's death tears is not answered; nothing is released twice after that, and
    unless the failover is trusted nothing at all until a person arms it.
    """
    site = synchronous
    site.start(trust)
    torn = site.ask_in_a_torn_commit(TORN)
    site.fail_over()
    torn.join(30)
    assert site.emitted[TORN] == 0, "the outcome was unknown, and it was answered"
    waiting = site.ask_until_served(WAITING)
    assert waiting == (ALL if trust else frozenset())
    assert site.ask(CLAIMED) == frozenset()
    site.ask(TORN)
    assert site.ask(TORN) == frozenset()
    if not trust:
        assert site.emitted == {CLAIMED: 1, WAITING: 0, TORN: 0}
        assert "the database came back from a backup or a failover" in site.node.why(WAITING)
        site.node.arm(*PHONES)
        site.emitted = dict.fromkeys(PHONES, 0)
        assert [site.ask(phone) for phone in PHONES] == [ALL] * 3
    site.assert_nothing_twice("killed mid-COMMIT")


def test_a_cancelled_wait_for_the_standby_is_never_a_release(synchronous: Site) -> None:
    """A COMMIT whose wait for the standby was cancelled counts as unknown: it is not answered, and after a failover to
    the standby that never had it, the passwords go out for the first time.
    """
    site = synchronous
    site.start(trust_failover=True)
    torn = site.ask_in_a_torn_commit(TORN)
    site.cancel_the_wait()
    torn.join(30)
    assert site.emitted[TORN] == 0, "PostgreSQL said COMMIT with a warning, and it was taken for a release"
    states = site.primary.query("SELECT DISTINCT state FROM grants WHERE mac = %s", TORN.mac)
    assert states == [("open",)], "the wait was cancelled behind the local commit, or this proves nothing"
    site.fail_over(forgetting=True)
    assert site.ask_until_served(TORN) == ALL
    assert site.ask(TORN) == frozenset()
    site.assert_nothing_twice("cancelled wait")


def test_an_old_primary_that_returns_releases_nothing(synchronous: Site) -> None:
    """An old primary that comes back beside the promoted one, with its own idea of what waits, releases nothing."""
    site = synchronous
    # Without asking for a standby, which neither has after the failover: what holds here holds by itself.
    settings = {"trust_failover": True, "require_synchronous_standby": False}
    site.start(**settings)
    site.fail_over()
    assert site.ask_until_served(WAITING) == ALL
    # As it was left, but for the name of its folder: nobody told it that it is primary no more.
    site.primary.start()
    old = site.another(str(site.primary.folder), settings, "old")
    try:
        old.start(wait=False)
        end = time.monotonic() + 12
        while time.monotonic() < end:
            for phone in (WAITING, TORN):
                assert site.ask(phone, old) == frozenset(), "released on both sides"
            time.sleep(0.5)
    finally:
        old.kill()
    site.primary.kill()
    assert site.ask_until_served(TORN) == ALL
    site.assert_nothing_twice("split brain")


def test_an_asynchronous_failover_seals_what_it_may_have_forgotten(asynchronous: Site) -> None:
    """A standby that is promoted without the last commits does not know of a release; what waits there is sealed."""
    site = asynchronous
    site.start(trust_failover=False)
    site.standby.freeze()
    assert site.ask(TORN) == ALL
    site.fail_over(forgetting=True)
    assert site.ask_until_served(WAITING) == frozenset()
    assert site.node.database.released(TORN.mac) == {}, "the standby knew of the release, and this proves nothing"
    for phone in PHONES:
        assert site.ask(phone) == frozenset()
    site.assert_nothing_twice("asynchronous failover")
