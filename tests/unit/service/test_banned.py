# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guessing over HTTP: what counts, what a banned source still gets, and what it cannot learn from the answers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from autoprovd import audit, metrics
from autoprovd.web import banned
from autoprovd.web.downloads import Downloads
from autoprovd.web.protocol import CERTIFICATE

from .conftest import SNOM, SNOM_AGENT, SNOM_FILE, YEALINK, YEALINK_AGENT, YEALINK_FILE, Box, snom, yealink
from .test_phone_files import GIGASET_AGENT, GIGASET_FILE, SECRETS, gigaset, secrets_in

NAT, ELSEWHERE = "203.0.113.7", "203.0.113.99"
UNKNOWN = "805e0cffffff"
PLAIN = "Mozilla/5.0"
NEWCOMER = "805e0c000777"


@pytest.fixture
def site(box: Box) -> Box:
    """Phones that were served behind one NAT address before anybody guessed there, and one that was not."""
    box.site.apply_settings({"public_host": "198.18.0.1"}, False, "test")
    newcomer = yealink(mac=NEWCOMER) | {"accounts": [{"line": 1, "user": "1099", "registrar": "198.18.0.5"}]}
    box.site.apply_phones([snom(), yealink(), gigaset(), newcomer], False, False, "test")
    for path, agent in ((SNOM_FILE, SNOM_AGENT), (YEALINK_FILE, YEALINK_AGENT)):
        assert get(box, path, agent=agent).status_code == 200
    return box


def get(box: Box, path: str, source: str = NAT, **how: Any) -> httpx.Response:
    return asyncio.run(box.get(path, source=source, **how))


def guess(box: Box, number: int = 31, source: str = NAT, first: int = 0) -> None:
    """Ask for phones that are not here, as a program does."""

    async def ask() -> None:
        for index in range(first, first + number):
            answer = await box.get(f"/00156599{index:04x}.cfg", source=source, agent=PLAIN)
            assert answer.status_code in (404, 429)

    asyncio.run(ask())


def told(answer: httpx.Response) -> tuple[Any, ...]:
    """All that an answer tells, but for nonces and the seconds to wait."""
    headers = {name: re.sub('nonce="[^"]*"', "", value) for name, value in answer.headers.multi_items()}
    headers.pop("retry-after", None)
    return answer.status_code, sorted(headers.items()), answer.content


# -- what counts ------------------------------------------------------------------------------------------------------


def test_who_guesses_is_banned_and_told_how_long(site: Box) -> None:
    guess(site, 30)
    assert get(site, "/001565990000.cfg", agent=PLAIN).status_code == 404
    guess(site, 1, first=30)
    answer = get(site, "/001565991111.cfg", agent=PLAIN)
    assert answer.status_code == 429
    assert 290 <= int(answer.headers["retry-after"]) <= 301
    assert get(site, "/001565991111.cfg", source=ELSEWHERE, agent=PLAIN).status_code == 404
    site.clock.pass_time(301)
    assert get(site, "/001565991111.cfg", agent=PLAIN).status_code == 404


def test_whatever_names_a_phone_is_a_guess(site: Box) -> None:
    asks = {
        "/805e0c{:06x}.cfg": PLAIN,
        "/snomD785-000413{:06X}.htm": PLAIN,
        "/a/805e0c{:06x}.cfg": PLAIN,
        "/provisioning.xml": "Gigaset N670 IP PRO/83.V2.11.0+build.a;7C2F80{:06X}",
        "/y000000000096.cfg": "Yealink SIP-T54W 96.87.0.15 80:5e:0c:00:{:02x}:01",
        "/files/{:d}.txt": PLAIN,
        "/no/such/folder/805e0c{:06x}.cfg": PLAIN,
    }
    for number, (path, agent) in enumerate(asks.items()):
        source = f"203.0.113.{100 + number}"
        for index in range(31):
            get(site, path.format(index), source=source, agent=agent.format(index))
        assert site.bans.wait(source), path


