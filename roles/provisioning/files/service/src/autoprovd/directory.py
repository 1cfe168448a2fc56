# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones ask for, held ready in memory: one look-up instead of a database.

An entry is loaded when its phone first asks and dropped when anything about it is written. It holds no secret and
takes no decision: whether a grant is worth asking the database for is read from it, the answer is the database's.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, func, select
from starlette.types import Receive, Scope, Send

from autoprovd import metrics
from autoprovd.clock import Clock
from autoprovd.grants import Claimant, Grant, grants_of
from autoprovd.model import Audience, Phone, SecretKey
from autoprovd.policy import Mode
from autoprovd.render import Document, Syntax
from autoprovd.store import Store, insert_into
from autoprovd.store.schema import documents, phones, recent_requests, sightings
from autoprovd.store.witness import START
from autoprovd.vendors import agent_of, room_of
from autoprovd.vendors.base import SETTINGS

_KEPT_REQUESTS = 10
_UNPROVEN = "none"
PNP_FILE = "SIP PnP"
"""What stands for a file where a phone asked by SIP PnP for its address of files, and for no file."""
_SERVED = frozenset({"released", "without secrets", "unchanged"})
"""The outcomes after which a phone has its file as it is now."""


class Ready:
    """A whole response that lay ready, as an ASGI application."""

    def __init__(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._start = {"type": "http.response.start", "status": 200, "headers": headers}
        self._body = {"type": "http.response.body", "body": body}

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await send(self._start)
        await send(self._body)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a phone, without secrets, ready to send."""

    document: str
    media_type: str
    gaps: frozenset[SecretKey]
    etag: bytes
    ready: Ready


@dataclass(frozen=True, slots=True)
class Entry:
    """A phone as it is served."""

    mac: str
    label_proof: bool
    """It is asked for the ID of its label, and gets its secrets each time."""
    agents: frozenset[str]
    """The vendors whose User-Agent it may send."""
    files: Mapping[str, File | None]
    """By lower-case name; None for a file the phone asks for and is rightly not given."""
    waiting: tuple[Grant, ...]
    """The phone's own grants that may still be answered: armed or open when this was read."""
    closed: tuple[Grant, ...]
    """One released grant for each claimant it was released to: all that matters of the rest."""

    @property
    def unconfirmed(self) -> bool:
        """Whether anything was released that the phone has not shown to hold."""
        return any(grant.state == "open" and grant.mode is not Mode.ALWAYS for grant in self.waiting)

    def concerns(self, claimant: Claimant, clock: Clock) -> bool:
        """Whether a claim could be answered or change anything; if not, the database need not be asked."""
        if self.waiting:
            moment = clock.moment(0.0)
            if any(grant.concerns(claimant, moment) for grant in self.waiting):
                return True
        return any(grant.is_suspicious(claimant) for grant in self.closed)


class Request(NamedTuple):
    """A request of a phone, as a person is told of it."""

    at: float
    source: str
    file: str
    user_agent: str
    proof: str
    outcome: str
    reason: str


class Sighting(NamedTuple):
    """What a phone said of itself when it last asked for a file of its own."""

    model: str
    version: str
    at: float
    settings_at: float | None
    """When it last got its settings."""


class Directory:
    """All phones of the site, for those that ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[str, Entry] = {}
        self._known: frozenset[str] = frozenset()
        self._epoch = 0
        self._forgetting = threading.Lock()
        self._seen = START
        self._recent: dict[str, deque[Request]] = {}
        self._unsaved: set[str] = set()
        self.forget(None)

    @property
    def shared(self) -> bool:
        """Whether other nodes write as well, so that :meth:`catch_up` comes before anything is read here."""
        return self._store.shared

    def catch_up(self) -> None:
        """Forget what other nodes wrote anew up to now; blocks."""
        seen, macs = self._store.news(self._seen)
        if seen != self._seen:
            self.forget(macs)
            self._seen = seen

    def knows(self, mac: str) -> bool:
        """Whether the site has this phone."""
        return mac in self._known

    def entry(self, mac: str) -> Entry | None:
        """The phone's entry if it is at hand; otherwise :meth:`load` it."""
        return self._entries.get(mac)

    def load(self, mac: str) -> Entry | None:
        """Read a phone from the database; blocks."""
        epoch = self._epoch
        with self._store.read() as connection:
            row = connection.execute(select(phones.c.definition).where(phones.c.mac == mac)).first()
            if row is None:
                return None
            phone = Phone.model_validate_json(row.definition)
            rendered = [
                Document(file.name, file.media_type, Syntax(file.syntax), file.text, file.encoding)
                for file in connection.execute(select(documents).where(documents.c.mac == mac))
            ]
            moment = self._store.moment(connection)
            held = grants_of(connection, moment, [mac]).get(mac, [])
        vendor, model = room_of(phone)
        served = {document.name: _file(document) for document in rendered}
        own = [grant for grant in held if grant.key.audience is Audience.PHONE]
        released = {(grant.claimant, grant.claimed_from): grant for grant in own if grant.state == "released"}
        entry = Entry(
            mac=mac,
            label_proof=model.family in vendor.label_proof,
            agents=vendor.agent_vendors(model),
            files={
                name.lower(): served[document] if document is not None else None
                for name, document in vendor.file_names(phone, model).items()
            },
            waiting=tuple(grant for grant in own if grant.state in ("armed", "open")),
            closed=tuple(released.values()),
        )
        # Something may have been written while this was read; then it is served once and not kept.
        with self._forgetting:
            if epoch == self._epoch:
                self._entries[mac] = entry
        return entry

    def document(self, mac: str, name: str) -> Document | None:
        """A phone's file with its gaps, from the database; blocks."""
        with self._store.read() as connection:
            row = connection.execute(select(documents).where(documents.c.mac == mac, documents.c.name == name)).first()
        if row is None:
            return None
        return Document(row.name, row.media_type, Syntax(row.syntax), row.text, row.encoding)

    def forget(self, macs: Collection[str] | None) -> None:
        """Something about these phones, or about all, was written."""
        with self._forgetting:
            with self._store.read() as connection:
                if macs is None or not self._known.issuperset(macs) or len(macs) > 1:
                    self._known = frozenset(connection.execute(select(phones.c.mac)).scalars())
                    metrics.phones.set(len(self._known))
                elif connection.execute(select(phones.c.mac).where(phones.c.mac.in_(list(macs)))).first() is None:
                    self._known -= set(macs)
                    metrics.phones.set(len(self._known))
            self._epoch += 1
            if macs is None:
                self._entries.clear()
            else:
                for mac in macs:
                    self._entries.pop(mac, None)

    # -- who asked lately ---------------------------------------------------------------------------------------------

    def note(self, mac: str, request: Request) -> None:
        """Remember a request; written to the database by :meth:`save`, in batches."""
        self._recent.setdefault(mac, deque(maxlen=_KEPT_REQUESTS)).append(request)
        self._unsaved.add(mac)

    def save(self) -> None:
        """Write the remembered requests; blocks."""
        unsaved, self._unsaved = self._unsaved, set()
        unsaved &= self._known
        if not unsaved:
            return
        with self._store.write() as connection:
            moment = self._store.moment(connection)
            present = set(connection.execute(select(phones.c.mac).where(phones.c.mac.in_(unsaved))).scalars())
            saved = _saved(connection, present)
            rows = [
                {"mac": mac, "requests": json.dumps(_merged(saved.get(mac, []), list(self._recent[mac])))}
                for mac in sorted(present)
            ]
            if rows:
                statement = insert_into(connection, recent_requests)
                values = {"requests": statement.excluded.requests}
                connection.execute(statement.on_conflict_do_update(index_elements=["mac"], set_=values), rows)
                _write_sightings(connection, {mac: self._sighting(mac) for mac in sorted(present)})
            self._store.advance(connection, moment)

    def _sighting(self, mac: str) -> Sighting | None:
        """What the phone last said of itself; a stranger's word counts for nothing."""
        entry = self._entries.get(mac) or self.load(mac)
        seen = None
        for request in self._recent[mac]:
            agent = agent_of(request.user_agent)
            if entry is None or agent is None or agent.vendor not in entry.agents:
                continue
            # Over SIP PnP nothing but a sender's address, which is easily forged, speaks for what it says of itself.
            if request.proof == _UNPROVEN or request.file == PNP_FILE:
                continue
            file = entry.files.get(request.file.lower())
            got_settings = file is not None and file.document == SETTINGS and request.outcome in _SERVED
            settings_at = request.at if got_settings else seen.settings_at if seen else None
            seen = Sighting(agent.model, agent.firmware, request.at, settings_at)
        return seen

    def recent(self, macs: Collection[str] | None = None) -> dict[str, list[Request]]:
        """The latest requests of phones, oldest first; what was saved, and what was not saved yet."""
        with self._store.read() as connection:
            found = _saved(connection, macs)
        for mac, requests in list(self._recent.items()):
            if macs is None or mac in macs:
                found[mac] = _merged(found.get(mac, []), list(requests))
        return found


def _saved(connection: Connection, macs: Collection[str] | None) -> dict[str, list[Request]]:
    query = select(recent_requests)
    if macs is not None:
        query = query.where(recent_requests.c.mac.in_(list(macs)))
    return {row.mac: [Request(*item) for item in json.loads(row.requests)] for row in connection.execute(query)}


def _write_sightings(connection: Connection, seen: Mapping[str, Sighting | None]) -> None:
    rows = [{"mac": mac, **sighting._asdict()} for mac, sighting in seen.items() if sighting is not None]
    if not rows:
        return
    statement = insert_into(connection, sightings)
    new = statement.excluded
    values = {
        "model": new.model,
        "version": new.version,
        "at": new.at,
        "settings_at": func.coalesce(new.settings_at, sightings.c.settings_at),
    }
    # Another node may have seen it later.
    later = sightings.c.at <= new.at
    connection.execute(statement.on_conflict_do_update(index_elements=["mac"], set_=values, where=later), rows)


def _merged(saved: list[Request], own: list[Request]) -> list[Request]:
    # What this node saved before is in both; what other nodes saw is in one of them.
    return sorted(dict.fromkeys([*saved, *own]), key=lambda request: request.at)[-_KEPT_REQUESTS:]


def _file(document: Document) -> File:
    media_type = f"{document.media_type}; charset={document.encoding}"
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(document.locked)).encode()),
        (b"etag", document.etag.encode()),
        (b"cache-control", b"private, no-cache"),
    ]
    return File(document.name, media_type, document.gaps, document.etag.encode(), Ready(headers, document.locked))
