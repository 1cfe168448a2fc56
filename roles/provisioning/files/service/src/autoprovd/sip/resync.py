# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask phones to fetch their files now: NOTIFY with the event ``check-sync``, to the phone itself or through the PBX.

A phone is spoken to by its address, and addresses change owners. So the address is what the neighbour table or a lease
gives to that MAC address now; where they give it to another device, nothing is sent.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from autoprovd import audit
from autoprovd.audit import Event
from autoprovd.clock import iso_time
from autoprovd.faults import Fault, Refused
from autoprovd.leases import Leases
from autoprovd.neighbours import Neighbours
from autoprovd.overview import Overview
from autoprovd.sealing import Keyring
from autoprovd.sip import client, message
from autoprovd.sip.client import Connection, NoAnswer, Peer
from autoprovd.sip.message import Response
from autoprovd.store import Store
from autoprovd.vendors import VENDORS

_AT_A_TIME: Final = 50
_ARP_SECONDS: Final = 1.0
_REASONS: Final = {
    401: "it wants a password, the one of its account, which is not for this (Snom: challenge_checksync); go through "
    "the PBX, or restart it by hand",
    403: "it takes this from its PBX only; go through the PBX",
    404: "it has no such account yet; it fetches its files when it starts",
    480: "the PBX knows no such phone at the moment; is it registered?",
    489: "it does not know check-sync",
}
_PBX_REASONS: Final = {
    401: "the PBX wants a user and a password",
    403: "the PBX forbids it to this user",
    404: "the PBX does not know this account",
    407: "the PBX wants a user and a password",
    480: "the PBX has no registration of this account",
    489: "the PBX passes no NOTIFY on; send it to the phones themselves",
}


class Pbx(NamedTuple):
    """Through whom phones are told, with the credentials it wants."""

    peer: Peer
    user: str = ""
    password: str = ""


class Wanted(NamedTuple):
    """A phone that is to fetch its files."""

    mac: str
    """12 lower-case hexadecimal digits."""
    address: str | None = None
    """Where it is, when somebody knows better than this host."""


class Terms(NamedTuple):
    """How phones are told."""

    reboot: bool = False
    transport: str = "udp"
    """``udp``, ``tcp`` or ``tls``; for the phones themselves."""
    port: int | None = None
    """Of the phones themselves; None: the usual one of the transport."""
    via: Pbx | None = None
    timeout: float = 4.0
    """Seconds for each phone."""


class _Target(NamedTuple):
    mac: str
    peer: Peer
    uri: str
    """The Request-URI."""
    domain: str
    """What stands behind the @ in From."""
    event: str


