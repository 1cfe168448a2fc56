# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a change, and what happens when any part of it fails. The server is played by a fake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import engine, probe
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import (
    Answer,
    Backend,
    Plan,
    ProbeCase,
    SetOption,
    Target,
)
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.files import FileChange, locked
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent

SETTINGS = build_intent(options=[{"code": 66, "value": "http://a/"}])
SECRET = "db-password"


class FakeBackend(Backend):
    """Does nothing but write down what it is asked; fails where told."""

    name = "fake"
    lock_path = ""  # type: ignore[assignment]  # set by the fixture
    config_file = "/etc/fake.conf"  # type: ignore[assignment]
    version = "1"  # type: ignore[assignment]
    running = True  # type: ignore[assignment]

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: set[str] = set()
        self.changes = [FileChange("/etc/fake.conf", f'"{SECRET}"\nold\n'.encode(), f'"{SECRET}"\nnew\n'.encode())]

    @classmethod
    def installed(cls) -> bool:
        return True

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise DhcpError(f"{name} fails")

    def read(self) -> None:
        self._call("read")

    def plan(self, settings: Any, on_conflict: str) -> Plan:
        self._call("plan")
        case = ProbeCase("global", probe.Client("020000617001"), {66: b"http://a/"})
        return Plan(list(settings), list(self.changes), probes=[case])

    def check(self, plan: Plan) -> None:
        self._call("check")

    def apply(self, plan: Plan) -> str:
        self._call("apply")
        return "/etc/fake.conf.backup"

    def verify(self, plan: Plan) -> None:
        self._call("verify")

    def restore(self, plan: Plan) -> None:
        self._call("restore")

    def set_options(self) -> list[SetOption]:
        raise AssertionError("only dhcp_info asks")

    def answer(self, code: int, client: probe.Client, subnet: str | None = None) -> Answer:
        raise AssertionError("only dhcp_info asks")

    def probe_interfaces(self) -> list[str]:
        return ["eth0"]

    def server_identifiers(self) -> frozenset[str]:
        return frozenset({"198.18.0.1"})


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBackend:
    fake = FakeBackend()
    fake.lock_path = str(tmp_path / "lock")  # type: ignore[assignment, misc]
    monkeypatch.setattr(engine, "open_backend", lambda *_arguments: fake)
    return fake


