# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones are told to fetch their files: who is told what, who is not, and what the answers mean."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from autoprovd import audit
from autoprovd.faults import Refused
from autoprovd.leases import Leases
from autoprovd.sip.client import Peer
from autoprovd.sip.resync import Pbx, Resync, Terms, Wanted, authorities
from autoprovd.tls import generate_certificate
from autoprovd.tokens import Scope, Token
from autoprovd.web import api

from .conftest import SNOM, YEALINK, Box, snom, yealink
from .sip_phone import Answer, in_turn, listening, respond, silent, wants

pytestmark = pytest.mark.anyio

HERE = "127.0.0.1"
OK = respond("200 OK")


@pytest.fixture
def resync(box: Box, tmp_path: Path) -> Resync:
    box.site.apply_phones([snom(), yealink()], False, False, "test")
    (tmp_path / "leases").touch()
    return Resync(box.store, box.keyring, box.overview, box.neighbours, Leases([("dnsmasq", tmp_path / "leases")]))


def on(port: int, **changes: Any) -> Terms:
    return Terms(port=port, timeout=changes.pop("timeout", 3.0), **changes)


async def told(resync: Resync, terms: Terms, mac: str = SNOM, dry_run: bool = False) -> dict[str, Any]:
    (result,) = await resync.tell([Wanted(mac, HERE)], terms, dry_run, "integrator")
    return result


@pytest.mark.parametrize(("reboot", "event"), [(False, "check-sync;reboot=false"), (True, "check-sync;reboot=true")])
async def test_a_phone_is_told_and_the_audit_knows_by_whom(box: Box, resync: Resync, reboot: bool, event: str) -> None:
    with listening(OK) as phone:
        result = await told(resync, on(phone.port, reboot=reboot))
    assert result == {
        "mac": SNOM,
        "target": f"udp:{HERE}:{phone.port}",
        "uri": f"sip:1001@{HERE}:{phone.port}",
        "event": event,
        "state": "accepted",
        "status": 200,
        "reason": "",
    }
    (request,) = phone.told
    assert (request.method, request.uri) == ("NOTIFY", result["uri"])
    assert (request.headers["event"], request.headers["subscription-state"]) == (event, "terminated")
    with box.store.read() as connection:
        row = audit.page(connection, 0, 100)[-1]
    assert (row["event"], row["actor"], row["mac"]) == ("resynced", "integrator", SNOM)
    assert row["detail"] == {"to": f"udp:{HERE}:{phone.port}", "reboot": reboot}


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (respond("401 Unauthorized", 'WWW-Authenticate: Digest realm="x", nonce="y"'), 401, "challenge_checksync"),
        (respond("403 Forbidden"), 403, "from its PBX only"),
        (respond("489 Bad Event"), 489, "does not know check-sync"),
        (respond("486 Busy Here"), 486, "Busy Here"),
        (respond("600 "), 600, "it says no more"),
    ],
)
async def test_a_refusal_is_told_in_words_and_is_no_audit_row(
    box: Box, resync: Resync, answer: Answer, status: int, words: str
) -> None:
    with listening(answer) as phone:
        result = await told(resync, on(phone.port))
    assert (result["state"], result["status"]) == ("refused", status)
    assert words in result["reason"]
    # A phone never gets a second try with a password: the account's secret is not for this.
    assert len(phone.told) == 1
    assert "resynced" not in box.events()


async def test_silence_ends_after_the_time_given(resync: Resync) -> None:
    with listening(silent) as phone:
        result = await told(resync, on(phone.port, timeout=1.2))
    assert (result["state"], result["status"]) == ("silent", None)
    assert result["reason"] == "no answer within 1.2 seconds"
    assert len(phone.told) == 2, "said again after half a second, and not yet after another"
    assert len({tuple(sorted(each.headers.items())) for each in phone.told}) == 1, "word for word"


async def test_nobody_listens_there(resync: Resync) -> None:
    with listening(OK) as phone:
        pass
    result = await told(resync, on(phone.port))
    assert (result["state"], result["reason"]) == ("silent", "Connection refused")


async def test_a_lost_packet_is_made_good(resync: Resync) -> None:
    with listening(in_turn(silent, OK)) as phone:
        assert (await told(resync, on(phone.port)))["state"] == "accepted"
    assert len(phone.told) == 2


