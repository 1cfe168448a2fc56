# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phones and the settings of a site, as they are written: plan, show the difference, apply in one transaction.

A dry run and a real run go the same way up to the moment of writing. Files are rendered here, so that a phone that
asks finds them done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, tuple_, update

from autoprovd import __version__, audit, documents, passwords
from autoprovd.audit import Event
from autoprovd.clock import Moment, iso_time
from autoprovd.faults import Fault, Refused, invalid
from autoprovd.grants import GrantKey, grants_of
from autoprovd.model import Audience, Phone, SecretClass, SecretKey, Settings, parse_settings
from autoprovd.planning import Change, Difference, definitions_of, held_secrets, plan_phones, secret_fingerprint, spell
from autoprovd.policy import Policy, policy_for
from autoprovd.release import Release
from autoprovd.render import Document
from autoprovd.rules import faults_of_settings
from autoprovd.sealing import Keyring, Sealed, label_place, place
from autoprovd.store import Store, fact, insert_into, set_fact
from autoprovd.store.schema import phones, secrets
from autoprovd.vendors import secret_keys

_BATCH = 500
"""How many phones are written in one go; the transaction is one all the same."""
_FROM_NOW_ON = "The terms of release hold for what is armed from now on; what waits keeps those it was armed under.\n"


@dataclass(frozen=True, slots=True)
class PhonesResult:
    """What became, or in a dry run would become, of a phone list."""

    created: list[str]
    updated: list[str]
    removed: list[str]
    unchanged: int
    difference: Difference

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.created or self.updated or self.removed)


class Writing:
    """A transaction in which something is changed that phones are told of."""

    def __init__(self, connection: Connection, moment: Moment, audit_key: bytes) -> None:
        self.connection = connection
        self.moment = moment
        self.rendered: set[str] = set()
        """The phones that have new files."""
        self._audit_key = audit_key

    def audit(self, *events: Event) -> None:
        """Write rows to the audit log."""
        audit.append(self.connection, self._audit_key, self.moment.wall, events)

    def render(self, macs: Collection[str]) -> None:
        """Make the files of these phones anew."""
        if macs:
            renderer = documents.Renderer(self.connection, settings_of(self.connection))
            documents.write(self.connection, documents.render_phones(self.connection, renderer, macs))
            self.rendered |= set(macs)


