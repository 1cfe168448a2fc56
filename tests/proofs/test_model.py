# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against a reference model: it answers what the model says, whatever people, phones and clocks do."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from autoprovd import audit
from autoprovd.clock import Clock
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.lending import Lending
from autoprovd.model import SecretKey
from autoprovd.policy import Proof
from autoprovd.release import Release
from autoprovd.sealing import Keyring
from autoprovd.site import Selection, Site
from autoprovd.store import Store
from tests.proofs import tally
from tests.proofs.conftest import Extent, on_both_databases
from tests.proofs.databases import Database
from tests.proofs.phones import Phone
from tests.proofs.reference_model import LEASE, Model, Time

_NUMBERS = itertools.count(1)
_KEYS = sorted(Phone(0).secrets)
_SIP = _KEYS[[key.secret_class.value for key in _KEYS].index("sip")]
some_keys = st.lists(st.sampled_from(_KEYS), min_size=1, unique=True)
seconds = st.sampled_from([0.0, 1.0, 30.0, 100.0, 299.0, 301.0, 599.0, 601.0, 3600.0, 86400.0])


def _claimants(mac: str) -> dict[str, Claimant]:
    return {
        "the phone": Claimant(f"neighbour:{mac}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20"),
        "the phone with its credentials": Claimant(f"credentials:{mac}", Proof.CREDENTIALS, "198.18.0.20"),
        "the phone at another address": Claimant(f"neighbour:{mac}@198.18.0.21", Proof.NEIGHBOUR, "198.18.0.21"),
        "a stranger": Claimant("address:198.18.0.66", Proof.ADDRESS, "198.18.0.66"),
        "another stranger": Claimant("address:198.18.0.67", Proof.ADDRESS, "198.18.0.67"),
        "a liar": Claimant("neighbour:aabbccddeeff@198.18.0.68", Proof.NONE, "198.18.0.68"),
        "a liar at the phone's address": Claimant("neighbour:aabbccddeeff@198.18.0.20", Proof.NONE, "198.18.0.20"),
    }


some_claimant = st.sampled_from(sorted(_claimants("")))
some_run = st.sampled_from(["run:1", "run:2"])


class _ShownClock(Clock):
    """Shows the time of the model."""

    def __init__(self, time: Time) -> None:
        self.time = time

    @property
    def boot_id(self) -> str:  # type: ignore[override]
        """One for each boot."""
        return f"boot {self.time.boots}"

    def wall(self) -> float:
        """The wall clock."""
        return self.time.wall

    def boot(self) -> float:
        """The time since the boot."""
        return self.time.boot


