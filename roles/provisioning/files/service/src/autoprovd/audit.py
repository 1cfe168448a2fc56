# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: append-only rows, each chained to the one before it by a keyed digest.

A row is written in the same transaction as what it tells. Whoever changes, removes or reorders a row without the
audit key breaks the chain at that row, and :func:`verify` names it. That the end was cut off shows against a *head*
(number and link of the last row) that was noted elsewhere. A row never holds a secret.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text
from sqlalchemy.exc import DatabaseError

from autoprovd.faults import Refused
from autoprovd.store.prepared import Prepared
from autoprovd.store.schema import audit
from autoprovd.store.witness import START, Head

_FIELDS = ("seq", "at", "event", "mac", "line", "secret_class", "audience", "generation", "actor", "detail")
_PAGE = 1000
_LONGEST_LINE = 65536


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth remembering for good.

    ``name`` is one of: created, updated, removed, armed, released, repeated, lent, returned, refused, suspect,
    rekeyed, confirmed, revoked, sealed, shredded, resealed, settings, token, read, catalogue, rollout, offered, lost,
    banned, lifted, resynced.
    """

    name: str
    actor: str
    mac: str | None = None
    line: int | None = None
    secret_class: str | None = None
    audience: str | None = None
    generation: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def parse_head(text: str) -> Head:
    """A head as it is noted: number, colon, link. Raises ``Refused``."""
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise Refused("invalid", f"{text[:100]!r} is not a head; copy what this prints: autoprov audit head")
    return Head(int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the chain holds, and where it first does not."""

    ok: bool
    rows: int
    """How many rows were looked at."""
    first_bad: dict[str, Any] | None
    """The row, or nothing but its number where the row itself is missing."""
    reason: str
    head: str = ""
    """The last row that is in order, as it is noted."""


def append(connection: Connection, key: bytes, at: float, events: Sequence[Event]) -> None:
    """Append rows in the caller's transaction, which must hold the database's write lock."""
    if not events:
        return
    seq, link = _last(connection)
    rows = []
    for event in events:
        seq += 1
        row = {
            "seq": seq,
            "at": at,
            "event": event.name,
            "mac": event.mac,
            "line": event.line,
            "secret_class": event.secret_class,
            "audience": event.audience,
            "generation": event.generation,
            "actor": event.actor,
            "detail": json.dumps(event.detail, sort_keys=True) if event.detail else None,
        }
        link = _link(key, link, row)
        rows.append(row | {"link": link})
    _INSERT.run_many(connection, rows)
    connection.info["audit_head"] = Head(seq, link)


def _last(connection: Connection) -> Head:
    """The last row as this transaction leaves it so far."""
    info = connection.info
    found: Head | None = info.get("audit_head") or (info["arrival"].head if "arrival" in info else None)
    return found or head(connection)


_INSERT = Prepared(insert(audit))


def head(connection: Connection) -> Head:
    """The last row."""
    last = connection.execute(select(audit.c.seq, audit.c.link).order_by(audit.c.seq.desc()).limit(1)).first()
    return Head(last.seq, last.link) if last else START


def link_of(connection: Connection, seq: int) -> Head | None:
    """A row by its number, as what the next one is chained to; None when there is no such row."""
    if seq == 0:
        return START
    link = connection.execute(select(audit.c.link).where(audit.c.seq == seq)).scalar()
    return None if link is None else Head(seq, link)


