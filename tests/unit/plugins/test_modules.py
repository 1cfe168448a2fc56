# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the admin API: one call each, the service's answer as the result, and no password in it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from tests.unit.plugins.conftest import Run
from tests.unit.plugins.fake_api import FakeApi

DIFF = {"before": "a\n", "after": "b\n"}
PHONES = [
    {
        "mac": "00:04:13:92:2D:24",
        "vendor": "snom",
        "model": "D785",
        "gigaset_id": "PL4N",
        "web_password": "planted-web",
        "menu_password": "planted-menu",
        "provisioning_password": "planted-provisioning",
        "accounts": [{"line": 1, "user": "1001", "registrar": "pbx.example", "password": "planted-sip"}],
    }
]
PLANTED = ("planted-", "PL4N")
APPLIED = {"changed": True, "created": ["000413922d24"], "updated": [], "removed": [], "unchanged": 0, "diff": DIFF}


def without_secrets(result: dict[str, Any]) -> dict[str, Any]:
    """The result, in which nothing planted may stand."""
    for planted in PLANTED:
        assert planted not in json.dumps(result)
    return result


def test_phones_sends_the_whole_list_in_one_call(api: FakeApi, run_module: Run) -> None:
    api.expect("PUT", "/api/v1/phones", APPLIED)
    result = without_secrets(run_module("phones", {"api_url": api.url, "phones": PHONES}))
    assert api.calls[0].body == {"phones": PHONES, "purge": False, "dry_run": False}
    shown = {name: result[name] for name in ("changed", "created", "updated", "removed", "unchanged")}
    assert shown == {"changed": True, "created": ["000413922d24"], "updated": [], "removed": [], "unchanged": 0}
    assert "diff" not in result
    assert result["invocation"]["module_args"]["phones"] == "1 entries"


def test_phones_in_check_mode_asks_what_would_change(api: FakeApi, run_module: Run) -> None:
    api.expect("PUT", "/api/v1/phones", APPLIED)
    options = {"api_url": api.url, "phones": PHONES, "purge": True}
    result = without_secrets(run_module("phones", options, check=True, diff=True))
    assert api.calls[0].body == {"phones": PHONES, "purge": True, "dry_run": True}
    assert result["diff"] == DIFF


def test_phones_refused_tells_every_fault_and_no_password(api: FakeApi, run_module: Run) -> None:
    faults = [{"where": f"phones[0].keys[{key}]", "what": "wrong", "fix": "right"} for key in range(2)]
    api.refuse("PUT", "/api/v1/phones", 422, "the phone list has 2 faults; nothing was changed", faults)
    result = without_secrets(run_module("phones", {"api_url": api.url, "phones": PHONES}))
    assert result["failed"] is True
    assert result["faults"] == faults
    assert result["status"] == 422
    assert result["msg"].splitlines()[1:] == ["- phones[0].keys[0]: wrong; right", "- phones[0].keys[1]: wrong; right"]


def test_phones_unreachable_service_is_one_clear_error(run_module: Run) -> None:
    result = without_secrets(run_module("phones", {"api_url": "unix:///absent/admin.sock", "phones": PHONES}))
    assert result["msg"].startswith("the provisioning service at unix:///absent/admin.sock does not answer")
    assert "Traceback" not in json.dumps(result)


@pytest.mark.parametrize(
    "options",
    [
        {"phones": PHONES, "purgee": True},
        {"phones": PHONES, "purge": "planted-no-boolean"},
        {"phones": PHONES, "src": "/planted-file"},
    ],
)
def test_phones_with_wrong_options_shows_no_password(options: dict[str, Any], run_module: Run) -> None:
    result = run_module("phones", options)
    assert result["failed"] is True
    assert "planted-sip" not in json.dumps(result)
    assert "planted-web" not in json.dumps(result)


def test_phones_needs_a_list(run_module: Run) -> None:
    assert "one of the following is required: phones, src" in run_module("phones", {})["msg"]


