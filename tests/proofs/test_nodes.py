# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services on one PostgreSQL: each serves each phone, and together they release as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.proofs.appliance import Appliance
from tests.proofs.conftest import Extent
from tests.proofs.phones import Phone
from tests.proofs.test_races import PHONE, ROUNDS, race

pytestmark = pytest.mark.parametrize(
    "database", [pytest.param("postgresql", marks=pytest.mark.long)], indirect=True, ids=str
)
ALL = frozenset(PHONE.secrets)


@pytest.fixture
def nodes(appliances: Callable[..., Appliance]) -> list[Appliance]:
    """Three nodes of a site, running."""
    made = [appliances(settings={"require_synchronous_standby": False}) for _number in range(3)]
    for node in made:
        node.start()
    return made


def test_of_many_phones_at_several_nodes_exactly_one_is_answered(nodes: list[Appliance], extent: Extent) -> None:
    """Of N addresses that ask three nodes for one phone's file in the same instant, exactly one gets its passwords."""
    nodes[0].set_up([PHONE], strict=True, window_seconds=3600)
    rounds = {claimants: times * extent.factor for claimants, times in ROUNDS.items()}
    race(nodes, rounds, "phones race at three nodes")


def test_what_one_node_writes_the_next_request_at_another_sees(nodes: list[Appliance]) -> None:
    """A phone added, armed, claimed, revoked or removed at one node is so at once for whoever asks at another."""
    for number in range(1, 13):
        phone = Phone(number)
        here, there, third = (nodes[(number + step) % 3] for step in range(3))
        here.set_up([phone], strict=True, window_seconds=3600)
        assert phone.secrets_in(there.ask(phone)) == ALL
        assert phone.secrets_in(third.ask(phone)) == frozenset()
        assert phone.secrets_in(here.ask(phone)) == frozenset()
        here.arm(phone)
        assert phone.secrets_in(third.ask(phone)) == ALL
        there.arm(phone)
        here.api("POST", "/grants/revoke", {"select": [{"mac": phone.mac}]})
        assert phone.secrets_in(there.ask(phone)) == frozenset()
        third.api("DELETE", f"/phones/{phone.mac}")
        assert there.ask(phone).startswith(b"HTTP/1.1 404")
    nodes[0].assert_audit_whole()
