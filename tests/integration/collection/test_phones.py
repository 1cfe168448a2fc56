# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``phones``, ``phones_info``, ``credentials`` and ``provisioning_settings`` against the real service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

from tests.integration.collection.conftest import REPOSITORY, Play, Service

SNOM = {
    "mac": "00:04:13:92:2D:24",
    "vendor": "snom",
    "model": "D785",
    "name": "Reception",
    "web_password": "planted-web-0",
    "menu_password": "4711004711",
    "provisioning_password": "planted-provisioning-0",
    "accounts": [{"line": 1, "user": "1001", "registrar": "pbx.example", "password": "planted-sip-0"}],
    "keys": [{"key": 1, "type": "blf", "value": "1002", "label": "Bob"}],
}
YEALINK = {
    "mac": "80-5E-C0-12-34-56",
    "vendor": "yealink",
    "model": "T54W",
    "accounts": [{"line": 1, "user": 1003, "registrar": "pbx.example"}],
}
PLANTED = ("planted-", "4711004711")
TASK = {"name": "Phones", "autoprov.appliance.phones": {"phones": "{{ phones }}", "purge": True}}


def assert_nothing_planted(text: str) -> None:
    """No password that a test gave stands in a text."""
    for planted in PLANTED:
        assert planted not in text


def test_check_then_run_then_run_again_then_change(service: Service, play: Play) -> None:
    phones = {"phones": [SNOM, YEALINK]}
    macs = ["000413922d24", "805ec0123456"]

    foreseen = play([TASK], "--check", "--diff", "-vvv", variables=phones, url=service.url).results["Phones"]
    assert (foreseen["changed"], sorted(foreseen["created"])) == (True, macs)
    assert service.api.get("/phones")["phones"] == []

    first = play([TASK], "--diff", "-vvv", variables=phones, url=service.url)
    assert first.status == 0, first.text
    assert {**first.results["Phones"], "invocation": None} == {**foreseen, "invocation": None}
    assert '+    "web password": "******** (given, new)"' in first.text
    assert_nothing_planted(first.text)
    assert [phone["mac"] for phone in service.api.get("/phones")["phones"]] == macs

    again = play([TASK], variables=phones, url=service.url).results["Phones"]
    assert (again["changed"], again["unchanged"]) == (False, 2)

    renamed = {**SNOM, "name": "Front desk", "web_password": "planted-web-1"}
    changed = play([TASK], "--diff", variables={"phones": [renamed]}, url=service.url)
    shown = changed.results["Phones"]
    assert (shown["updated"], shown["removed"]) == (["000413922d24"], ["805ec0123456"])
    assert '+    "name": "Front desk"' in changed.text
    assert_nothing_planted(changed.text)


@pytest.mark.parametrize("verbosity", ["", "-vvv"])
def test_no_event_of_a_run_holds_a_password(service: Service, tmp_path: Path, verbosity: str) -> None:
    """What AWX stores of a job, even where it is told to show the arguments of tasks."""
    playbook = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "module_defaults": {"group/autoprov.appliance.api": {"api_url": service.url}},
            "tasks": [
                TASK,
                {"name": "Again", **{key: value for key, value in TASK.items() if key != "name"}, "diff": True},
                {"name": "Tokens", "autoprov.appliance.api_tokens": {"tokens": "{{ tokens }}"}},
                {
                    "name": "Wrong",
                    "autoprov.appliance.phones": {"phones": "{{ [phones[0] | combine({'model': 'D1'})] }}"},
                    "ignore_errors": True,
                },
                {
                    "name": "Misspelt",
                    "autoprov.appliance.phones": {"phones": "{{ phones }}", "prune": True},
                    "ignore_errors": True,
                },
            ],
        }
    ]
    token = {"name": "a", "token": "planted-" + "t" * 32, "scopes": ["claims"]}
    run = ansible_runner.run(
        private_data_dir=str(tmp_path),
        playbook=playbook,
        inventory="localhost",
        extravars={"phones": [SNOM, YEALINK], "tokens": [token]},
        cmdline=f"--diff {verbosity}",
        envvars={"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1"},
        quiet=True,
        settings={"suppress_env_files": True},
    )
    assert run.status == "successful", run.stdout.read()
    events = list(run.events)
    assert {"Phones", "Again", "Tokens", "Wrong", "Misspelt"} <= {
        event.get("event_data", {}).get("task") for event in events
    }
    assert_nothing_planted(json.dumps(events))


