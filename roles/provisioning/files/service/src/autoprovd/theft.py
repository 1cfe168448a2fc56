# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows when someone else asks for a phone's secrets, where the policy wants more than a report.

``revoke`` closes everything the phone could still fetch. ``rekey`` does, and replaces the secrets that were asked for,
those of them that were generated here: a given one belongs to the PBX, and only a person can change it there. All of
it is part of the transaction in which the suspicion arose. A person then arms the phone again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update

from autoprovd import passwords
from autoprovd.audit import Event
from autoprovd.model import Audience, SecretClass, SecretKey
from autoprovd.sealing import Keyring
from autoprovd.store.schema import grants, secrets

ACTOR = "policy"
"""Who acts in the audit log."""
NOT_OURS = "kept: it was given, not generated here; change it where it comes from"


class Reaction(NamedTuple):
    """What was done."""

    events: list[Event]
    renewed: list[SecretKey]
    """The secrets that have a new value."""


def react(
    connection: Connection,
    keyring: Keyring,
    mac: str,
    suspects: Sequence[Row[Any]],
    place: Callable[[str, SecretKey, int], str],
) -> Reaction:
    """React to the grants of a phone that just became suspect, as each of them wants."""
    wishes = {SecretKey(row.line, SecretClass(row.secret_class)): row.on_theft for row in suspects}
    if not {"revoke", "rekey"} & set(wishes.values()):
        return Reaction([], [])
    events = [
        Event("revoked", ACTOR, mac, row.line, row.secret_class, "phone", row.generation, {"because": "theft"})
        for row in connection.execute(_REVOKE, {"phone": mac})
    ]
    renewed = []
    stolen = [key for key, wish in wishes.items() if wish == "rekey"]
    held = {(row.line, row.secret_class): row for row in connection.execute(_HELD, {"phone": mac})} if stolen else {}
    for key in sorted(stolen):
        row = held[key]
        if row.origin != "generated":
            events.append(Event("rekeyed", ACTOR, mac, *key, detail={"version": row.version, "result": NOT_OURS}))
            continue
        version = row.version + 1
        sealed = keyring.seal(passwords.generate(key.secret_class), place(mac, key, version))
        new = {"version": version, "key_id": sealed.key_id, "box": sealed.box}
        connection.execute(_RENEW, {"phone": mac, "place": key.line, "kind": key.secret_class.value, **new})
        events.append(Event("rekeyed", ACTOR, mac, *key, detail={"version": version}))
        renewed.append(key)
    return Reaction(events, renewed)


_REVOKE = (
    update(grants)
    .where(
        grants.c.mac == bindparam("phone"),
        grants.c.audience == Audience.PHONE,
        grants.c.state.in_(("armed", "open")),
    )
    .values(state="revoked")
    .returning(grants.c.line, grants.c.secret_class, grants.c.generation)
)
_HELD = select(secrets.c.line, secrets.c.secret_class, secrets.c.version, secrets.c.origin).where(
    secrets.c.mac == bindparam("phone")
)
_RENEW = (
    update(secrets)
    .where(
        secrets.c.mac == bindparam("phone"),
        secrets.c.line == bindparam("place"),
        secrets.c.secret_class == bindparam("kind"),
    )
    .values(version=bindparam("version"), key_id=bindparam("key_id"), box=bindparam("box"))
)