class Resync:
    """Tells phones to fetch their files, and remembers who had it done."""

    def __init__(
        self, store: Store, keyring: Keyring, overview: Overview, neighbours: Neighbours, leases: Leases
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._overview = overview
        self._neighbours = neighbours
        self._leases = leases

    async def tell(self, wanted: Sequence[Wanted], terms: Terms, dry_run: bool, actor: str) -> list[dict[str, Any]]:
        """Tell these phones, or with ``dry_run`` only find out where they would be told; a result for each.

        Raises ``Refused`` with everything that is wrong with the list; nobody is told anything then.
        """
        targets = await asyncio.to_thread(self._targets, wanted, terms)
        if dry_run:
            return [_result(target, "planned", None, "") for target in targets]
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def one(target: _Target) -> dict[str, Any]:
            async with gate:
                return await self._tell(target, terms)

        results = await asyncio.gather(*map(one, targets))
        await asyncio.to_thread(self._record, results, terms, actor)
        return results

    def _targets(self, wanted: Sequence[Wanted], terms: Terms) -> list[_Target]:
        """Where to send what. Raises ``Refused``."""
        shown = {phone["mac"]: phone for phone in self._overview.phones([item.mac for item in wanted])}
        faults: list[Fault] = []
        targets: list[_Target] = []
        for index, (mac, address) in enumerate(wanted):
            where = f"phones[{index}]"
            phone = shown.get(mac)
            if phone is None:
                faults.append(Fault(where, f"this site has no phone {mac}", "list them with: autoprov phones"))
                continue
            vendor = VENDORS[phone["vendor"]]
            model = vendor.model(phone["model"])
            if terms.reboot and model is not None and model.family in vendor.no_restart:
                faults.append(
                    Fault(where, f"a {vendor.title} {model.title} does not restart when told so", "leave out reboot")
                )
                continue
            event = f"check-sync;reboot={'true' if terms.reboot else 'false'}"
            accounts = sorted(phone["accounts"], key=lambda account: int(account["line"]))
            if terms.via is not None:
                if not accounts:
                    faults.append(Fault(where, f"phone {mac} has no account at the PBX", "tell it directly"))
                    continue
                user, domain = accounts[0]["user"], accounts[0]["registrar"]
                targets.append(_Target(mac, terms.via.peer, f"sip:{user}@{_bracketed(domain)}", domain, event))
                continue
            place = address or self._place(mac, phone)
            if place is None:
                what = f"nobody knows where phone {mac} is: it never asked lately, and is no neighbour"
                faults.append(Fault(where, what, "give its address, or go through the PBX"))
                continue
            port = terms.port or client.PORTS[terms.transport]
            user = f"{accounts[0]['user']}@" if accounts else ""
            uri = f"sip:{user}{_bracketed(place)}:{port}"
            if terms.transport != "udp":
                uri += f";transport={terms.transport}"
            peer = Peer(place, port, terms.transport, _any_certificate() if terms.transport == "tls" else None)
            targets.append(_Target(mac, peer, uri, "", event))
        if faults:
            raise Refused("invalid", f"{len(faults)} of {len(wanted)} phones cannot be told; nobody was", faults)
        return targets

    def _place(self, mac: str, phone: dict[str, Any]) -> str | None:
        """The address of a phone, by who knows best: the neighbour table, where it last asked from, its definition."""
        last = (phone["last_request"] or {}).get("source")
        neighbours = self._neighbours.addresses_of(mac)
        if last in neighbours:
            return str(last)
        return next(iter(sorted(neighbours, key=lambda known: (":" in known, known))), None) or last or phone["address"]

    async def _tell(self, target: _Target, terms: Terms) -> dict[str, Any]:
        if terms.via is None:
            stranger = await self._stranger_at(target.peer.host, target.mac)
            if stranger is not None:
                return _result(target, "elsewhere", None, stranger)
        try:
            async with client.connected(target.peer, terms.timeout) as connection:
                answer = await _notify(connection, target, terms.via)
        except NoAnswer as error:
            return _result(target, "silent", None, str(error))
        if answer.status < 300:
            return _result(target, "accepted", answer.status, "")
        reasons = _REASONS if terms.via is None else _PBX_REASONS
        reason = reasons.get(answer.status, answer.reason or "it says no more")
        return _result(target, "refused", answer.status, reason)

    async def _stranger_at(self, address: str, mac: str) -> str | None:
        """Why what is at that address is not this phone; None when nothing speaks against it."""
        try:
            sight = self._neighbours.look(address)
            if sight.belongs_here and sight.mac is None:
                self._neighbours.call(address)
                end = asyncio.get_running_loop().time() + _ARP_SECONDS
                while sight.mac is None and asyncio.get_running_loop().time() < end:
                    await asyncio.sleep(0.05)
                    sight = self._neighbours.look(address)
        except (OSError, ValueError) as error:
            return f"the neighbour table does not say who is at {address}: {error}"
        if sight.belongs_here:
            if sight.mac is None:
                return f"nobody is at {address} at the moment"
            return None if sight.mac == mac else f"{address} belongs to {sight.mac} now"
        leased = self._leases.mac_of(address)
        return None if leased in (None, mac) else f"{address} is leased to {leased} now"

    def _record(self, results: Sequence[dict[str, Any]], terms: Terms, actor: str) -> None:
        events = [
            Event("resynced", actor, result["mac"], detail={"to": result["target"], "reboot": terms.reboot})
            for result in results
            if result["state"] == "accepted"
        ]
        if events:
            with self._store.write() as connection:
                moment = self._store.moment(connection)
                audit.append(connection, self._keyring.audit_key, moment.wall, events)

    def now(self) -> str | None:
        """The time of the service, to compare with when a phone asked last."""
        return iso_time(self._store.clock.wall(), "milliseconds")


async def _notify(connection: Connection, target: _Target, via: Pbx | None) -> Response:
    """Send the NOTIFY; once more with credentials where the PBX wants some."""
    local = connection.local
    sender = f"sip:{via.user or 'autoprov'}@{_bracketed(target.domain)}" if via else f"sip:autoprov@{local.address}"
    call_id, tag = secrets.token_hex(12), secrets.token_hex(4)

    def compose(number: int, branch: str, credentials: tuple[str, str] | None = None) -> bytes:
        headers = [
            ("Via", local.via(branch)),
            ("Max-Forwards", "70"),
            ("From", f"<{sender}>;tag={tag}"),
            ("To", f"<{target.uri}>"),
            ("Contact", f"<sip:autoprov@{local.address}>"),
            ("Call-ID", call_id),
            ("CSeq", f"{number} NOTIFY"),
            ("Event", target.event),
            ("Subscription-State", "terminated"),
            ("User-Agent", "autoprovd"),
        ]
        return message.request("NOTIFY", target.uri, [*headers, credentials] if credentials else headers)

    answer = await connection.ask(lambda branch: compose(1, branch))
    if via is None or not via.user or answer.status not in (401, 407):
        return answer
    asked, answered = (
        ("www-authenticate", "Authorization") if answer.status == 401 else ("proxy-authenticate", "Proxy-Authorization")
    )
    challenges = (value for name, value in answer.headers if name == asked)
    proofs = (message.answer_to(challenge, via.user, via.password, "NOTIFY", target.uri) for challenge in challenges)
    proof = next((proof for proof in proofs if proof is not None), None)
    if proof is None:
        return answer
    return await connection.ask(lambda branch: compose(2, branch, (answered, proof)))


def _result(target: _Target, state: str, status: int | None, reason: str) -> dict[str, Any]:
    peer = target.peer
    return {
        "mac": target.mac,
        "target": f"{peer.transport}:{_bracketed(peer.host)}:{peer.port}",
        "uri": target.uri,
        "event": target.event,
        "state": state,
        "status": status,
        "reason": reason,
    }


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _any_certificate() -> ssl.SSLContext:
    """For a phone's own TLS door: its certificate names no address, and what is sent there is no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def authorities(text: str | None) -> ssl.SSLContext:
    """TLS towards a PBX, whose certificate has to be signed by these authorities (PEM), or by those of the system.

    Raises ``Refused``.
    """
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise Refused("invalid", "via.authorities holds no certificates in PEM") from None
