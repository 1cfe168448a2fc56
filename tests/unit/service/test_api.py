# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin API: tokens and scopes, errors in words, the form of what it takes and gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from autoprovd.appliance import Appliance
from autoprovd.faults import Refused
from autoprovd.tokens import Scope, Token
from autoprovd.web import api

from .conftest import SNOM, YEALINK, Box, snom, yealink

TOKEN = "t" * 40


@pytest.fixture
def local(box: Box) -> TestClient:
    return TestClient(api.application(box.parts, on_socket=True), raise_server_exceptions=False)


@pytest.fixture
def remote(box: Box) -> TestClient:
    token = Token(name="reader", token=TOKEN, scopes=frozenset({Scope.PHONES_READ}))  # type: ignore[arg-type]
    box.tokens.apply([token], False, False, "test")
    return TestClient(api.application(box.parts, on_socket=False), raise_server_exceptions=False)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def error(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()["error"]
    assert set(told) == {"code", "message", "faults"}
    return told


def test_every_call_needs_its_scope(remote: TestClient) -> None:
    described = remote.get("/api/v1/openapi.json").json()["paths"]
    checked = 0
    for path, methods in described.items():
        if path == "/healthz":
            continue
        for method in methods:
            concrete = path.format(mac=SNOM, name="x", vendor="snom", model="D785")
            body = {"json": _BODIES[path, method]} if (path, method) in _BODIES else {}
            error(remote.request(method, concrete, **body), 401)
            error(remote.request(method, concrete, headers=bearer("x" * 40), **body), 401)
            answer = remote.request(method, concrete, headers=bearer(), **body)
            reads_phones = method == "get" and path.startswith(("/api/v1/phones", "/api/v1/pnp", "/api/v1/models"))
            assert (answer.status_code == 403) != reads_phones, (method, path, answer.text)
            checked += 1
    assert checked >= 15


_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("/api/v1/settings", "put"): {"settings": {}},
    ("/api/v1/phones", "put"): {"phones": []},
    ("/api/v1/pnp/add", "post"): {"mac": SNOM},
    ("/api/v1/pnp/forget", "post"): {"everything": True},
    ("/api/v1/resync", "post"): {"phones": [{"mac": SNOM}]},
    ("/api/v1/grants/arm", "post"): {"select": [{"mac": SNOM}]},
    ("/api/v1/grants/revoke", "post"): {"select": [{"mac": SNOM}]},
    ("/api/v1/claims", "post"): {"run_key": "12345678", "accounts": [f"{SNOM}/1"]},
    ("/api/v1/claims/confirm", "post"): {"run_key": "12345678", "accounts": [f"{SNOM}/1"]},
    ("/api/v1/claims/return", "post"): {"run_key": "12345678", "accounts": [f"{SNOM}/1"]},
    ("/api/v1/tokens", "put"): {"tokens": []},
}


def test_phones_in_and_out(local: TestClient) -> None:
    answer = local.put("/api/v1/phones", json={"phones": [snom(), yealink()]}).json()
    assert (answer["changed"], sorted(answer["created"]), answer["unchanged"]) == (True, [SNOM, YEALINK], 0)
    shown = local.get("/api/v1/phones", params={"mac": "00-04-13-96-d9-b4"}).json()["phones"]
    assert [phone["name"] for phone in shown] == ["Reception"]
    assert "secret" not in str([shown[0]["accounts"], shown[0]["keys"]])
    error(local.get("/api/v1/phones/000413000000"), 404)
    error(local.get("/api/v1/phones/nonsense"), 422)
    assert local.delete(f"/api/v1/phones/{SNOM}").status_code == 200
    error(local.delete(f"/api/v1/phones/{SNOM}"), 404)


def test_faults_are_told_with_their_place(local: TestClient) -> None:
    told = error(local.put("/api/v1/phones", json={"phones": [snom(model="nope"), snom(mac="x")]}), 422)
    assert told["message"] == "the phone list has 2 faults; nothing was changed"
    assert told["faults"][0]["where"] == "phones[0] (00:04:13:96:D9:B4).model"
    told = error(local.put("/api/v1/phones", json={"phone": []}), 422)
    assert {fault["where"] for fault in told["faults"]} == {"phones", "phone"}


def test_a_masked_file_shows_what_would_be_sent(local: TestClient) -> None:
    local.put("/api/v1/phones", json={"phones": [snom()]})
    name = local.get(f"/api/v1/phones/{SNOM}/files").json()["files"][0]
    body = local.get(f"/api/v1/phones/{SNOM}/files/{name}").json()["body"]
    assert "********" in body
    assert "secret" not in body
    local.post("/api/v1/grants/revoke", json={"select": [{"mac": SNOM}]})
    assert "********" not in local.get(f"/api/v1/phones/{SNOM}/files/{name}").json()["body"]
    error(local.get(f"/api/v1/phones/{SNOM}/files/other"), 404)