def test_what_phones_really_ask_for_is_no_guess(site: Box) -> None:
    asks = [
        ("/805e0c4d796d.boot", YEALINK_AGENT), ("/y000000000000.boot", YEALINK_AGENT),
        ("/y000000000096.cfg", YEALINK_AGENT), ("/805e0c4d796d-local.cfg", YEALINK_AGENT),
        ("/805e0c4d796d-contact.xml", YEALINK_AGENT), ("/805e0c4d796d-calllog.xml", YEALINK_AGENT),
        *[(f"/y0000000{index:05d}.cfg", "Yealink SIP-T54W 96.87.0.15") for index in range(100)],
        *[(f"/snomD{index}.htm", "Mozilla/4.0 (compatible; snom320-SIP 8.4.18 1.1.3-s)") for index in range(300, 400)],
        ("/snomD785.htm", SNOM_AGENT), ("/elsewhere/00041396D9B4.xml", SNOM_AGENT),
        *[(f"/firmware/{index}.bin", SNOM_AGENT) for index in range(100)],
        ("/provisioning.xml", "N720-DM-PRO/70.040.00.000.000"),
    ]  # fmt: skip
    for path, agent in asks:
        get(site, path, source=ELSEWHERE, agent=agent)
    assert site.bans.listed()["watched"] == []


def test_a_storm_for_firmware_is_no_guess_and_a_banned_source_gets_it(site: Box, tmp_path: Path) -> None:
    """It is public: everybody gets the same, and learns nothing of phones."""
    (tmp_path / "yealink" / "96.87.0.15").mkdir(parents=True)
    (tmp_path / "yealink" / "96.87.0.15" / "T54W.rom").write_bytes(b"firmware")
    site.phone_files._downloads = Downloads(tmp_path, 8)
    asks = ["yealink/96.87.0.15/T54W.rom", *(f"yealink/96.87.0.15/805e0c00{index:04x}.rom" for index in range(100))]
    statuses = {get(site, f"/firmware/{name}", source=ELSEWHERE, agent=PLAIN).status_code for name in asks}
    assert statuses == {200, 404}
    assert site.bans.listed()["watched"] == []
    guess(site, source=ELSEWHERE)
    assert [get(site, f"/firmware/{name}", source=ELSEWHERE, agent=PLAIN).status_code for name in asks[:2]] == [
        200,
        404,
    ]
    assert get(site, f"/{UNKNOWN}.cfg", source=ELSEWHERE, agent=PLAIN).status_code == 429


def test_to_guess_in_the_name_of_a_phone_that_is_here_is_to_guess(site: Box) -> None:
    for index in range(31):
        assert get(site, f"/00156599{index:04x}.cfg", agent=YEALINK_AGENT).status_code == 404
    assert site.bans.wait(NAT)


def test_a_phone_nobody_listed_is_one_guess(site: Box) -> None:
    agent = "Yealink SIP-T54W 96.87.0.15 80:5e:0c:ff:ff:ff"
    for _day in range(20):
        for path in (f"/{UNKNOWN}.boot", "/y000000000000.boot", "/y000000000096.cfg", f"/{UNKNOWN}.cfg"):
            get(site, path, source=ELSEWHERE, agent=agent)
    (watched,) = site.bans.listed()["watched"]
    assert (watched["guesses"], watched["last"]) == (1, UNKNOWN)


def test_a_refused_claim_of_a_known_phone_is_no_guess(site: Box) -> None:
    for _again in range(100):
        get(site, SNOM_FILE, source=ELSEWHERE)
        get(site, GIGASET_FILE, source=ELSEWHERE, agent=GIGASET_AGENT)
    assert site.bans.listed()["watched"] == []


def test_a_ban_is_counted_logged_and_audited(site: Box) -> None:
    name = "autoprov_bans_total"
    before = metrics.registry.get_sample_value(name) or 0
    guesses = metrics.registry.get_sample_value("autoprov_guesses_total") or 0
    guess(site)
    assert metrics.registry.get_sample_value(name) == before + 1
    assert metrics.registry.get_sample_value("autoprov_guesses_total") == guesses + 31
    assert metrics.registry.get_sample_value("autoprov_banned_sources") == 1
    site.release.tally.flush()
    with site.store.read() as connection:
        rows = [row for row in audit.page(connection, 0, 10_000) if row["event"] == "banned"]
    assert [row["detail"]["from"] for row in rows] == [NAT]
    site.clock.pass_time(301)
    assert metrics.registry.get_sample_value("autoprov_banned_sources") == 0


def test_what_a_stranger_asks_for_cannot_command_a_terminal(site: Box) -> None:
    get(site, "/%1b]0;pwned%07%0a%c2%9b2J.cfg", source=ELSEWHERE, agent=PLAIN)
    (watched,) = site.bans.listed()["watched"]
    assert watched["last"].isprintable()
    assert "]0;pwned" in watched["last"]
    get(site, "/%1b]0;pwned%07805e0c4d796d.cfg", source=ELSEWHERE, agent=PLAIN)
    last = site.overview.why(YEALINK)["requests"][-1]
    assert "pwned" in last["file"]
    assert last["file"].isprintable()


