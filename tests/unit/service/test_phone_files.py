# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones ask over HTTP: who gets which file, and with which secrets in it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from autoprovd import audit
from autoprovd.faults import Refused

from .conftest import SNOM, SNOM_AGENT, SNOM_FILE, YEALINK, YEALINK_AGENT, YEALINK_FILE, Box, snom, yealink

SECRETS = ("sip-secret-of-1001", "web-secret", "47114711", "provisioning-secret")


def secrets_in(response: httpx.Response) -> list[str]:
    return [secret for secret in SECRETS if secret in response.text]


@pytest.fixture
def served(box: Box) -> Box:
    box.site.apply_settings({"public_host": "198.18.0.1"}, False, "test")
    box.site.apply_phones([snom(), yealink()], False, False, "test")
    box.neighbours.table["198.18.0.20"] = SNOM
    box.neighbours.table["198.18.0.66"] = "aabbccddeeff"
    return box


def ask(box: Box, path: str = SNOM_FILE, **how: object) -> httpx.Response:
    return asyncio.run(box.get(path, **how))  # type: ignore[arg-type]


def test_the_first_request_gets_everything_and_must_not_be_stored(served: Box) -> None:
    response = ask(served)
    assert response.status_code == 200
    assert secrets_in(response) == list(SECRETS)
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


def test_after_confirmation_the_passwords_are_omitted_and_the_rest_is_there(served: Box) -> None:
    ask(served)
    protected = ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(SNOM, "provisioning-secret"))
    assert protected.status_code == 200
    assert secrets_in(protected) == []
    assert "1001" in protected.text
    assert set(served.states(SNOM).values()) == {"released"}
    assert secrets_in(ask(served)) == []


def test_a_stranger_at_another_address_gets_none_and_is_seen(served: Box) -> None:
    ask(served)
    response = ask(served, source="198.18.0.66")
    assert response.status_code == 200
    assert secrets_in(response) == []
    assert served.overview.phone(SNOM)["suspicious"]


def test_a_stranger_who_comes_first_gets_none_and_the_phone_still_does(served: Box) -> None:
    assert secrets_in(ask(served, source="198.18.0.66")) == []
    why = served.overview.why(SNOM)["requests"][-1]
    assert "another MAC address" in why["reason"]
    assert secrets_in(ask(served)) == list(SECRETS)


@pytest.mark.parametrize(
    "how",
    [
        {"method": "HEAD"},
        {"Range": "bytes=0-10"},
        {"If_None_Match": '"x"'},
        {"If_Modified_Since": "Sat, 01 Jan 2028 00:00:00 GMT"},
        {"agent": "curl/8.0"},
        {"agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140"},
        {"agent": YEALINK_AGENT.replace("80:5e:0c:4d:79:6d", "00:04:13:96:d9:b4")},
    ],
    ids=str,
)
def test_what_never_claims(served: Box, how: dict[str, str]) -> None:
    response = ask(served, **how)
    assert secrets_in(response) == []
    assert set(served.states(SNOM).values()) == {"armed"}
    assert secrets_in(ask(served)) == list(SECRETS), "nothing was used up"


def test_other_methods_are_refused(served: Box) -> None:
    assert ask(served, method="POST").status_code == 405


def test_an_unchanged_file_is_not_sent_again(served: Box) -> None:
    ask(served)
    ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(SNOM, "provisioning-secret"))
    tag = ask(served).headers["etag"]
    again = ask(served, If_None_Match=tag)
    assert (again.status_code, again.content) == (304, b"")


def test_the_file_name_and_the_agent_must_name_one_phone(served: Box) -> None:
    other = SNOM_AGENT.replace("00041396D9B4", "00041300AAAA")
    assert ask(served, agent=other).status_code == 404
    assert set(served.states(SNOM).values()) == {"armed"}


@pytest.mark.parametrize(
    "path",
    ["/snomD785-000413FFFFFF.htm", "/../etc/passwd", "/other/" + SNOM_FILE, "/x.htm", "/", "/a/", "/%00", "/snom/../x"],
)
def test_unknown_names_are_not_found(served: Box, path: str) -> None:
    assert ask(served, path, agent="curl/8.0").status_code == 404


def test_names_are_found_however_they_are_written(served: Box) -> None:
    assert secrets_in(ask(served, SNOM_FILE.lower())) == list(SECRETS)


def test_the_vendor_folder_is_the_open_folder(served: Box) -> None:
    assert secrets_in(ask(served, "/snom" + SNOM_FILE)) == list(SECRETS)


