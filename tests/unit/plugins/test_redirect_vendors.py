# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module ``redirect_service`` does apart from other vendors: each service's own, over TLS."""

from __future__ import annotations

from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.redirect_services.bench import CASES, OTHER, URL, Bench, authority, counts, pauses, stack
from tests.redirect_services.guards import BasicGuard, DigestGuard
from tests.redirect_services.hawk_service import HawkService
from tests.redirect_services.service import Authority, running
from tests.redirect_services.xmlrpc_services import GigasetService, SnomService, YealinkService
from tests.redirect_services.ymcs_service import YmcsService
from tests.unit.plugins.conftest import Run

__all__ = ["authority", "pauses", "stack"]  # fixtures


class Benches:
    """Makes a bench with a service of one's own."""

    def __init__(self, authority: Authority, run_module: Run, stack: ExitStack) -> None:
        self._parts = (authority, run_module, stack)

    def __call__(self, provider: str, service: Any) -> Bench:
        authority, run_module, stack = self._parts
        case = next(case for case in CASES if case.provider == provider)
        return Bench(case, stack.enter_context(running(service, authority)), authority, run_module)


@pytest.fixture
def at(authority: Authority, run_module: Run, stack: ExitStack) -> Benches:
    return Benches(authority, run_module, stack)


# -- Hawk: SRAPS and GRAPE ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "side"), [(500, "behind"), (-500, "ahead of")])
def test_a_wrong_clock_is_told_and_worked_around_once(at: Benches, ahead: int, side: str) -> None:
    service = HawkService()
    service.guard.ahead = ahead
    bench = at("snom_sraps", service)
    result = bench.run(bench.phones(2))
    assert counts(result) == (True, 2, 0, 0, 0)
    (note,) = result["notes"]
    assert note.startswith("the clock of this host is ")
    assert f"s {side} that of the service; see to its NTP" in note
    assert len(service.asked) == 1 + 1 + 1 + 2 + 1 + 2, "one request was made twice: token, company, phones, settings"


@pytest.mark.parametrize("forged", [True, False])
def test_a_clock_that_is_not_signed_is_not_believed(at: Benches, forged: bool) -> None:
    service = HawkService()
    service.guard.ahead = 500
    service.guard.forges_time = forged
    service.guard.tells_time = forged
    bench = at("snom_sraps", service)
    result = bench.run(bench.phones(2))
    assert "does not accept the credentials" in result["msg"]
    assert len(service.asked) == 1


def test_the_date_of_a_refusal_tells_of_a_wrong_clock(at: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    service = HawkService()
    service.guard.ahead = 7200
    service.guard.tells_time = False
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: "Fri, 01 Jan 2100 00:00:00 GMT")
    bench = at("snom_sraps", service)
    assert "s behind; see to its NTP" in bench.run(bench.phones(1))["msg"]


def test_links_to_another_host_get_no_signed_request(at: Benches) -> None:
    service = HawkService()
    service.company_host = "evil.example"
    bench = at("snom_sraps", service)
    result = bench.run(bench.phones(1))
    assert "names an address on another host (evil.example)" in result["msg"]
    assert service.phones == {}


def test_the_setting_is_found_on_a_later_page(at: Benches) -> None:
    service = HawkService()
    service.page_size = 2
    bench = at("snom_sraps", service)
    assert counts(bench.run(bench.phones(1))) == (True, 1, 0, 0, 0)
    assert service.counted("settings/") == 3


def test_a_service_without_the_setting_is_one_sentence(at: Benches) -> None:
    bench = at("snom_sraps", HawkService("another_setting"))
    bench.service.add(bench.case.macs(1)[0], URL)
    assert "knows no setting setting_server" in bench.run(bench.phones(1))["msg"]


def test_settings_that_somebody_made_in_the_portal_stay(at: Benches) -> None:
    bench = at("snom_sraps", HawkService())
    (mac,) = bench.case.macs(1)
    bench.service.add(mac, OTHER, **{"0000-1": {"value": "kept"}})
    assert counts(bench.run(bench.phones(1))) == (True, 0, 1, 0, 0)
    settings = bench.service.phones[mac]["settings_manager"]
    assert settings["0000-1"] == {"value": "kept"}
    assert settings["5e77-1"]["value"] == URL


def test_a_phone_that_is_switched_off_there_is_switched_on(at: Benches) -> None:
    bench = at("snom_sraps", HawkService())
    (mac,) = bench.case.macs(1)
    bench.service.add(mac, URL)
    bench.service.phones[mac]["autoprovisioning_enabled"] = False
    result = bench.run(bench.phones(1))
    assert counts(result) == (True, 0, 1, 0, 0)
    assert result["diff"]["before"] == f"{mac} registered, without a URL\n"


def test_a_password_in_a_url_that_somebody_left_there_is_not_shown(at: Benches) -> None:
    bench = at("snom_sraps", HawkService())
    (mac,) = bench.case.macs(1)
    bench.service.add(mac, "https://user:planted-there@prov.example/x@y")
    assert bench.run(bench.phones(1))["diff"]["before"] == f"{mac} https://********@prov.example/x@y\n"


