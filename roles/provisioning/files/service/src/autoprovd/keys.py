# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchange of the sealing key while phones are served, and the keys that outlive it.

The audit log and the fingerprints have random keys of their own. They are kept in the database, sealed like any
secret: who has the database alone can neither forge the log nor guess passwords, and a new sealing key changes
neither.

Each call that seals uses the newest key, so an exchange is: put a new key first, have it read (:meth:`Keys.reload`),
seal everything anew with it (:meth:`Keys.reseal`), and take the old key away once it seals nothing.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, bindparam, func, select, tuple_, update

from autoprovd import audit, log
from autoprovd.audit import Event
from autoprovd.faults import Refused
from autoprovd.model import SecretClass, SecretKey
from autoprovd.sealing import KEY_BYTES, Keyring, Sealed, keys_file, label_place, place, read_keys
from autoprovd.store import Store, fact, set_fact
from autoprovd.store.schema import phones, secrets

_BATCH = 200
"""How many secrets are sealed anew in one transaction: some milliseconds, in which claims wait."""
_PAUSE_SECONDS = 0.01
"""Between two batches, so that claims that waited get their turn."""
OWN_KEYS = "own_keys"
"""The fact that holds the keys of the audit log and the fingerprints, and the place it is sealed to."""
_OWN_PLACE = "site/own keys"
_ACTOR = "autoprovd"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A column of the database that holds sealed values."""

    name: str
    table: Table
    primary: tuple[Column[Any], ...]
    key_id: Column[Any]
    box: Column[Any]
    place: Callable[[Row[Any]], str]


_KINDS = (
    _Kind(
        "secrets",
        secrets,
        (secrets.c.mac, secrets.c.line, secrets.c.secret_class),
        secrets.c.key_id,
        secrets.c.box,
        lambda row: place(row.mac, SecretKey(row.line, SecretClass(row.secret_class)), row.version),
    ),
    _Kind(
        "labels",
        phones,
        (phones.c.mac,),
        phones.c.label_key_id,
        phones.c.label_box,
        lambda row: label_place(row.mac),
    ),
)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A sealing key, and what it still seals."""

    id: str
    held: bool
    """False: something is sealed with it, but the service was not given it."""
    newest: bool
    """It seals whatever is sealed from now on."""
    secrets: int = 0
    labels: int = 0
    own_keys: int = 0
    """1: the keys of the audit log and the fingerprints are sealed with it."""

    @property
    def seals(self) -> int:
        """How much would not open without it."""
        return self.secrets + self.labels + self.own_keys