def test_the_system_log_gets_no_password(api: FakeApi, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(
        AnsibleModule, "log", lambda _self, message, log_args=None: logged.append(f"{message}{log_args}")
    )
    api.expect("PUT", "/api/v1/phones", APPLIED)
    api.expect("PUT", "/api/v1/tokens", {"changed": True, "touched": ["a"]})
    run_module("phones", {"api_url": api.url, "api_token": "planted-token", "phones": PHONES})
    tokens = [{"name": "a", "token": "planted-token", "scopes": ["claims"]}]
    run_module("api_tokens", {"api_url": api.url, "tokens": tokens})
    assert any("1 entries" in line for line in logged)
    for planted in PLANTED:
        assert planted not in "".join(logged)


def test_ten_thousand_phones_in_seconds(api: FakeApi, run_module: Run) -> None:
    """Ansible's own share of a call: no validation of each value, no search for each password in each text."""
    phones = [
        {
            "mac": f"000413{number:06x}",
            "vendor": "snom",
            "model": "D785",
            "accounts": [{"line": 1, "user": str(number), "registrar": "pbx.example", "password": f"planted-{number}"}],
            "keys": [{"key": key, "type": "blf", "value": str(key), "label": f"Key {key}"} for key in range(1, 9)],
        }
        for number in range(10_000)
    ]
    api.expect("PUT", "/api/v1/phones", {**APPLIED, "created": [phone["mac"] for phone in phones]})
    started = time.monotonic()
    result = without_secrets(run_module("phones", {"api_url": api.url, "phones": phones}))
    assert len(result["created"]) == 10_000
    assert time.monotonic() - started < 10


def test_phones_info(api: FakeApi, run_module: Run) -> None:
    api.expect("GET", "/api/v1/phones", {"phones": [{"mac": "000413922d24"}]})
    api.expect("GET", "/api/v1/phones?mac=a&mac=b", {"phones": []})
    assert run_module("phones_info", {"api_url": api.url}, check=True)["phones"] == [{"mac": "000413922d24"}]
    result = run_module("phones_info", {"api_url": api.url, "mac": ["a", "b"]})
    assert (result["phones"], result["changed"]) == ([], False)


def test_phones_info_of_no_phone_asks_nothing(api: FakeApi, run_module: Run) -> None:
    assert run_module("phones_info", {"api_url": api.url, "mac": []})["phones"] == []


def test_credentials_arms_each_phone(api: FakeApi, run_module: Run) -> None:
    api.expect("POST", "/api/v1/grants/arm", {"changed": True, "armed": [{"mac": "a", "line": 1}], "diff": DIFF})
    options = {"api_url": api.url, "phones": ["a", "b"], "line": 1, "secret_classes": ["sip"], "new_password": True}
    result = run_module("credentials", options, check=True, diff=True)
    chosen = {"line": 1, "secret_classes": ["sip"], "audience": "phone"}
    assert api.calls[0].body == {
        "select": [{"mac": "a", **chosen}, {"mac": "b", **chosen}],
        "new_password": True,
        "dry_run": True,
    }
    assert (result["armed"], result["diff"]) == ([{"mac": "a", "line": 1}], DIFF)


def test_credentials_revokes(api: FakeApi, run_module: Run) -> None:
    api.expect("POST", "/api/v1/grants/revoke", {"changed": False, "revoked": [], "diff": DIFF})
    options = {"api_url": api.url, "phones": ["a"], "state": "revoked", "audience": "controller"}
    result = run_module("credentials", options)
    selected = {"mac": "a", "line": None, "secret_classes": None, "audience": "controller"}
    assert api.calls[0].body == {"select": [selected], "dry_run": False}
    assert (result["revoked"], result["changed"]) == ([], False)


def test_credentials_cannot_revoke_with_a_new_password(run_module: Run) -> None:
    result = run_module("credentials", {"phones": ["a"], "state": "revoked", "new_password": True})
    assert "state=armed only" in result["msg"]


def test_settings_sends_only_what_was_given(api: FakeApi, run_module: Run) -> None:
    api.expect("PUT", "/api/v1/settings", {"changed": True, "diff": DIFF, "settings": {"language": "de"}})
    options = {"api_url": api.url, "language": "de", "release": {"window_seconds": 300}}
    result = run_module("provisioning_settings", options, diff=True)
    assert api.calls[0].body == {
        "settings": {"language": "de", "release": {"window_seconds": 300}},
        "dry_run": False,
    }
    assert (result["settings"], result["diff"]) == ({"language": "de"}, DIFF)


def test_rules_of_release_are_sent_as_they_were_said(api: FakeApi, run_module: Run) -> None:
    """What is not said in a rule is not sent as nothing; an empty list of networks, or of rules, is."""
    rules = [{"vendor": "snom", "proof": "certificate"}, {"networks": [], "strict": False, "window_seconds": 60}]
    for given in (rules, []):
        api.expect("PUT", "/api/v1/settings", {"changed": True, "settings": {}, "diff": DIFF})
        run_module("provisioning_settings", {"api_url": api.url, "release": {"rules": given}})
        assert api.calls[-1].body == {"settings": {"release": {"rules": given}}, "dry_run": False}


def test_api_tokens_shows_no_token(api: FakeApi, run_module: Run) -> None:
    tokens = [{"name": "controller", "token": "planted-" + "t" * 32, "scopes": ["claims", "phones:read"]}]
    api.expect("PUT", "/api/v1/tokens", {"changed": True, "touched": ["controller"]})
    options = {"api_url": api.url, "api_token": "planted-token", "tokens": tokens, "purge": True}
    result = without_secrets(run_module("api_tokens", options))
    assert api.calls[0].body == {"tokens": tokens, "purge": True, "dry_run": False}
    assert api.calls[0].headers["Authorization"] == "Bearer planted-token"
    assert result["touched"] == ["controller"]


def test_connection_from_the_environment(api: FakeApi, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPROV_API_URL", api.url)
    monkeypatch.setenv("AUTOPROV_API_TOKEN", "planted-token")
    api.expect("GET", "/api/v1/phones", {"phones": []})
    without_secrets(run_module("phones_info", {}))
    assert api.calls[0].headers["Authorization"] == "Bearer planted-token"
