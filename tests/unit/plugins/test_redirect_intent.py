# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists for redirect services: every fault at once, released models, no URL that gives passwords to a MAC address."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.engine import PROVIDERS
from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.models import RELEASED, is_released
from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.proof import PROOFS, weakness
from ansible_collections.autoprov.appliance.plugins.modules.redirect_service import argument_spec
from autoprovd.policy import PROOFS as SERVICE_PROOFS
from autoprovd.vendors import VENDORS
from tests.redirect_services.bench import CASES, URL, Bench, authority, pauses, stack
from tests.redirect_services.hawk_service import HawkService
from tests.redirect_services.service import Authority, running
from tests.redirect_services.xmlrpc_services import GigasetService
from tests.unit.plugins.conftest import Run
from tests.unit.plugins.fake_api import FakeApi

__all__ = ["authority", "pauses", "stack"]  # fixtures

SNOM = "000413000000"


@pytest.fixture
def snom(authority: Authority, run_module: Run, stack: ExitStack) -> Bench:
    """The module at SRAPS."""
    case = next(case for case in CASES if case.provider == "snom_sraps")
    return Bench(case, stack.enter_context(running(HawkService(), authority)), authority, run_module)


def grant(proof: str, networks: list[str] | None = None, **values: Any) -> dict[str, Any]:
    """A grant as the service tells it."""
    return {"audience": "phone", "secret_class": "sip", "proof": proof, "networks": networks or [], **values}


def phone(*grants: dict[str, Any], vendor: str = "snom", model: str = "D785") -> dict[str, Any]:
    """A phone as the service tells it."""
    return {"mac": SNOM, "vendor": vendor, "model": model, "grants": list(grants)}


def test_all_faults_of_a_list_at_once_and_nothing_is_asked(snom: Bench) -> None:
    entries = [
        {"mac": "no mac", "model": "D785"},
        {"mac": "00:04:13:00:00:01", "model": "D785", "url": "http://prov.example/"},
        {"mac": "000413-000001", "model": "D785"},
        {"mac": "00-04-13-00-00-01", "model": "D785"},
        {"mac": "0004.1300.0002", "model": "M900", "url": "https://me:planted-url@prov.example/"},
        {"mac": "000413000003", "url": "https://prov.example/a b", "mac_id": "PL4N5"},
        {"mac": "000413000004", "model": "D785", "url": "https:///x"},
        {"mac": "000413000005", "model": "D785", "url": "https://prov.example/#x"},
        {"mac": "000413000006", "model": "D785", "url": "https://prov.example:x/"},
    ]
    result = snom.run(entries, purge=True, endpoint_timeout=0, retries=11, username="a:b")
    assert [fault.split(";")[0] for fault in result["faults"]] == [
        "username holds a colon, which ends a user name on its way",
        "endpoint_timeout is outside 1..600",
        "retries is outside 0..10",
        "phones[0]: 'no mac' is not a MAC address",
        "phones[2]: '000413-000001' is not a MAC address",
        "phones[3]: 000413000001 stands in phones[1] already",
        "phones[1] (000413000001): url begins with http",
        "phones[4] (000413000002): url holds a user name or password, which the vendor's cloud would hand to whoever "
        "shows the MAC address",
        "phones[4] (000413000002): the model M900 is not released for Snom SRAPS",
        "phones[5] (000413000003): url holds a blank or a character that is not ASCII",
        "phones[5] (000413000003): no model is given",
        "phones[5] (000413000003): mac_id is not four letters or digits",
        "phones[6] (000413000004): url names no host",
        "phones[7] (000413000005): url has a part behind #, which is never sent",
        "phones[8] (000413000006): url is not an address",
    ]
    assert snom.service.asked == []


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1/", "https://", "https://user:planted-x@127.0.0.1/", "https://127.0.0.1:x/", "x"]
)
def test_credentials_go_to_an_endpoint_by_https_only(snom: Bench, endpoint: str) -> None:
    result = snom.run(snom.phones(1), endpoint=endpoint)
    assert result["faults"] == [
        "endpoint is not an address by https without credentials; write https://host/path",
    ]


def test_what_stands_before_a_host_is_not_shown(snom: Bench) -> None:
    result = snom.run([], url="https://user:planted-x@prov.example/")
    assert result["invocation"]["module_args"]["url"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_a_line_break_in_a_password_is_told_without_it(snom: Bench) -> None:
    result = snom.run(snom.phones(1), password="planted-one\nplanted-two")
    assert "password is empty or holds characters that none has (a line break?)" in result["msg"]


def test_a_gigaset_without_its_id(authority: Authority, run_module: Run, stack: ExitStack) -> None:
    case = next(case for case in CASES if case.provider == "gigaset_redirect")
    bench = Bench(case, stack.enter_context(running(GigasetService(), authority)), authority, run_module)
    entries = [{"mac": "7c2f80e0d605", "model": "N670"}, {"mac": "7c2f80e0d606", "model": "P810", "mac_id": "pl4n"}]
    result = bench.run(entries)
    assert "mac_id is missing; give the four characters that stand behind the MAC address" in result["faults"][0]
    assert "(7c2f80e0d606): the model P810 is not released for Gigaset's redirect service" in result["faults"][1]
    assert len(result["faults"]) == 2, "small letters of an ID are its capitals"


# -- What the provisioning service would release -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "safe"),
    [
        (grant("address"), False),
        (grant("none"), False),
        (grant("something new"), False),
        (grant("network"), True),
        (grant("neighbour"), True),
        (grant("label"), True),
        (grant("credentials"), True),
        (grant("certificate"), True),
        (grant("address", ["203.0.113.0/24"]), True),
        (grant("address", ["203.0.113.7/32", "2001:db8:1::/48"]), True),
        (grant("address", ["203.0.113.0/24", "203.0.112.0/23"]), False),
        (grant("address", ["0.0.0.0/0"]), False),
        (grant("address", ["2001:db8::/32"]), False),
        (grant("address", ["no network"]), False),
        (grant("address", state="released"), False),
        (grant("address", audience="controller"), True),
    ],
)
def test_what_is_more_than_a_mac_address(found: dict[str, Any], safe: bool) -> None:
    assert (weakness(phone(found)) is None) is safe
    assert (weakness(phone(grant("certificate"), found)) is None) is safe


