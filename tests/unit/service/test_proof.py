# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking, as far as it is proved, and how much of it is enough. Certificates: test_mutual_tls."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from autoprovd.grants import Claimant
from autoprovd.leases import Leases
from autoprovd.neighbours import Neighbours
from autoprovd.policy import Proof
from autoprovd.web.digest import REALM, Digest, parse
from autoprovd.web.phones import PhoneFiles

from .conftest import SNOM, SNOM_AGENT, SNOM_FILE, Box, snom
from .test_phone_files import SECRETS, secrets_in
from .test_release import SIP

SOURCE = "198.18.0.20"


class Site:
    """A box with rules, and a lease file."""

    def __init__(self, box: Box, folder: Path) -> None:
        self.box = box
        self.file = folder / "dnsmasq.leases"
        self.file.write_text("")
        self.leases = Leases([("dnsmasq", self.file)])
        box.phone_files = PhoneFiles(box.directory, box.release, box.clock, box.neighbours, self.leases)

    def rules(self, *rules: dict[str, Any]) -> None:
        self.box.site.apply_settings({"release": {"rules": rules}}, False, "test")
        self.box.site.apply_phones([snom()], False, False, "test")

    def lease(self, mac: str, source: str = SOURCE) -> None:
        self.file.write_text(f"0 {':'.join(mac[n : n + 2] for n in range(0, 12, 2))} {source} * *\n")
        self.leases.look_again()

    def ask(self, path: str = SNOM_FILE, **how: Any) -> list[str]:
        """The passwords a request gets."""
        return secrets_in(asyncio.run(self.box.get(path, **how)))

    @property
    def last(self) -> tuple[str, str]:
        request = self.box.overview.why(SNOM)["requests"][-1]
        return request["proof"], request["reason"]


@pytest.fixture
def site(box: Box, tmp_path: Path) -> Site:
    return Site(box, tmp_path)


def test_an_address_is_enough_where_nothing_else_is_said(site: Site) -> None:
    site.rules()
    assert site.ask() == list(SECRETS)
    assert site.last[0] == "address"


def test_a_neighbour_or_a_lease_where_the_policy_wants_one(site: Site) -> None:
    site.rules({"proof": "neighbour"})
    assert site.ask() == []
    assert site.last == ("address", "its policy wants the proof neighbour, and there was only address")
    site.lease(SNOM)
    assert site.ask() == list(SECRETS), "a phone behind a router"
    assert site.last[0] == "neighbour"
    claimant = site.box.overview.phone(SNOM)["grants"][0]["claimant"]
    assert claimant == f"lease:{SNOM}@{SOURCE}", "the log tells which of the two it was"


def test_the_neighbour_table_counts_more_than_a_lease(site: Site) -> None:
    site.rules({"proof": "neighbour"})
    site.lease(SNOM)
    site.box.neighbours.table[SOURCE] = "aabbccddeeff"
    assert site.ask() == []
    assert site.last == ("none", "the neighbour table knows the source address with another MAC address")
    site.lease("aabbccddeeff")
    site.box.neighbours.table[SOURCE] = SNOM
    assert site.ask() == list(SECRETS)


def test_a_lease_of_another_device_contradicts(site: Site) -> None:
    site.rules()
    site.lease("aabbccddeeff")
    assert site.ask() == []
    assert site.last == ("none", "a DHCP lease gives the source address to another MAC address")
    assert set(site.box.states(SNOM).values()) == {"armed"}, "and does not lock the phone out"
    site.lease(SNOM)
    assert site.ask() == list(SECRETS)


def test_a_lease_that_is_younger_than_the_last_look_counts(site: Site) -> None:
    """A phone asks within the second in which it got its address; looking once a second must not cost it its window."""
    site.rules({"proof": "neighbour"})
    assert site.ask() == []
    site.file.write_text(f"0 00:04:13:96:d9:b4 {SOURCE} * *\n")
    assert site.ask() == list(SECRETS)


def test_a_neighbour_that_is_younger_than_the_last_look_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    table: dict[str, str] = {}
    neighbours = Neighbours()
    monkeypatch.setattr(neighbours._kernel, "neighbours", table.copy)
    monkeypatch.setattr(neighbours._kernel, "neighbour", lambda address, interface: table.get(address))
    monkeypatch.setattr(neighbours._kernel, "interface_to", lambda address: 2)
    monkeypatch.setattr("autoprovd.web.phones._UNSEEN_SECONDS", ())
    box = site.box
    box.phone_files = PhoneFiles(box.directory, box.release, box.clock, neighbours)
    site.rules({"proof": "neighbour"})
    assert site.ask() == []
    table[SOURCE] = SNOM
    assert neighbours.mac_of(SOURCE) is None, "it looks once a second"
    assert site.ask() == list(SECRETS)


