# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans for a person: the API and the command line, who lifted what, and what a configuration may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient

from autoprovd import audit, cli, config
from autoprovd.appliance import Appliance
from autoprovd.faults import Refused
from autoprovd.web import api

from .conftest import Box

SOURCE, OTHER = "198.18.5.9", "198.18.5.10"
Run = Callable[..., Result]


@pytest.fixture
def local(box: Box) -> TestClient:
    for source in (SOURCE, OTHER):
        for index in range(31):
            box.bans.guess(source, f"{index:012x}", "Yealink [SIP-T54W]")
    return TestClient(api.application(box.parts, on_socket=True), raise_server_exceptions=False)


@pytest.fixture
def run(local: TestClient, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, its calls going to the application."""

    def ask(_appliance: Appliance, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        answer: httpx.Response = local.request(method, f"/api/v1{path}", **parameters)
        content: dict[str, Any] = answer.json()
        if answer.is_error:
            raise Refused(content["error"]["code"], content["error"]["message"])
        return content

    monkeypatch.setattr(Appliance, "ask", ask)
    return lambda *words: CliRunner().invoke(cli.commands, words)


def test_bans_are_listed_and_lifted_and_the_lifting_is_audited(local: TestClient, box: Box) -> None:
    told = local.get("/api/v1/bans").json()
    assert {entry["source"] for entry in told["bans"]} == {SOURCE, OTHER}
    answer = local.post("/api/v1/bans/lift", json={"source": SOURCE})
    assert answer.json() == {"changed": True, "lifted": [SOURCE]}
    assert local.post("/api/v1/bans/lift", json={"source": SOURCE}).status_code == 404
    assert local.post("/api/v1/bans/lift", json={"source": "reception"}).status_code == 422
    assert local.post("/api/v1/bans/lift", json={}).status_code == 422
    assert local.post("/api/v1/bans/lift", json={"source": SOURCE, "everything": True}).status_code == 422
    assert box.bans.wait(OTHER), "what is wrong lifts nothing"
    assert local.post("/api/v1/bans/lift", json={"everything": True}).json()["lifted"] == [OTHER]
    assert local.post("/api/v1/bans/lift", json={"everything": True}).json() == {"changed": False, "lifted": []}
    with box.store.read() as connection:
        rows = [row for row in audit.page(connection, 0, 10_000) if row["event"] == "lifted"]
    assert [(row["actor"], row["detail"]["from"]) for row in rows] == [
        ("local administrator", [SOURCE]), ("local administrator", [OTHER]),
    ]  # fmt: skip


def test_a_person_lists_and_lifts(run: Run) -> None:
    told = run("ban", "list")
    assert told.exit_code == 0
    for text in (SOURCE, OTHER, "Yealink [SIP-T54W]", "autoprov ban lift SOURCE"):
        assert text in told.output
    assert len(json.loads(run("ban", "list", "--json").output)["bans"]) == 2
    assert run("ban", "lift", SOURCE).output == f"lifted {SOURCE}\n"
    assert isinstance(run("ban", "lift", SOURCE).exception, Refused)
    for words in ((), (OTHER, "--all")):
        wrong = run("ban", "lift", *words)
        assert (wrong.exit_code, "or say --all" in wrong.output) == (2, True)
    assert run("ban", "lift", "--all").output == f"lifted {OTHER}\n"
    assert "nobody is banned" in run("ban", "lift", "--all").output
    assert run("ban", "list").output.startswith("Nobody is banned.")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('allow = ["198.18.5.0/8"]', "is not a network such as"),
        ('allow = ["reception"]', "is not a network such as"),
        ("guesses = -1", "limits.guesses"),
        ("guesses = 2000", "limits.guesses"),
        ("first_ban_seconds = 0", "limits.first_ban_seconds"),
        ("first_ban_seconds = 600\nlongest_ban_seconds = 300", "a ban grows"),
        ("guess = 3", "limits.guess"),
    ],
)
def test_a_limit_that_cannot_be_is_told(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "autoprovd.toml").write_text(f"[limits]\n{text}\n")
    with pytest.raises(Refused) as told:
        config.load(tmp_path / "autoprovd.toml")
    assert fault in " ".join(map(str, told.value.faults))
