# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a phone list would change: read, compare, render; nothing is written here.

A phone whose entry in the list is the same as last time is known by a keyed fingerprint of the entry and costs
next to nothing. The others become a :class:`Change` one by one, so that a large list never stands in memory twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from autoprovd import __version__, passwords
from autoprovd.faults import Fault
from autoprovd.intake import take_phones
from autoprovd.model import Phone, PhoneRule, ReleaseSettings, SecretClass, SecretKey, Settings
from autoprovd.render import Document
from autoprovd.rules import faults_of_phone_rules
from autoprovd.sealing import Keyring, Sealed, label_place, place
from autoprovd.store.schema import phones, secrets
from autoprovd.vendors import render, secret_keys

_SHOWN_PHONES = 200
"""How many phones a difference shows in full; a larger change is summed up."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change does, as text before and after; secrets are masked."""

    before: str
    after: str


@dataclass(slots=True)
class Change:
    """What has to be written for one phone."""

    mac: str
    vendor: str
    model: str
    definition: str
    """Canonical JSON, without any secret."""
    before: str | None
    """The definition so far; None for a new phone."""
    fingerprint: str
    label: str | None = None
    """A new label ID; None when it stays as it is."""
    secrets: dict[SecretKey, str] = field(default_factory=dict)
    """New secrets, given or generated."""
    versions: dict[SecretKey, int] = field(default_factory=dict)
    generated: set[SecretKey] = field(default_factory=set)
    dropped: list[SecretKey] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    rules: tuple[PhoneRule, ...] = ()
    """The phone's own rules of release."""

    @property
    def is_one(self) -> bool:
        """Whether anything differs; a list may only spell the same differently."""
        return self.definition != self.before or self.label is not None or bool(self.secrets)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a phone list would change."""

    changes: list[Change]
    respelled: list[Change]
    """Entries that are written otherwise than last time, and mean the same."""
    unchanged: int
    removed: dict[str, str]
    """The definitions of phones to forget, by MAC address."""

    def difference(self) -> Difference:
        """The plan as a person reads it."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for change in self.changes[:_SHOWN_PHONES]:
            if change.before is not None:
                before[change.mac] = json.loads(change.before)
            after[change.mac] = json.loads(change.definition) | _shown_secrets(change) | _shown_terms(change)
        for mac, definition in list(self.removed.items())[:_SHOWN_PHONES]:
            before[mac] = json.loads(definition)
        rest = max(0, len(self.changes) - _SHOWN_PHONES) + max(0, len(self.removed) - _SHOWN_PHONES)
        if rest:
            after["…"] = f"and {rest} more phones"
        return Difference(spell(before) if before else "", spell(after) if after else "")