class Site:
    """The one place through which phones, settings and grants are changed."""

    def __init__(self, store: Store, keyring: Keyring, release: Release) -> None:
        self._store = store
        self._keyring = keyring
        self._release = release
        self._writing = threading.Lock()
        self._listeners: list[Callable[[Collection[str] | None], None]] = []

    def on_change(self, listener: Callable[[Collection[str] | None], None]) -> None:
        """Call this after every change with the MAC addresses it touched, or with None for all."""
        self._listeners.append(listener)

    def _tell(self, macs: Collection[str] | None) -> None:
        for listener in self._listeners:
            listener(macs)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A change of something else that the phones' files follow from; one at a time, in one transaction."""
        with self._writing:
            with self._store.write() as connection:
                change = Writing(connection, self._store.moment(connection), self._keyring.audit_key)
                yield change
            if change.rendered:
                self._tell(change.rendered)

    def reading(self) -> AbstractContextManager[Connection]:
        """A consistent view of the database."""
        return self._store.read()

    def moment(self, connection: Connection) -> Moment:
        """The time now, as the database has it."""
        return self._store.moment(connection)

    # -- settings -----------------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings of the site."""
        with self._store.read() as connection:
            return settings_of(connection)

    def apply_settings(self, change: Mapping[str, Any], dry_run: bool, actor: str) -> tuple[bool, Difference, Settings]:
        """Change some settings; every phone's files are rendered anew."""
        with self._writing:
            current = self.settings()
            new, faults = parse_settings(current, change)
            if new is not None and new.release != current.release:
                faults = list(faults_of_settings(new.release, self._phones_with_rules()))
            if new is None or faults:
                raise invalid(faults, "the settings")
            difference = Difference(spell(current.model_dump(mode="json")), spell(new.model_dump(mode="json")))
            if new.release != current.release:
                difference = replace(difference, after=difference.after + _FROM_NOW_ON)
            changed = new != current
            if changed and not dry_run:
                rendered = self._render_all(new)
                with self._store.write() as connection:
                    moment = self._store.moment(connection)
                    set_fact(connection, "settings", new.model_dump_json())
                    documents.write(connection, rendered)
                    audit.append(connection, self._keyring.audit_key, moment.wall, [Event("settings", actor)])
                self._tell(None)
            return changed, difference, new

    def _phones_with_rules(self) -> list[Phone]:
        with self._store.read() as connection:
            # Only a phone with rules of its own has this field in its definition; names may have the word as well.
            query = select(phones.c.definition).where(phones.c.definition.contains('"release":['))
            found = [Phone.model_validate_json(text) for text in connection.execute(query).scalars()]
        return [phone for phone in found if phone.release]

    def render_after_upgrade(self) -> int:
        """Render all files anew when another version of this program rendered them; the number of phones."""
        with self._writing:
            with self._store.read() as connection:
                if fact(connection, "rendered_by") == __version__:
                    return 0
                settings = settings_of(connection)
            rendered = self._render_all(settings)
            with self._store.write() as connection:
                documents.write(connection, rendered)
                set_fact(connection, "rendered_by", __version__)
            return len(rendered)

    # -- phones -------------------------------------------------------------------------------------------------------

    def apply_phones(
        self, raw: Iterable[Mapping[str, Any]], purge: bool, dry_run: bool, actor: str, arm: bool = True
    ) -> PhonesResult:
        """Make the site's phones those of the list; with ``purge``, only those.

        Without ``arm``, no secret of theirs waits to be fetched until a person arms it.
        """
        with self._writing:
            with self._store.read() as connection:
                settings = settings_of(connection)
                renderer = None if dry_run else documents.Renderer(connection, settings)
                plan = plan_phones(connection, self._keyring, raw, purge, renderer, settings.release)
            result = PhonesResult(
                created=[change.mac for change in plan.changes if change.before is None],
                updated=[change.mac for change in plan.changes if change.before is not None],
                removed=list(plan.removed),
                unchanged=plan.unchanged,
                difference=plan.difference(),
            )
            if dry_run or not (result.changed or plan.respelled):
                return result
            with self._store.write() as connection:
                moment = self._store.moment(connection)
                self._remove(connection, moment, result.removed, actor)
                for start in range(0, len(plan.changes), _BATCH):
                    batch = plan.changes[start : start + _BATCH]
                    self._write_phones(connection, moment, batch, settings, actor, arm)
                _write_fingerprints(connection, plan.respelled)
        if result.changed:
            self._tell([*result.created, *result.updated, *result.removed])
        return result

    def remove_phone(self, mac: str, actor: str) -> None:
        """Forget a phone and its secrets."""
        with self._writing, self._store.write() as connection:
            if not definitions_of(connection, [mac]):
                raise _unknown(mac)
            self._remove(connection, self._store.moment(connection), [mac], actor)
        self._tell([mac])

    def _write_phones(
        self,
        connection: Connection,
        moment: Moment,
        changes: Sequence[Change],
        settings: Settings,
        actor: str,
        arm: bool,
    ) -> None:
        rows = []
        for change in changes:
            label = self._keyring.seal(change.label, label_place(change.mac)) if change.label else None
            rows.append(
                {
                    "mac": change.mac,
                    "vendor": change.vendor,
                    "model": change.model,
                    "definition": change.definition,
                    "fingerprint": change.fingerprint,
                    "label_key_id": label.key_id if label else None,
                    "label_box": label.box if label else None,
                    "created_at": moment.wall,
                    "updated_at": moment.wall,
                }
            )
        statement = insert_into(connection, phones)
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["mac"],
                set_={
                    "vendor": new.vendor,
                    "model": new.model,
                    "definition": new.definition,
                    "fingerprint": new.fingerprint,
                    "label_key_id": _newer(new.label_key_id, phones.c.label_key_id),
                    "label_box": _newer(new.label_box, phones.c.label_box),
                    "updated_at": new.updated_at,
                },
            ),
            rows,
        )
        documents.write(connection, {c.mac: c.documents for c in changes if c.documents})
        self._write_secrets(connection, changes)
        events = [Event("created" if c.before is None else "updated", actor, c.mac) for c in changes]
        audit.append(connection, self._keyring.audit_key, moment.wall, events)
        earlier = audit.removed_generations(connection, (c.mac for c in changes if c.before is None))
        wanted = [grant for change in changes for grant in _grants_to_arm(change, settings)]
        self._release.arm(connection, moment, wanted, actor, lambda mac: earlier.get(mac, 0))
        if not arm:
            self._release.revoke(connection, moment, [key for key, _policy in wanted], actor)

    def _write_secrets(self, connection: Connection, changes: Sequence[Change]) -> None:
        dropped = [(c.mac, key.line, key.secret_class) for c in changes for key in c.dropped]
        if dropped:
            these = tuple_(secrets.c.mac, secrets.c.line, secrets.c.secret_class)
            connection.execute(delete(secrets).where(these.in_(dropped)))
        rows = []
        for change in changes:
            for key, secret in change.secrets.items():
                version = change.versions[key]
                sealed = self._keyring.seal(secret, place(change.mac, key, version))
                if key in change.generated:
                    rows.append(_secret_row(change.mac, key, version, sealed, "generated"))
                else:
                    known_by = secret_fingerprint(self._keyring, change.mac, key, secret)
                    rows.append(_secret_row(change.mac, key, version, sealed, "given", known_by))
        _upsert_secrets(connection, rows)

    def _render_all(self, settings: Settings) -> dict[str, list[Document]]:
        with self._store.read() as connection:
            return documents.render_phones(connection, documents.Renderer(connection, settings), None)

    def _remove(self, connection: Connection, moment: Moment, macs: Sequence[str], actor: str) -> None:
        if not macs:
            return
        events = []
        held = grants_of(connection, moment, macs if len(macs) <= 500 else None)
        for mac in macs:
            last = max((grant.generation for grant in held.get(mac, ())), default=0)
            events.append(Event("removed", actor, mac, generation=last))
        audit.append(connection, self._keyring.audit_key, moment.wall, events)
        connection.execute(delete(phones).where(phones.c.mac == bindparam("phone")), [{"phone": mac} for mac in macs])

    # -- grants -------------------------------------------------------------------------------------------------------

    def arm(
        self, selections: Sequence[Selection], new_password: bool, dry_run: bool, actor: str
    ) -> tuple[list[dict[str, Any]], Difference]:
        """Arm what is selected; what waits already stays as it is, unless a new password is wanted.

        A new password arms both audiences: the phone and the PBX must learn it.
        """
        with self._writing, self._store.write() as connection:
            moment = self._store.moment(connection)
            settings = settings_of(connection)
            targets = self._targets(connection, selections)
            if new_password:
                targets = _with_other_audience(targets)
            before = _states(connection, moment, targets)
            wanted = {
                key: policy_for(
                    phone.vendor, phone.model, key.secret_class, key.audience, settings.release, phone.release
                )
                for key, phone in targets.items()
                if new_password or before.get(key, ("", None))[0] != "armed"
            }
            if not new_password:
                _refuse_shredded(connection, wanted)
            if new_password and not dry_run:
                self._renew(connection, wanted)
            if not dry_run:
                # A grant may be new to a phone that was here before: the PBX's, with a new password.
                earlier = audit.removed_generations(connection, {key.mac for key in wanted})
                self._release.arm(connection, moment, list(wanted.items()), actor, lambda mac: earlier.get(mac, 0))
            after = _states(connection, moment, targets) if not dry_run else _foreseen(before, wanted, moment)
        touched = {key.mac for key in wanted}
        if touched and not dry_run:
            self._tell(touched)
        return _listed(after, wanted), _grant_difference(before, after, new_password)

    def revoke(
        self, selections: Sequence[Selection], dry_run: bool, actor: str
    ) -> tuple[list[dict[str, Any]], Difference]:
        """Revoke what is selected and not revoked yet."""
        with self._writing, self._store.write() as connection:
            moment = self._store.moment(connection)
            targets = self._targets(connection, selections)
            before = _states(connection, moment, targets)
            wanted = [key for key, (state, _expires) in before.items() if state != "revoked"]
            if not dry_run:
                self._release.revoke(connection, moment, wanted, actor)
            after = before | dict.fromkeys(wanted, ("revoked", None))
        if wanted and not dry_run:
            self._tell({key.mac for key in wanted})
        return _listed(after, wanted), _grant_difference(before, after, False)

    def seal(self, actor: str) -> int:
        """Close every grant of the site that waits, until it is armed again; their number."""
        with self._writing, self._store.write() as connection:
            sealed = self._release.seal_all(
                connection, self._store.moment(connection), "a person sealed the site", actor
            )
        self._tell(None)
        return sealed

    def _targets(self, connection: Connection, selections: Sequence[Selection]) -> dict[GrantKey, Phone]:
        definitions = definitions_of(connection, [selection.mac for selection in selections])
        faults: list[Fault] = []
        targets: dict[GrantKey, Phone] = {}
        for index, selection in enumerate(selections):
            where = f"select[{index}] ({selection.mac})"
            if selection.mac not in definitions:
                faults.append(Fault(where, "this site has no such phone", "check the MAC address, or add the phone"))
                continue
            phone = Phone.model_validate_json(definitions[selection.mac])
            keys = [key for key in secret_keys(phone) if selection.matches(key)]
            if not keys:
                faults.append(Fault(where, "selects no secret of this phone", "check line and secret classes"))
            targets |= {GrantKey(phone.mac, *key, selection.audience): phone for key in keys}
        if faults:
            raise Refused("not_found", "the selection does not fit the site; nothing was changed", faults)
        return targets

    def _renew(self, connection: Connection, wanted: Collection[GrantKey]) -> None:
        rows = []
        for mac in sorted({key.mac for key in wanted}):
            held = held_secrets(connection, mac)
            for key in sorted({SecretKey(grant.line, grant.secret_class) for grant in wanted if grant.mac == mac}):
                version = held[key].version + 1
                sealed = self._keyring.seal(passwords.generate(key.secret_class), place(mac, key, version))
                rows.append(_secret_row(mac, key, version, sealed, "generated"))
            # A password given in the phone list no longer holds; the list must be looked at again.
            connection.execute(update(phones).where(phones.c.mac == mac).values(fingerprint=None))
        _upsert_secrets(connection, rows)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which grants of a phone are meant; None means all."""

    mac: str
    audience: Audience = Audience.PHONE
    line: int | None = None
    secret_classes: frozenset[SecretClass] | None = None

    def matches(self, key: SecretKey) -> bool:
        """Whether that secret is meant."""
        return (self.line is None or key.line == self.line) and (
            self.secret_classes is None or key.secret_class in self.secret_classes
        )


def settings_of(connection: Connection) -> Settings:
    """The settings of the site, in a transaction."""
    text = fact(connection, "settings")
    return Settings.model_validate_json(text) if text else Settings()


def _unknown(mac: str) -> Refused:
    return Refused("not_found", f"this site has no phone {mac}; list them with: autoprov phones")


def _refuse_shredded(connection: Connection, wanted: Collection[GrantKey]) -> None:
    faults = []
    for mac in sorted({key.mac for key in wanted}):
        shredded = {key for key, row in held_secrets(connection, mac).items() if not row.box}
        faults += [
            Fault(f"{mac}/{key.line} {key.secret_class}", "was destroyed after its release", "give it a new password")
            for key in sorted(
                shredded & {SecretKey(grant.line, grant.secret_class) for grant in wanted if grant.mac == mac}
            )
        ]
    if faults:
        raise Refused(
            "conflict",
            "passwords that are destroyed cannot be released again; arm them with a new password "
            "(autoprov phone arm --new-password, or new_password: true)",
            faults,
        )


def _grants_to_arm(change: Change, settings: Settings) -> Iterable[tuple[GrantKey, Policy]]:
    for key in change.secrets:
        audiences = [Audience.PHONE]
        # Only a SIP password that was generated here has to be told to the PBX; a given one came from there.
        if key in change.generated and key.secret_class is SecretClass.SIP:
            audiences.append(Audience.CONTROLLER)
        for audience in audiences:
            policy = policy_for(change.vendor, change.model, key.secret_class, audience, settings.release, change.rules)
            yield GrantKey(change.mac, *key, audience), policy


def _secret_row(
    mac: str, key: SecretKey, version: int, sealed: Sealed, origin: str, fingerprint: str | None = None
) -> dict[str, Any]:
    return {
        "mac": mac,
        "line": key.line,
        "secret_class": key.secret_class.value,
        "version": version,
        "key_id": sealed.key_id,
        "box": sealed.box,
        "origin": origin,
        "fingerprint": fingerprint,
    }


def _write_fingerprints(connection: Connection, changes: Sequence[Change]) -> None:
    rows = [{"phone": change.mac, "new": change.fingerprint} for change in changes]
    if rows:
        statement = update(phones).where(phones.c.mac == bindparam("phone")).values(fingerprint=bindparam("new"))
        connection.execute(statement, rows)


def _upsert_secrets(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    statement = insert_into(connection, secrets)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["mac", "line", "secret_class"],
            set_={name: new[name] for name in ("version", "key_id", "box", "origin", "fingerprint")},
        ),
        list(rows),
    )


def _newer(new: ColumnElement[Any], old: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(new, old)


# -- what a change looks like to a person -----------------------------------------------------------------------------


def _states(
    connection: Connection, moment: Moment, keys: Collection[GrantKey]
) -> dict[GrantKey, tuple[str, float | None]]:
    states: dict[GrantKey, tuple[str, float | None]] = dict.fromkeys(keys, ("sealed", None))
    for grants_of_phone in grants_of(connection, moment, {key.mac for key in keys}).values():
        for grant in grants_of_phone:
            if grant.key in states:
                states[grant.key] = (grant.state, grant.expires_at)
    return states


def _foreseen(
    before: Mapping[GrantKey, tuple[str, float | None]], wanted: Mapping[GrantKey, Policy], moment: Moment
) -> dict[GrantKey, tuple[str, float | None]]:
    return dict(before) | {
        key: ("armed", moment.wall + policy.window_seconds if policy.starts_at_arming else None)
        for key, policy in wanted.items()
    }


def _listed(states: Mapping[GrantKey, tuple[str, float | None]], wanted: Collection[GrantKey]) -> list[dict[str, Any]]:
    return [{**key._asdict(), "state": states[key][0], "expires_at": iso_time(states[key][1])} for key in wanted]


def _grant_difference(
    before: Mapping[GrantKey, tuple[str, float | None]],
    after: Mapping[GrantKey, tuple[str, float | None]],
    new_password: bool,
) -> Difference:
    def spelled(states: Mapping[GrantKey, tuple[str, float | None]], note: str) -> str:
        return "".join(
            f"{key.mac}/{key.line} {key.secret_class} for the {key.audience}: {states[key][0]}{note}\n"
            for key in sorted(states)
        )

    return Difference(spelled(before, ""), spelled(after, ", new password" if new_password else ""))


def _with_other_audience(targets: Mapping[GrantKey, Phone]) -> dict[GrantKey, Phone]:
    # A new password must reach the phone, and a new SIP password the PBX as well.
    both = dict(targets)
    for key, phone in targets.items():
        both[key._replace(audience=Audience.PHONE)] = phone
        if key.secret_class is SecretClass.SIP:
            both[key._replace(audience=Audience.CONTROLLER)] = phone
    return both
