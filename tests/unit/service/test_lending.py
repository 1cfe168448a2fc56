# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords for Ansible runs: at once or in two phases, one run at a time, few lendings, each step in the audit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from autoprovd import audit
from autoprovd.faults import Refused
from autoprovd.grants import MOST_LENDINGS, Claimant, Grant, grants_of
from autoprovd.lending import Account
from autoprovd.model import Audience, SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.site import Selection
from autoprovd.store.schema import audit as audit_table
from autoprovd.store.schema import grants
from autoprovd.web import api

from .conftest import SNOM, YEALINK, Box, snom, yealink

SIP = SecretKey(1, SecretClass.SIP)
ACCOUNT: Account = (YEALINK, SIP)
SECOND: Account = (YEALINK, SecretKey(2, SecretClass.SIP))
RUN = Claimant("run:1", Proof.NONE, "token ansible")
OTHER = RUN._replace(identity="run:2")
LEASE = 300.0


@pytest.fixture
def site(box: Box) -> Box:
    """A phone with two generated passwords, and one whose password was given."""
    accounts = [{"line": line, "user": f"100{line}", "registrar": "198.18.0.5"} for line in (1, 2)]
    box.site.apply_phones([yealink(accounts=accounts), snom()], False, False, "test")
    return box


def lend(box: Box, run: Claimant = RUN, *accounts: Account) -> dict[Account, str]:
    return box.lending.claim(accounts or [ACCOUNT], run, LEASE, two_phase=True).secrets


def grant(box: Box, line: int = 1) -> Grant:
    """The grant as a person is told of it."""
    with box.store.read() as connection:
        held = grants_of(connection, box.store.moment(connection), [YEALINK])[YEALINK]
    (found,) = (it for it in held if it.key.audience is Audience.CONTROLLER and it.key.line == line)
    return found


def told(box: Box, line: int = 1) -> list[str]:
    """What the audit says of the controller's grant, from its arming on."""
    query = select(audit_table.c.event).where(audit_table.c.audience == "controller", audit_table.c.line == line)
    with box.store.read() as connection:
        return list(connection.execute(query.order_by(audit_table.c.seq)).scalars())


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    """The reasons of a refusal, which changes nothing."""
    with pytest.raises(Refused) as refusal:
        call(*arguments)
    assert refusal.value.code == "conflict"
    assert refusal.value.faults
    return " ".join(str(fault) for fault in refusal.value.faults)


# -- one phase --------------------------------------------------------------------------------------------------------


def test_a_generated_password_is_told_to_one_run(site: Box) -> None:
    password = site.lending.claim([ACCOUNT], RUN, LEASE).secrets[ACCOUNT]
    again = site.lending.claim([ACCOUNT], RUN, LEASE)
    assert again.secrets[ACCOUNT] == password, "the same run"
    assert again.until == site.clock.now + LEASE
    assert password not in refused(site.lending.claim, [ACCOUNT], OTHER, LEASE)
    phone = Claimant(f"neighbour:{YEALINK}@198.18.0.21", Proof.NEIGHBOUR, "198.18.0.21")
    assert site.release.claim(YEALINK, {SIP}, phone) == {SIP: password}, "the phone has its own grant"
    assert told(site) == ["armed", "released", "repeated"]


def test_the_lease_of_a_run_ends(site: Box) -> None:
    site.lending.claim([ACCOUNT], RUN, LEASE)
    site.clock.pass_time(LEASE + 1)
    refused(site.lending.claim, [ACCOUNT], RUN, LEASE)
    assert grant(site).state == "released"


def test_a_run_gets_all_or_nothing(site: Box) -> None:
    for two_phase in (False, True):
        wanted = [ACCOUNT, (SNOM, SIP), ("0004130000aa", SIP)]
        why = refused(site.lending.claim, wanted, RUN, LEASE, two_phase)
        assert "was given, not generated" in why
        assert "no such account" in why
        assert grant(site).state == "armed", "nothing was consumed"
    assert told(site) == ["armed"]


def test_nobody_asks_for_nothing(site: Box) -> None:
    assert site.lending.claim([], RUN, LEASE).secrets == {}


# -- two phases -------------------------------------------------------------------------------------------------------