def test_who_is_on_this_network_and_not_in_the_table_is_a_stranger(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one who stopped answering the kernel's questions, so that it forgot whose MAC address that was."""
    site.rules()
    monkeypatch.setattr("autoprovd.web.phones._UNSEEN_SECONDS", (0.0, 0.0, 0.0))
    site.box.neighbours.network.add(SOURCE)
    assert site.ask() == []
    told = "the source address is on this network, and the neighbour table vouches for nobody there"
    assert site.last == ("none", told)
    site.lease(SNOM)
    assert site.ask() == [], "a lease says nothing about who has taken the address since"
    site.box.neighbours.table[SOURCE] = SNOM
    assert site.ask() == list(SECRETS)


def test_a_phone_the_kernel_is_just_asking_for_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.rules()
    site.box.neighbours.network.add(SOURCE)
    looks: list[str] = []

    def mac_of(address: str) -> str | None:
        looks.append(address)
        return SNOM if len(looks) > 4 else None

    monkeypatch.setattr("autoprovd.web.phones._UNSEEN_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(site.box.neighbours, "mac_of", mac_of)
    assert site.ask() == list(SECRETS)


def test_a_table_that_cannot_be_read_releases_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.rules()

    def fail(address: str) -> str | None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(site.box.neighbours, "mac_of", fail)
    assert site.ask() == []
    assert site.last == ("none", "the kernel does not say who is asking: Too many open files")
    assert set(site.box.states(SNOM).values()) == {"armed"}
    monkeypatch.undo()
    assert site.ask() == list(SECRETS)


def test_who_is_gone_before_it_is_looked_at_gets_nothing(site: Site) -> None:
    """uvicorn names no client when the connection was reset at once."""
    site.rules()
    transport = httpx.ASGITransport(app=site.box.phone_files, client=None)  # type: ignore[arg-type]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://appliance") as client:
            return await client.get(SNOM_FILE, headers={"user-agent": SNOM_AGENT})

    assert asyncio.run(ask()).status_code == 400
    assert set(site.box.states(SNOM).values()) == {"armed"}


@pytest.mark.parametrize("proof", ["network", "address", "neighbour"])
def test_networks_are_a_condition_beside_every_proof(site: Site, proof: str) -> None:
    site.rules({"proof": proof, "networks": ["198.18.0.0/24", "2001:db8::/32"]})
    outside = "198.18.1.20"
    site.lease(SNOM, outside)
    assert site.ask(source=outside) == []
    reason = "the source address is outside 198.18.0.0/24, 2001:db8::/32, where its policy releases"
    assert site.last[1] == reason
    assert set(site.box.states(SNOM).values()) == {"armed"}
    site.box.release.tally.flush()
    assert "refused" in site.box.events()
    site.lease(SNOM)
    assert site.ask(source="::ffff:" + SOURCE) == list(SECRETS)


def test_networks_of_one_secret_do_not_shut_the_others(site: Site) -> None:
    site.rules({"secret_class": "sip", "networks": ["203.0.113.0/24"]})
    assert site.ask() == ["web-secret", "47114711", "provisioning-secret"]


def test_networks_hold_for_repeats_too(site: Site) -> None:
    site.rules({"networks": ["198.18.0.0/24"]})
    phone = Claimant(f"credentials:{SNOM}", Proof.CREDENTIALS, SOURCE)
    assert site.box.release.claim(SNOM, {SIP}, phone)
    assert site.box.release.claim(SNOM, {SIP}, phone._replace(address="198.18.1.20")) == {}, "the same, elsewhere"
    assert site.box.release.claim(SNOM, {SIP}, phone)


def test_credentials_where_the_policy_wants_them(site: Site) -> None:
    site.rules({"vendor": "snom", "secret_class": "sip", "proof": "credentials", "window_starts": "first_request"})
    site.box.neighbours.table[SOURCE] = SNOM
    assert site.ask() == ["web-secret", "47114711", "provisioning-secret"]
    assert site.box.states(SNOM)["sip 1"] == "armed"
    right = httpx.DigestAuth(SNOM, "provisioning-secret")
    assert site.ask("/a" + SNOM_FILE, auth=right) == ["sip-secret-of-1001"]
    assert site.last[0] == "credentials"


def test_always_releases_each_time_and_only_to_its_proof(site: Site) -> None:
    site.rules({"vendor": "snom", "mode": "always", "proof": "credentials"})
    right = httpx.DigestAuth(SNOM, "provisioning-secret")
    for days in (0, 1, 30):
        site.box.clock.pass_time(86400 * days)
        assert site.ask() == []
        assert site.ask("/a" + SNOM_FILE, auth=right) == list(SECRETS)
    assert "suspect" not in site.box.events()


# -- Digest (RFC 7616) ------------------------------------------------------------------------------------------------


def answer(challenge: str, password: str = "secret", count: str = "00000001", **changes: str) -> str:
    """What a phone answers, by the RFC's own formula."""
    asked = {name: value.strip('"') for name, _, value in (part.partition("=") for part in challenge[7:].split(", "))}
    digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[asked["algorithm"]]

    def hashed(*parts: str) -> str:
        return digest(":".join(parts).encode()).hexdigest()

    fields = {
        "username": SNOM,
        "realm": asked["realm"],
        "nonce": asked["nonce"],
        "uri": "/x.xml",
        "cnonce": "0a4f113b",
        "qop": "auth",
        "algorithm": asked["algorithm"],
        "nc": count,
    } | changes
    fields["response"] = hashed(
        hashed(fields["username"], fields["realm"], password),
        fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], hashed("GET", fields["uri"]),
    )  # fmt: skip
    plain = {"qop", "nc", "algorithm"}
    return "Digest " + ", ".join(f"{n}={v}" if n in plain else f'{n}="{v}"' for n, v in fields.items())


def check(digest: Digest, header: str) -> bool | None:
    credentials = parse(header)
    assert credentials is not None
    return digest.check(credentials, "GET", "/x.xml", ["other", "secret"])


@pytest.mark.parametrize("algorithm", [0, 1], ids=["MD5", "SHA-256"])
def test_each_count_of_a_nonce_is_accepted_once(algorithm: int) -> None:
    digest = Digest()
    challenge = digest.challenges(stale=False, basic=False)[algorithm]
    assert check(digest, answer(challenge)) is True
    assert check(digest, answer(challenge)) is None, "stale: the phone asks for a new nonce, and not a person"
    assert check(digest, answer(challenge, count="00000002")) is True, "a phone may keep its nonce and count on"
    assert check(digest, answer(challenge, count="00000002")) is None
    assert check(digest, answer(challenge, count="0000000f")) is True
    assert check(digest, answer(challenge, count="0000000a")) is None


def test_what_digest_refuses() -> None:
    digest = Digest()
    challenge = digest.challenges(stale=False, basic=False)[0]
    assert check(digest, answer(challenge, password="guess")) is False
    assert check(digest, answer(challenge, uri="/y.xml")) is False, "an answer for another file"
    assert check(digest, answer(challenge, realm="elsewhere")) is False
    assert check(digest, answer(challenge, qop="auth-int")) is False
    assert check(digest, answer(challenge, nonce="made up")) is None, "a nonce this service never gave"
    assert check(digest, answer(challenge, count="1")) is None
    without = answer(challenge).replace("qop=auth, ", "").replace(", nc=00000001", "")
    assert check(digest, without) is False, "the answer of RFC 2069 has no count, and could be sent again"
    assert check(Digest(), answer(challenge)) is None, "nonces are the server's own"
    assert check(digest, answer(challenge)) is True, "nothing of all that used it up"
    assert REALM in challenge


@pytest.mark.parametrize(
    "header",
    [
        f'Digest username="x", realm="autoprov", qop=auth, uri="/a{SNOM_FILE}", response="\xe9"',
        f'Digest username="\xe9", realm="autoprov", qop=auth, uri="/a{SNOM_FILE}", response="0", nonce="\xe9"',
        "Basic \xe9", "Basic !", "Basic /w==", "Digest", "Bearer x",
    ],
)  # fmt: skip
def test_odd_credentials_are_answered_like_wrong_ones(site: Site, header: str) -> None:
    site.rules()

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=site.box.phone_files, client=(SOURCE, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="https://appliance") as client:
            headers = [(b"user-agent", SNOM_AGENT.encode()), (b"authorization", header.encode("latin-1"))]
            return await client.get(f"/a{SNOM_FILE}", headers=headers)

    assert asyncio.run(ask()).status_code == 401


def test_a_flood_of_askers_takes_no_nonce_away() -> None:
    digest = Digest()
    challenge = digest.challenges(stale=False, basic=False)[0]
    for _ in range(30_000):
        digest.challenges(stale=False, basic=False)
    assert check(digest, answer(challenge)) is True


def test_a_nonce_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = Digest()
    challenge = digest.challenges(stale=False, basic=False)[0]
    later = time.monotonic() + 61
    monkeypatch.setattr("autoprovd.web.digest.time.monotonic", lambda: later)
    assert check(digest, answer(challenge)) is None
