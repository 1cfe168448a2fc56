# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``credential`` in real runs, under each supported ansible-core: a password leaves the service once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.collection.conftest import Play, Played, Service
from tools.ansible_matrix import PYTHONS, NoInterpreterError, environment

MAC = "000413922d24"
ACCOUNT = f"{MAC}/1"
NAME = {
    "name": "Name the run",
    "ansible.builtin.set_fact": {
        "autoprov_claim_id": "{{ lookup('ansible.builtin.password', '/dev/null', length=32) }}"
    },
}
DEBUG = "ansible.builtin.debug"
SECRET = f"{{{{ lookup('autoprov.appliance.credential', '{ACCOUNT}') }}}}"
EXPECTED = "{{ lookup('ansible.builtin.file', expected_file) }}"


@pytest.fixture(scope="session", params=list(PYTHONS))
def core(request: pytest.FixtureRequest) -> Path:
    """The commands of each ansible-core that this host can run."""
    try:
        return environment(request.param)
    except NoInterpreterError as error:
        pytest.skip(str(error))


@pytest.fixture
def phones(service: Service) -> Service:
    """A service with a phone of two accounts, whose passwords it generated."""
    accounts = [{"line": line, "user": f"100{line}", "registrar": "pbx.example"} for line in (1, 2)]
    phone = {"mac": MAC, "vendor": "snom", "model": "D785", "accounts": accounts}
    service.api.put("/phones", {"phones": [phone]})
    return service


def state(service: Service, line: int = 1) -> str:
    """The state of the right of a controller to fetch the password of that line."""
    (grant,) = service.grants(MAC, line=line, secret_class="sip", audience="controller")
    return str(grant["state"])