def page(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Rows behind ``after``, oldest first, as they are shown and exported."""
    rows = connection.execute(select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit))
    return [_shown(row) for row in rows]


def verify(connection: Connection, key: bytes, noted: Head | None = None) -> Verdict:
    """Walk the whole chain; with a head noted elsewhere, also tell whether the end was cut off."""
    walk, seq, size = Walk(key, noted=noted), 0, _PAGE
    while True:
        try:
            rows = page(connection, seq, size)
        except DatabaseError:  # such as text that is no text any more
            if size == 1:
                return walk.unreadable()
            size = 1
            continue
        for row in rows:
            verdict = walk.add(row)
            if verdict is not None:
                return verdict
        if not rows:
            return walk.end()
        seq = rows[-1]["seq"]


class Walk:
    """A chain, held against its key row by row. The rows are those of :func:`page`, from anywhere."""

    def __init__(self, key: bytes, after: Head = START, noted: Head | None = None) -> None:
        if noted is not None and noted.seq < after.seq:
            raise Refused("invalid", f"the head noted is row {noted.seq}, which is before the first row to be checked")
        self._key = key
        self._last = after
        self._noted = noted
        self._rows = 0

    def add(self, row: Mapping[str, Any]) -> Verdict | None:
        """The next row; a verdict when the chain is broken there."""
        self._rows += 1
        expected = self._last.seq + 1
        values = {name: row[name] for name in _FIELDS if name != "detail"}
        values["detail"] = None if row["detail"] == {} else json.dumps(row["detail"], sort_keys=True)
        link = _link(self._key, self._last.link, values)
        if row["seq"] != expected:
            missing = f"row {expected} is" if row["seq"] == expected + 1 else f"rows {expected} to {row['seq'] - 1} are"
            later = row["seq"] > expected
            return self._bad(row, f"{missing} missing before it" if later else "it stands behind a later row")
        if not hmac.compare_digest(link, str(row["link"])):
            return self._bad(row, "it was changed, or the row before it was replaced")
        self._last = Head(expected, link)
        if self._noted is not None and self._noted.seq == expected and self._noted.link != link:
            return self._bad(row, "it is not the row that was noted; the log was written anew from some row on")
        return None

    def end(self) -> Verdict:
        """There are no more rows."""
        if self._noted is not None and self._noted.seq > self._last.seq:
            first = self._last.seq + 1
            return self._bad({"seq": first}, f"the end was cut off: rows {first} to {self._noted.seq} are missing")
        return Verdict(True, self._rows, None, "", str(self._last))

    def unreadable(self) -> Verdict:
        """The next row is there, and cannot be read."""
        return self._bad({"seq": self._last.seq + 1}, "it cannot be read: it was changed")

    def _bad(self, row: Mapping[str, Any], reason: str) -> Verdict:
        return Verdict(False, self._rows, dict(row), reason, str(self._last))


Earlier = Callable[[int], Head | None]


class ExportCheck:
    """An exported log, checked piece by piece as it arrives."""

    def __init__(self, key: bytes, after: Head | None, noted: Head | None, earlier: Earlier) -> None:
        """Without ``after``, what the first row is chained to is asked of ``earlier``, by its number."""
        self._key = key
        self._noted = noted
        self._earlier = earlier
        self._walk = Walk(key, after, noted) if after is not None else None
        self._rest = b""
        self._lines = 0
        self._verdict: Verdict | None = None

    def feed(self, piece: bytes) -> None:
        """The next piece of the file."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._line(line)

    def end(self) -> Verdict:
        """The whole file was fed."""
        self._line(self._rest)
        if self._verdict is not None:
            return self._verdict
        return (self._walk or Walk(self._key, START, self._noted)).end()

    def _line(self, line: bytes) -> None:
        self._lines += 1
        if self._verdict is not None or not line.strip():
            return
        try:
            row = json.loads(line)
            if not isinstance(row["seq"], int) or not row.keys() >= _FIELDS_OF_AN_EXPORT:
                raise TypeError
            if self._walk is None:
                self._walk = Walk(self._key, self._before(row["seq"]), self._noted)
            self._verdict = self._walk.add(row)
        except (ValueError, TypeError, KeyError, RecursionError):
            bad = {"seq": None}
            self._verdict = Verdict(False, self._lines, bad, f"line {self._lines} of the file is not a row of the log")

    def _before(self, seq: int) -> Head:
        before = self._earlier(seq - 1)
        if before is None:
            raise Refused(
                "not_found",
                f"the file starts with row {seq}, and this log has no row {seq - 1} that it could be chained to; "
                "give the head that was noted at that row: --after SEQ:LINK",
            )
        return before


_FIELDS_OF_AN_EXPORT = frozenset((*_FIELDS, "link"))


def _link(key: bytes, previous: str, row: Mapping[str, Any]) -> str:
    text = json.dumps([previous, *(row[name] for name in _FIELDS)], separators=(",", ":"), default=repr)
    return hmac.digest(key, text.encode(), "sha256").hex()


def _shown(row: Row[Any]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in (*_FIELDS, "link")}
    # A blob stands only where somebody put it; it is shown so that it can be, and its link does not fit.
    values = {name: repr(value) if isinstance(value, bytes) else value for name, value in values.items()}
    return values | {"detail": _detail(values["detail"])}


def _detail(text: str | None) -> dict[str, Any] | str:
    """What a row tells besides; the bare text where it is not spelled as :func:`append` spells it."""
    if text is None:
        return {}
    try:
        detail: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return detail if detail != {} and json.dumps(detail, sort_keys=True) == text else text


def removed_generations(connection: Connection, macs: Iterable[str]) -> dict[str, int]:
    """The last generation of phones that were removed once, so that a returning phone starts behind it."""
    wanted = set(macs)
    # As text: with a parameter the databases would not see that their index is of just these rows.
    rows = connection.execute(select(audit.c.mac, audit.c.generation).where(text("event = 'removed'")))
    found: dict[str, int] = {}
    for row in rows:
        if row.mac in wanted:
            found[row.mac] = max(found.get(row.mac, 0), row.generation or 0)
    return found
