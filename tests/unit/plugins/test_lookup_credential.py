# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``credential``: one claim for all accounts, one name for a run, nothing claimed in check mode."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError, AnsibleOptionsError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

from tests.unit.plugins.fake_api import FakeApi

RUN = {"autoprov_claim_id": "a-random-text"}


@pytest.fixture(scope="module", autouse=True)
def _as_ansible_loads_it(pytestconfig: pytest.Config) -> Iterator[None]:
    """Let Ansible's own importer load the collection: only then does a plugin know its options."""
    others = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "ansible_collections"}
    for name in others:
        del sys.modules[name]
    init_plugin_loader([str(pytestconfig.rootpath / "collections")])
    yield
    _AnsibleCollectionFinder._remove()
    for name in [name for name in sys.modules if name.split(".")[0] == "ansible_collections"]:
        del sys.modules[name]
    sys.modules.update(others)


def look_up(api: FakeApi, *terms: Any, variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """What the lookup returns, asked as Ansible asks it."""
    loader = DataLoader()
    plugin = lookup_loader.get("autoprov.appliance.credential", loader=loader, templar=Templar(loader))
    found: list[str] = plugin.run(
        list(terms), variables=RUN if variables is None else variables, api_url=api.url, **options
    )
    return found


def test_a_variable_may_be_a_template_itself(api: FakeApi) -> None:
    api.expect("POST", "/api/v1/claims", {"secrets": {"000413922d24/1": "one"}})
    name = trust_as_template("{{ 'a-random-' ~ 'text' }}")
    assert look_up(api, "000413922d24/1", variables={"autoprov_claim_id": name}) == ["one"]
    assert api.calls[0].body["run_key"].endswith("a-random-text")


def test_claims_all_accounts_in_one_call_and_keeps_their_order(api: FakeApi) -> None:
    secrets = {"000413922d24/1": "one", "805ec0123456/2": "two"}
    api.expect("POST", "/api/v1/claims", {"secrets": secrets})
    accounts = ["80-5E-C0-12-34-56/2", "00:04:13:92:2D:24/1", "805ec0123456/2"]
    assert look_up(api, accounts) == ["two", "one", "two"]
    assert api.calls[0].body == {
        "run_key": "claim/a-random-text",
        "accounts": ["805ec0123456/2", "000413922d24/1"],
        "secret_class": "sip",
        "lease_seconds": 300,
    }


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"autoprov_claim_id": "a-random-text", "awx_job_id": 7}, "claim/a-random-text"),
        ({"awx_job_id": 7}, "awx-job/7/workflow/none"),
        ({"awx_job_id": 7, "awx_workflow_job_id": 3}, "awx-job/7/workflow/3"),
    ],
)
def test_the_name_of_the_run(api: FakeApi, variables: dict[str, Any], key: str) -> None:
    api.expect("POST", "/api/v1/claims", {"secrets": {"000413922d24/1": "one"}})
    look_up(api, "000413922d24/1", variables=variables)
    assert api.calls[0].body["run_key"] == key


def test_option_wins_over_the_variable(api: FakeApi) -> None:
    api.expect("POST", "/api/v1/claims", {"secrets": {"000413922d24/1": "one"}})
    look_up(api, "000413922d24/1", claim_id="another-text", lease_seconds=60)
    assert (api.calls[0].body["run_key"], api.calls[0].body["lease_seconds"]) == ("claim/another-text", 60)


def test_a_run_without_a_name_is_told_how_to_get_one(api: FakeApi) -> None:
    with pytest.raises(AnsibleOptionsError, match=r"autoprov_claim_id once .*set_fact with run_once.*awx_job_id"):
        look_up(api, "000413922d24/1", variables={})


def test_a_name_that_is_not_random(api: FakeApi) -> None:
    with pytest.raises(AnsibleOptionsError, match="8 to 128 characters"):
        look_up(api, "000413922d24/1", claim_id="1")


def test_check_mode_claims_nothing(api: FakeApi) -> None:
    checking = {**RUN, "ansible_check_mode": True}
    assert look_up(api, "000413922d24/1", variables=checking) == ["released-only-without-check-mode"]
    assert look_up(api, "000413922d24/1", variables=checking, check_mode_value="x") == ["x"]
    with pytest.raises(AnsibleLookupError, match="--check releases no password"):
        look_up(api, "000413922d24/1", variables=checking, check_mode_value="")


def test_check_mode_needs_no_name_but_right_accounts(api: FakeApi) -> None:
    assert len(look_up(api, "000413922d24/1", variables={"ansible_check_mode": True})) == 1
    with pytest.raises(AnsibleOptionsError, match="not an account"):
        look_up(api, "000413922d24", variables={"ansible_check_mode": True})


@pytest.mark.parametrize(
    "term", ["000413922d24", "000413922d24/", "000413922d24/0", "000413922d24/x", "/1", 413922, ""]
)
def test_wrong_accounts(api: FakeApi, term: Any) -> None:
    with pytest.raises(AnsibleOptionsError, match="is not a"):
        look_up(api, term)


def test_all_wrong_accounts_are_named_at_once(api: FakeApi) -> None:
    with pytest.raises(AnsibleOptionsError, match=r"'nonsense' is not an account.*'0004139/1'|0004139.*not a MAC"):
        look_up(api, "nonsense", "0004139/1", "000413922d24/1")


def test_no_account_asks_nothing(api: FakeApi) -> None:
    assert look_up(api, []) == []


def test_refusal_names_the_way_out_and_has_no_cause(api: FakeApi) -> None:
    faults = [{"where": "000413922d24/1", "what": "was released to another run", "fix": ""}]
    api.refuse("POST", "/api/v1/claims", 409, "not released", faults)
    with pytest.raises(AnsibleLookupError) as caught:
        look_up(api, "000413922d24/1", api_token="planted-token")
    assert "was released to another run" in str(caught.value)
    assert "set_fact" in str(caught.value)
    assert "planted-token" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_answer_without_the_password_is_an_error(api: FakeApi) -> None:
    api.expect("POST", "/api/v1/claims", {"secrets": {"other": "planted-other"}})
    with pytest.raises(AnsibleLookupError, match="released no password for 000413922d24/1") as caught:
        look_up(api, "000413922d24/1")
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["12345", "[1, 2]", '{"a": 1}', "True", "{{ 7 * 7 }}", "{% raw %}", "null", " x", "é€"]
)
def test_values_stay_text_through_templates(api: FakeApi, value: str) -> None:
    """What looks like a number, a list or a template arrives as it left, and through a variable set from it too."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

    try:
        from ansible.template import trust_as_template
    except ImportError:  # ansible-core 2.18 and older trust every text

        def trust_as_template(text: str) -> str:
            return text

    api.expect("POST", "/api/v1/claims", {"secrets": {"000413922d24/1": value}})
    expression = f"{{{{ lookup('autoprov.appliance.credential', '000413922d24/1', api_url={json.dumps(api.url)}) }}}}"
    templar = Templar(DataLoader(), variables=dict(RUN))
    found = templar.template(trust_as_template(expression))
    assert found == value
    assert isinstance(found, str)
    assert Templar(DataLoader(), variables={"fact": found}).template(trust_as_template("x{{ fact }}")) == f"x{value}"
