# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action ``credential_claim``: which run, which service, what it sends, and what of its result may be shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.autoprov.appliance.plugins.action.credential_claim import ActionModule
from tests.unit.plugins.fake_api import FakeApi

ACCOUNT = "000413922d24/1"
LENT = {"secrets": {ACCOUNT: "planted-one"}, "lease_ends_at": "2026-11-22T20:10:00+00:00"}
NAMED = {"autoprov_claim_id": "a-random-text"}


class Play:
    """A task, made as Ansible makes it, and run for a host."""

    def __init__(self, check: bool = False, diff: bool = False, **arguments: Any) -> None:
        self.task = Task()
        self.task.args = {"accounts": [ACCOUNT], **arguments}
        self.task.check_mode, self.task.diff, self.task.async_val = check, diff, 0

    def run(self, **variables: Any) -> dict[str, Any]:
        """The result."""
        loader = DataLoader()
        nowhere = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))  # the action never connects
        action = ActionModule(self.task, nowhere, None, loader, Templar(loader), None)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "pbx", **variables})
        return result


def test_claims_in_two_phases(api: FakeApi) -> None:
    api.expect("POST", "/api/v1/claims", LENT)
    result = Play(api_url=api.url, accounts=["00:04:13:92:2D:24/1", ACCOUNT], lease_seconds=60).run(**NAMED)
    assert api.calls[0].body == {
        "run_key": "claim/a-random-text",
        "accounts": [ACCOUNT],
        "secret_class": "sip",
        "two_phase": True,
        "lease_seconds": 60,
    }
    assert result["passwords"] == {"00:04:13:92:2D:24/1": "planted-one", ACCOUNT: "planted-one"}
    assert result["credentials"] == [
        {"account": ACCOUNT, "mac": "000413922d24", "line": 1, "password": "planted-one"}
    ]  # fmt: skip
    assert (result["accounts"], result["claim_id"], result["changed"]) == ([ACCOUNT], "a-random-text", True)
    assert result["_ansible_no_log"] is True


@pytest.mark.parametrize(("state", "past"), [("confirmed", "confirm"), ("returned", "return")])
def test_says_what_became_of_them(api: FakeApi, state: str, past: str) -> None:
    api.expect("POST", f"/api/v1/claims/{past}", {"changed": True, state: [ACCOUNT]})
    api.expect("POST", f"/api/v1/claims/{past}", {"changed": False, state: []})
    play = Play(api_url=api.url, state=state, diff=True, claim_id="another-text")
    result = play.run(**NAMED)
    assert api.calls[0].body == {"run_key": "claim/another-text", "accounts": [ACCOUNT], "secret_class": "sip"}
    after = {"confirmed": "released", "returned": "armed"}[state]
    assert result["diff"] == {
        "before": f"{ACCOUNT} sip for the controller: lent\n",
        "after": f"{ACCOUNT} sip for the controller: {after}\n",
    }
    assert "passwords" not in result
    assert "_ansible_no_log" not in result, "there is nothing to hide"
    again = play.run(**NAMED)
    assert (again["changed"], "diff" in again) == (False, False)


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        (NAMED, "claim/a-random-text"),
        ({**NAMED, "awx_job_id": 7}, "claim/a-random-text"),
        ({"awx_job_id": 7, "awx_workflow_job_id": 3}, "awx-job/7/workflow/3"),
    ],
)
def test_the_name_of_the_run(api: FakeApi, variables: dict[str, Any], key: str) -> None:
    api.expect("POST", "/api/v1/claims", LENT)
    Play(api_url=api.url).run(**variables)
    assert api.calls[0].body["run_key"] == key


def test_a_name_of_its_own_lasts_through_retries(api: FakeApi) -> None:
    """An answer that was lost is asked for again under the same name; another task or host has another."""
    play = Play(api_url=api.url)
    hosts = ["pbx", "pbx", "other"]
    for _host in [*hosts, "pbx"]:
        api.expect("POST", "/api/v1/claims", LENT)
    names = [play.run(inventory_hostname=host)["claim_id"] for host in hosts]
    names.append(Play(api_url=api.url).run()["claim_id"])
    assert names[0] == names[1]
    assert len({*names}) == 3
    assert [call.body["run_key"] for call in api.calls] == [f"claim/{name}" for name in names]


def test_options_variables_environment(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPROV_API_URL", "unix:///nowhere")
    monkeypatch.setenv("AUTOPROV_API_TOKEN", "token-of-the-environment")
    for _call in range(2):
        api.expect("POST", "/api/v1/claims", LENT)
    Play().run(autoprov_api_url=api.url, **NAMED)
    assert api.calls[0].headers["Authorization"] == "Bearer token-of-the-environment"
    Play(api_url=api.url, api_token="token-of-the-task").run(
        autoprov_api_url="unix:///nowhere", autoprov_api_token="token-of-a-variable", **NAMED
    )
    assert api.calls[1].headers["Authorization"] == "Bearer token-of-the-task"
    with pytest.raises(AnsibleActionFail, match="unix:///nowhere does not answer"):
        Play().run(**NAMED)


@pytest.mark.parametrize("state", ["claimed", "confirmed", "returned"])
def test_check_mode_asks_nobody(api: FakeApi, state: str) -> None:
    result = Play(check=True, diff=True, api_url=api.url, state=state, check_mode_value="x").run()
    assert result["changed"] is True
    if state == "claimed":
        assert result["passwords"] == {ACCOUNT: "x"}
        assert result["_ansible_no_log"] is False, "a placeholder can be seen"


def test_no_account_asks_nothing(api: FakeApi) -> None:
    result = Play(api_url=api.url, accounts=[]).run(**NAMED)
    assert (result["changed"], result["passwords"], result["credentials"]) == (False, {}, [])


def test_faults_are_named_at_once(api: FakeApi) -> None:
    with pytest.raises(AnsibleActionFail, match=r"'nonsense' is not an account.*0004139.*not a MAC"):
        Play(api_url=api.url, accounts=["nonsense", "0004139/1"]).run(**NAMED)
    with pytest.raises(AnsibleActionFail, match=r"(?s)state.*lease_seconds|lease_seconds.*state"):
        Play(api_url=api.url, state="lost", lease_seconds="soon").run(**NAMED)
    with pytest.raises(AnsibleActionFail, match="8 to 128 characters"):
        Play(api_url=api.url, claim_id="1").run()
    with pytest.raises(AnsibleActionFail, match=r"set claim_id to .* AWX, awx_job_id serves"):
        Play(api_url=api.url, state="confirmed").run()


def test_refusal_names_the_way_out_and_has_no_cause(api: FakeApi) -> None:
    faults = [{"where": ACCOUNT, "what": "lent to another run", "fix": "wait"}]
    api.refuse("POST", "/api/v1/claims", 409, "not released", faults)
    with pytest.raises(AnsibleActionFail) as caught:
        Play(api_url=api.url, api_token="planted-token").run(**NAMED)
    assert "lent to another run" in str(caught.value)
    assert "run_once: true" in str(caught.value)
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_answer_without_the_password_is_an_error(api: FakeApi) -> None:
    api.expect("POST", "/api/v1/claims", {"secrets": {"other": "planted-other"}})
    with pytest.raises(AnsibleActionFail, match=f"released no password for {ACCOUNT}") as caught:
        Play(api_url=api.url).run(**NAMED)
    assert "planted" not in str(caught.value)