def test_claimed_delivered_confirmed(site: Box) -> None:
    password = lend(site)[ACCOUNT]
    assert grant(site).state == "lent"
    assert lend(site)[ACCOUNT] == password, "the same run, as often as Ansible asks"
    assert "lent to token ansible" in refused(lend, site, OTHER)
    assert "confirm or return it" in refused(site.lending.claim, [ACCOUNT], OTHER, LEASE), "nor to a lookup"
    assert site.lending.confirm([ACCOUNT], RUN) == [ACCOUNT]
    assert grant(site).state == "released"
    assert site.lending.confirm([ACCOUNT], RUN) == [], "said twice"
    assert told(site) == ["armed", "lent", "repeated", "released"]
    assert "already released" in refused(lend, site, RUN), "nothing more after that, not even to this run"
    assert "already released" in refused(lend, site, OTHER)


def test_all_accounts_of_a_call_or_none(site: Box) -> None:
    lend(site, RUN, ACCOUNT)
    lend(site, OTHER, SECOND)
    both = [ACCOUNT, SECOND]
    for call in (site.lending.confirm, site.lending.give_back):
        assert f"{YEALINK}/2 sip: this run does not hold it" in refused(call, both, RUN)
    assert "lent to" in refused(lend, site, RUN, *both)
    assert [grant(site, line).state for line in (1, 2)] == ["lent", "lent"]
    assert [told(site, line) for line in (1, 2)] == [["armed", "lent"]] * 2


def test_a_run_that_failed_gives_it_back(site: Box) -> None:
    password = lend(site)[ACCOUNT]
    assert site.lending.give_back([ACCOUNT], RUN) == [ACCOUNT]
    assert site.lending.give_back([ACCOUNT], RUN) == [], "said twice"
    assert "waiting for an Ansible run to ask; lent before, last to token ansible" in grant(site).because()
    assert "this run does not hold it" in refused(site.lending.confirm, [ACCOUNT], RUN)
    assert lend(site, OTHER)[ACCOUNT] == password
    assert "this run does not hold it: lent to" in refused(site.lending.give_back, [ACCOUNT], RUN)
    assert told(site) == ["armed", "lent", "returned", "lent"]


def test_a_run_that_broke_off_burns_nothing(site: Box) -> None:
    """The lease ends, the next run has it, and the first one can say nothing about it any more."""
    password = lend(site)[ACCOUNT]
    site.clock.pass_time(LEASE - 1)
    refused(lend, site, OTHER)
    site.clock.pass_time(1)
    assert grant(site).state == "armed"
    assert lend(site, OTHER)[ACCOUNT] == password
    assert "this run does not hold it: lent to" in refused(site.lending.confirm, [ACCOUNT], RUN)
    assert site.lending.confirm([ACCOUNT], OTHER) == [ACCOUNT]
    assert told(site) == ["armed", "lent", "lent", "released"]


def test_a_late_confirmation_closes_what_nobody_else_has(site: Box) -> None:
    lend(site)
    site.clock.pass_time(LEASE + 1)
    assert site.lending.confirm([ACCOUNT], RUN) == [ACCOUNT]
    assert "already released" in refused(lend, site, OTHER)


@pytest.mark.parametrize("broken_off", [True, False], ids=["lease ended", "returned"])
def test_after_few_lendings_a_person_is_needed(site: Box, broken_off: bool) -> None:
    for number in range(MOST_LENDINGS):
        assert grant(site).state == "armed"
        lend(site, RUN._replace(identity=f"run:{number}"))
        if broken_off:
            site.clock.pass_time(LEASE + 1)
        else:
            site.lending.give_back([ACCOUNT], RUN._replace(identity=f"run:{number}"))
    assert grant(site).state == "sealed"
    why = refused(lend, site, OTHER)
    assert f"lent {MOST_LENDINGS} times and never confirmed, last to token ansible at 20" in why
    assert "arm it for the controller" in why
    assert "lent" in refused(site.lending.claim, [ACCOUNT], OTHER, LEASE), "nor to a lookup"
    assert "--line 1 --secret sip --audience controller" in " ".join(site.overview.why(YEALINK)["advice"])
    site.site.arm([Selection(YEALINK, Audience.CONTROLLER, 1, frozenset({SecretClass.SIP}))], False, False, "anna")
    assert grant(site).lendings == 0
    assert lend(site, OTHER)
    assert told(site).count("lent") == MOST_LENDINGS + 1