class Keys:
    """The keys of a running service."""

    def __init__(self, store: Store, keyring: Keyring, file: Path | None = None) -> None:
        """``file`` is the configured key file; None where the keys are never read again."""
        self._store = store
        self._keyring = keyring
        self._file = file
        self._resealing = threading.Lock()
        self._ending = threading.Event()
        self._may_be_outdated = True
        # Another service on the same database may seal with a key that stands in the file, but was not read here yet.
        keyring.on_missing = self._look_again

    # -- the keys of the audit log and the fingerprints ---------------------------------------------------------------

    def settle(self) -> None:
        """Take up the keys of the audit log and the fingerprints; make them on the first start.

        A database from before they were kept has used keys derived from the sealing key; those stay in use.
        Raises ``Refused`` when they are sealed with a key that this service was not given.
        """
        with self._store.write() as connection:
            text = fact(connection, OWN_KEYS)
            if text is None:
                own = self._earlier_own_keys(connection) or (os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))
                self._write_own_keys(connection, own)
            else:
                own = self._open_own_keys(text)
        self._keyring.adopt(*own)

    def _earlier_own_keys(self, connection: Connection) -> tuple[bytes, bytes] | None:
        first = audit.page(connection, 0, 1)
        if not first:
            return None
        derived = self._keyring.derived()
        return next((own for own in derived if audit.Walk(own[0]).add(first[0]) is None), derived[0])

    def _open_own_keys(self, text: str) -> tuple[bytes, bytes]:
        kept = json.loads(text)
        try:
            opened = self._keyring.open(Sealed(kept["key_id"], base64.b64decode(kept["box"])), _OWN_PLACE)
        except Refused:
            raise Refused(
                "unavailable",
                f"this database needs sealing key {kept['key_id']}, and it is missing or another one; this service has "
                f"{', '.join(self._keyring.key_ids)}. Restore the key that belongs to the database, or the database "
                "that belongs to the key",
            ) from None
        both = base64.b64decode(opened)
        return both[:KEY_BYTES], both[KEY_BYTES:]

    def _write_own_keys(self, connection: Connection, own: tuple[bytes, bytes]) -> None:
        sealed = self._keyring.seal(base64.b64encode(b"".join(own)).decode(), _OWN_PLACE)
        kept = {"key_id": sealed.key_id, "box": base64.b64encode(sealed.box).decode()}
        set_fact(connection, OWN_KEYS, json.dumps(kept))

    # -- exchanging the sealing key -----------------------------------------------------------------------------------

    def status(self) -> list[KeyStatus]:
        """Every key that is held or still needed, newest first, with what it seals."""
        counts: dict[str, dict[str, int]] = {}
        with self._store.read() as connection:
            for kind in _KINDS:
                query = select(kind.key_id, func.count()).where(kind.key_id.not_in([""])).group_by(kind.key_id)
                for key_id, number in connection.execute(query):
                    counts.setdefault(key_id, {})[kind.name] = number
            text = fact(connection, OWN_KEYS)
            if text is not None:
                counts.setdefault(json.loads(text)["key_id"], {})["own_keys"] = 1
        held = self._keyring.key_ids
        ids = [*held, *sorted(counts.keys() - set(held))]
        return [KeyStatus(key_id, key_id in held, key_id == held[0], **counts.get(key_id, {})) for key_id in ids]

    @property
    def from_service_manager(self) -> bool:
        """Whether the keys come from systemd, which hands them over only when the service starts."""
        return self._file is not None and keys_file(self._file) != self._file

    def reload(self) -> bool:
        """Read the key file again; False, and nothing is changed, when it cannot be used."""
        try:
            self._read()
        except Refused as refusal:
            log.event("sealing keys not read", 40, reason=f"{refusal.message}; the keys so far stay in use")
            return False
        log.event("sealing keys read", count=len(self._keyring.key_ids))
        return True

    def _read(self) -> None:
        if self._file is None:
            return
        file = keys_file(self._file)
        keys = read_keys(file)
        fresh = Keyring(keys).key_ids
        lost = [key.id for key in self.status() if key.seals and key.held and key.id not in fresh]
        if lost:
            raise Refused("conflict", f"{file} lacks key {', '.join(lost)}, which still seals something; put it back")
        self._keyring.replace(keys)
        self._may_be_outdated = True

    def _look_again(self) -> None:
        with suppress(Refused):  # what was asked for is refused anyway, and that tells the reason
            self._read()

    def reseal(self) -> int:
        """Seal everything with the newest key that is sealed with an older one; how much that was.

        In small transactions, each with its audit row. What does not open is left as it is and logged: its key stays
        needed, see :meth:`status`. Once nothing was left to do, this does nothing until the keys are read again.
        """
        with self._resealing:
            if not self._may_be_outdated:
                return 0
            done = self._reseal_own_keys() + sum(self._reseal_kind(kind) for kind in _KINDS)
            # What was being written while the keys were exchanged may have used the older one: look once more.
            self._may_be_outdated = done > 0
        if done:
            log.event("sealed anew", count=done)
        return done

    def end(self) -> None:
        """Let :meth:`reseal` end after the batch it is at."""
        self._ending.set()

    def _reseal_own_keys(self) -> int:
        with self._store.write() as connection:
            text = fact(connection, OWN_KEYS)
            if text is None or json.loads(text)["key_id"] == self._keyring.key_ids[0]:
                return 0
            self._write_own_keys(connection, self._open_own_keys(text))
            self._note(connection, "own_keys", [json.loads(text)["key_id"]])
        return 1

    def _reseal_kind(self, kind: _Kind) -> int:
        done = 0
        last: Row[Any] | None = None
        while not self._ending.wait(_PAUSE_SECONDS):
            with self._store.write() as connection:
                rows = self._outdated(connection, kind, last)
                done += self._reseal_rows(connection, kind, rows)
            if len(rows) < _BATCH:
                break
            last = rows[-1]
        return done

    def _outdated(self, connection: Connection, kind: _Kind, last: Row[Any] | None) -> Sequence[Row[Any]]:
        query = select(kind.table).where(kind.key_id.not_in([self._keyring.key_ids[0], ""]))
        if last is not None:
            reached = tuple(getattr(last, column.name) for column in kind.primary)
            query = query.where(tuple_(*kind.primary) > reached)
        return connection.execute(query.order_by(*kind.primary).limit(_BATCH)).all()

    def _reseal_rows(self, connection: Connection, kind: _Kind, rows: Sequence[Row[Any]]) -> int:
        values, used = [], []
        for row in rows:
            old = Sealed(getattr(row, kind.key_id.name), getattr(row, kind.box.name))
            try:
                sealed = self._keyring.seal(self._keyring.open(old, kind.place(row)), kind.place(row))
            except Refused as refusal:
                log.event("not sealed anew", 40, mac=row.mac, reason=refusal.message)
                continue
            used.append(old.key_id)
            keys = {f"key_{column.name}": getattr(row, column.name) for column in kind.primary}
            values.append({**keys, "old": old.key_id, "new": sealed.key_id, "new_box": sealed.box})
        if values:
            statement = (
                update(kind.table)
                .where(*(column == bindparam(f"key_{column.name}") for column in kind.primary))
                .where(kind.key_id == bindparam("old"))
                .values({kind.key_id: bindparam("new"), kind.box: bindparam("new_box")})
            )
            connection.execute(statement, values)
            self._note(connection, kind.name, used)
        return len(values)

    def _note(self, connection: Connection, what: str, used: Sequence[str]) -> None:
        detail = {"what": what, "count": len(used), "from": sorted(set(used)), "to": self._keyring.key_ids[0]}
        moment = self._store.moment(connection)
        audit.append(connection, self._keyring.audit_key, moment.wall, [Event("resealed", _ACTOR, detail=detail)])


def refuse_retirement(status: Sequence[KeyStatus], in_file: Sequence[str], wanted: str) -> None:
    """Raise ``Refused`` unless this key may be taken out of a file that holds these keys, newest first."""
    known = {key.id: key for key in status}
    newest = known.get(in_file[0])
    # The keys of the audit log are always there: what seals them is what the service used last.
    if newest is None or not newest.own_keys:
        raise Refused(
            "conflict",
            f"the service does not use key {in_file[0]} yet, the newest of the file; have it read the file "
            "(systemctl reload autoprovd, or sv hup autoprovd) and wait until everything is sealed with it: "
            "autoprov key status",
        )
    if wanted in known and known[wanted].seals:
        raise Refused(
            "conflict", f"key {wanted} still seals {known[wanted].seals} values; wait, and see: autoprov key status"
        )
