# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many claimants at once, and one of them is answered."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import pytest

from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.policy import Proof
from autoprovd.release import Release
from autoprovd.sealing import Keyring, load_keyring
from autoprovd.site import Selection, Site
from autoprovd.store import Store
from tests.proofs import tally
from tests.proofs.appliance import Appliance
from tests.proofs.conftest import Extent, on_both_databases
from tests.proofs.databases import Database
from tests.proofs.phones import Phone, ask_at_once

PHONE = Phone(1)
ROUNDS = {2: 6, 16: 3, 64: 1}
"""Rounds of the quick form for so many claimants."""


def _claim_each_round(orders: Connection, barrier: Any, url: str, keyring: Keyring, name: str) -> None:
    """A claimant with a process and a database connection of its own: two claims at each order."""
    store = Store(url)
    release = Release(store, keyring)
    claimant = Claimant(f"address:{name}", Proof.ADDRESS, name)
    while orders.recv():
        barrier.wait()
        answers: list[dict[Any, str]] = []
        for _repetition in range(2):
            try:
                answers.append(release.claim(PHONE.mac, PHONE.secrets, claimant))
            except Refused as refusal:
                answers.append({"busy": refusal.message})
        orders.send(answers)
    store.close()


@on_both_databases
@pytest.mark.parametrize("claimants", ROUNDS)
@pytest.mark.parametrize("strict", [True, False], ids=["once", "window"])
def test_of_many_processes_exactly_one_is_answered(
    database: Database, appliance: Appliance, extent: Extent, claimants: int, strict: bool
) -> None:
    """Of N processes that claim one arming at once, exactly one is answered, with mode once a single time."""
    rounds = ROUNDS[claimants] * extent.factor
    keyring = load_keyring(appliance.key)
    processes, ends = [], []
    spawn = multiprocessing.get_context("fork")
    barrier = spawn.Barrier(claimants)
    store = Store(database.url)
    store.migrate()
    store.close()  # before the fork: SQLite's connections must not cross it
    for number in range(claimants):
        end, theirs = spawn.Pipe()
        arguments = (theirs, barrier, database.url, keyring, f"198.18.0.{number + 1}")
        process = spawn.Process(target=_claim_each_round, args=arguments, daemon=True)
        process.start()
        processes.append(process)
        ends.append(end)
    site = Site(store, keyring, Release(store, keyring))
    site.apply_settings({"release": {"strict": strict}}, False, "proof")
    site.apply_phones([PHONE.definition], False, False, "proof")
    answered = doubles = 0
    try:
        for number in range(rounds):
            if number:
                site.arm([Selection(PHONE.mac)], False, False, "proof")
            for end in ends:
                end.send(True)
            told = [[answer for answer in end.recv() if "busy" not in answer] for end in ends]
            winners = [[answer for answer in answers if answer] for answers in told if any(answers)]
            answered += sum(map(len, winners))
            doubles += len(winners) - 1
            assert len(winners) == 1, f"{len(winners)} claimants were answered in round {number}"
            assert all(answer == PHONE.secrets for answer in winners[0]), "what was armed together was torn apart"
            assert len(winners[0]) == 1 or not strict, "mode once, and it was repeated"
    finally:
        for end in ends:
            end.send(False)
        for process in processes:
            process.join(20)
        store.close()
    _assert_released_once_a_round(database, rounds)
    name = f"{database.name}: processes race"
    tally.count(name, rounds=rounds, claims=rounds * claimants * 2, released=answered, doubles=doubles)


def _assert_released_once_a_round(database: Database, rounds: int) -> None:
    released = database.released(PHONE.mac)
    assert len(released) == rounds * len(PHONE.secrets)
    assert max(released.values()) == 1


@on_both_databases
@pytest.mark.parametrize("strict", [True, False], ids=["once", "window"])
def test_of_many_phones_exactly_one_is_answered(appliance: Appliance, extent: Extent, strict: bool) -> None:
    """Of N addresses that ask for one phone's file in the same instant, exactly one gets its passwords."""
    appliance.start()
    appliance.set_up([PHONE], strict=strict)
    race([appliance], {claimants: rounds * extent.factor for claimants, rounds in ROUNDS.items()}, "phones race")


def race(nodes: list[Appliance], rounds: dict[int, int], name: str) -> None:
    """Rounds of N addresses that ask in the same instant, taking turns at the nodes; exactly one gets passwords."""
    done = doubles = 0
    for claimants in [n for n, times in rounds.items() for _round in range(times)]:
        if done:
            nodes[done % len(nodes)].arm(PHONE)
        asked = [
            (nodes[(done + index) % len(nodes)].port, f"127.0.1.{index + 1}", PHONE.request())
            for index in range(claimants)
        ]
        done += 1
        answers = ask_at_once(asked)
        found = [PHONE.secrets_in(answer) for answer in answers]
        winners = sum(map(bool, found))
        doubles += winners - 1
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert winners == 1, f"{winners} of {claimants} addresses were answered in round {done}"
        assert frozenset(PHONE.secrets) in found, "what was armed together was torn apart"
        assert set(nodes[0].states(PHONE).values()) == {"suspect"}, "nobody is told that others asked"
    _assert_released_once_a_round(nodes[0].database, done)
    nodes[0].assert_audit_whole()
    claims = sum(claimants * times for claimants, times in rounds.items())
    tally.count(f"{nodes[0].database.name}: {name}", rounds=done, claims=claims, released=done, doubles=doubles)