def test_armed_anew_the_run_before_has_lost_it(site: Box) -> None:
    """A new password belongs to a new generation: what the old run told the PBX is no longer true."""
    old = lend(site)[ACCOUNT]
    site.site.arm([Selection(YEALINK, line=1, secret_classes=frozenset({SecretClass.SIP}))], True, False, "anna")
    assert "claim it again, and tell the PBX what you get" in refused(site.lending.confirm, [ACCOUNT], RUN)
    new = lend(site)[ACCOUNT]
    assert new != old
    assert site.lending.confirm([ACCOUNT], RUN) == [ACCOUNT]
    assert grant(site).generation == 2


def test_revoked_while_it_was_lent(site: Box) -> None:
    lend(site)
    site.site.revoke([Selection(YEALINK, Audience.CONTROLLER, 1)], False, "anna")
    assert "revoked by a person" in refused(site.lending.confirm, [ACCOUNT], RUN)
    site.clock.pass_time(LEASE + 1)
    refused(lend, site, OTHER)


def test_lookup_and_action_in_one_run(site: Box) -> None:
    """Whichever comes first, the same run gets the same answer, and its confirmation closes it."""
    password = site.lending.claim([ACCOUNT], RUN, LEASE).secrets[ACCOUNT]
    assert lend(site)[ACCOUNT] == password
    assert "released to token ansible" in refused(site.lending.give_back, [ACCOUNT], RUN), (
        "no second run after a lookup"
    )
    assert site.lending.confirm([ACCOUNT], RUN) == [ACCOUNT]
    assert told(site) == ["armed", "released", "repeated", "confirmed"]
    lend(site, RUN, SECOND)
    site.lending.claim([SECOND], RUN, LEASE)
    assert grant(site, 2).state == "lent", "a lookup takes no lent password out of the two phases"
    site.lending.confirm([SECOND], RUN)
    assert told(site, 2) == ["armed", "lent", "repeated", "released"]


def test_a_lookup_after_a_lease_that_ended(site: Box) -> None:
    lend(site)
    site.clock.pass_time(LEASE)
    assert site.lending.claim([ACCOUNT], OTHER, LEASE).secrets
    assert told(site) == ["armed", "lent", "released"]


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_clock_that_disagrees_gives_it_to_nobody(site: Box) -> None:
    """Neither again to the run that has it, nor to the next one: a lease ends when it has surely ended."""
    lend(site)
    site.clock.now += LEASE + 1  # set forward: by the time since boot the lease still runs
    refused(lend, site, RUN)
    refused(lend, site, OTHER)
    site.clock.since_boot += LEASE + 1
    assert lend(site, OTHER)
    site.clock.reboot(0.0)  # woken up in the past
    refused(lend, site, OTHER)
    refused(lend, site, RUN)
    assert grant(site).state == "lent"
    assert site.lending.confirm([ACCOUNT], OTHER) == [ACCOUNT], "to close is always safe"


def test_a_clock_that_ran_ahead_ends_no_lease(site: Box) -> None:
    """The database has seen a later time than there was; after a reboot nothing tells how long the lease has run."""
    lend(site)
    began = site.clock.now
    site.clock.now += 86400.0
    lend(site, OTHER, SECOND)
    site.clock.reboot(began + 10.0)
    assert grant(site).state == "lent"
    refused(lend, site, OTHER)