BAD_PHONES: list[tuple[dict[str, Any], str, str]] = [
    ({"mac": "00:04:13:92:2D"}, "mac", "is not a MAC address"),
    ({"model": "D784"}, "model", "has no model 'D784'"),
    ({"keys": [{"key": 99, "type": "blf", "value": "1"}]}, "keys[0]", "key 99"),
    ({"nam": "x"}, "nam", "is not a known field"),
    ({"accounts": [{"line": 1, "user": "1"}]}, "accounts[0].registrar", "is missing"),
]


def test_every_fault_of_a_list_is_told_at_once_and_nothing_is_changed(service: Service, play: Play) -> None:
    phones = [
        {**SNOM, "mac": f"00:04:13:00:00:{number:02x}", **fault} for number, (fault, _, _) in enumerate(BAD_PHONES)
    ]
    played = play([TASK], "-vvv", variables={"phones": [YEALINK, *phones]}, url=service.url)
    assert played.status == 2
    assert_nothing_planted(played.text)
    for number, (_, where, what) in enumerate(BAD_PHONES, start=1):
        assert re.search(
            rf"- phones\[{number}\][^:]*(:[^:]+){{0,5}}\.{re.escape(where)}: .*{re.escape(what)}", played.text
        )
    assert "Traceback" not in played.text
    assert service.api.get("/phones")["phones"] == []


def test_a_phone_that_stands_twice_in_the_list(service: Service, play: Play) -> None:
    twice = [SNOM, YEALINK, {**SNOM, "mac": "000413922d24", "name": "Other"}]
    played = play([TASK], variables={"phones": twice}, url=service.url)
    assert played.status == 2
    assert "phones[2]" in played.text
    assert "000413922d24" in played.text
    assert service.api.get("/phones")["phones"] == []


def test_an_unreachable_service(play: Play, tmp_path: Path) -> None:
    played = play([TASK], "-vvv", variables={"phones": [SNOM]}, url=f"unix://{tmp_path}/absent.sock")
    assert played.status == 2
    assert f"the provisioning service at unix://{tmp_path}/absent.sock does not answer" in played.text
    assert_nothing_planted(played.text)


def test_tokens_and_their_scopes_over_https(service: Service, play: Play) -> None:
    good, narrow = "planted-" + "g" * 40, "planted-" + "n" * 40
    tokens = [
        {"name": "good", "token": good, "scopes": ["phones:read"]},
        {"name": "narrow", "token": narrow, "scopes": ["claims"]},
    ]
    make = {"name": "Tokens", "autoprov.appliance.api_tokens": {"tokens": "{{ tokens }}", "purge": True}}
    made = play([make], "-vvv", variables={"tokens": tokens}, url=service.url)
    assert made.results["Tokens"]["touched"] == ["good", "narrow"]
    assert_nothing_planted(made.text)
    assert play([make], variables={"tokens": tokens}, url=service.url).results["Tokens"]["changed"] is False

    read = {
        "name": "Read",
        "autoprov.appliance.phones_info": {"ca_path": str(service.certificate), "api_token": "{{ t }}"},
    }
    assert play([read], variables={"t": good}, url=service.https_url).results["Read"]["phones"] == []
    for token, reason in (
        ("planted-" + "w" * 40, "the token is missing or wrong"),
        (narrow, "lacks the scope phones:read"),
    ):
        refused = play([read], "-vvv", variables={"t": token}, url=service.https_url)
        assert refused.status == 2
        assert reason in refused.text
        assert_nothing_planted(refused.text)

    untrusted = {"name": "Read", "autoprov.appliance.phones_info": {"api_token": "{{ t }}"}}
    refused = play([untrusted], variables={"t": good}, url=service.https_url)
    assert "certificate that is not trusted" in refused.text
    assert "set ca_path" in refused.text


