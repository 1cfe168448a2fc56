# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``phone_resync`` against the real service, which speaks to phones on the loopback address."""

from __future__ import annotations

from typing import Any

from tests.integration.collection.conftest import Play, Service
from tests.integration.collection.playbooks import events_named, new_phone
from tests.unit.service.sip_phone import in_turn, listening, respond, wants

HERE = "127.0.0.1"


def task(*macs: str, **options: Any) -> dict[str, Any]:
    """Told to fetch; its result is looked at whether it fails or not."""
    addresses = dict.fromkeys(macs, HERE)
    given = {"phones": list(macs), "addresses": addresses, "pause": 0, "jitter": 0, "answer_timeout": 2} | options
    return {"name": "Resync", "autoprov.appliance.phone_resync": given, "ignore_errors": True}


def test_check_then_run(service: Service, play: Play) -> None:
    first, second = new_phone(service), new_phone(service)
    with listening(respond("200 OK")) as phone:
        foreseen = play([task(first, second, port=phone.port)], "--check", url=service.url).results["Resync"]
        assert phone.told == []
        done = play([task(first, second, port=phone.port)], url=service.url).results["Resync"]
    assert [(foreseen["changed"], result["state"]) for result in foreseen["phones"]] == [(True, "planned")] * 2
    assert [(done["changed"], result["state"], result["mac"]) for result in done["phones"]] == [
        (True, "accepted", first),
        (True, "accepted", second),
    ]
    assert phone.events == ["check-sync;reboot=false"] * 2
    assert events_named(service, "resynced") == [first, second]


def test_who_does_not_accept_fails_the_task_and_the_others_were_told(service: Service, play: Play) -> None:
    macs = [new_phone(service), new_phone(service)]
    with listening(in_turn(respond("489 Bad Event"), respond("200 OK"))) as phone:
        done = play([task(*macs, port=phone.port)], url=service.url).results["Resync"]
    assert (done["failed"], done["changed"]) == (True, True)
    assert done["msg"] == f"1 of 2 phones did not do it:\n- {macs[0]}: refused (489, it does not know check-sync)"
    assert [result["state"] for result in done["phones"]] == ["refused", "accepted"]


def test_with_wait_only_who_has_fetched_is_fine(service: Service, play: Play) -> None:
    mac = new_phone(service)
    with listening(respond("200 OK")) as phone:
        done = play([task(mac, port=phone.port, wait=1)], url=service.url).results["Resync"]
    assert (done["failed"], done["phones"][0]["fetched"]) == (True, False)
    assert "has asked for no file since" in done["msg"]


def test_faults_are_told_before_anybody_is_told_anything(service: Service, play: Play) -> None:
    mac = new_phone(service)
    with listening(respond("200 OK")) as phone:
        done = play([task(mac, "00:04:13:00:00:00", port=phone.port)], url=service.url).results["Resync"]
        astray = play([task(mac, addresses={"000413000001": HERE})], url=service.url).results["Resync"]
    assert [fault["where"] for fault in done["faults"]] == ["phones[1]"]
    assert astray["msg"].startswith("addresses names 000413000001, but phones does not")
    assert phone.told == []


def test_through_a_pbx_no_password_is_shown(service: Service, play: Play) -> None:
    mac = new_phone(service)
    with listening(wants("desk", "planted-pbx")) as pbx:
        via = {"host": HERE, "port": pbx.port, "user": "desk", "password": "planted-pbx"}
        done = play([task(mac, addresses={}, via=via)], "-vvv", "--diff", url=service.url)
        assert done.results["Resync"]["phones"][0]["state"] == "accepted"
        wrong = play([task(mac, addresses={}, via={**via, "password": "planted-wrong"})], "-vvv", url=service.url)
    assert wrong.results["Resync"]["msg"].endswith("refused (403, the PBX forbids it to this user)")
    assert "planted" not in done.text + wrong.text
