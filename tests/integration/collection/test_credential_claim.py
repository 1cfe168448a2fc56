# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action ``credential_claim`` in real runs: claimed, delivered, confirmed, and not burned when that fails."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoprovd.model import SecretClass, SecretKey
from autoprovd.sealing import load_keyring, place
from tests.integration.collection.conftest import Service, running_service
from tests.integration.collection.playbooks import EACH_CORE, HERE, Core, Ran, core_of, events, new_phone, run_playbook

CLAIM = "autoprov.appliance.credential_claim"
COMMAND = "ansible.builtin.command"
ASSERT = "ansible.builtin.assert"
THREE = dict.fromkeys(("one", "two", "three"), HERE)
AWAY = {"away": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}}


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One service for all tests; each has a phone of its own."""
    with running_service() as running:
        yield running


@pytest.fixture(params=EACH_CORE)
def core(request: pytest.FixtureRequest) -> Core:
    """Each ansible-core that this host can run."""
    return core_of(request.param)


def claiming(state: str = "claimed", **options: Any) -> dict[str, Any]:
    """A task that claims, confirms or returns the accounts of the play."""
    keywords = {name: options.pop(name) for name in list(options) if name in _KEYWORDS}
    arguments: dict[str, Any] = {"state": state, "accounts": "{{ accounts }}"}
    if state == "claimed":
        return {CLAIM: arguments | options, "register": "claim", **keywords}
    return {CLAIM: arguments | {"claim_id": "{{ claim.claim_id }}"} | options, **keywords}


_KEYWORDS = ("check_mode", "delay", "loop", "no_log", "register", "retries", "run_once", "until", "vars", "when")
CONFIRM = claiming("confirmed")
RETURN = claiming("returned")


class Site:
    """A phone, and playbooks that tell the PBX its passwords."""

    def __init__(self, service: Service, core: Core, folder: Path, lines: int = 1) -> None:
        self.service, self.core, self.folder = service, core, folder
        self.mac = new_phone(service, lines)
        self.accounts = [f"{self.mac}/{line}" for line in range(1, lines + 1)]
        self.delivered = folder / "delivered.json"

    def run(self, *tasks: dict[str, Any], arguments: tuple[str, ...] = (), hosts: Any = None, **variables: Any) -> Ran:
        """Run tasks, none of which names its run unless the variables do."""
        known = {"accounts": self.accounts, "autoprov_api_url": self.service.url, "delivered": str(self.delivered)}
        play = {"hosts": "all", "gather_facts": False, "tasks": list(tasks), "vars": known | variables}
        return run_playbook(self.core, self.folder, [play], *arguments, hosts=hosts)

    def state(self, line: int = 1) -> str:
        """The state of the grant."""
        (grant,) = self.service.grants(self.mac, line=line, secret_class="sip", audience="controller")
        return str(grant["state"])

    def told(self, line: int = 1) -> list[str]:
        """What the audit tells since the arming."""
        return events(self.service, self.mac, line)


@pytest.fixture
def site(shared: Service, core: Core, tmp_path: Path) -> Site:
    return Site(shared, core, tmp_path)


DELIVER = {
    "ansible.builtin.copy": {"content": "{{ claim.credentials | to_json }}", "dest": "{{ delivered }}", "mode": "0600"},
    "no_log": True,
}


def test_claimed_delivered_confirmed(site: Site) -> None:
    """Read as often as one likes, it is one lending and one release; and the next run gets nothing."""
    spelled = ":".join(site.mac[index : index + 2] for index in range(0, 12, 2)).upper() + "/1"
    checks = {
        "that": [
            "claim is changed",
            "claim.passwords[accounts[0]] == claim.credentials[0].password",
            "claim.credentials[0].password | length == 24",
            "claim.credentials[0].line == 1",
            f"claim.accounts == ['{site.mac}/1']",
            "claim.claim_id | length >= 24",
        ]
    }
    again = {**CONFIRM, "register": "again"}
    unchanged = {ASSERT: {"that": ["again is not changed", "claim.lease_ends_at is match('20')"]}}
    tasks = [claiming(), {ASSERT: checks, "no_log": True}, DELIVER, CONFIRM, again, unchanged]
    ran = site.run(*tasks, accounts=[spelled])
    assert ran.status == 0, ran.text
    assert site.told() == ["lent", "released"]
    (credential,) = json.loads(site.delivered.read_text())
    assert credential["password"] not in ran.text
    refused = site.run(claiming())
    assert refused.status == 2
    assert "already released" in refused.text, "a refusal can be read"


def test_check_mode_asks_nobody(site: Site) -> None:
    placeholder = {ASSERT: {"that": "claim.passwords.values() | first == 'released-only-without-check-mode'"}}
    whole = (claiming(), placeholder, CONFIRM, RETURN)
    ran = site.run(*whole, arguments=("--check", "--diff"), autoprov_api_url="unix:///nowhere")
    assert ran.status == 0, ran.text
    assert f"+{site.accounts[0]} sip for the controller: released" in ran.text
    one = site.run(claiming(check_mode=True), placeholder, autoprov_api_url="unix:///nowhere")
    assert one.status == 0, one.text
    assert site.told() == []


ROWS: dict[str, dict[str, Any]] = {
    "until": {"tasks": [claiming(until="claim.attempts == 3", retries=3, delay=0), CONFIRM]},
    "loop over accounts": {
        "lines": 2,
        "tasks": [
            claiming(accounts=["{{ item }}"], loop="{{ accounts }}", no_log=True),
            claiming("confirmed", accounts="{{ item.accounts }}", claim_id="{{ item.claim_id }}",
                     loop="{{ claim.results }}", no_log=True),
        ],
    },
    "claimed in each task, under one name": {
        "tasks": [claiming(), claiming(), CONFIRM], "autoprov_claim_id": "one-name-for-all",
    },
    "three hosts, run_once": {"tasks": [claiming(run_once=True), {**CONFIRM, "run_once": True}], "hosts": THREE},
    "three hosts, one name": {"tasks": [claiming(), CONFIRM], "hosts": THREE, "autoprov_claim_id": "one-name-for-all"},
    "a job of AWX": {"tasks": [claiming(), claiming(), CONFIRM], "awx_job_id": 7},
    "role": {"tasks": [{"ansible.builtin.import_role": {"name": "r"}}], "role": [claiming(), CONFIRM]},
    "a variable used twice": {
        "tasks": [claiming(), {ASSERT: {"that": "p ~ p == p + p"}, "no_log": True}, CONFIRM],
        "p": "{{ claim.passwords[accounts[0]] }}",
    },
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_one_run_is_one_release(shared: Service, core: Core, tmp_path: Path, row: str) -> None:
    options = dict(ROWS[row])
    site = Site(shared, core, tmp_path, options.pop("lines", 1))
    if "role" in options:
        (tmp_path / "roles" / "r" / "tasks").mkdir(parents=True)
        (tmp_path / "roles" / "r" / "tasks" / "main.yml").write_text(json.dumps(options.pop("role")))
    ran = site.run(*options.pop("tasks"), **options)
    assert ran.status == 0, ran.text
    for line in range(1, len(site.accounts) + 1):
        told = site.told(line)
        assert (told.count("lent"), told.count("released")) == (1, 1), told
        assert set(told) <= {"lent", "repeated", "released"}


def test_hosts_without_a_common_name_are_told_so(site: Site) -> None:
    ran = site.run(claiming(), hosts=THREE)
    assert ran.status == 2
    assert "claim with run_once: true" in ran.text
    assert site.told().count("lent") == 1


def test_who_confirms_must_say_what(site: Site) -> None:
    ran = site.run(claiming("confirmed", claim_id=""))
    assert "set claim_id to the claim_id that the claiming task returned" in ran.text
    ran = site.run(claiming("confirmed", claim_id="somebody-else"))
    assert "this run does not hold it: waiting for an Ansible run to ask" in ran.text
    ran = site.run(claiming(accounts=["nonsense", "0004139/1"], lease_seconds="x"))
    assert "lease_seconds" in ran.text


# -- what goes wrong on the way ---------------------------------------------------------------------------------------


def second_run(site: Site) -> None:
    """The next run gets the password, and it is the one release there is."""
    ran = site.run(claiming(), DELIVER, CONFIRM)
    assert ran.status == 0, ran.text
    assert site.told().count("released") == 1


def test_a_delivery_that_fails_gives_it_back(site: Site) -> None:
    fails = {COMMAND: "false {{ claim.credentials[0].password }}", "no_log": True}
    block = {"block": [claiming(), fails, CONFIRM], "rescue": [RETURN, {"ansible.builtin.fail": {"msg": "not told"}}]}
    ran = site.run(block)
    assert ran.status == 2
    assert site.told() == ["lent", "returned"]
    second_run(site)
    assert site.told() == ["lent", "returned", "lent", "released"]


@pytest.mark.parametrize("way", ["unreachable", "failed", "undefined"])
def test_a_run_that_breaks_off_burns_nothing(site: Site, way: str) -> None:
    """While the lease lasts nobody else gets it; then the next run does."""
    broken = {
        "unreachable": {COMMAND: "echo {{ claim.credentials[0].password }}", "no_log": True},
        "failed": {COMMAND: "false {{ claim.credentials[0].password }}", "no_log": True},
        "undefined": {COMMAND: "echo {{ claim.credentials[0].password }} {{ not_there }}", "no_log": True},
    }[way]
    hosts = AWAY if way == "unreachable" else None
    ran = site.run(claiming(lease_seconds=8), broken, CONFIRM, hosts=hosts)
    assert ran.status == (4 if way == "unreachable" else 2), ran.text
    assert site.told() == ["lent"]
    meanwhile = site.run(claiming())
    assert "lent to local administrator" in " ".join(meanwhile.text.split())
    deadline = time.monotonic() + 20
    while site.state() == "lent" and time.monotonic() < deadline:
        time.sleep(0.2)
    second_run(site)
    assert site.told() == ["lent", "lent", "released"]


# -- values -----------------------------------------------------------------------------------------------------------

VALUES = ["12345", "[1, 2]", '{"a": 1}', "True", "null", "{{ 7 * 7 }}", "{% raw %}", "{# x #}", "!vault |", "é€"]
VALUES += ["a'\"\\b", " x "]


def plant(service: Service, mac: str, values: list[str]) -> None:
    """Let these be the passwords of the lines, sealed as the service seals."""
    keyring = load_keyring(service.folder / "sealing.key")
    with sqlite3.connect(service.folder / "autoprov.sqlite", timeout=10) as database:
        for line, value in enumerate(values, 1):
            sealed = keyring.seal(value, place(mac, SecretKey(line, SecretClass.SIP), 1))
            database.execute(
                "UPDATE secrets SET key_id = ?, box = ? WHERE mac = ? AND line = ? AND secret_class = 'sip'",
                (sealed.key_id, sealed.box, mac, line),
            )
    database.close()


def test_values_come_back_as_they_are(shared: Service, core: Core, tmp_path: Path) -> None:
    """What looks like a number, JSON or a template stays text, through a fact and into a module's arguments."""
    site = Site(shared, core, tmp_path, len(VALUES))
    plant(shared, site.mac, VALUES)
    fact = {
        "ansible.builtin.set_fact": {"it": "{{ claim.passwords[item] }}"},
        "loop": "{{ accounts }}", "register": "facts", "no_log": True,
    }  # fmt: skip
    write = {
        "ansible.builtin.copy": {
            "content": "{{ [claim.credentials, claim.passwords, facts.results] | to_json }}",
            "dest": "{{ delivered }}", "mode": "0600",
        },
        "no_log": True,
    }  # fmt: skip
    argument = {
        "ansible.builtin.command": {"argv": ["printf", "%s", "{{ claim.passwords[item] }}"]},
        "loop": "{{ accounts }}", "register": "echoed", "no_log": True,
    }  # fmt: skip
    last = {"ansible.builtin.copy": {"content": "{{ echoed.results | map(attribute='stdout') | to_json }}",
                                     "dest": "{{ delivered }}.2", "mode": "0600"}, "no_log": True}  # fmt: skip
    ran = site.run(claiming(), fact, write, argument, last, CONFIRM)
    assert ran.status == 0, ran.text
    credentials, passwords, facts = json.loads(site.delivered.read_text())
    assert [item["password"] for item in credentials] == VALUES
    assert [passwords[account] for account in site.accounts] == VALUES
    # Up to 2.18 set_fact itself makes a truth value of such a text, whatever it comes from.
    made = {"True": True} if core.number < (2, 19) else {}
    assert [item["ansible_facts"]["it"] for item in facts] == [made.get(value, value) for value in VALUES]
    assert json.loads(Path(f"{site.delivered}.2").read_text()) == VALUES


def test_the_lookup_warns_of_a_loop_and_not_of_a_list(shared: Service, core: Core, tmp_path: Path) -> None:
    site = Site(shared, core, tmp_path, 12)
    name = "autoprov.appliance.credential"
    one = {"ansible.builtin.set_fact": {"a": f"{{{{ lookup('{name}', item) }}}}"}, "no_log": True}
    every = {"ansible.builtin.set_fact": {"a": f"{{{{ query('{name}', accounts) }}}}"}, "no_log": True}
    few = site.run({**one, "loop": "{{ accounts }}"}, every, autoprov_claim_id="one-name-for-all")
    assert "more than 20 times" not in few.text, few.text
    many = site.run({**one, "loop": "{{ accounts * 2 }}"}, autoprov_claim_id="one-name-for-all")
    assert many.status == 0, many.text
    assert "more than 20 times" in " ".join(many.text.split())