def spell(value: Any) -> str:
    """Plain data as a person reads it, and always the same way."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def plan_phones(
    connection: Connection,
    keyring: Keyring,
    raw: Iterable[Mapping[str, Any]],
    purge: bool,
    settings: Settings | None,
    release: ReleaseSettings,
) -> Plan:
    """Compare a list with the site; with settings, the files are rendered as well.

    Raises ``Refused`` with every fault of the list.
    """
    known = {row.mac: row.fingerprint for row in connection.execute(select(phones.c.mac, phones.c.fingerprint))}

    def is_unchanged(mac: str, item: Mapping[str, Any]) -> bool:
        return mac in known and known[mac] == _fingerprint(keyring, item)

    def compare(phone: Phone, item: Mapping[str, Any]) -> Change:
        fingerprint = _fingerprint(keyring, item)
        return _compare(connection, keyring, phone, fingerprint, phone.mac in known, settings)

    def faults_of_rules(phone: Phone) -> Iterator[Fault]:
        return faults_of_phone_rules(phone, release, phone.mac not in known)

    listed, compared = take_phones(raw, is_unchanged, compare, faults_of_rules)
    changes = [change for change in compared if change.is_one]
    return Plan(
        changes=changes,
        respelled=[change for change in compared if not change.is_one],
        unchanged=len(listed) - len(changes),
        removed=definitions_of(connection, sorted(known.keys() - listed)) if purge else {},
    )


def definitions_of(connection: Connection, macs: Sequence[str]) -> dict[str, str]:
    """The definitions of these phones, those the site has."""
    wanted = set(macs)
    if not wanted:
        return {}
    query = select(phones.c.mac, phones.c.definition)
    if len(wanted) <= 500:
        query = query.where(phones.c.mac.in_(list(wanted)))
    return {row.mac: row.definition for row in connection.execute(query) if row.mac in wanted}


def _compare(
    connection: Connection, keyring: Keyring, phone: Phone, fingerprint: str, is_known: bool, settings: Settings | None
) -> Change:
    row = connection.execute(select(phones).where(phones.c.mac == phone.mac)).one() if is_known else None
    definition = json.dumps(phone.public(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    before = row.definition if row else None
    change = Change(phone.mac, phone.vendor, phone.model, definition, before, fingerprint, rules=phone.release)
    label = phone.gigaset_id.get_secret_value() if phone.gigaset_id else None
    if label is not None and label != _held_label(keyring, row):
        change.label = label
    _compare_secrets(connection, keyring, phone, change)
    if settings is not None and definition != before:
        change.documents = render(phone, settings)
    return change


def _compare_secrets(connection: Connection, keyring: Keyring, phone: Phone, change: Change) -> None:
    held = held_secrets(connection, phone.mac) if change.before is not None else {}
    given = phone.given_secrets()
    keys = secret_keys(phone)
    for key in keys:
        row = held.get(key)
        if row is None:
            change.secrets[key] = given.get(key) or passwords.generate(key.secret_class)
            change.versions[key] = 1
            if key not in given:
                change.generated.add(key)
        elif key in given and not _is_held(keyring, phone.mac, key, row, given[key]):
            change.secrets[key] = given[key]
            change.versions[key] = row.version + 1
    change.dropped = [key for key in held if key not in keys]


def held_secrets(connection: Connection, mac: str) -> dict[SecretKey, Row[Any]]:
    """The sealed secrets of a phone."""
    rows = connection.execute(select(secrets).where(secrets.c.mac == mac))
    return {SecretKey(row.line, SecretClass(row.secret_class)): row for row in rows}


def _is_held(keyring: Keyring, mac: str, key: SecretKey, row: Row[Any], given: str) -> bool:
    if not row.box:  # shredded
        return bool(row.fingerprint == secret_fingerprint(keyring, mac, key, given))
    return keyring.open(Sealed(row.key_id, row.box), place(mac, key, row.version)) == given


def secret_fingerprint(keyring: Keyring, mac: str, key: SecretKey, given: str) -> str:
    """By which a given secret is known again when it was shredded; another for each account."""
    return keyring.fingerprint(f"{mac}/{key.line}/{key.secret_class}/{given}")


def _held_label(keyring: Keyring, row: Row[Any] | None) -> str | None:
    if row is None or row.label_box is None:
        return None
    return keyring.open(Sealed(row.label_key_id, row.label_box), label_place(row.mac))


def _fingerprint(keyring: Keyring, item: Mapping[str, Any]) -> str:
    # The version stands in it: what an older program accepted is looked at again by a newer one.
    return keyring.fingerprint(json.dumps([__version__, item], sort_keys=True, separators=(",", ":"), default=str))


def _shown_terms(change: Change) -> dict[str, str]:
    so_far = json.loads(change.before).get("release", []) if change.before is not None else None
    changed = so_far is not None and so_far != json.loads(change.definition).get("release", [])
    return {"release holds": "for what is armed from now on"} if changed else {}


def _shown_secrets(change: Change) -> dict[str, str]:
    shown = {}
    for key in sorted(change.secrets):
        name = f"{key.secret_class} password" + (f" of line {key.line}" if key.line else "")
        shown[name] = "******** (generated)" if key in change.generated else "******** (given, new)"
    return shown | ({"gigaset_id": "****"} if change.label is not None else {})
