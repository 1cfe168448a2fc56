# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``redirect_service`` against each vendor's service, over TLS: what holds for all of them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from tests.redirect_services.bench import (
    CASES,
    EACH,
    OTHER,
    PLANTED,
    TELLS,
    URL,
    Bench,
    authority,
    bench,
    counts,
    pauses,
    stack,
)
from tests.redirect_services.service import Authority, running

__all__ = ["authority", "bench", "pauses", "stack"]  # fixtures


@EACH
def test_foreseen_done_and_done_for_good(bench: Bench) -> None:
    phones = bench.phones(3)
    foreseen = bench.run(phones, check=True)
    assert counts(foreseen) == (True, 3, 0, 0, 0)
    assert bench.urls() == {}, "check mode changes nothing"
    first = bench.run(phones)
    assert counts(first) == (True, 3, 0, 0, 0)
    assert first["diff"] == foreseen["diff"]
    assert first["diff"]["before"].splitlines()[0] == f"{phones[0]['mac']} not registered"
    assert first["diff"]["after"].splitlines()[0] == f"{phones[0]['mac']} {URL}"
    assert bench.urls() == dict.fromkeys(bench.case.macs(3), URL)
    again = bench.run(phones)
    assert counts(again) == (False, 0, 0, 0, 3)
    assert "diff" not in again
    removed = bench.run([phones[0], {**phones[1], "state": "absent"}, {**phones[2], "state": "absent"}])
    assert counts(removed) == (True, 0, 0, 2, 1)
    assert bench.urls() == {bench.case.macs(1)[0]: URL}
    assert counts(bench.run(phones[1:], state="absent")) == (False, 0, 0, 0, 2)


@TELLS
def test_another_url_is_an_update_of_that_phone_alone(bench: Bench) -> None:
    phones = bench.phones(3)
    bench.run(phones)
    changed = bench.run([phones[0], {**phones[1], "url": OTHER}, phones[2]])
    assert counts(changed) == (True, 0, 1, 0, 2)
    assert changed["diff"] == {"before": f"{phones[1]['mac']} {URL}\n", "after": f"{phones[1]['mac']} {OTHER}\n"}
    assert bench.urls()[phones[1]["mac"]] == OTHER


@pytest.mark.parametrize("case", [case for case in CASES if not case.tells_url], ids=lambda case: case.provider)
def test_where_the_url_is_not_told_it_is_written_again_only_on_demand(bench: Bench) -> None:
    phones = bench.phones(2)
    bench.run(phones)
    left = bench.run(phones, url=OTHER)
    assert counts(left) == (False, 0, 0, 0, 2)
    assert "does not tell where it sends a phone: 2 that were registered already are left" in left["notes"][0]
    assert set(bench.urls().values()) == {URL}
    written = bench.run(phones, url=OTHER, rewrite=True)
    assert counts(written) == (True, 0, 2, 0, 0)
    assert set(bench.urls().values()) == {OTHER}


@EACH
@pytest.mark.parametrize("what", ["cut after", "cut before", 503, 502, "slow"])
def test_a_change_that_breaks_off_is_looked_at_and_made_once(bench: Bench, what: int | str) -> None:
    bench.service.slowness = 1.5
    bench.service.trouble(bench.case.register, what)
    result = bench.run(bench.phones(3), endpoint_timeout=1)
    assert counts(result) == (True, 3, 0, 0, 0), result
    assert bench.urls() == dict.fromkeys(bench.case.macs(3), URL)
    alone = 1 if bench.case.provider == "yealink_ymcs" else 3
    repeated = 0 if what in ("cut after", "slow") else 1
    assert bench.service.counted(bench.case.register) >= alone + repeated
    if what == "cut after":
        challenges = 1 if bench.case.provider == "gigaset_redirect" else 0
        assert bench.service.counted(bench.case.register) <= alone + challenges, "what was done is not done twice"


@EACH
def test_reading_is_repeated_as_the_service_wants_it(bench: Bench, pauses: list[float]) -> None:
    bench.service.trouble(bench.case.read, 429, Retry_After="7")
    bench.service.trouble(bench.case.read, 503)
    bench.service.trouble(bench.case.read, "cut before")
    assert counts(bench.run(bench.phones(1))) == (True, 1, 0, 0, 0)
    assert pauses[0] == 7
    assert len(pauses) == 3
    assert 1.5 <= pauses[1] <= 2.5, "twice as long each time, and not in step"


@EACH
def test_trouble_that_stays_ends_with_one_sentence_and_nothing_changed(bench: Bench) -> None:
    bench.service.trouble(bench.case.read, 503, times=99)
    result = bench.run(bench.phones(2), retries=2)
    assert result["failed"] is True
    assert "is in trouble (HTTP 503); wait, and run again" in result["msg"]
    assert result["msg"].endswith("Nothing was changed")
    assert bench.urls() == {}