async def test_only_a_final_answer_to_this_very_request_counts(resync: Resync) -> None:
    def mixed(request: Any) -> list[str]:
        return [
            "no SIP at all",
            *respond("403 Forbidden", copy=False)(request),
            *respond("100 Trying")(request),
            *OK(request),
        ]

    with listening(mixed) as phone:
        result = await told(resync, on(phone.port))
    assert (result["state"], result["status"]) == ("accepted", 200)


async def test_over_tcp_and_tls(resync: Resync, tmp_path: Path) -> None:
    with listening(OK, "tcp") as phone:
        result = await told(resync, on(phone.port, transport="tcp"))
    assert (result["state"], result["target"]) == ("accepted", f"tcp:{HERE}:{phone.port}")
    assert phone.told[0].uri == f"sip:1001@{HERE}:{phone.port};transport=tcp"
    assert phone.told[0].headers["via"].startswith("SIP/2.0/TCP ")
    with listening(OK, "tls", _certificate(tmp_path)) as phone:
        assert (await told(resync, on(phone.port, transport="tls")))["state"] == "accepted"
    with listening(OK, "tcp") as phone:
        result = await told(resync, on(phone.port, transport="tls", timeout=2.0))
        phone.surprises.clear()  # a ClientHello is no SIP
    assert result["state"] == "silent"