# -- phones behind the address of who guesses --------------------------------------------------------------------------


def test_phones_at_home_are_served_behind_a_banned_address(site: Box) -> None:
    guess(site)
    for path, agent in ((SNOM_FILE, SNOM_AGENT), (YEALINK_FILE, YEALINK_AGENT)):
        answer = get(site, path, agent=agent)
        assert answer.status_code == 200
        assert secrets_in(answer) == []
    assert get(site, "/805e0c4d796d.boot", agent=YEALINK_AGENT).status_code == 404
    etag = get(site, SNOM_FILE).headers["etag"]
    assert get(site, SNOM_FILE, If_None_Match=etag).status_code == 304


def test_an_address_alone_gets_no_password_while_it_is_banned(site: Box) -> None:
    guess(site)
    site.site.arm([_all_of(SNOM)], False, False, "test")
    answer = get(site, SNOM_FILE)
    assert (answer.status_code, secrets_in(answer)) == (200, [])
    assert site.overview.why(SNOM)["requests"][-1]["reason"] == banned.REASON
    site.bans.lift(NAT)
    assert secrets_in(get(site, SNOM_FILE)) == list(SECRETS)


def test_the_network_knowing_the_phone_there_is_enough_for_passwords(site: Box) -> None:
    guess(site)
    site.site.arm([_all_of(SNOM)], False, False, "test")
    site.neighbours.table[NAT] = SNOM
    assert secrets_in(get(site, SNOM_FILE)) == list(SECRETS)


def test_who_has_credentials_is_served_wherever_it_comes_from(site: Box) -> None:
    guess(site, source=ELSEWHERE)
    auth = httpx.DigestAuth(SNOM, "provisioning-secret")
    answer = get(site, "/a" + SNOM_FILE, source=ELSEWHERE, auth=auth)
    assert answer.status_code == 200
    assert "1001" in answer.text
    assert get(site, "/a" + SNOM_FILE, source=ELSEWHERE, auth=httpx.DigestAuth(SNOM, "wrong")).status_code == 429


def test_who_knows_its_label_is_served_wherever_it_comes_from(site: Box) -> None:
    guess(site, source=ELSEWHERE)
    auth = httpx.DigestAuth("7C2F80E0D605", "A1B2")
    assert get(site, GIGASET_FILE, source=ELSEWHERE, agent=GIGASET_AGENT, auth=auth).status_code == 200


def test_a_certificate_is_served_wherever_it_comes_from(site: Box) -> None:
    guess(site, source=ELSEWHERE)

    async def certified(name: str) -> int:
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http", "method": "GET", "scheme": "https", "path": SNOM_FILE, "raw_path": SNOM_FILE.encode(),
            "query_string": b"", "headers": [(b"user-agent", SNOM_AGENT.encode())], "client": (ELSEWHERE, 1),
            "extensions": {CERTIFICATE: {"common_name": name}},
        }  # fmt: skip

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await site.phone_files(scope, None, send)  # type: ignore[arg-type]
        status: int = sent[0]["status"]
        return status

    assert asyncio.run(certified(SNOM.upper())) == 200
    assert asyncio.run(certified(YEALINK)) == 429
    assert asyncio.run(certified("somebody")) == 429


# -- what the answers do not tell --------------------------------------------------------------------------------------