def test_the_protected_folder_wants_the_right_credentials(served: Box) -> None:
    ask(served)
    bare = ask(served, "/a" + SNOM_FILE)
    assert bare.status_code == 401
    assert bare.headers["www-authenticate"].startswith("Digest ")
    assert "Basic" not in str(bare.headers), "Basic would send the password in clear text"
    wrong = ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(SNOM, "guess"))
    assert wrong.status_code == 401
    other_user = ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(YEALINK, "provisioning-secret"))
    assert other_user.status_code == 401
    assert ask(served, "/a" + SNOM_FILE, auth=(SNOM, "provisioning-secret")).status_code == 401
    over_tls = ask(served, "/a" + SNOM_FILE, auth=(SNOM, "provisioning-secret"), scheme="https")
    assert over_tls.status_code == 200


def test_outdated_credentials_do_not_shut_the_open_folder(served: Box) -> None:
    response = ask(served, auth=(SNOM, "outdated"), scheme="https")
    assert response.status_code == 200
    assert secrets_in(response) == list(SECRETS), "as without credentials: the neighbour table vouches for it"


def test_guessing_is_slowed_down(served: Box) -> None:
    for _ in range(10):
        ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(SNOM, "guess"))
    right = ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(SNOM, "provisioning-secret"))
    assert right.status_code == 429


def test_an_overheard_answer_cannot_be_sent_again(served: Box) -> None:
    ask(served)
    first = ask(served, "/a" + SNOM_FILE, auth=httpx.DigestAuth(SNOM, "provisioning-secret"))
    overheard = first.request.headers["authorization"]
    again = ask(served, "/a" + SNOM_FILE, Authorization=overheard)
    assert again.status_code == 401
    assert "stale=true" in again.headers["www-authenticate"]


def test_a_file_the_phone_is_rightly_not_given_is_no_mystery(served: Box) -> None:
    response = ask(served, f"/{YEALINK}.boot", agent=YEALINK_AGENT)
    assert response.status_code == 404
    assert served.overview.why(YEALINK)["requests"][-1]["outcome"] == "absent"


def test_two_phones_have_each_their_own(served: Box) -> None:
    response = ask(served, YEALINK_FILE, source="198.18.0.21", agent=YEALINK_AGENT)
    assert "account.1.password" in response.text
    assert secrets_in(response) == []


def test_a_changed_definition_is_served_at_once(served: Box) -> None:
    ask(served)
    served.site.apply_phones(
        [snom(name="Door", accounts=[dict(snom()["accounts"][0], display_name="Door")])], False, False, "t"
    )
    response = ask(served)
    assert "Door" in response.text


def _fill(box: Box, events: list[audit.Event]) -> None:
    for _ in range(1000):
        with box.store.write() as connection:
            audit.append(connection, box.keyring.audit_key, 0.0, events)


@pytest.mark.usefixtures("sqlite_only")
def test_a_full_database_releases_nothing_and_says_so(served: Box) -> None:
    served.pragma(f"max_page_count = {served.pragma('page_count')}")
    for size in (20, 1):
        with pytest.raises(Refused, match="disk is full"):
            _fill(served, [audit.Event("read", "x" * 100)] * size)
    response = ask(served)
    assert response.status_code == 503
    assert secrets_in(response) == []
    assert set(served.states(SNOM).values()) == {"armed"}, "nothing was used up"


def gigaset() -> dict[str, object]:
    account = {"line": 1, "user": "1003", "registrar": "198.18.0.5", "password": "sip-secret-of-1001"}
    return {"mac": "7C2F80E0D605", "vendor": "gigaset", "model": "N670", "gigaset_id": "A1B2", "accounts": [account]}


GIGASET_AGENT = "Gigaset N670 IP PRO/83.V2.11.0+build.a546b91;7C2F80E0D605"
GIGASET_FILE = "/7C2F80E0D605.xml"


@pytest.mark.parametrize("password", ["7C2F80E0D605-A1B2", "A1B2"])
def test_a_gigaset_gets_its_passwords_each_time_with_the_id_of_its_label(served: Box, password: str) -> None:
    served.site.apply_phones([gigaset()], False, False, "test")
    bare = ask(served, GIGASET_FILE, agent=GIGASET_AGENT)
    assert bare.status_code == 401
    assert (
        ask(served, GIGASET_FILE, agent=GIGASET_AGENT, auth=httpx.DigestAuth("7C2F80E0D605", "Z9Z9")).status_code == 401
    )
    for _ in range(3):
        response = ask(served, GIGASET_FILE, agent=GIGASET_AGENT, auth=httpx.DigestAuth("7C2F80E0D605", password))
        assert response.status_code == 200
        assert secrets_in(response) == ["sip-secret-of-1001"]
    assert served.events().count("repeated") >= 2