class Machine(RuleBasedStateMachine):
    """A site with one phone, on a database that earlier runs have used for other phones."""

    database: Database
    keyring: Keyring
    latest = 1_800_000_000.0
    """A wall time behind everything that earlier runs on this database have recorded."""
    claims = 0
    answers = 0
    store: Store
    site: Site

    @initialize()
    def begin(self) -> None:
        """A new phone, in a time after all others."""
        self.described = Phone(next(_NUMBERS))
        self.model = Model(Time(type(self).latest + 1_000_000.0), dict(self.described.secrets))
        self.claimants = _claimants(self.described.mac)
        self.restart()
        self.site.apply_settings({"release": {"strict": False, "window_starts": "arming"}}, False, "proof")
        self.add()

    # -- what happens to the machine ----------------------------------------------------------------------------------

    @rule()
    def restart(self) -> None:
        """The service ends and starts again."""
        if hasattr(self, "store"):
            self.store.close()
        self.store = Store(self.database.url, _ShownClock(self.model.time))
        self.release = Release(self.store, self.keyring)
        self.site = Site(self.store, self.keyring, self.release)
        self.lending = Lending(self.store, self.keyring)

    @rule(passed=seconds)
    def pass_time(self, passed: float) -> None:
        """Time goes by as it should."""
        self._set(self.model.time.wall + passed, self.model.time.boot + passed)

    @rule(off=seconds, trouble=st.sampled_from(["ahead", "back", "reboot", "reboot, clock back", "reboot in 1970"]))
    def have_trouble(self, off: float, trouble: str) -> None:
        """Somebody sets the clock, or the machine boots again, with a good clock, one that went back, or none."""
        time = self.model.time
        if not trouble.startswith("reboot"):
            self._set(time.wall + (off if trouble == "ahead" else -off), time.boot)
            return
        time.boots += 1
        wall = {"reboot": time.wall + off, "reboot, clock back": time.wall - off, "reboot in 1970": 0.0}[trouble]
        self._set(wall, 5.0)
        self.restart()

    def _set(self, wall: float, boot: float) -> None:
        self.model.time.wall, self.model.time.boot = wall, boot

    # -- what people do -----------------------------------------------------------------------------------------------

    @rule(strict=st.booleans(), starts=st.sampled_from(["arming", "first_request"]))
    def change_the_policy(self, strict: bool, starts: str) -> None:
        """What is armed from now on is armed under other terms."""
        changed, *_told = self.site.apply_settings(
            {"release": {"strict": strict, "window_starts": starts}}, False, "proof"
        )
        self.model.strict, self.model.window_starts = strict, starts
        if changed:
            self.model.time.record()

    @precondition(lambda self: not self.model.phone)
    @rule()
    def add(self) -> None:
        """The phone is added, or comes back."""
        self.site.apply_phones([self.described.definition], False, False, "proof")
        self.model.add()

    @precondition(lambda self: self.model.phone)
    @rule()
    def remove(self) -> None:
        """The phone is removed."""
        self.site.remove_phone(self.described.mac, "proof")
        self.model.remove()

    @precondition(lambda self: self.model.phone)
    @rule(keys=some_keys, new_password=st.booleans())
    def arm(self, keys: list[SecretKey], new_password: bool) -> None:
        """A person releases passwords again."""
        listed, _difference = self.site.arm(self._selected(keys), new_password, False, "proof")
        armed = {(item["line"], item["secret_class"]) for item in listed if item["audience"] == "phone"}
        assert armed == {tuple(key) for key in self.model.arm(keys, new_password)}
        rows = self.database.rows(
            "SELECT line, secret_class, generation FROM grants WHERE mac = :mac AND audience = 'phone'",
            mac=self.described.mac,
        )
        found = {(row.line, row.secret_class): row.generation for row in rows}
        assert found == {tuple(key): grant.generation for key, grant in self.model.phone.items()}

    @precondition(lambda self: self.model.phone)
    @rule(keys=some_keys)
    def revoke(self, keys: list[SecretKey]) -> None:
        """A person withdraws passwords."""
        self.site.revoke(self._selected(keys), False, "proof")
        self.model.revoke(keys)

    def _selected(self, keys: list[SecretKey]) -> list[Selection]:
        return [
            Selection(self.described.mac, line=key.line, secret_classes=frozenset({key.secret_class})) for key in keys
        ]

    # -- who asks -----------------------------------------------------------------------------------------------------

    @rule(keys=some_keys, name=some_claimant)
    def claim_some(self, keys: list[SecretKey], name: str) -> None:
        """Somebody asks for some passwords of the phone."""
        self._claim(keys, name)

    def _claim(self, keys: list[SecretKey], name: str) -> None:
        got = self.release.claim(self.described.mac, keys, self.claimants[name])
        assert sorted(got) == sorted(self.model.claim(keys, self.claimants[name]))
        for key, password in got.items():
            self.model.learn(key, password)
        type(self).answers += len(got)
        type(self).claims += 1

    @rule(name=some_claimant)
    def claim_everything(self, name: str) -> None:
        """Somebody asks for the whole configuration."""
        self._claim(_KEYS, name)

    @rule(run=some_run, what=st.sampled_from(["claim", "lend", "confirm", "return"]))
    def ask_for_the_pbx(self, run: str, what: str) -> None:
        """An Ansible run claims or borrows the SIP password, or reports what became of it."""
        claimant = Claimant(run, Proof.NONE, "token ansible")
        wanted = [(self.described.mac, _SIP)]
        told: dict[tuple[str, SecretKey], str] = {}
        try:
            if what in ("claim", "lend"):
                told = self.lending.claim(wanted, claimant, LEASE, what == "lend").secrets
            elif what == "confirm":
                self.lending.confirm(wanted, claimant)
            else:
                self.lending.give_back(wanted, claimant)
            allowed = True
        except Refused:
            allowed = False
        assert allowed == self.model.run_asks(what, run)
        assert list(told) == (wanted if allowed and what in ("claim", "lend") else [])
        for password in told.values():
            self.model.learn(_SIP, password)
        type(self).claims += 1

    @precondition(lambda self: self.model.phone)
    @rule()
    def tick(self) -> None:
        """The service looks at the clock, as it does every few seconds."""
        self.release.tick()
        self.model.tick()

    @rule()
    def confirm(self) -> None:
        """The phone comes back with what it was given."""
        self.release.confirm(self.described.mac, self.claimants["the phone with its credentials"])
        self.model.confirm()

    def teardown(self) -> None:
        """What must hold whatever happened."""
        if not hasattr(self, "store"):
            return
        try:
            assert max(self.database.released(self.described.mac).values(), default=1) == 1
            with self.store.read() as connection:
                verdict = audit.verify(connection, self.keyring.audit_key)
                rows = audit.page(connection, 0, 1_000_000)
            assert verdict.ok, verdict
            told = repr([row for row in rows if row["mac"] == self.described.mac])
            assert told.count(self.described.mac) > 0
            assert [password for password in self.model.passwords() if password in told] == []
        finally:
            time = self.model.time
            type(self).latest = max(type(self).latest, time.wall, time.recorded)
            self.store.close()


@on_both_databases
def test_the_engine_does_what_the_reference_model_says(database: Database, extent: Extent) -> None:
    """Whatever happens in whatever order, passwords go to exactly those to whom the reference model gives them; no
    generation is released twice, the audit log is whole, and no password is in it.
    """
    store = Store(database.url)
    store.migrate()
    store.close()

    class OnDatabase(Machine):
        pass

    OnDatabase.database, OnDatabase.keyring = database, Keyring([bytes(range(32))])
    run_state_machine_as_test(
        OnDatabase,
        settings=settings(
            max_examples=extent.examples, stateful_step_count=60, deadline=None,
            # No shrinking: it takes minutes. A run that failed is kept in .hypothesis, and comes first the next time.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    tally.count(f"{database.name}: reference model", claims=OnDatabase.claims, released=OnDatabase.answers, doubles=0)