def task(name: str, uses: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    """A task that uses the password, and shows nothing."""
    return {"name": name, "ansible.builtin.set_fact": uses, "no_log": True, **keywords}


# A task that is refused has no password to hide, and up to 2.18 no_log would hide why.
OPEN_USE = {"name": "Use", "ansible.builtin.set_fact": {"a": SECRET}}


def run(
    play: Play, service: Service, core: Path | None, tasks: list[dict[str, Any]], *arguments: str, **extra: Any
) -> Played:
    """Run tasks under an ansible-core, by default that of the tests."""
    variables = {"autoprov_api_url": service.url, **extra}
    return play(tasks, *arguments, variables=variables, url=service.url, commands=core)


def test_however_often_it_is_evaluated_one_run_is_one_release(phones: Service, play: Play, core: Path) -> None:
    """Each way in which Ansible evaluates a lookup more than once gets the same answer within a run."""
    uses = [
        task("Twice in one text", {"a": "{{ s }} {{ s }}"}),
        task("In two arguments", {"a": "{{ s }}", "b": "{{ s }}"}),
        task("Chained", {"a": "{{ chained }}"}),
        task("In a loop", {"a": "{{ s }}{{ item }}"}, loop=[1, 2, 3]),
        task("In a condition", {"a": "{{ s }}"}, when="s | length > 0"),
        task("As a default", {"a": "{{ given | default(s) }}"}),
        task("In a list", {"a": "{{ query('autoprov.appliance.credential', [account]) | first }}"}),
        task("All the same", {"all": "{{ [a, first] | unique | length }}"}),
    ]
    uses[0]["ansible.builtin.set_fact"]["first"] = "{{ s }}"
    played = run(play, phones, core, [NAME, *uses], s=SECRET, chained="{{ s }}", given="x", account=ACCOUNT)
    assert played.status == 0, played.text
    assert played.results["All the same"]["ansible_facts"]["all"] in (1, "1")
    events = [row["event"] for row in phones.api.get("/audit")["rows"] if row["audience"] == "controller"]
    assert events.count("released") == 1
    assert events.count("repeated") >= len(uses)
    assert state(phones) == "open"  # for the same run, as long as the lease lasts


def test_another_run_is_refused_and_told_what_to_do(phones: Service, play: Play) -> None:
    assert run(play, phones, None, [NAME, task("Use", {"a": SECRET})]).status == 0
    refused = run(play, phones, None, [NAME, OPEN_USE])
    assert refused.status == 2
    assert ACCOUNT in refused.text
    assert "autoprov.appliance.credentials with audience: controller" in refused.text
    arm = {
        "name": "Arm",
        "autoprov.appliance.credentials": {"phones": [MAC], "audience": "controller", "secret_classes": ["sip"]},
    }
    assert run(play, phones, None, [arm, NAME, task("Use", {"a": SECRET})]).status == 0


def test_all_or_nothing(phones: Service, play: Play) -> None:
    """One account that may not be fetched keeps the others unfetched."""
    both = f"{{{{ query('autoprov.appliance.credential', '{MAC}/1', '{MAC}/2') }}}}"
    phones.api.post("/grants/revoke", {"select": [{"mac": MAC, "line": 2, "audience": "controller"}]})
    refused = run(play, phones, None, [NAME, task("Use", {"a": both}, no_log=False)])
    assert refused.status == 2
    assert f"{MAC}/2" in refused.text
    assert state(phones, 1) == "armed"


def test_a_run_that_names_itself_anew_each_time_is_told_so(phones: Service, play: Play) -> None:
    changing = "{{ lookup('ansible.builtin.password', '/dev/null', length=32) }}"
    tasks = [task("First", {"a": SECRET}), OPEN_USE]
    refused = run(play, phones, None, tasks, autoprov_claim_id=changing)
    assert refused.status == 2
    assert "changes with each evaluation; set it with set_fact" in refused.text


def test_a_run_without_a_name_and_a_job_of_awx(phones: Service, play: Play) -> None:
    refused = run(play, phones, None, [OPEN_USE])
    assert refused.status == 2
    assert "Set the variable autoprov_claim_id once" in refused.text
    assert state(phones) == "armed"
    assert run(play, phones, None, [task("Use", {"a": SECRET}), task("Again", {"a": SECRET})], awx_job_id=7).status == 0
    assert run(play, phones, None, [task("Use", {"a": SECRET})], awx_job_id=8).status == 2


def test_check_mode_claims_nothing(phones: Service, play: Play, core: Path) -> None:
    played = run(play, phones, core, [NAME, OPEN_USE], "--check")
    assert played.status == 0, played.text
    assert played.results["Use"]["ansible_facts"]["a"] == "released-only-without-check-mode"
    assert state(phones) == "armed"
    strict = run(play, phones, core, [NAME, OPEN_USE], "--check", autoprov_check_mode_value="")
    assert strict.status == 2
    assert "--check releases no password" in strict.text


def test_no_value_is_shown_even_when_things_fail(phones: Service, play: Play, core: Path, tmp_path: Path) -> None:
    """At -vvv, in a run that uses the password, fails with it, and is refused another one."""
    both = f"{{{{ query('autoprov.appliance.credential', '{MAC}/1', '{MAC}/2') }}}}"
    tasks = [
        NAME,
        task("Use", {"a": SECRET}),
        {
            "name": "Fail with it",
            "ansible.builtin.command": {"argv": ["false", "{{ a }}"]},
            "no_log": True,
            "ignore_errors": True,
        },
        task("Refused", {"b": both}, no_log=False, ignore_errors=True),
    ]
    phones.api.post("/grants/revoke", {"select": [{"mac": MAC, "line": 2, "audience": "controller"}]})
    played = run(play, phones, core, tasks, "-vvv")
    password = played.results["Use"]["ansible_facts"]["a"]
    assert len(password) >= 16
    assert f"{MAC}/2" in played.text
    assert password not in played.text
    assert password not in json.dumps(phones.api.get("/audit"))
    assert password not in (phones.folder / "log").read_text()


def test_over_https_with_a_token(phones: Service, play: Play) -> None:
    token = "planted-" + "t" * 40
    tokens = [{"name": "controller", "token": token, "scopes": ["claims"]}]
    phones.api.put("/tokens", {"tokens": tokens})
    secure = {"autoprov_api_url": phones.https_url, "autoprov_ca_path": str(phones.certificate)}
    refused = run(play, phones, None, [NAME, OPEN_USE], "-vvv", **secure, autoprov_api_token=token + "x")
    assert "the token is missing or wrong" in refused.text
    assert "planted-" not in refused.text
    played = run(play, phones, None, [NAME, task("Use", {"a": SECRET})], "-vvv", **secure, autoprov_api_token=token)
    assert played.status == 0, played.text
    assert "planted-" not in played.text