def test_a_list_in_a_file(service: Service, play: Play, tmp_path: Path) -> None:
    written = {**SNOM, "name": "{{ not_a_template }}"}
    (tmp_path / "phones.json").write_text(json.dumps([written]))
    (tmp_path / "phones.yml").write_text(json.dumps([written]).replace("[", "---\n[", 1))
    (tmp_path / "secret.json").write_text(json.dumps([written]))
    (tmp_path / "vault").write_text("password")
    vault = [str(Path(sys.executable).parent / "ansible-vault"), "encrypt", "--vault-password-file"]
    subprocess.run([*vault, str(tmp_path / "vault"), str(tmp_path / "secret.json")], check=True, capture_output=True)

    def from_file(name: str) -> dict[str, Any]:
        task = {"name": "Phones", "autoprov.appliance.phones": {"src": name}}
        played = play([task], "-vvv", "--diff", f"--vault-password-file={tmp_path}/vault", url=service.url)
        assert played.status == 0, played.text
        assert_nothing_planted(played.text)
        return played.results["Phones"]

    assert from_file("phones.json")["created"] == ["000413922d24"]
    assert service.api.get("/phones")["phones"][0]["name"] == "{{ not_a_template }}"
    assert from_file("phones.yml")["changed"] is False
    assert from_file("secret.json")["changed"] is False
    left = [file for file in tmp_path.rglob("*") if file.is_file() and file.read_bytes().find(b"planted-sip") >= 0]
    assert {file.name for file in left} == {"phones.json", "phones.yml"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[{"web_password": "planted-1" "x"}]', "is not JSON: there is a fault at line 1, column 31"),
        ("- web_password: planted-1\n  x: [", "is not YAML: there is a fault at line"),
        ("web_password: planted-1", "does not hold a list of phones"),
        (None, "is not readable"),
    ],
)
def test_a_file_that_holds_no_list(play: Play, tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "phones.txt").write_text(content)
    played = play(
        [{"name": "Phones", "autoprov.appliance.phones": {"src": "phones.txt"}}], "-vvv", url="unix:///absent"
    )
    assert played.status == 2
    assert reason in played.text
    assert_nothing_planted(played.text)


def test_settings(service: Service, play: Play) -> None:
    task = {
        "name": "Settings",
        "autoprov.appliance.provisioning_settings": {"public_host": "198.18.0.1", "release": {"window_seconds": 300}},
    }
    foreseen = play([task], "--check", "--diff", url=service.url)
    assert foreseen.results["Settings"]["changed"] is True
    assert '+  "public_host": "198.18.0.1"' in foreseen.text
    assert service.api.get("/settings")["settings"]["public_host"] != "198.18.0.1"
    assert play([task], url=service.url).results["Settings"]["settings"]["release"]["window_seconds"] == 300
    assert play([task], url=service.url).results["Settings"]["changed"] is False
    wrong = {"name": "Settings", "autoprov.appliance.provisioning_settings": {"language": "German", "http_port": 0}}
    refused = play([wrong], url=service.url)
    assert "- language: " in refused.text
    assert "- http_port: " in refused.text


def test_credentials_are_revoked_and_armed_again(service: Service, play: Play) -> None:
    revoke = {"name": "Revoke", "autoprov.appliance.credentials": {"phones": ["00-04-13-92-2D-24"], "state": "revoked"}}
    arm = {"name": "Arm", "autoprov.appliance.credentials": {"phones": ["000413922d24"], "secret_classes": ["sip"]}}
    assert play([TASK], variables={"phones": [SNOM]}, url=service.url).status == 0

    foreseen = play([revoke], "--check", url=service.url).results["Revoke"]
    assert len(foreseen["revoked"]) == len(service.grants("000413922d24", audience="phone", state="armed")) == 4
    assert play([revoke], "--diff", url=service.url).results["Revoke"]["changed"] is True
    assert len(service.grants("000413922d24", audience="phone", state="revoked")) == 4
    assert play([revoke], url=service.url).results["Revoke"]["changed"] is False

    armed = play([arm], "--diff", url=service.url).results["Arm"]["armed"]
    assert [(grant["line"], grant["secret_class"]) for grant in armed] == [(1, "sip")]
    assert armed[0]["expires_at"]
    assert play([arm], url=service.url).results["Arm"]["changed"] is False

    unknown = {"name": "Arm", "autoprov.appliance.credentials": {"phones": ["000413000000"]}}
    assert "000413000000" in play([unknown], url=service.url).text


def test_rearm_playbook_shows_a_table(service: Service, play: Play, checkout_environment: dict[str, str]) -> None:
    assert play([TASK], variables={"phones": [SNOM]}, url=service.url).status == 0
    service.api.post("/grants/revoke", {"select": [{"mac": "000413922d24"}]})

    def rearm(variables: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        local = {
            "target": "localhost",
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "playbooks/rearm.yml"]
        return subprocess.run(
            [*command, "-e", json.dumps({**local, **variables}), *arguments],
            env={**checkout_environment, "AUTOPROV_API_URL": service.url},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    done = rearm({"rearm_phones": ["00:04:13:92:2D:24"]})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "phone              line     password      until" in done.stdout
    assert "00:04:13:92:2d:24  1        sip           20" in done.stdout
    assert "00:04:13:92:2d:24  phone    web           " in done.stdout
    assert "Nothing to do" in rearm({"rearm_phones": ["00:04:13:92:2D:24"]}).stdout
    assert "Say which phones" in rearm({}).stdout + rearm({}).stderr
