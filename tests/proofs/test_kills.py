# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service is killed: at each step of a claim, and at any moment under load."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from dataclasses import dataclass, field

import httpx
import pytest

from tests.proofs import tally
from tests.proofs.appliance import Appliance, dying
from tests.proofs.conftest import Extent
from tests.proofs.databases import Database
from tests.proofs.dying_service import STEPS
from tests.proofs.phones import Phone

BURNING = STEPS[STEPS.index("after COMMIT") : STEPS.index("after sending")]


def test_a_kill_at_each_step_releases_nothing_twice(database: Database, appliance: Appliance) -> None:
    """Killed at any step, the service emits a password at most once, and only kills behind COMMIT burn it."""
    phones = [Phone(index + 1) for index in range(len(STEPS))]
    emitted = 0
    for number, (step, phone) in enumerate(zip(STEPS, phones, strict=True)):
        appliance.start(dying(phone, step, "kill"))
        if number == 0:
            appliance.set_up(phones, strict=True, window_seconds=3600)
        else:
            emitted += _ask_after_the_kill(appliance, STEPS[number - 1], phones[number - 1])
        first = phone.secrets_in(appliance.ask(phone))
        appliance.wait_until_dead()  # or the step was never reached
        assert first == (frozenset(phone.secrets) if step == "after sending" else frozenset()), step
        emitted += bool(first)
        audited = database.released(phone.mac)
        assert len(audited) == (len(phone.secrets) if STEPS.index(step) >= STEPS.index("after COMMIT") else 0), step
        database.assert_sound()
    appliance.start()
    emitted += _ask_after_the_kill(appliance, STEPS[-1], phones[-1])
    appliance.assert_audit_whole()
    assert emitted == len(STEPS) - len(BURNING), "each phone whose release was not burned got its passwords once"
    tally.count(
        f"{database.name}: killed at each step", claims=2 * len(STEPS), released=emitted, kills=len(STEPS),
        burned=len(BURNING), doubles=max(0, emitted + len(BURNING) - len(STEPS)),
    )  # fmt: skip


def _ask_after_the_kill(appliance: Appliance, step: str, phone: Phone) -> bool:
    found = phone.secrets_in(appliance.ask(phone))
    if STEPS.index(step) < STEPS.index("after COMMIT"):
        assert found == frozenset(phone.secrets), f"killed {step}, and it was burned"
        return True
    assert found == frozenset(), f"killed {step}, and it was released again"
    assert "released to 127.0.0.1; arm it to release it again" in appliance.why(phone)
    return False


@dataclass
class _History:
    """What the phones of a storm received."""

    emitted: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """The addresses that received a phone's passwords of a generation, whole or in part."""
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.mark.parametrize("strict", [True, False], ids=["once", "window"])
def test_a_storm_of_kills_releases_nothing_twice(
    database: Database, appliance: Appliance, extent: Extent, strict: bool
) -> None:
    """Killed at random times under load, the service answers at most one claimant a generation, and audits each."""
    phones = [Phone(index + 1) for index in range(4)]
    appliance.start()
    appliance.set_up(phones, strict=strict, window_seconds=3600)
    history, over = _History(), threading.Event()
    callers = [
        threading.Thread(target=_arm_and_ask, args=(database, appliance, phone, history, over)) for phone in phones
    ]
    for caller in callers:
        caller.start()
    kills, end = 0, time.monotonic() + extent.seconds
    try:
        while time.monotonic() < end:
            time.sleep(random.uniform(0.02, 0.5))
            appliance.kill()
            kills += 1
            appliance.start()
    finally:
        over.set()
        for caller in callers:
            caller.join(60)
    database.assert_sound()
    appliance.assert_audit_whole()
    rows = database.rows("SELECT DISTINCT mac, generation FROM audit WHERE event = 'released'")
    released = {(row.mac, row.generation) for row in rows}
    doubles = sum(len(got) - 1 if strict else len(set(got)) - 1 for got in history.emitted.values())
    tally.count(
        f"{database.name}: storm of kills", rounds=len(released), claims=history.asked,
        released=sum(map(len, history.emitted.values())), kills=kills, burned=len(released - set(history.emitted)),
        doubles=doubles, unaudited=len(set(history.emitted) - released),
    )  # fmt: skip
    assert doubles == 0
    assert set(history.emitted) <= released, "passwords left without an audit row"
    assert len(history.emitted) > kills, "there was no load"


def _arm_and_ask(
    database: Database, appliance: Appliance, phone: Phone, history: _History, over: threading.Event
) -> None:
    """Arm one phone and ask for it from three addresses at once, over and over; only this thread touches the phone."""
    while not over.is_set():
        with contextlib.suppress(httpx.TransportError):
            appliance.arm(phone)
        rows = database.rows("SELECT DISTINCT state, generation FROM grants WHERE mac = :mac", mac=phone.mac)
        generation = max(row.generation for row in rows)
        sources = [f"127.0.{phone.index}.{number}" for number in (1, 2, 3)]
        answers = [b""] * 3

        def ask(number: int, into: list[bytes], source: str) -> None:
            into[number] = appliance.ask(phone, source)

        threads = [
            threading.Thread(target=ask, args=(number, answers, source)) for number, source in enumerate(sources)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        got = [source for source, answer in zip(sources, answers, strict=True) if phone.secrets_in(answer)]
        # And once more, as a phone does that was cut off; whoever was killed before may be answered now.
        got += [source for source in sources if phone.secrets_in(appliance.ask(phone, source))]
        with history.lock:
            history.asked += 6
            if got:
                history.emitted.setdefault((phone.mac, generation), []).extend(got)