@EACH
def test_a_change_that_never_comes_through_is_told_and_the_run_can_be_repeated(bench: Bench) -> None:
    bench.service.trouble(bench.case.register, "cut before", times=2)
    phones = bench.phones(1)
    result = bench.run(phones, retries=1)
    assert result["failed"] is True
    assert result["changed"] is False
    (why,) = result["failed_phones"].values()
    assert why.startswith("it was not done: the connection to 127.0.0.1 broke off")
    assert counts(bench.run(phones)) == (True, 1, 0, 0, 0)


@EACH
def test_wrong_credentials_are_one_fault(bench: Bench) -> None:
    result = bench.run(bench.phones(5), password="planted-wrong")
    assert result["failed"] is True
    assert "does not accept the credentials; check username" in result["msg"]
    assert len(result["faults"]) == 1
    assert len(bench.service.asked) <= 2, "an account is not locked out by a list of phones"


# YMCS lists the account's own phones: whose another one is, it tells when one is added.
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.provider != "yealink_ymcs"], ids=lambda case: case.provider
)
def test_a_phone_of_somebody_else_stops_the_list_before_anything_is_changed(bench: Bench) -> None:
    mine, theirs = bench.case.macs(2)
    bench.service.foreign.add(theirs)
    result = bench.run(bench.phones(2))
    assert result["failed"] is True
    (fault,) = result["faults"]
    assert fault.startswith(f"{theirs}: it is registered to another")
    assert "have its owner remove it" in fault
    assert fault.endswith("Nothing was changed")
    assert mine not in bench.urls()


@EACH
def test_a_certificate_of_another_authority_is_not_trusted(bench: Bench, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other authority")
    result = bench.run(bench.phones(1), endpoint_ca_path=str(other.path))
    assert result["failed"] is True
    assert "shows a certificate that is not trusted" in result["msg"]
    assert bench.service.asked == [], "and it has seen no credential"


@EACH
def test_no_redirect_is_followed(bench: Bench, authority: Authority, stack: ExitStack) -> None:
    elsewhere = stack.enter_context(running(bench.case.make(), authority))
    kind = "token" if bench.case.provider == "yealink_ymcs" else bench.case.read.split("endpoints")[0]
    bench.service.trouble(kind.removesuffix("companies/c1/"), 307, times=9, Location=elsewhere.endpoint)
    result = bench.run(bench.phones(1))
    assert result["failed"] is True
    assert "redirects to 127.0.0.1: credentials are not carried there" in result["msg"]
    assert elsewhere.asked == []


@EACH
def test_an_answer_of_something_else_is_one_sentence(bench: Bench) -> None:
    bench.service.trouble("", b"<html>Log in to the hotel's network</html>", times=99)
    result = bench.run(bench.phones(2), retries=0)
    assert result["failed"] is True
    assert "check endpoint" in result["msg"]


@EACH
def test_no_service_there_is_one_sentence(bench: Bench) -> None:
    result = bench.run(bench.phones(1), endpoint="https://127.0.0.1:9/")
    assert "127.0.0.1 refuses the connection; check endpoint" in result["msg"]


@EACH
def test_what_a_service_quotes_is_shown_without_credentials(bench: Bench) -> None:
    """A refusal may quote what was sent."""
    quoted = f"<methodResponse>{bench.case.password}-PL4N{{}}".encode()
    bench.service.trouble("", quoted, times=99)
    bench.run(bench.phones(1), retries=0)
    bench.service.troubles.clear()
    real = bench.service.answer

    def quoting(asked: Any) -> Any:
        answer = real(asked)
        if answer.status < 300:
            answer.status = 418
            answer.body = f'{{"message": "I saw {bench.case.password} {asked.headers["Authorization"]}"}}'.encode()
        return answer

    bench.service.answer = quoting
    result = bench.run(bench.phones(1), retries=0)
    assert result["failed"] is True
    assert "I saw ****" in result["msg"]
    for scheme in ("Basic", "Bearer"):
        if f"{scheme} " in result["msg"]:
            assert f"{scheme} ****" in result["msg"]


@EACH
def test_the_system_log_and_the_invocation_show_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(
        AnsibleModule, "log", lambda _self, message, log_args=None: logged.append(f"{message}{log_args}")
    )
    result = bench.run(bench.phones(2))
    assert logged
    assert not [line for line in logged if PLANTED in line or "PL4N" in line]
    shown = result["invocation"]["module_args"]
    assert (shown["phones"], shown["password"]) == ("2 entries", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