def _pairs() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Two requests that differ only in the MAC address: of a phone that is here, and of none."""
    yield "open", f"/{NEWCOMER}.cfg", f"/{UNKNOWN}.cfg", {"agent": PLAIN}
    yield "protected", f"/a/{NEWCOMER}.cfg", f"/a/{UNKNOWN}.cfg", {"agent": PLAIN}
    wrong = {"Authorization": 'Digest username="x", realm="autoprov", nonce="x", uri="/", response="00"'}
    yield "wrong credentials", f"/a/{NEWCOMER}.cfg", f"/a/{UNKNOWN}.cfg", {"agent": PLAIN, **wrong}
    yield "credentials in the open", f"/{NEWCOMER}.cfg", f"/{UNKNOWN}.cfg", {"agent": PLAIN, **wrong}
    yield "another file", f"/{NEWCOMER}-local.cfg", f"/{UNKNOWN}-local.cfg", {"agent": PLAIN}
    yield "protected, another file", f"/a/{NEWCOMER}-x.cfg", f"/a/{UNKNOWN}-x.cfg", {"agent": PLAIN, **wrong}
    yield "in the name of a phone at home", f"/{NEWCOMER}.cfg", f"/{UNKNOWN}.cfg", {"agent": YEALINK_AGENT}
    yield "label", "/7C2F80E0D605.xml", "/7C2F80FFFFFF.xml", {"agent": "Gigaset N670 IP PRO/83.V2.11.0"}
    yield "label, plain", "/7C2F80E0D605.xml", "/7C2F80FFFFFF.xml", {"agent": PLAIN}
    yield "HEAD", f"/{NEWCOMER}.cfg", f"/{UNKNOWN}.cfg", {"agent": PLAIN, "method": "HEAD"}
    yield "unknown folder", f"/x/{NEWCOMER}.cfg", f"/x/{UNKNOWN}.cfg", {"agent": PLAIN}


@pytest.mark.parametrize(("here", "not_here", "how"), [pair[1:] for pair in _pairs()], ids=[p[0] for p in _pairs()])
def test_a_banned_guesser_cannot_tell_a_phone_from_none(
    site: Box, here: str, not_here: str, how: dict[str, Any]
) -> None:
    guess(site)
    for _again in range(15):  # beyond the limit for wrong passwords, too
        assert told(get(site, here, **how)) == told(get(site, not_here, **how))


def test_the_growth_of_a_ban_does_not_tell_either(site: Box) -> None:
    sources = (NAT, ELSEWHERE)
    for source, last in zip(sources, (NEWCOMER, UNKNOWN), strict=True):
        guess(site, source=source)
        guess(site, 30, source=source, first=100)
        get(site, f"/{last}.cfg", source=source, agent=PLAIN)
    assert site.bans.wait(NAT) == site.bans.wait(ELSEWHERE) > 300


def test_the_time_of_a_wrong_answer_does_not_tell(site: Box) -> None:
    guess(site)
    wrong = {"Authorization": 'Digest username="x", realm="autoprov", nonce="x", uri="/", response="00"'}
    for mac in (NEWCOMER, UNKNOWN):
        started = time.perf_counter()
        get(site, f"/a/{mac}.cfg", agent=PLAIN, **wrong)
        assert time.perf_counter() - started >= banned._FLOOR_SECONDS


def test_the_time_of_a_refusal_does_not_tell(site: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Microseconds, told apart by who asks often enough: so what is done is the same, and counted here."""
    guess(site)
    calls: list[str] = []
    for owner, name in ((site.directory, "note"), (site.bans.homes, "knows"), (site.bans, "guess")):
        known = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, _do=known, _name=name: (calls.append(_name), _do(*given))[1])
    done = []
    for mac in (NEWCOMER, UNKNOWN):
        calls.clear()
        assert get(site, f"/{mac}.cfg", agent=PLAIN).status_code == 429
        done.append(list(calls))
    assert done[0] == done[1] == ["knows", "guess", "note"]


def test_a_hit_while_banned_makes_no_home(site: Box) -> None:
    guess(site)
    for _again in range(3):
        assert get(site, f"/{NEWCOMER}.cfg", agent=PLAIN).status_code == 429
    assert site.overview.why(NEWCOMER)["requests"][-1]["outcome"] == "banned"
    assert not site.bans.homes.knows(NEWCOMER, NAT)
    assert get(site, YEALINK_FILE, source=ELSEWHERE, agent=YEALINK_AGENT).status_code == 200
    guess(site, source=ELSEWHERE)
    assert get(site, SNOM_FILE, source=ELSEWHERE).status_code == 429


# -- a whole site -----------------------------------------------------------------------------------------------------

_PHONES = 2000