def test_every_proof_that_the_service_knows_is_judged() -> None:
    assert set(PROOFS) == set(SERVICE_PROOFS)
    assert [name for name, enough in PROOFS.items() if not enough] == ["address"]


def test_a_url_that_gives_passwords_to_a_mac_address_is_refused(snom: Bench, api: FakeApi) -> None:
    weak = phone(grant("address"), grant("address", secret_class="web"), grant("certificate", secret_class="menu"))
    api.expect("GET", f"/api/v1/phones?mac={SNOM}", {"phones": [weak]})
    result = snom.run([{"mac": SNOM}], stated_proof=None, api_url=api.url)
    assert result["faults"] == [
        f"phones[0] ({SNOM}): its passwords (sip, web) would be released to whoever shows its MAC address; release "
        "them on a stronger proof (certificate, credentials, or network with the site's own addresses), then revoke "
        "and arm them: docs/cloud.md"
    ]
    assert snom.service.asked == [], "the vendor has not heard of it"


def test_a_phone_that_proves_itself_is_registered_and_its_model_is_the_service_s(snom: Bench, api: FakeApi) -> None:
    api.expect("GET", f"/api/v1/phones?mac={SNOM}", {"phones": [phone(grant("certificate"))]})
    entries = [{"mac": SNOM}, {"mac": "000413000009", "state": "absent"}]
    result = snom.run(entries, stated_proof=None, api_url=api.url)
    assert (result["created"], result["unchanged"]) == ([SNOM], 1), "nobody is asked about phones that go"
    assert snom.service.urls() == {SNOM: URL}


@pytest.mark.parametrize(
    ("found", "entry", "fault"),
    [
        ([], {}, "the provisioning service does not know it; add it with the module phones first"),
        ([phone(model="M900")], {}, "the model M900 is not released for Snom SRAPS"),
        ([phone(vendor="yealink", model="T54W")], {}, "a phone of yealink does not ask Snom SRAPS"),
        ([phone()], {"model": "D735"}, "model D735 is not what the provisioning service knows (D785)"),
    ],
)
def test_what_the_service_knows_decides(
    snom: Bench, api: FakeApi, found: list[dict[str, Any]], entry: dict[str, str], fault: str
) -> None:
    api.expect("GET", f"/api/v1/phones?mac={SNOM}", {"phones": found})
    result = snom.run([{"mac": SNOM, **entry}], stated_proof=None, api_url=api.url)
    assert fault in result["msg"]
    assert snom.service.asked == []


def test_a_service_that_cannot_be_asked_ends_it(snom: Bench) -> None:
    result = snom.run([{"mac": SNOM}], stated_proof=None, api_url="unix:///absent/admin.sock")
    assert result["msg"].startswith("the provisioning service at unix:///absent/admin.sock does not answer")
    assert snom.service.asked == []


def test_many_phones_are_asked_about_in_parts(snom: Bench, api: FakeApi) -> None:
    macs = [f"000413{number:06x}" for number in range(450)]
    for start in (0, 200, 400):
        part = macs[start : start + 200]
        answer = {"phones": [{**phone(grant("certificate")), "mac": mac} for mac in part]}
        api.expect("GET", "/api/v1/phones?" + "&".join(f"mac={mac}" for mac in part), answer)
    result = snom.run([{"mac": mac} for mac in macs], check=True, stated_proof=None, api_url=api.url)
    assert len(result["created"]) == 450


# -- Data --------------------------------------------------------------------------------------------------------------


def test_the_tables_the_choices_and_the_providers_agree() -> None:
    assert set(RELEASED) == set(PROVIDERS) == set(argument_spec()["provider"]["choices"])
    assert all(row.source for rows in RELEASED.values() for row in rows)
    assert {provider.vendor for provider in PROVIDERS.values()} == set(VENDORS)
    for provider in PROVIDERS.values():
        assert all(address.startswith("https://") for address in provider.endpoints.values())


@pytest.mark.parametrize(
    ("provider", "released", "withheld"),
    [
        ("snom_sraps", 25, {"SP800"}),
        ("yealink_rps", 48, {"AX83H", "T31G", "T34W", "T44W", "T73U", "T88W", "CP860"}),
        ("yealink_ymcs", 67, {"CP860"}),
        ("gigaset_redirect", 7, {"P710", "P810", "P820", "P825", "P850", "P855"}),
    ],
)
def test_which_of_the_known_models_are_released(provider: str, released: int, withheld: set[str]) -> None:
    models = VENDORS[PROVIDERS[provider].vendor].models.values()
    judged = {model.name: is_released(provider, model.name) for model in models}
    assert withheld <= {name for name, fine in judged.items() if not fine}
    assert sum(judged.values()) == released, sorted(name for name, fine in judged.items() if not fine)
