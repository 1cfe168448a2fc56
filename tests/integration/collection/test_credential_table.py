# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""However often Ansible evaluates a lookup, one run is one release: each way it has, under each ansible-core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.collection.conftest import Service, running_service
from tests.integration.collection.playbooks import EACH_CORE, HERE, Core, core_of, events, new_phone, run_playbook

SET = "ansible.builtin.set_fact"
COMMAND = "ansible.builtin.command"
NOWHERE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
"""A host that is unreachable: nothing listens on the discard port."""


@dataclass(frozen=True)
class Row:
    """A use of the variable ``s``, which is the lookup."""

    use: str
    tasks: list[dict[str, Any]]
    evaluated: bool = True
    """Whether Ansible evaluates it at all; ``lazy_since`` is the ansible-core from which on it does not."""
    lazy_since: tuple[int, ...] | None = None
    succeeds: bool = True
    arguments: tuple[str, ...] = ()
    hosts: dict[str, dict[str, Any]] | None = None
    files: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    play: dict[str, Any] = field(default_factory=dict)

    def released(self, core: Core) -> int:
        """How often the password must leave the service."""
        return int(self.evaluated and (self.lazy_since is None or core.number < self.lazy_since))


def use(*texts: str, **keywords: Any) -> dict[str, Any]:
    """A task with these texts as its arguments."""
    return {SET: {f"fact_{number}": text for number, text in enumerate(texts)}, "no_log": True, **keywords}


ROLE = "argument_specs:\n  main:\n    options:\n      password: {type: str, required: true, no_log: true}\n"
THREE = dict.fromkeys(("one", "two", "three"), HERE)
S = "{{ s }}"
ROWS = [
    Row("twice in one text", [use("{{ s }} {{ s }}")]),
    Row("in two tasks", [use(S), use(S)]),
    Row("in a block", [{"block": [use(S), use(S)]}]),
    Row("include with three tasks", [{"ansible.builtin.include_tasks": "three.yml", "vars": {"p": S}}],
        files={"three.yml": "".join(f"- {SET}: {{f{n}: '{{{{ p }}}}'}}\n  no_log: true\n" for n in range(3))}),
    Row("two arguments", [use("{{ [s] }}", "{{ [s] }}")]),
    Row("chained", [use("{{ a }} {{ b }} {{ s }}")], variables={"a": "{{ s }}a", "b": "{{ s }}b"}),
    Row("set_fact once, read often", [use(S), use("{{ fact_0 }}"), use("{{ fact_0 }}{{ fact_0 }}")]),
    Row("register once, read often", [use(S, register="r"), use("{{ r.ansible_facts.fact_0 }}"), use("{{ r }}")]),
    Row("defined, never used", [use("x")], evaluated=False),
    Row("hostvars", [use("{{ hostvars[inventory_hostname] | length }}")], evaluated=False),
    Row("skipped", [use(S, when=False)], evaluated=False),
    Row("dict var other key", [use("{{ d.other }}")], variables={"d": {"password": S, "other": 1}},
        lazy_since=(2, 19)),
    Row("loop of three", [use("{{ s }}{{ item }}", loop=[1, 2, 3])]),
    Row("loop over items with it", [use("{{ item.user }}", loop="{{ users }}")],
        variables={"users": [{"user": "1", "password": S}, {"user": "2", "password": S}]}),
    Row("default() is eager", [use("{{ given | default(lookup('autoprov.appliance.credential', account)) }}")],
        variables={"given": "x"}),
    # The password is in the output then, and no_log does not help: nobody should; but it is one release.
    Row("task name", [{"name": "Use {{ s }}", SET: {"a": 1}}]),
    Row("condition and argument", [use(S, when="s | length > 0")]),
    Row("changed_when, failed_when, argument",
        [{COMMAND: "echo {{ s }}", "no_log": True, "register": "r", "changed_when": "r.stdout != s",
          "failed_when": "r.stdout != s"}]),
    Row("until without it", [{COMMAND: "echo {{ s }}", "no_log": True, "register": "r", "until": "r.attempts == 3",
                              "retries": 3, "delay": 0, "changed_when": False}]),
    Row("until with it", [{COMMAND: "echo {{ s }}", "no_log": True, "register": "r", "changed_when": False,
                           "until": "r.stdout == s and r.attempts == 3", "retries": 3, "delay": 0}]),
    Row("three hosts", [use(S)], hosts=THREE),
    Row("run_once", [use(S, run_once=True)], hosts=THREE),
    Row("role parameter with argument_specs",
        [{"ansible.builtin.import_role": {"name": "r"}, "vars": {"password": S}}],
        files={"roles/r/tasks/main.yml": f"- {SET}: {{a: '{{{{ password }}}}'}}\n  no_log: true\n",
               "roles/r/meta/argument_specs.yml": ROLE}),
    Row("ansible_become_password",
        [{COMMAND: "true", "become": True, "become_method": "ansible.builtin.su", "ignore_errors": True,
          "no_log": True}] * 2, variables={"ansible_become_password": S}),
    Row("environment of the play", [{COMMAND: "true", "no_log": True}] * 2, play={"environment": {"PASSWORD": S}}),
    Row("--check", [use(S)], arguments=("--check",), evaluated=False),
    # A lookup cannot see it. The action can: below.
    Row("check_mode of the task", [use(S, check_mode=True)]),
    Row("unreachable host", [{COMMAND: "echo {{ s }}", "no_log": True}], hosts={"away": NOWHERE}, succeeds=False),
    Row("module fails", [{COMMAND: "false {{ s }}", "no_log": True}], succeeds=False),
    Row("another argument undefined", [use(S, "{{ not_there }}")], succeeds=False),
]  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One service for all rows; each has a phone of its own."""
    with running_service() as running:
        yield running


@pytest.fixture(params=EACH_CORE)
def core(request: pytest.FixtureRequest) -> Core:
    """Each ansible-core that this host can run."""
    return core_of(request.param)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.use)
def test_one_run_is_one_release(shared: Service, core: Core, row: Row, tmp_path: Path) -> None:
    mac = new_phone(shared)
    for name, content in row.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    s = "{{ lookup('autoprov.appliance.credential', account) }}"
    variables = {
        "account": f"{mac}/1", "s": s, "autoprov_claim_id": f"run-of-{mac}", "autoprov_api_url": shared.url,
    }  # fmt: skip
    play = {"hosts": "all", "gather_facts": False, "tasks": row.tasks, "vars": variables | row.variables, **row.play}
    ran = run_playbook(core, tmp_path, [play], *row.arguments, hosts=row.hosts)
    assert (ran.status == 0) == row.succeeds, ran.text
    told = events(shared, mac)
    assert told.count("released") == row.released(core), told
    assert set(told) <= {"released", "repeated"}