def _boot(index: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The index-th phone of a site of three vendors, and what it asks for when it boots (path, User-Agent).

    Names and order are their manuals'; some tell their MAC address in the User-Agent, and some do not.
    """
    account = {"line": 1, "user": str(100_000 + index), "registrar": "198.18.0.5"}
    if index % 3 == 0:
        mac = f"000413{index:06x}"
        agent = "Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5"
        agent += f" {mac.upper()} SXM:0 UXM:0)" if index % 2 else ")"
        names = ["snomD785.htm", f"snomD785-{mac.upper()}.htm", f"{mac.upper()}.xml"]
        phone = {"mac": mac, "vendor": "snom", "model": "D785", "accounts": [account]}
    elif index % 3 == 1:
        mac = f"805e0c{index:06x}"
        agent = "Yealink SIP-T54W 96.87.0.15" + (f" {':'.join(re.findall('..', mac))}" if index % 2 else "")
        names = [
            f"{mac}.boot", "y000000000000.boot", "y000000000096.cfg", f"{mac}.cfg",
            f"{mac}-local.cfg", f"{mac}-contact.xml", f"{mac}-calllog.xml",
        ]  # fmt: skip
        phone = {"mac": mac, "vendor": "yealink", "model": "T54W", "accounts": [account]}
    else:
        mac = f"7c2f80{index:06x}"
        agent = "Gigaset N670 IP PRO/83.V2.11.0+build.a546b91" + (f";{mac.upper()}" if index % 2 else "")
        names = ["provisioning.xml", f"{mac}.xml", f"{mac.upper()}.xml"]
        phone = {"mac": mac, "vendor": "gigaset", "model": "N670", "gigaset_id": "A1B2", "accounts": [account]}
    return phone, [(f"/{name}", agent) for name in names]


async def _asked(box: Box, path: str, agent: str, source: str = NAT) -> int:
    """The status; without a client's own cost."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"user-agent", agent.encode())], "client": (source, 1),
    }  # fmt: skip

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await box.phone_files(scope, None, send)  # type: ignore[arg-type]
    status: int = sent[0]["status"]
    return status


async def _storm(box: Box, boots: list[list[tuple[str, str]]]) -> dict[int, int]:
    """All phones boot at once; how often each status came."""
    counts: dict[int, int] = {}

    async def boot(asks: list[tuple[str, str]]) -> None:
        for path, agent in asks:
            status = await _asked(box, path, agent)
            counts[status] = counts.get(status, 0) + 1

    await asyncio.gather(*(boot(asks) for asks in boots))
    return counts


@pytest.mark.usefixtures("sqlite_only")
def test_a_whole_site_boots_behind_one_address_and_again_with_a_guesser_among_it(box: Box) -> None:
    site = [_boot(index) for index in range(_PHONES)]
    box.site.apply_settings({"public_host": "198.18.0.1"}, False, "test")
    box.site.apply_phones([phone for phone, _asks in site], False, False, "test")
    # Nothing is armed: claims are not what is measured here, and each waits for the disk.
    box.site.revoke([_all_of(phone["mac"]) for phone, _asks in site], False, "test")
    boots = [asks for _phone, asks in site]
    first = asyncio.run(_storm(box, boots))
    assert 429 not in first
    assert box.bans.listed()["watched"] == []
    assert box.bans.wait(NAT) == 0
    # Somebody on the voice VLAN guesses, is banned for long, and goes on while the site boots again.
    guess(box, 400)
    assert box.bans.wait(NAT) > 3600
    again = asyncio.run(_storm(box, boots))
    assert again == first
    assert asyncio.run(_asked(box, f"/{UNKNOWN}.cfg", PLAIN)) == 429


@pytest.mark.usefixtures("sqlite_only")
def test_a_site_with_a_hundred_unlisted_phones_boots_behind_one_address(box: Box) -> None:
    site = [_boot(index) for index in range(_PHONES)]
    unlisted = {index for index in range(_PHONES) if index % 20 == 7}
    box.site.apply_settings({"public_host": "198.18.0.1"}, False, "test")
    listed = [phone for index, (phone, _asks) in enumerate(site) if index not in unlisted]
    box.site.apply_phones(listed, False, False, "test")
    box.site.revoke([_all_of(phone["mac"]) for phone in listed], False, "test")
    boots = [asks for _phone, asks in site]
    for first in range(0, _PHONES, 50):  # the first time, nobody is at home yet: fifty at once, and the next fifty
        assert 429 not in asyncio.run(_storm(box, boots[first : first + 50]))
    (watched,) = box.bans.listed()["watched"]
    assert watched["guesses"] == pytest.approx(len(unlisted), abs=1)
    assert 429 not in asyncio.run(_storm(box, boots)), "then all of them at once"
    assert box.bans.wait(NAT) == 0


def _all_of(mac: str) -> Any:
    from autoprovd.model import Audience
    from autoprovd.site import Selection

    return Selection(mac, Audience.PHONE)