class Network:
    """What clients are offered: before the change, after it, and after it was put back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, backend: FakeBackend) -> None:
        self.before, self.after, self.restored = b"old", b"http://a/", b"old"
        self.silent: set[str] = set()
        self.server = "198.18.0.1"
        self._backend = backend
        monkeypatch.setattr(probe, "ask", self.ask)

    def ask(
        self, interface: str, clients: list[probe.Client], wanted: Any = None, timeout: float = 0
    ) -> list[list[probe.Offer]]:
        calls = self._backend.calls
        when = "restored" if "restore" in calls else "after" if "apply" in calls else "before"
        calls.append(f"probe {when}")
        if when in self.silent:
            return [[] for _client in clients]
        offer = probe.Offer(self.server, "198.18.0.50", "0.0.0.0", b"", b"", {66: getattr(self, when)})
        return [[offer] for _client in clients]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, backend: FakeBackend) -> Network:
    return Network(monkeypatch, backend)


def run(**arguments: Any) -> engine.Outcome:
    return engine.run(engine.Request(settings=SETTINGS, **arguments))


def test_the_order_of_a_change(backend: FakeBackend, network: Network) -> None:
    outcome = run()
    assert backend.calls == ["read", "plan", "check", "probe before", "apply", "verify", "probe after"]
    assert outcome.changed
    assert outcome.reloaded
    assert outcome.probe["clients"][0]["options"] == {"66": "http://a/"}


def test_nothing_changed_nothing_done(backend: FakeBackend, network: Network) -> None:
    backend.changes = []
    outcome = run()
    assert backend.calls == ["read", "plan"]
    assert not outcome.changed
    assert not outcome.reloaded


def test_check_mode_is_the_same_path_up_to_the_check(backend: FakeBackend, network: Network) -> None:
    checked = run(check_mode=True)
    assert backend.calls == ["read", "plan", "check"]
    assert checked.changed
    assert checked.diff == run().diff


def test_the_diff_shows_nothing_of_the_administrators(backend: FakeBackend, network: Network) -> None:
    ((entry,)) = run(check_mode=True).diff
    assert "-old\n+new\n" in entry["prepared"]
    assert SECRET not in entry["prepared"]


@pytest.mark.parametrize("step", ["read", "plan", "check"])
def test_a_failure_before_the_change_touches_nothing(backend: FakeBackend, network: Network, step: str) -> None:
    backend.fails = {step}
    with pytest.raises(DhcpError, match=f"^{step} fails$"):
        run()
    assert not {"apply", "restore"} & set(backend.calls)


@pytest.mark.parametrize("step", ["apply", "verify"])
def test_a_failure_after_it_puts_everything_back(backend: FakeBackend, network: Network, step: str) -> None:
    backend.fails = {step}
    with pytest.raises(DhcpError) as caught:
        run()
    assert backend.calls[-2:] == ["restore", "probe restored"]
    assert caught.value.faults[0] == f"{step} fails"
    assert "everything was put back" in caught.value.faults[1]
    assert "answers clients" in caught.value.faults[1]
    assert caught.value.details == {"rolled_back": True}


@pytest.mark.parametrize(
    ("silent", "after", "reason"),
    [({"after"}, b"", "nothing is offered on eth0"), (set(), b"other", "is other, wanted is http://a/")],
)
def test_a_wrong_or_missing_offer_puts_everything_back(
    backend: FakeBackend, network: Network, silent: set[str], after: bytes, reason: str
) -> None:
    network.silent, network.after = silent, after
    with pytest.raises(DhcpError, match=reason) as caught:
        run()
    assert backend.calls[-2:] == ["restore", "probe restored"]
    assert caught.value.details == {"rolled_back": True}


def test_a_failing_way_back_is_told_with_both_reasons(backend: FakeBackend, network: Network) -> None:
    network.silent = {"after", "restored"}
    with pytest.raises(DhcpError) as caught:
        run()
    assert "after the change nothing is offered" in caught.value.faults[0]
    assert "was not proved: no offer on eth0" in caught.value.faults[1]
    assert caught.value.details == {"rolled_back": False}


def test_an_unexpected_error_puts_everything_back_too(
    backend: FakeBackend, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(plan: Plan) -> None:
        raise KeyError("x")

    monkeypatch.setattr(backend, "verify", broken)
    with pytest.raises(DhcpError, match="KeyError"):
        run()
    assert "restore" in backend.calls


def test_another_server_does_not_count(backend: FakeBackend, network: Network) -> None:
    network.server = "198.18.0.254"
    outcome = run()
    assert not outcome.probe["performed"]
    assert "not probed as a client: no offer on eth0" in outcome.warnings[0]


def test_a_nul_byte_behind_66_is_no_fault(backend: FakeBackend, network: Network) -> None:
    """dnsmasq puts one there."""
    network.after = b"http://a/\0"
    assert run().probe["clients"][0]["options"] == {"66": "http://a/"}


def test_interfaces_and_clients_that_are_not_served_are_left_out(
    backend: FakeBackend, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool for phones only: nobody's client is offered nothing. On one interface, nobody is; one cannot be probed."""
    phone = ProbeCase("phone", probe.Client("000413617001"), {66: b"http://a/"})
    plan = backend.plan

    def with_phone(settings: Any, on_conflict: str) -> Plan:
        planned = plan(settings, on_conflict)
        planned.probes.append(phone)
        return planned

    def ask(interface: str, clients: list[probe.Client], *arguments: Any) -> list[list[probe.Offer]]:
        if interface == "tun0":
            raise probe.ProbeUnavailable("interface tun0 is not an Ethernet interface")
        offers = network.ask(interface, clients, *arguments)
        return [
            offer if interface == "eth1" and client == phone.client else []
            for client, offer in zip(clients, offers, strict=True)
        ]

    monkeypatch.setattr(backend, "plan", with_phone)
    monkeypatch.setattr(backend, "probe_interfaces", lambda: ["eth0", "tun0", "eth1"])
    monkeypatch.setattr(probe, "ask", ask)
    outcome = run(probe="required")
    assert [(item["client"], item["interface"]) for item in outcome.probe["clients"]] == [("phone", "eth1")]