def _certificate(folder: Path) -> ssl.SSLContext:
    generate_certificate(["pbx.example", HERE], folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("qop", ['qop="auth"', 'qop="auth-int,auth"', ""])
@pytest.mark.parametrize("status", [401, 407])
async def test_through_a_pbx_that_wants_a_password(resync: Resync, algorithm: str, qop: str, status: int) -> None:
    with listening(wants("provisioning", 'pass"word', algorithm, qop, status)) as pbx:
        via = Pbx(Peer(HERE, pbx.port, "udp"), "provisioning", 'pass"word')
        result = await told(resync, Terms(via=via, timeout=3.0))
    assert (result["state"], result["uri"]) == ("accepted", "sip:1001@198.18.0.5")
    first, second = pbx.told
    assert first.headers["call-id"] == second.headers["call-id"]
    assert (first.headers["cseq"], second.headers["cseq"]) == ("1 NOTIFY", "2 NOTIFY")
    assert first.headers["via"] != second.headers["via"], "a new branch: another transaction"
    assert 'pass"word' not in str(pbx.told)


async def test_a_pbx_that_gets_the_wrong_password_or_none(resync: Resync) -> None:
    with listening(wants("provisioning", "right")) as pbx:
        peer = Peer(HERE, pbx.port, "udp")
        wrong = await told(resync, Terms(via=Pbx(peer, "provisioning", "wrong"), timeout=3.0))
        nobody = await told(resync, Terms(via=Pbx(peer), timeout=3.0))
    assert (wrong["status"], wrong["reason"]) == (403, "the PBX forbids it to this user")
    assert (nobody["status"], nobody["reason"]) == (407, "the PBX wants a user and a password")
    assert len(pbx.told) == 3


async def test_the_certificate_of_a_pbx_is_verified(resync: Resync, tmp_path: Path) -> None:
    with listening(OK, "tls", _certificate(tmp_path)) as pbx:
        for trusted, state in (((tmp_path / "server.crt").read_text(), "accepted"), (None, "silent")):
            via = Pbx(Peer(HERE, pbx.port, "tls", authorities(trusted)))
            result = await told(resync, Terms(via=via, timeout=3.0))
            assert result["state"] == state, result
    assert result["reason"].startswith("its certificate is not trusted")
    with pytest.raises(Refused, match="no certificates in PEM"):
        authorities("nothing")


async def test_a_dry_run_sends_nothing(box: Box, resync: Resync) -> None:
    with listening(OK) as phone:
        result = await told(resync, on(phone.port), dry_run=True)
    assert (result["state"], phone.told) == ("planned", [])
    assert "resynced" not in box.events()


async def test_another_device_has_its_address_by_now(box: Box, resync: Resync) -> None:
    with listening(OK) as phone:
        box.neighbours.network.add(HERE)
        box.neighbours.table[HERE] = YEALINK
        result = await told(resync, on(phone.port))
        assert (result["state"], result["reason"]) == ("elsewhere", f"{HERE} belongs to {YEALINK} now")
        del box.neighbours.table[HERE]
        result = await told(resync, on(phone.port))
        assert (result["state"], result["reason"]) == ("elsewhere", f"nobody is at {HERE} at the moment")
        assert box.neighbours.called == [HERE]
        box.neighbours.table[HERE] = SNOM
        assert (await told(resync, on(phone.port)))["state"] == "accepted"
    assert len(phone.told) == 1


async def test_behind_a_router_the_lease_says_whose_address_it_is(resync: Resync, tmp_path: Path) -> None:
    with listening(OK) as phone:
        (tmp_path / "leases").write_text(f"2000000000 80:5e:0c:4d:79:6d {HERE} * *\n")
        result = await told(resync, on(phone.port))
    assert (result["state"], result["reason"]) == ("elsewhere", f"{HERE} is leased to {YEALINK} now")
    assert phone.told == []


async def test_where_a_phone_is_the_neighbour_table_knows_best(box: Box, resync: Resync) -> None:
    terms = Terms(timeout=1.0)

    async def target() -> str:
        (result,) = await resync.tell([Wanted(SNOM)], terms, True, "test")
        return str(result["target"])

    with pytest.raises(Refused) as refusal:
        await target()
    (fault,) = refusal.value.faults
    assert fault.fix == "give its address, or go through the PBX"
    await box.get("/snomD785-00041396D9B4.htm", source="198.18.0.20")
    assert await target() == "udp:198.18.0.20:5060"
    box.neighbours.table.update({"2001:db8::5": SNOM, "198.18.0.30": SNOM})
    assert await target() == "udp:198.18.0.30:5060"
    box.neighbours.table["198.18.0.20"] = SNOM
    assert await target() == "udp:198.18.0.20:5060"


async def test_all_that_is_wrong_is_told_at_once_and_nobody_was_told_anything(box: Box, resync: Resync) -> None:
    gigaset = {"mac": "7c2f80b30a11", "vendor": "gigaset", "model": "N670", "gigaset_id": "PL4N"}
    box.site.apply_phones([gigaset, yealink(accounts=[])], False, False, "test")
    with listening(OK) as phone:
        wanted = [Wanted(SNOM, HERE), Wanted("000000000000"), Wanted("7c2f80b30a11", HERE), Wanted(YEALINK)]
        with pytest.raises(Refused) as refusal:
            await resync.tell(wanted, on(phone.port, reboot=True), False, "test")
    assert phone.told == []
    assert "nobody was" in refusal.value.message
    assert [(fault.where, fault.fix) for fault in refusal.value.faults] == [
        ("phones[1]", "list them with: autoprov phones"),
        ("phones[2]", "leave out reboot"),
        ("phones[3]", "give its address, or go through the PBX"),
    ]
    via = Pbx(Peer(HERE, phone.port, "udp"))
    with pytest.raises(Refused) as refusal:
        await resync.tell([Wanted(YEALINK)], Terms(via=via), False, "test")
    assert "has no account at the PBX" in str(refusal.value.faults[0])


async def test_many_are_told_at_once_and_each_has_its_own_result(resync: Resync) -> None:
    with listening(in_turn(OK, respond("489 Bad Event"))) as phone:
        results = await resync.tell([Wanted(SNOM, HERE), Wanted(YEALINK, HERE)], on(phone.port), False, "test")
    assert [result["mac"] for result in results] == [SNOM, YEALINK]
    assert sorted(result["state"] for result in results) == ["accepted", "refused"]


def test_by_the_api(box: Box, resync: Resync) -> None:
    box.parts.resync = resync
    token = Token(name="desk", token="t" * 40, scopes=frozenset({Scope.GRANTS_WRITE}))  # type: ignore[arg-type]
    box.tokens.apply([token], False, False, "test")
    remote = TestClient(api.application(box.parts, on_socket=False), raise_server_exceptions=False)
    remote.headers["authorization"] = "Bearer " + "t" * 40
    with listening(wants("desk", "planted-password")) as pbx:
        via = {"host": HERE, "port": pbx.port, "user": "desk", "password": "planted-password"}
        body = {"phones": [{"mac": "00:04:13:96:D9:B4"}], "via": via}
        answer = remote.post("/api/v1/resync", json=body).json()
    assert answer["changed"] is True
    assert answer["told_at"] == "2027-01-15T08:00:00.000+00:00"
    assert answer["phones"][0]["state"] == "accepted"
    wrong = {"phones": [{"mac": "nonsense"}], "via": {**via, "host": "a b", "transport": "sctp"}}
    refused = remote.post("/api/v1/resync", json=wrong)
    assert refused.status_code == 422
    places = {fault["where"] for fault in refused.json()["error"]["faults"]}
    assert places == {"phones[0].mac", "via.host", "via.transport"}
    assert "planted" not in refused.text