# -- Purging -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["snom_sraps", "yealink_ymcs"])
def test_purge_removes_what_is_sent_to_these_servers_and_leaves_other_sites_alone(at: Benches, provider: str) -> None:
    bench = at(provider, HawkService() if provider == "snom_sraps" else YmcsService())
    bench.service.page_size = 2
    here, gone, other_site, same_host = bench.case.macs(4)
    held = {
        here: URL,
        gone: "https://PROV.example:50081/gone",
        other_site: "https://other.example:50081/",
        same_host: "https://prov.example/",
    }
    for mac, url in held.items():
        if provider == "snom_sraps":
            bench.service.add(mac, url)
        else:
            bench.service.devices[mac] = url
    assert counts(bench.run(bench.phones(1))) == (False, 0, 0, 0, 1), "nothing is purged unasked"
    foreseen = bench.run(bench.phones(1), purge=True, check=True)
    assert foreseen["removed"] == [gone]
    assert bench.run(bench.phones(1), purge=True)["removed"] == [gone]
    assert set(bench.urls()) == {here, other_site, same_host}
    assert bench.run([], purge=True)["removed"] == [here]


@pytest.mark.parametrize(
    ("provider", "service"),
    [("snom_xmlrpc", SnomService), ("yealink_rps", YealinkService), ("gigaset_redirect", GigasetService)],
)
def test_services_that_do_not_tell_what_they_have_are_not_purged(at: Benches, provider: str, service: Any) -> None:
    bench = at(provider, service())
    assert "so nothing can be purged; use state=absent" in bench.run(bench.phones(1), purge=True)["msg"]
    assert bench.service.asked == []


# -- YMCS --------------------------------------------------------------------------------------------------------------