def test_on_an_interface_that_was_named_another_server_counts_where_ours_is_silent(
    backend: FakeBackend, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.server = "198.18.0.254"
    assert run(probe_interface="veth0").probe["clients"][0]["server"] == "198.18.0.254"

    def beside_a_rival(interface: str, clients: list[probe.Client], *arguments: Any) -> list[list[probe.Offer]]:
        network.server = "198.18.0.1"
        rival = probe.Offer("198.18.0.254", "198.18.0.50", "0.0.0.0", b"", b"", {66: b"http://rival/"})
        return [[*offers, rival] for offers in network.ask(interface, clients, *arguments)]

    backend.calls.clear()
    monkeypatch.setattr(probe, "ask", beside_a_rival)
    assert run(probe_interface="veth0").probe["clients"][0]["server"] == "198.18.0.1"

    network.silent = {"after", "restored"}
    backend.calls.clear()
    with pytest.raises(DhcpError, match=r"nothing is offered.* was not proved"):
        run(probe_interface="veth0")


def test_a_probe_that_is_required(backend: FakeBackend, network: Network) -> None:
    network.silent = {"before"}
    with pytest.raises(DhcpError, match="probe is required but impossible: no offer on eth0; nothing was changed"):
        run(probe="required")
    assert "apply" not in backend.calls


def test_a_probe_that_is_not_wanted(backend: FakeBackend, network: Network) -> None:
    assert run(probe="never").probe == {"performed": False, "reason": "probe is never", "clients": []}
    assert not [call for call in backend.calls if call.startswith("probe")]


def test_one_writer_at_a_time(backend: FakeBackend) -> None:
    with locked(backend.lock_path), pytest.raises(DhcpError, match="another run has held the lock"):  # noqa: SIM117
        with locked(backend.lock_path, timeout=0.1):
            pass


def servers(monkeypatch: pytest.MonkeyPatch, serving: set[str], installed: set[str]) -> list[str]:
    """Three servers of which some are here; a list of those that were opened."""
    opened: list[str] = []

    def make(server: str) -> type:
        class Made(FakeBackend):
            name = server

            def __init__(self, target: Target) -> None:
                super().__init__()
                opened.append(server)

            @classmethod
            def installed(cls) -> bool:
                return server in installed

            @classmethod
            def serving(cls) -> bool:
                return server in serving

        return Made

    monkeypatch.setattr(engine, "_BACKENDS", tuple(map(make, ("one", "two", "three"))))
    return opened


def test_the_server_that_runs_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = servers(monkeypatch, serving={"two"}, installed={"one", "two", "three"})
    engine.open_backend("auto", Target())
    engine.open_backend("three", Target())
    assert opened == ["two", "three"]


def test_the_only_server_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = servers(monkeypatch, serving=set(), installed={"three"})
    engine.open_backend("auto", Target())
    assert opened == ["three"]


def test_which_of_several_servers_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    servers(monkeypatch, serving=set(), installed={"one", "three"})
    with pytest.raises(DhcpError, match=r"several DHCP servers are here \(one, three\); say which with server"):
        engine.open_backend("auto", Target())


def test_no_server_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    servers(monkeypatch, serving=set(), installed=set())
    with pytest.raises(DhcpError, match="no DHCP server was found here"):
        engine.open_backend("auto", Target())