@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("boot", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("wall", [-2 * LEASE, -1.0, 0.0, 1.0])
def test_the_database_reads_the_time_as_people_are_told(site: Box, wall: float, boot: float, reboot: bool) -> None:
    lend(site)
    site.clock.now += LEASE + wall
    site.clock.since_boot += LEASE + boot
    site.clock.boot_id += " again" if reboot else ""
    shown = grant(site).state
    assert shown in ("lent", "armed")
    if shown == "armed":
        assert lend(site, OTHER)
    else:
        refused(lend, site, OTHER)


# -- together, and durably --------------------------------------------------------------------------------------------


def test_of_many_runs_at_once_one_borrows(site: Box) -> None:
    won: list[str] = []

    def run(number: int) -> None:
        identity = f"run:{number}"
        try:
            lend(site, RUN._replace(identity=identity), ACCOUNT, SECOND)
        except Refused:
            return
        won.append(identity)

    threads = [threading.Thread(target=run, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert grant(site).claimant == grant(site, 2).claimant == won[0]
    assert told(site).count("lent") == 1


@pytest.mark.parametrize("step", ["claim", "confirm", "return"])
def test_no_step_without_its_audit_row(site: Box, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the audit cannot be written, the grant stays as it was and no password is opened."""
    if step != "claim":
        lend(site)
    before = grant(site).state

    def fail(*_arguments: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(audit._INSERT, "run_many", fail)
    call = {"claim": lend, "confirm": site.lending.confirm, "return": site.lending.give_back}[step]
    with pytest.raises(OSError):
        call(site) if step == "claim" else call([ACCOUNT], RUN)  # type: ignore[operator]
    monkeypatch.undo()
    assert grant(site).state == before
    if step == "claim":
        assert lend(site, OTHER)


def test_a_refusal_is_written_down(site: Box) -> None:
    lend(site)
    refused(lend, site, OTHER)
    refused(site.lending.confirm, [ACCOUNT], OTHER)
    with site.store.read() as connection:
        count = connection.execute(
            select(func.count()).where(audit_table.c.event == "refused", audit_table.c.actor == "run:2")
        ).scalar_one()
    assert count == 2


# -- the API ----------------------------------------------------------------------------------------------------------


def test_claim_confirm_return_over_the_api(site: Box) -> None:
    client = TestClient(api.application(site.parts, on_socket=True), raise_server_exceptions=False)
    body = {"run_key": "claim/first-run", "accounts": [f"{YEALINK}/1", "80:5E:0C:4D:79:6D/1"]}
    claimed = client.post("/api/v1/claims", json={**body, "two_phase": True, "lease_seconds": 60}).json()
    assert set(claimed["secrets"]) == set(body["accounts"])
    assert len(set(claimed["secrets"].values())) == 1
    assert claimed["lease_ends_at"] == "2027-01-15T08:01:00+00:00"
    (shown,) = (it for it in site.overview.phone(YEALINK)["grants"] if it["state"] == "lent")
    assert (shown["lendings"], shown["lent_at"]) == (1, "2027-01-15T08:00:00+00:00")
    returned = client.post("/api/v1/claims/return", json=body).json()
    assert returned == {"changed": True, "returned": body["accounts"]}
    other = {**body, "run_key": "claim/second-run"}
    assert client.post("/api/v1/claims/confirm", json=other).status_code == 409
    assert client.post("/api/v1/claims", json={**other, "two_phase": True}).status_code == 200
    confirmed = client.post("/api/v1/claims/confirm", json=other)
    assert confirmed.json() == {"changed": True, "confirmed": body["accounts"]}
    assert client.post("/api/v1/claims/confirm", json=other).json() == {"changed": False, "confirmed": []}
    refusal = client.post("/api/v1/claims/return", json=other)
    assert refusal.status_code == 409
    assert "already released" in refusal.text
    password = next(iter(claimed["secrets"].values()))
    with site.store.read() as connection:
        rows = str(connection.execute(select(audit_table)).all()) + str(connection.execute(select(grants)).all())
    assert password not in rows
    assert "first-run" not in rows, "the key of a run is a secret of that run"


def test_a_run_is_known_by_its_token_too(site: Box) -> None:
    """Two AWX count their jobs alike; the job of the one is not the job of the other."""
    body = {"run_key": "awx-job/17/workflow/none", "accounts": [f"{YEALINK}/1"]}
    tokens = {name: f"{name}-" + "x" * 40 for name in ("berlin", "wien")}
    wanted = [{"name": name, "token": token, "scopes": ["claims"]} for name, token in tokens.items()]
    client = TestClient(api.application(site.parts, on_socket=True), raise_server_exceptions=False)
    assert client.put("/api/v1/tokens", json={"tokens": wanted}).status_code == 200
    remote = TestClient(api.application(site.parts, on_socket=False), raise_server_exceptions=False)

    def claim(name: str) -> int:
        headers = {"Authorization": f"Bearer {tokens[name]}"}
        return remote.post("/api/v1/claims", json={**body, "two_phase": True}, headers=headers).status_code

    assert [claim("berlin"), claim("berlin"), claim("wien")] == [200, 200, 409]
