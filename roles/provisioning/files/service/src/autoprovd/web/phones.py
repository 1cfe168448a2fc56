# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones ask: one file, by name.

The order matters: who is asking is settled first, then whether a secret may leave, and only then is a body made. A
request that cannot be answered with a secret takes a few dictionary look-ups and sends bytes that lay ready; for its
sake this is a bare ASGI application, and headers are read as the bytes they come as.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import NamedTuple, ParamSpec, TypeVar

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from autoprovd import log, metrics
from autoprovd.bans import Bans, place_of
from autoprovd.clock import Clock
from autoprovd.directory import Directory, Entry, File, Request
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.leases import Leases
from autoprovd.model import SecretClass, parse_mac
from autoprovd.neighbours import Neighbours
from autoprovd.policy import Proof
from autoprovd.release import Release
from autoprovd.vendors import agent_of, is_shared_file, proves_by_label
from autoprovd.vendors.base import Agent
from autoprovd.web import banned, digest
from autoprovd.web.banned import Way
from autoprovd.web.downloads import FOLDER
from autoprovd.web.guesses import Guesses
from autoprovd.web.protocol import CERTIFICATE

PROTECTED_FOLDER = "a"
"""The folder that wants provisioning credentials; see Settings.folder_url."""

_FOLDERS = frozenset({"", PROTECTED_FOLDER, "snom", "yealink", "gigaset"})
_MAC_IN_NAME = re.compile("[0-9a-fA-F]{12}")
_CONDITIONS = frozenset(
    (b"range", b"if-range", b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since")
)
_LONGEST_PATH, _LONGEST_USER_AGENT = 160, 256
_UNSEEN_SECONDS = (0.05, 0.3, 0.6)
"""When to look again for a phone that the neighbour table does not vouch for, before it is taken for a stranger."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


_Headers = Mapping[bytes, bytes]


class _Asked(NamedTuple):
    """What a path and a User-Agent say, whoever sent them."""

    folder: str
    name: str
    mac_in_name: str | None
    user_agent: str
    agent: Agent | None
    guessed: str | None
    """What counts as a guess where no such phone is here; None for what a phone asks that tells nothing of itself."""

    @property
    def in_agreement(self) -> bool:
        """Whether file name and User-Agent name the same phone, or only one of them does."""
        claimed = self.agent.mac if self.agent else None
        return claimed is None or self.mac_in_name is None or claimed == self.mac_in_name

    @property
    def may_prove(self) -> bool:
        """Whether who asks like this is asked for credentials."""
        return self.folder == PROTECTED_FOLDER or (self.agent is not None and proves_by_label(self.agent))


class _Outcome(NamedTuple):
    """What came of a request, for the person who asks why."""

    response: ASGIApp
    outcome: str
    reason: str
    proof: Proof = Proof.NONE


class PhoneFiles:
    """The files of phones, as an ASGI application."""

    def __init__(
        self,
        directory: Directory,
        release: Release,
        clock: Clock,
        neighbours: Neighbours,
        leases: Leases | None = None,
        downloads: ASGIApp | None = None,
        bans: Bans | None = None,
    ) -> None:
        self._directory = directory
        self._release = release
        self._clock = clock
        self._neighbours = neighbours
        self._leases = leases or Leases([])
        self._downloads = downloads
        self._digest = digest.Digest()
        self._guesses = Guesses()
        self._bans = bans or Bans()
        # Two pools, so that claims waiting for the one writer never keep a phone from its entry.
        self._readers = ThreadPoolExecutor(4, "read")
        self._claimers = ThreadPoolExecutor(4, "claim")
        self._freshness = _Shared(self._readers, directory.catch_up) if directory.shared else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path == "/healthz":
            response: ASGIApp = JSONResponse({"status": "ok"})
        elif self._downloads is not None and path.startswith(FOLDER) and scope["method"] in ("GET", "HEAD"):
            response = self._downloads
        else:
            response, outcome = await self._respond(scope, path)
            metrics.count_request(outcome)
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, path: str) -> tuple[ASGIApp, str]:
        headers = dict(scope["headers"])
        if scope["method"] not in ("GET", "HEAD"):
            return _plain(405, "only GET is answered here", {"allow": "GET, HEAD"}), "refused"
        asked = _asked(path[:_LONGEST_PATH], headers.get(b"user-agent", b"")[:_LONGEST_USER_AGENT])
        source = _address(scope)
        if not source:  # it closed its connection before it was looked at: nobody knows who it was
            return _plain(400, "the connection is gone"), "refused"
        try:
            if self._freshness is not None:
                await self._freshness.run()
            mac, reason = self._named(asked)
            way, wait, started = Way.AS_EVER, self._bans.wait(source), 0.0
            if wait:
                started = time.perf_counter()
                way = self._way(scope, headers, asked, source, mac)
                if way is Way.ASKED:
                    return self._challenge(scope, banned.REASON).response, "challenged"
                if way is Way.REFUSED or (mac is None and way is not Way.AS_EVER):
                    return await self._turn_away(scope, headers, asked, source, mac, started), "banned"
            elif (mac is None or mac != asked.mac_in_name) and self._is_guess(asked):
                self._guessed(source, asked)
            entry = await self._entry(mac) if mac is not None else None
        except Refused as refusal:
            log.event("not served", 40, source=source, file=asked.name, reason=refusal.message)
            return _plain(503, "try again later", {"retry-after": "60"}), "failed"
        if entry is None:
            log.event("no such phone", source=source, file=asked.name, user_agent=asked.user_agent, reason=reason)
            return _plain(404, "no such file"), "unknown"
        try:
            outcome = await self._answer(scope, headers, entry, asked, source, way)
        except Refused as refusal:
            log.event("not served", 40, mac=entry.mac, source=source, file=asked.name, reason=refusal.message)
            outcome = _Outcome(_plain(503, "try again later", {"retry-after": "60"}), "failed", refusal.message)
        except Exception as failure:  # the last resort: a fault of this program, told without its text
            log.event("fault in the service", 40, failure=failure, mac=entry.mac, file=asked.name)
            outcome = _Outcome(_plain(500, "the service failed"), "failed", "a fault in the service; see its log")
        if way is Way.JUDGED and outcome.proof < Proof.LABEL and outcome.reason != _STALE:
            return await self._turn_away(scope, headers, asked, source, entry.mac, started), "banned"
        if not wait and outcome.outcome in _SERVED:
            self._bans.homes.served(entry.mac, place_of(source))
        self._directory.note(
            entry.mac,
            Request(
                self._clock.wall(), source, asked.name, asked.user_agent,
                _PROOF_NAMES[outcome.proof], outcome.outcome, outcome.reason,
            ),
        )  # fmt: skip
        return outcome.response, outcome.outcome

    def _named(self, asked: _Asked) -> tuple[str | None, str]:
        """The phone of this site a request is about: by the MAC in the file name, else by that in the User-Agent.

        Or None, and why; for one that is removed meanwhile the reason is told as well.
        """
        if asked.folder not in _FOLDERS:
            return None, "unknown folder"
        claimed = asked.agent.mac if asked.agent else None
        mac = asked.mac_in_name
        if mac is None or not self._directory.knows(mac):
            if claimed is None or not self._directory.knows(claimed):
                return None, "this site has no phone of that MAC address"
            mac = claimed
        elif claimed is not None and claimed != mac:
            return None, "the file name and the User-Agent name different phones"
        return mac, "it was removed just now"

    async def _entry(self, mac: str) -> Entry | None:
        entry = self._directory.entry(mac)
        if entry is None:
            entry = await asyncio.get_running_loop().run_in_executor(self._readers, self._directory.load, mac)
        return entry

    # -- who guesses --------------------------------------------------------------------------------------------------

    def _is_guess(self, asked: _Asked) -> bool:
        """Whether it names a phone, or a file, that this site does not have; which file a phone here has is its own."""
        claimed = asked.agent.mac if asked.agent else None
        named = asked.mac_in_name or claimed
        return asked.guessed is not None and (named is None or not self._directory.knows(named))

    def _way(self, scope: Scope, headers: _Headers, asked: _Asked, source: str, mac: str | None) -> Way:
        """How to go on with a request of a banned source; ``mac`` is the phone it is about, if there is one."""
        if asked.guessed is None:
            return Way.AS_EVER  # nobody is named, and nobody is told anything
        if asked.folder not in _FOLDERS or not asked.in_agreement:
            return Way.REFUSED
        certificate = scope["extensions"].get(CERTIFICATE, {}) if "extensions" in scope else {}
        return banned.way(
            certified=mac is not None and _certified_mac(certificate.get("common_name")) == mac,
            may_prove=asked.may_prove,
            answers=b"authorization" in headers,
            at_home=self._bans.homes.knows(mac or _NOBODY, place_of(source)),
        )

    async def _turn_away(
        self, scope: Scope, headers: _Headers, asked: _Asked, source: str, mac: str | None, started: float
    ) -> Response:
        """The one answer for who is banned, and did not show what lets it in all the same.

        It counts as a guess, whether it was right or not: else the growth of the ban would tell. And it is noted,
        whether there is such a phone or not: microseconds are told apart by who asks a thousand times.
        """
        self._guessed(source, asked)
        request = Request(time.time(), source, asked.name, asked.user_agent, "none", "banned", banned.REASON)
        self._directory.note(mac or _NOBODY, request)
        if b"authorization" in headers:
            await banned.hide_time_since(started)
        seconds = str(int(self._bans.wait(source)) + 1)
        return _plain(429, "too many guesses", {"retry-after": seconds})

    def _guessed(self, source: str, asked: _Asked) -> None:
        if asked.guessed is not None and self._bans.guess(source, asked.guessed, asked.user_agent):
            place = place_of(source)
            self._release.tally.count("banned", None, f"address:{place}", place, "guessed MAC addresses")

    async def _answer(
        self, scope: Scope, headers: _Headers, entry: Entry, asked: _Asked, source: str, way: Way
    ) -> _Outcome:
        try:
            file = entry.files[asked.name.lower()]
        except KeyError:
            return _Outcome(_plain(404, "no such file"), "unknown", "not a file of this model")
        if file is None:
            return _Outcome(_plain(404, "no such file"), "absent", "phones ask for it; there is nothing to say in it")
        protected = asked.folder == PROTECTED_FOLDER
        proof = None
        if b"authorization" in headers:
            checked = await self._authenticate(scope, headers[b"authorization"].decode("latin-1"), entry)
            if isinstance(checked, Proof):
                proof = checked
            elif protected or entry.label_proof:
                return checked
            # In the open folder a phone with outdated credentials is served like one without any: its way back.
        if proof is None and (protected or entry.label_proof):
            wants = "its provisioning credentials" if protected else "the ID of its label"
            return self._challenge(scope, f"the phone was asked for {wants}")
        claimant = self._claimant(scope, entry, source, proof)
        if claimant.proof is Proof.NONE and entry.waiting:
            claimant = await self._seen(scope, entry, source, claimant)
        if claimant.proof is not Proof.NONE and proof is Proof.CREDENTIALS and entry.unconfirmed:
            await self._off_loop(self._release.confirm, entry.mac, claimant)
            await self._off_loop(self._directory.forget, [entry.mac])
        hindrance = _hindrance(scope, headers, entry, asked.agent)
        if hindrance is None and way is not Way.AS_EVER and claimant.proof <= Proof.ADDRESS:
            hindrance = banned.REASON
        # The high water is the database's; a clock set back is caught there, when the claim is made.
        if hindrance is None and file.gaps and entry.concerns(claimant, self._clock):
            return await self._claim(entry, file, claimant)
        if hindrance is None and entry.waiting:
            hindrance = _refusal(entry, file, claimant)
        outcome = _locked(file, headers, claimant.proof, hindrance)
        # Who shows the credentials has everything, and only looks for news.
        if file.gaps and outcome.outcome == "without secrets" and proof is not Proof.CREDENTIALS:
            self._release.refused(entry.mac, claimant, outcome.reason)
        return outcome

    # -- who is asking ------------------------------------------------------------------------------------------------

    def _claimant(self, scope: Scope, entry: Entry, source: str, proof: Proof | None) -> Claimant:
        """Who asks, by the strongest proof there is; a weaker one is not looked at."""
        if "extensions" in scope:
            certified = _certified_mac(scope["extensions"].get(CERTIFICATE, {}).get("common_name"))
            if certified is not None:
                fits = Proof.CERTIFICATE if certified == entry.mac else Proof.NONE
                return Claimant(f"certificate:{certified}", fits, source)
        if proof is not None:
            return Claimant(f"{proof.name.lower()}:{entry.mac}", proof, source)
        try:
            known = self._known_as(source)
            if entry.waiting and (known is None or known != ("neighbour", entry.mac)):
                # It matters now, and the phone may have come to its address within the last second.
                sight = self._neighbours.look(source)
                if sight.mac is None and sight.belongs_here:
                    # A lease says nothing about who has taken the address since.
                    return Claimant(f"{_UNSEEN}{source}", Proof.NONE, source)
                self._leases.look_again()
                known = ("neighbour", sight.mac) if sight.mac is not None else self._leased_to(source)
        except OSError as error:
            if entry.waiting:
                metrics.unproven.labels("unreadable").inc()
                reason = error.strerror or str(error)
                raise Refused("unavailable", f"the kernel does not say who is asking: {reason}") from None
            known = None
        if known is None:
            return Claimant(f"address:{source}", Proof.ADDRESS, source)
        witness, mac = known
        return Claimant(f"{witness}:{mac}@{source}", Proof.NEIGHBOUR if mac == entry.mac else Proof.NONE, source)

    def _known_as(self, source: str) -> tuple[str, str] | None:
        """Who knows whose address that is, and the MAC address; what the network sees counts more than a lease."""
        mac = self._neighbours.mac_of(source)
        return ("neighbour", mac) if mac is not None else self._leased_to(source)

    def _leased_to(self, source: str) -> tuple[str, str] | None:
        mac = self._leases.mac_of(source)
        return ("lease", mac) if mac is not None else None

    async def _seen(self, scope: Scope, entry: Entry, source: str, claimant: Claimant) -> Claimant:
        """Whom nothing proves, once the kernel had a second to ask for its MAC address."""
        if claimant.identity.startswith(_UNSEEN):
            self._neighbours.call(source)
            for seconds in _UNSEEN_SECONDS:
                await asyncio.sleep(seconds)
                claimant = self._claimant(scope, entry, source, None)
                if not claimant.identity.startswith(_UNSEEN):
                    break
        if claimant.proof is Proof.NONE:
            metrics.unproven.labels(claimant.identity.partition(":")[0]).inc()
        return claimant

    def _is_phone(self, entry: Entry, source: str) -> bool:
        """Whether the network knows that address as the phone's; a table that cannot be read knows nothing."""
        try:
            known = self._known_as(source)
        except OSError:
            return False
        return known is not None and known[1] == entry.mac

    async def _authenticate(self, scope: Scope, header: str, entry: Entry) -> Proof | _Outcome:
        """The proof an Authorization header gives, or the refusal it meets."""
        credentials = digest.parse(header)
        if credentials is None or (credentials.scheme == "basic" and scope["scheme"] != "https"):
            return self._wrong(scope, entry, "it answered with something other than Digest")
        source = _address(scope)
        # Counted before it is judged, and before anything is awaited: however many come at once.
        attempt = self._guesses.count(entry.mac, source, self._is_phone(entry, source))
        if attempt.wait:
            reason = "too many wrong passwords"
            seconds = str(int(attempt.wait) + 1)
            self._refused(entry, source, reason)
            metrics.unproven.labels("guesses").inc()
            log.event(reason, 30, mac=entry.mac, source=source)
            response = _plain(429, "too many wrong answers", {"retry-after": seconds})
            return _Outcome(response, "refused", f"{reason}; it may try again in {seconds} seconds")
        async with self._guesses.turn(entry.mac):
            expected = await self._off_loop(self._passwords, entry)
        for proof, passwords in expected.items():
            if credentials.scheme == "basic":
                fits: bool | None = digest.check_basic(credentials, passwords)
            else:
                target = scope["raw_path"].decode("latin-1")
                if scope["query_string"]:
                    target += "?" + scope["query_string"].decode("latin-1")
                fits = self._digest.check(credentials, scope["method"], target, passwords)
            if fits is None:
                self._guesses.take_back(attempt)
                return self._challenge(scope, _STALE, stale=True)
            if fits and _is_user(credentials.user, entry.mac):
                self._guesses.was_right(attempt)
                return proof
        return self._wrong(scope, entry, "its user name or password is wrong")

    def _passwords(self, entry: Entry) -> dict[Proof, list[str]]:
        provisioning = self._release.verifier(entry.mac, SecretClass.PROVISIONING)
        found = {Proof.CREDENTIALS: [provisioning] if provisioning else []}
        if entry.label_proof:
            label = self._release.label(entry.mac)
            # Vendor texts call both the whole label and its last four characters the MAC-ID.
            found[Proof.LABEL] = [f"{entry.mac.upper()}-{label}", label] if label else []
        return found

    def _wrong(self, scope: Scope, entry: Entry, reason: str) -> _Outcome:
        self._refused(entry, _address(scope), reason)
        return self._challenge(scope, reason)

    def _refused(self, entry: Entry, source: str, reason: str) -> None:
        """Count who gave no proof at all; not worth asking the kernel about."""
        try:
            known = self._known_as(source)
        except OSError:
            known = None
        identity = f"{known[0]}:{known[1]}@{source}" if known else f"address:{source}"
        self._release.refused(entry.mac, Claimant(identity, Proof.ADDRESS, source), reason)

    def _challenge(self, scope: Scope, reason: str, stale: bool = False) -> _Outcome:
        response = _plain(401, "authentication required")
        for challenge in self._digest.challenges(stale, basic=scope["scheme"] == "https"):
            response.headers.append("www-authenticate", challenge)
        return _Outcome(response, "challenged", reason)

    # -- what leaves --------------------------------------------------------------------------------------------------

    async def _claim(self, entry: Entry, file: File, claimant: Claimant) -> _Outcome:
        started = time.perf_counter()
        try:
            released = await self._off_loop(self._release.claim, entry.mac, file.gaps, claimant)
        finally:
            await self._off_loop(self._directory.forget, [entry.mac])
        metrics.claim_seconds.observe(time.perf_counter() - started)
        proof = claimant.proof.name.lower()
        if not released:
            reason = _refusal(entry, file, claimant)
            log.event("no secret released", 30, mac=entry.mac, source=claimant.address, proof=proof, reason=reason)
            return _Outcome(file.ready, "without secrets", reason, claimant.proof)
        self._guesses.forgive(entry.mac, claimant.address)  # it may have come with what it had before
        for key in released:
            metrics.releases.labels(key.secret_class.value, "phone").inc()
        names = ", ".join(
            sorted(f"{key.secret_class} {key.line}" if key.line else key.secret_class for key in released)
        )
        log.event("released", mac=entry.mac, source=claimant.address, proof=proof, released=names)
        document = await asyncio.get_running_loop().run_in_executor(
            self._readers, self._directory.document, entry.mac, file.document
        )
        if document is None:
            return _Outcome(_plain(404, "no such file"), "failed", "its files were removed just now", claimant.proof)
        response = Response(document.filled(released), 200, {"cache-control": "no-store"}, file.media_type)
        return _Outcome(response, "released", names, claimant.proof)

    async def _off_loop(self, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        call = partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._claimers, call)


class _Shared:
    """A blocking call whose result serves everyone who asked before it began.

    However many phones ask at once, two calls at most are under way or waiting.
    """

    def __init__(self, pool: ThreadPoolExecutor, call: Callable[[], None]) -> None:
        self._pool = pool
        self._call = call
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Return when a call has ended that began after this was called; raises what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None and not running.done():
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        await asyncio.get_running_loop().run_in_executor(self._pool, self._call)


_PROOF_NAMES = {proof: proof.name.lower() for proof in Proof}
_NOBODY = "nobody"
"""What stands for a phone where none is."""
_NOTHING_ARMED = "nothing is armed for this claimant"
_STALE = "its nonce was used up"
_SERVED = frozenset({"released", "without secrets", "unchanged"})
"""Outcomes that gave a phone its file."""
_UNSEEN = "unseen:"
_CONTRADICTED = {
    "unseen": "the source address is on this network, and the neighbour table vouches for nobody there",
    "neighbour": "the neighbour table knows the source address with another MAC address",
    "lease": "a DHCP lease gives the source address to another MAC address",
    "certificate": "its certificate is that of another phone",
}


def _refusal(entry: Entry, file: File, claimant: Claimant) -> str:
    """Why a claim was answered with nothing."""
    if claimant.proof is Proof.NONE:
        return _CONTRADICTED[claimant.identity.partition(":")[0]]
    short = (grant.falls_short(claimant) for grant in entry.waiting if grant.key[1:3] in file.gaps)
    return next((reason for reason in short if reason), _NOTHING_ARMED)


@lru_cache(maxsize=16384)
def _certified_mac(common_name: str | None) -> str | None:
    """The MAC address a certificate's common name is; None where it is something else, and proves nothing."""
    try:
        return parse_mac(common_name)
    except ValueError:
        return None


@lru_cache(maxsize=16384)
def _asked(path: str, user_agent: bytes) -> _Asked:
    """Read a path and a User-Agent; both are cut, so that a stranger's can neither fill the memory nor the log."""
    folder, _slash, name = _printable(path[1:]).rpartition("/")
    # Names such as y000000000096.cfg look like a MAC address, and name the model instead.
    shared = is_shared_file(name.lower())
    found = None if shared else _MAC_IN_NAME.search(name)
    in_name = found.group().lower() if found else None
    text = _printable(user_agent.decode("latin-1"))
    agent = agent_of(text)
    guessed = in_name or (agent.mac if agent else None) or (None if shared else f"{folder}/{name}")
    return _Asked(folder, name, in_name, text, agent, guessed)


def _printable(text: str) -> str:
    """The text without what a terminal takes for a command; people look at what strangers asked for."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def _hindrance(scope: Scope, headers: _Headers, entry: Entry, agent: Agent | None) -> str | None:
    """Why this request could not claim even if everything were armed; None when it could."""
    if scope["method"] != "GET":
        return "only GET releases"
    if not _CONDITIONS.isdisjoint(headers):
        return "a conditional or partial request releases nothing"
    if agent is None or agent.vendor not in entry.agents:
        return "the User-Agent is not one of this vendor's phones"
    return None


def _locked(file: File, headers: _Headers, proof: Proof, hindrance: str | None) -> _Outcome:
    if headers.get(b"if-none-match") == file.etag:
        response = Response(None, 304, {"etag": file.etag.decode(), "cache-control": "private, no-cache"})
        return _Outcome(response, "unchanged", "the phone has this version", proof)
    return _Outcome(file.ready, "without secrets", hindrance or _NOTHING_ARMED, proof)


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(text + "\n", status, {"cache-control": "no-store", **(headers or {})}, "text/plain")


def _is_user(user: str, mac: str) -> bool:
    return re.sub("[:-]", "", user).lower() == mac


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0].removeprefix("::ffff:") if client else ""