def test_arm_in_a_dry_run_changes_nothing(local: TestClient, box: Box) -> None:
    local.put("/api/v1/phones", json={"phones": [snom()]})
    local.post("/api/v1/grants/revoke", json={"select": [{"mac": SNOM}]})
    request = {"select": [{"mac": SNOM, "secret_classes": ["sip"]}], "dry_run": True}
    told = local.post("/api/v1/grants/arm", json=request).json()
    assert told["changed"]
    assert told["diff"]["before"] == f"{SNOM}/1 sip for the phone: revoked\n"
    assert told["diff"]["after"] == f"{SNOM}/1 sip for the phone: armed\n"
    assert box.states(SNOM)["sip 1"] == "revoked"
    error(local.post("/api/v1/grants/arm", json={"select": [{"mac": "000413000000"}]}), 404)
    error(local.post("/api/v1/grants/arm", json={"select": [{"mac": SNOM, "line": 7}]}), 404)


def test_claims(local: TestClient) -> None:
    local.put("/api/v1/phones", json={"phones": [snom(), yealink()]})
    account = "80:5E:0C:4D:79:6D/1"
    first = local.post("/api/v1/claims", json={"run_key": "run-1-of-test", "accounts": [account]}).json()["secrets"]
    again = local.post("/api/v1/claims", json={"run_key": "run-1-of-test", "accounts": [account]}).json()["secrets"]
    assert first == again
    assert len(first[account]) == 24
    told = error(local.post("/api/v1/claims", json={"run_key": "run-2-of-test", "accounts": [account]}), 409)
    assert "already" in told["faults"][0]["what"] or "released" in told["faults"][0]["what"]
    assert first[account] not in str(told)
    error(local.post("/api/v1/claims", json={"run_key": "run-2-of-test", "accounts": ["nonsense"]}), 422)


def test_tokens_are_kept_as_digests(local: TestClient, box: Box) -> None:
    token = {"name": "ansible", "token": "a-long-random-token-of-a-test-1234567890", "scopes": ["phones:write"]}
    assert local.put("/api/v1/tokens", json={"tokens": [token]}).json()["changed"]
    assert not local.put("/api/v1/tokens", json={"tokens": [token]}).json()["changed"]
    assert local.get("/api/v1/tokens").json()["tokens"][0]["scopes"] == ["phones:write"]
    stored = box.stored()
    assert b"a-long-random-token" not in stored
    told = error(local.put("/api/v1/tokens", json={"tokens": [token | {"token": "short"}]}), 422)
    assert "short" not in str(told["faults"])
    assert local.put("/api/v1/tokens", json={"tokens": [], "purge": True}).json()["touched"] == ["ansible"]


def test_metrics_and_health(local: TestClient) -> None:
    local.put("/api/v1/phones", json={"phones": [snom()]})
    assert local.get("/healthz").json() == {"status": "ok"}
    assert "autoprov_phones 1.0" in local.get("/metrics").text


def test_a_fault_of_the_program_is_told_without_its_text(local: TestClient, box: Box, monkeypatch: Any) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("holds a secret")

    monkeypatch.setattr(box.overview, "phones", fail)
    answer = local.get("/api/v1/phones")
    assert answer.status_code == 500
    assert "holds a secret" not in answer.text


def test_the_audit_is_read_in_pages(local: TestClient) -> None:
    local.put("/api/v1/phones", json={"phones": [snom()]})
    rows = local.get("/api/v1/audit", params={"limit": 3}).json()["rows"]
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert local.get("/api/v1/audit", params={"after": 3}).json()["rows"][0]["seq"] == 4
    assert local.get("/api/v1/audit/verify").json()["ok"]


def test_an_answer_that_is_no_json_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([httpx.Response(431), httpx.Response(200, text="<html>")])
    monkeypatch.setattr(httpx.Client, "request", lambda *_arguments, **_named: next(answers))
    for status in (431, 200):
        with pytest.raises(Refused, match=f"the service answered {status} and no JSON"):
            Appliance(tmp_path / "socket").ask("GET", "/phones")


def test_what_to_type_into_a_phone_is_told_of_a_phone_and_of_a_model(box: Box) -> None:
    box.site.apply_settings({"public_host": "198.18.0.1"}, dry_run=False, actor="test")
    client = TestClient(api.application(box.parts, on_socket=True), raise_server_exceptions=False)
    of_model = client.get("/api/v1/models/gigaset/n870/path").json()
    assert of_model["url"] == "http://198.18.0.1:50080/%MACD.xml"
    assert of_model["de"]["menu"] == "Einstellungen > System > Provisionierung und Konfiguration"
    box.site.apply_phones([{"mac": SNOM, "vendor": "snom", "model": "D785"}], purge=False, dry_run=False, actor="test")
    of_phone = client.get(f"/api/v1/phones/{SNOM}/path").json()
    assert of_phone["en"]["sentence"].endswith(
        "open Advanced > Update and type http://198.18.0.1:50080/ into Setting URL."
    )
    assert "known are snom" in error(client.get("/api/v1/models/acme/x/path"), 404)["message"]
    assert "D785" in error(client.get("/api/v1/models/snom/D78/path"), 404)["message"]
