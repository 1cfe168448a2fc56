# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as an AWX project: synchronised, and its playbooks run as jobs, the way AWX starts ansible-runner."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

from tests.integration.collection.conftest import REPOSITORY, Service

YEALINK = {
    "mac": "80:5E:0C:12:34:56",
    "vendor": "yealink",
    "model": "T54W",
    "accounts": [{"line": 1, "user": "1002", "registrar": "pbx.example"}],
}
MAC = "805e0c123456"
TELL_THE_PBX = """
- name: Tell the PBX
  hosts: all
  gather_facts: false
  vars:
    password: "{{ lookup('autoprov.appliance.credential', '805e0c123456/1', api_url=autoprov_api_url) }}"
  tasks:
    - name: Use it
      ansible.builtin.assert:
        that: password | length == 24
        quiet: true
      no_log: true
    - name: Use it again
      ansible.builtin.assert:
        that: password | length == 24
        quiet: true
      no_log: true
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what git knows of the checkout, with its links, as AWX copies a project for each job."""
    root = tmp_path / "project"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, root / name
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return root


def run_job(project: Path, playbook: str, number: int, *arguments: str, **variables: Any) -> ansible_runner.Runner:
    """Start a job as AWX does: its layout, its environment, its extra variables."""
    private = project.parent / f"job_{number}"
    inventory = private / "inventory"
    inventory.mkdir(parents=True)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    (inventory / "hosts.json").write_text(json.dumps({"autoprov_appliances": {"hosts": {"appliance": host}}}))
    shutil.copytree(project, private / "project", symlinks=True)
    configuration = configparser.ConfigParser()
    configuration.read(project / "ansible.cfg")
    defaults = configuration["defaults"]
    # As AWX joins them: what it installed itself, what ansible.cfg says as it stands there, the usual places.
    paths = {
        "ANSIBLE_COLLECTIONS_PATH": ["/runner/requirements_collections", defaults["collections_path"]],
        "ANSIBLE_ROLES_PATH": ["/runner/requirements_roles", defaults["roles_path"]],
    }
    usual = ["~/.ansible/collections", "/usr/share/ansible/collections"]
    environment = {name: ":".join([*found, *usual]) for name, found in paths.items()}
    environment |= {"JOB_ID": str(number), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    awx = {"job_id": number, "job_launch_type": "manual", "user_name": "anna", "inventory_name": "site"}
    extra = {f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in awx.items()}
    return ansible_runner.run(
        private_data_dir=str(private),
        playbook=playbook,
        envvars=environment | {name: str(value) for name, value in variables.pop("env", {}).items()},
        extravars=extra | variables,
        cmdline=" ".join(["--diff", *arguments]),
        quiet=True,
        settings={"suppress_env_files": True},
    )


def text_of(run: ansible_runner.Runner) -> str:
    """What the job printed."""
    text: str = run.stdout.read()
    return text


def test_a_project_update_installs_nothing_and_needs_no_network(project: Path) -> None:
    for kind, file in (("collection", "collections/requirements.yml"), ("install", "requirements.yml")):
        command = ["ansible-galaxy", *([kind] if kind == "install" else [kind, "install"]), "-r", file]
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9/",
        }
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Skipping install, no requirements found" in done.stdout + done.stderr


@pytest.mark.parametrize("playbook", sorted(path.name for path in (REPOSITORY / "playbooks").glob("*.yml")))
def test_every_playbook_finds_its_roles_and_modules(project: Path, playbook: str) -> None:
    run = run_job(project, f"playbooks/{playbook}", 1, "--syntax-check")
    assert run.rc == 0, text_of(run)


def test_rearm_as_a_job_template(project: Path, service: Service) -> None:
    service.api.put("/phones", {"phones": [YEALINK]})
    service.api.post("/grants/revoke", {"select": [{"mac": MAC}]})
    # A credential type of AWX sets the environment; the survey sets the variables.
    connection = {"AUTOPROV_API_URL": service.url}
    checked = run_job(project, "playbooks/rearm.yml", 7, "--check", env=connection, rearm_phones=[MAC])
    assert checked.rc == 0, text_of(checked)
    assert service.grants(MAC, audience="phone", state="revoked"), "check mode armed nothing"
    run = run_job(project, "playbooks/rearm.yml", 8, env=connection, rearm_phones=[MAC])
    assert run.rc == 0, text_of(run)
    assert not service.grants(MAC, audience="phone", state="revoked")
    assert "80:5e:0c:12:34:56" in text_of(run)


def test_the_number_of_the_job_is_the_key_of_the_run(project: Path, service: Service) -> None:
    service.api.put("/phones", {"phones": [YEALINK]})
    (project / "playbooks" / "tell_the_pbx.yml").write_text(TELL_THE_PBX)
    first = run_job(project, "playbooks/tell_the_pbx.yml", 41, autoprov_api_url=service.url)
    assert first.rc == 0, text_of(first)
    (grant,) = service.grants(MAC, audience="controller", secret_class="sip")
    assert grant["releases"] >= 1
    other = run_job(project, "playbooks/tell_the_pbx.yml", 42, autoprov_api_url=service.url)
    assert other.rc != 0
    assert "not released, and nothing was consumed" in text_of(other)