def test_a_hundred_phones_a_call_and_pages_of_a_hundred(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    assert counts(bench.run(bench.phones(250))) == (True, 250, 0, 0, 0)
    assert bench.service.counted("addDevicesByMac") == 3
    assert bench.service.tokens == 1
    bench.service.asked.clear()
    assert counts(bench.run(bench.phones(250))) == (False, 0, 0, 0, 250)
    assert bench.service.asked == ["token", "listDevices", "listDevices", "listDevices"]
    assert counts(bench.run(bench.phones(250), url=OTHER)) == (True, 0, 250, 0, 0)
    assert set(bench.urls().values()) == {OTHER}
    assert counts(bench.run(bench.phones(250), state="absent")) == (True, 0, 0, 250, 0)


def test_one_phone_of_a_large_account_is_asked_for_alone(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    bench.service.devices.update({f"249ad8{number:06x}": OTHER for number in range(950)})
    assert counts(bench.run(bench.phones(2))) == (True, 2, 0, 0, 0)
    assert bench.service.counted("listDevices") == 3


@pytest.mark.parametrize("done", [0, 37, 100])
def test_a_bulk_call_that_was_half_done_is_finished(at: Benches, done: int) -> None:
    bench = at("yealink_ymcs", YmcsService())
    bench.service.trouble("addDevicesByMac", "cut after", after=1)
    bench.service.done_of_a_bulk = 100
    real = bench.service._add

    def half(body: Any) -> Any:
        bench.service.done_of_a_bulk = done if bench.service.counted("addDevicesByMac") == 2 else 100
        return real(body)

    bench.service._add = half
    result = bench.run(bench.phones(150))
    assert counts(result) == (True, 150, 0, 0, 0)
    assert bench.urls() == dict.fromkeys(bench.case.macs(150), URL)


def test_a_token_that_runs_out_in_between_is_renewed(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    bench.service.calls_per_token = 1
    assert counts(bench.run(bench.phones(250))) == (True, 250, 0, 0, 0)
    assert bench.service.tokens == 4


def test_some_phones_are_refused_and_the_others_are_done(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    mine, theirs = bench.case.macs(2)
    bench.service.foreign.add(theirs)
    result = bench.run(bench.phones(2))
    assert result["failed"] is True
    assert (result["changed"], result["created"]) == (True, [mine])
    assert "it is managed by another organisation (800004" in result["failed_phones"][theirs]
    assert result["msg"].startswith("1 phones are not as they should be, 1 were changed, 0 were right")
    bench.service.foreign.clear()
    assert counts(bench.run(bench.phones(2))) == (True, 1, 0, 0, 1), "the run is repeatable"


def test_an_update_that_got_stuck_in_between_is_told_and_finished_by_the_next_run(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    (mac,) = bench.case.macs(1)
    bench.service.devices[mac] = OTHER
    bench.service.by_mac_enabled = False
    result = bench.run(bench.phones(1))
    why = result["failed_phones"][mac]
    assert "have Yealink enable addDevicesByMac for it" in why
    assert why.endswith("It is not registered any more: run again")
    bench.service.by_mac_enabled = True
    assert counts(bench.run(bench.phones(1))) == (True, 1, 0, 0, 0)


def test_a_wrong_clock_at_ymcs_is_named(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    bench.service.ahead = 1000
    assert "the clock of this host" in bench.run(bench.phones(1))["msg"]


def test_failures_that_ymcs_only_counts_are_looked_at(at: Benches) -> None:
    bench = at("yealink_ymcs", YmcsService())
    answered = b'{"total": 2, "successCount": 1, "failureCount": 1, "errors": []}'
    bench.service.trouble("addDevicesByMac", answered)
    assert counts(bench.run(bench.phones(2))) == (True, 2, 0, 0, 0)
    assert set(bench.urls()) == set(bench.case.macs(2))


# -- XML-RPC -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_gigaset_digest_counts_its_nonce_and_takes_a_new_one_when_it_runs_out(at: Benches, algorithm: str) -> None:
    service = GigasetService(algorithm, uses=3)
    bench = at("gigaset_redirect", service)
    assert counts(bench.run(bench.phones(5))) == (True, 5, 0, 0, 0)
    assert isinstance(service.guard, DigestGuard)
    assert service.guard.problems == []
    headers = [asked.headers.get("Authorization") or "" for asked in service.raw]
    assert sum(header == "" for header in headers) == 1, "only the first request is without"
    assert any("nc=00000003" in header for header in headers)
    assert not any(header.startswith("Basic") for header in headers), "the password is not sent where Digest is offered"


def test_gigaset_with_basic(at: Benches) -> None:
    service = GigasetService(algorithm=None)
    assert isinstance(service.guard, BasicGuard)
    bench = at("gigaset_redirect", service)
    assert counts(bench.run(bench.phones(2))) == (True, 2, 0, 0, 0)


def test_gigaset_knows_another_id(at: Benches) -> None:
    bench = at("gigaset_redirect", GigasetService())
    (mac,) = bench.case.macs(1)
    bench.service.labels[mac] = "0000"
    result = bench.run(bench.phones(1))
    why = result["failed_phones"][mac]
    assert why.startswith(
        "the service knows no device with this MAC address and ID (mac_not_exist:7C2F80000000********)"
    )
    assert "compare it with the label" in why


@pytest.mark.parametrize(
    ("provider", "service"),
    [("snom_xmlrpc", SnomService), ("gigaset_redirect", GigasetService), ("snom_sraps", HawkService)],
)
def test_a_url_that_a_service_does_not_take(at: Benches, provider: str, service: Any) -> None:
    bench = at(provider, service())
    result = bench.run(bench.phones(1), url="https://prov.example/refused")
    (why,) = result["failed_phones"].values()
    assert "URL" in why
    assert "check" in why


def test_a_yealink_of_somebody_else_is_never_taken_over(at: Benches) -> None:
    """Between reading and registering somebody else may have come first: only updates override."""
    bench = at("yealink_rps", YealinkService())
    (mac,) = bench.case.macs(1)
    real = bench.service.reply

    def late(method: str, *parameters: str) -> Any:
        answer = real(method, *parameters)
        bench.service.foreign.add(mac)
        return answer

    bench.service.reply = late
    result = bench.run(bench.phones(1))
    assert "it is registered to another user" in result["failed_phones"][mac]
    assert bench.service.overridden == 0


@pytest.mark.parametrize(
    "texts", [["A company", "https://prov.example:50081/"], ["A company, https://prov.example:50081/"]]
)
def test_snom_tells_company_and_url_as_one_text_or_as_two(at: Benches, texts: list[str]) -> None:
    bench = at("snom_xmlrpc", SnomService())
    real = bench.service.reply
    bench.service.reply = lambda method, *rest: (True, texts) if "get" in method else real(method, *rest)
    assert counts(bench.run(bench.phones(1))) == (False, 0, 0, 0, 1)


@pytest.mark.parametrize(
    "text",
    [
        b"<methodResponse><params><param><value><string>OK</string></value></param></params></methodResponse>",
        b"<methodResponse><params></params></methodResponse>",
        b"<methodCall><methodName>x</methodName></methodCall>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><methodResponse>&a;</methodResponse>',
        b"<methodResponse><params><param><value><array><data/></array></value></param></params></methodResponse>",
        b"",
        b"\xff\xfe",
    ],
)
def test_strange_xml_is_one_sentence(at: Benches, text: bytes) -> None:
    bench = at("snom_xmlrpc", SnomService())
    bench.service.trouble("", text, times=99)
    assert "something that is no XML-RPC of its kind; check endpoint" in bench.run(bench.phones(1), retries=0)["msg"]


def test_a_fault_of_xml_rpc_is_told(at: Benches) -> None:
    bench = at("snom_xmlrpc", SnomService())
    bench.service.reply = lambda *_: None
    assert "refuses redirect.getPhoneRedirection: 1 no such method" in bench.run(bench.phones(1))["msg"]
