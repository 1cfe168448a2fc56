# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people look at: every phone, what it may still fetch, who asked for it lately, and why it got what it got."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import select

from autoprovd import audit
from autoprovd.audit import Event
from autoprovd.clock import iso_time
from autoprovd.directory import Directory, Request
from autoprovd.faults import Refused
from autoprovd.firmware.rollouts import Rollouts
from autoprovd.grants import Grant, GrantKey, grants_of
from autoprovd.model import Audience, Phone, Settings
from autoprovd.pnp.conditions import Condition, Standing, conditions, hindrance
from autoprovd.render import Document, Syntax
from autoprovd.sealing import Keyring
from autoprovd.server_paths import place_of
from autoprovd.site import settings_of
from autoprovd.store import Store
from autoprovd.store.schema import documents, phones, secrets
from autoprovd.vendors import VENDORS, model_fault, room_of


class Overview:
    """Reads; changes nothing but the audit log, where a reading by a person belongs."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        directory: Directory,
        rollouts: Rollouts,
        standing: Callable[[], Standing] = Standing,
    ) -> None:
        """``standing``: where SIP PnP is answered at this moment."""
        self._store = store
        self._keyring = keyring
        self._directory = directory
        self._rollouts = rollouts
        self._standing = standing

    def phones(self, macs: Collection[str] | None = None) -> list[dict[str, Any]]:
        """These phones, or all, as plain data."""
        recent = self._directory.recent(macs)
        with self._store.read() as connection:
            query = select(phones.c.mac, phones.c.definition).order_by(phones.c.mac)
            if macs is not None:
                query = query.where(phones.c.mac.in_(list(macs)))
            rows = connection.execute(query).all()
            moment = self._store.moment(connection)
            grants = grants_of(connection, moment, macs)
            settings = settings_of(connection)
        firmware = self._rollouts.of_phones(macs)
        standing, now = self._standing(), self._store.clock.wall()
        shown = []
        for row in rows:
            requests = recent.get(row.mac, [])
            phone = _phone(json.loads(row.definition), grants.get(row.mac, []), requests, settings)
            phone["firmware"] = firmware.get(row.mac, {"version": None, "seen_at": None})
            hindered = hindrance(conditions(phone, requests, standing, now))
            phone["zero_touch"] = {"ready": hindered is None, "hindrance": _condition(hindered) if hindered else None}
            shown.append(phone)
        return shown

    def phone(self, mac: str) -> dict[str, Any]:
        """One phone, or ``Refused``."""
        found = self.phones([mac])
        if not found:
            raise Refused("not_found", f"this site has no phone {mac}; list them with: autoprov phones")
        return found[0]

    def why(self, mac: str) -> dict[str, Any]:
        """Why a phone got what it got: each grant and its reason, the last requests, and what to do."""
        shown = self.phone(mac)
        with self._store.read() as connection:
            grants = grants_of(connection, self._store.moment(connection), [mac]).get(mac, [])
            origins = select(secrets.c.line, secrets.c.secret_class).where(secrets.c.origin == "given")
            given = {tuple(row) for row in connection.execute(origins.where(secrets.c.mac == mac))}
        requests = self._directory.recent([mac]).get(mac, [])
        return {
            "mac": mac,
            "name": shown["name"],
            "vendor": shown["vendor"],
            "model": shown["model"],
            "grants": [_grant(grant) | {"because": grant.because()} for grant in grants],
            "requests": [_request(request) for request in requests],
            "zero_touch": [
                _condition(each) for each in conditions(shown, requests, self._standing(), self._store.clock.wall())
            ],
            "advice": _advice(mac, grants, given, requests, shown["server_path"]),
        }

    def path(self, vendor: str, model: str) -> dict[str, Any]:
        """What to type where in the web interface of such a phone, in both languages; or ``Refused``."""
        if vendor not in VENDORS:
            raise Refused("not_found", f"no vendor {vendor!r} is known; known are {', '.join(VENDORS)}")
        known = VENDORS[vendor].model(model)
        if known is None:
            raise Refused("not_found", f"{model_fault(vendor, model)}")
        place = place_of(vendor, known.name)
        if place is None:
            raise LookupError(f"server_paths.tsv has no row for {vendor} {known.name}")
        with self._store.read() as connection:
            settings = settings_of(connection)
        return place.told(settings.folder_url())

    def record_reading(self, mac: str, what: str, actor: str) -> None:
        """A person was shown this about a phone."""
        with self._store.write() as connection:
            moment = self._store.moment(connection)
            event = Event("read", actor, mac, detail={"what": what})
            audit.append(connection, self._keyring.audit_key, moment.wall, [event])

    def files(self, mac: str) -> dict[str, Document]:
        """The files a phone is given, by name, its main file first: the one with the most secrets in it."""
        with self._store.read() as connection:
            definition = connection.execute(select(phones.c.definition).where(phones.c.mac == mac)).scalar()
            rows = connection.execute(select(documents).where(documents.c.mac == mac)).all()
        if definition is None:
            raise Refused("not_found", f"this site has no phone {mac}; list them with: autoprov phones")
        rendered = {
            row.name: Document(row.name, row.media_type, Syntax(row.syntax), row.text, row.encoding) for row in rows
        }
        phone = Phone.model_validate_json(definition)
        vendor, model = room_of(phone)
        given = {name: rendered[made] for name, made in vendor.file_names(phone, model).items() if made is not None}
        return dict(sorted(given.items(), key=lambda item: -len(item[1].gaps)))

    def file(self, mac: str, name: str, actor: str) -> dict[str, Any]:
        """A file as the phone would receive it, every secret masked."""
        files = {known.lower(): (known, document) for known, document in self.files(mac).items()}
        if name.lower() not in files:
            names = ", ".join(known for known, _document in files.values())
            raise Refused("not_found", f"phone {mac} is given no file {name!r}; it has {names}")
        known, document = files[name.lower()]
        with self._store.write() as connection:
            moment = self._store.moment(connection)
            grants = grants_of(connection, moment, [mac]).get(mac, [])
            event = Event("read", actor, mac, detail={"file": known})
            audit.append(connection, self._keyring.audit_key, moment.wall, [event])
        waiting = {
            (grant.key.line, grant.key.secret_class)
            for grant in grants
            if grant.key.audience is Audience.PHONE and grant.state in ("armed", "open")
        }
        body = document.masked(gap for gap in document.gaps if tuple(gap) in waiting)
        return {"name": known, "media_type": document.media_type, "body": body}


def _phone(
    definition: dict[str, Any], grants: Sequence[Grant], requests: Sequence[Request], settings: Settings
) -> dict[str, Any]:
    return {
        "mac": definition["mac"],
        "vendor": definition["vendor"],
        "model": definition["model"],
        "name": definition.get("name", ""),
        "address": definition.get("address"),
        "accounts": definition.get("accounts", []),
        "keys": definition.get("keys", []),
        "grants": [_grant(grant) for grant in grants],
        "last_request": _request(requests[-1]) if requests else None,
        "suspicious": any(grant.state == "suspect" for grant in grants),
        "server_path": settings.folder_url(),
    }


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "line": grant.key.line,
        "secret_class": grant.key.secret_class.value,
        "audience": grant.key.audience.value,
        "state": grant.state,
        "mode": grant.mode.value,
        "generation": grant.generation,
        "proof": grant.min_proof.name.lower(),
        "networks": list(grant.networks),
        "window_seconds": grant.window_seconds,
        "on_theft": grant.on_theft,
        "shred": grant.shred,
        "armed_at": iso_time(grant.armed_at),
        "expires_at": iso_time(grant.expires_at),
        "claimant": grant.claimant,
        "released_at": iso_time(grant.released_at),
        "released_to": grant.claimed_from,
        "releases": grant.releases,
        "confirmed_at": iso_time(grant.confirmed_at),
        "lendings": grant.lendings,
        "lent_at": iso_time(grant.lent_at),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {"condition": condition.name, "met": condition.met, **condition.words}


def _request(request: Request) -> dict[str, Any]:
    return request._asdict() | {"at": iso_time(request.at, "milliseconds")}


def _advice(
    mac: str,
    grants: Sequence[Grant],
    given: Collection[tuple[int, str]],
    requests: Sequence[Request],
    server_path: str,
) -> list[str]:
    own = [grant for grant in grants if grant.key.audience == "phone"]
    states = {grant.state for grant in own}
    advice = []
    if not requests:
        advice.append(
            f"The phone has never asked. Check that it gets an address and option 66 by DHCP, or type {server_path} "
            "into its web interface as the provisioning server."
        )
    rekeyed = [grant.key for grant in own if grant.state == "suspect" and grant.on_theft == "rekey"]
    if rekeyed:
        advice += _advice_after_rekeying(mac, rekeyed, given)
    elif "suspect" in states:
        advice.append(
            "Someone else asked for this phone's secrets. Find that address, then give the phone new passwords: "
            f"autoprov phone arm {mac} --new-password"
        )
    if "expired" in states:
        advice.append(f"The window ended before the phone asked. Release again: autoprov phone arm {mac}")
    for grant in grants:
        if grant.key.audience == "controller" and grant.state == "sealed" and grant.lendings:
            advice.append(
                f"Ansible runs fetched the password of line {grant.key.line} {grant.lendings} times, and none "
                "confirmed that it told the PBX. Find out why, then let the next run have it: "
                f"autoprov phone arm {mac} --line {grant.key.line} --secret {grant.key.secret_class} "
                "--audience controller"
            )
    if own and states <= {"released"}:
        advice.append(f"Everything was released. If the phone was reset to factory settings: autoprov phone arm {mac}")
    return advice


def _advice_after_rekeying(mac: str, stolen: Sequence[GrantKey], given: Collection[tuple[int, str]]) -> list[str]:
    kept = [key for key in stolen if (key.line, key.secret_class.value) in given]
    advice = []
    if len(kept) < len(stolen):
        advice.append(
            "Someone else asked for this phone's secrets, and those that were generated here were replaced. Run the "
            "playbook that tells the PBX; find that address; then reset the phone to factory settings, which forgets "
            f"the old ones, and release the new ones: autoprov phone arm {mac}"
        )
    if kept:
        names = ", ".join(f"{key.secret_class} {key.line}" if key.line else str(key.secret_class) for key in kept)
        advice.append(
            "Someone else asked for secrets that were given, not generated here, and so could not be replaced: "
            f"{names}. Change them where they come from, a SIP password at the PBX first, and then in the phone list."
        )
    return advice
