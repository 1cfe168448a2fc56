# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with rules of release, told where they come in: all faults at once, each at the rule it stands in.

A rule is held against every model it is for, so that no phone waits for a password that nothing could release, and
none is released to less than its rules say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from autoprovd.faults import Fault
from autoprovd.model import Audience, Phone, PhoneRule, ReleaseSettings, SecretClass, SiteRule
from autoprovd.policy import CONTROLLER_FIELDS, Terms, faults_of_terms, needs_label, resolve, speaks_of
from autoprovd.vendors import model_fault, models_of, room_of
from autoprovd.vendors.base import Model, Vendor

_SETS = ("mode", "window_seconds", "window_starts", "proof", "networks", "strict", "on_theft", "shred")
_FOR_LABEL_PHONES = frozenset({"proof", "networks"})
_Models = Sequence[tuple[Vendor, Model]]


def faults_of_settings(settings: ReleaseSettings, phones_with_rules: Iterable[Phone]) -> Iterator[Fault]:
    """What is wrong with the site's rules, also for the phones that have rules of their own."""
    faults = [
        fault
        for index, rule in enumerate(settings.rules)
        for fault in _faults_of_rule(rule, f"release.rules[{index}]", models_of(rule.vendor, rule.model))
    ]
    if not faults:
        everything = models_of(None, None)
        faults = [fault for room, model in everything for fault in _resolved(room, model, settings, ())]
        for phone in phones_with_rules:
            room, model = room_of(phone)
            faults += (
                Fault(fault.where, f"with the rules of phone {phone.mac} itself, {fault.what}", fault.fix)
                for fault in _resolved(room, model, settings, phone.release)
            )
    yield from _one_each(faults)


def faults_of_phone_rules(phone: Phone, settings: ReleaseSettings, is_new: bool) -> Iterator[Fault]:
    """What is wrong with the terms of a phone in whose definition nothing else is wrong."""
    if not phone.release and not settings.rules:
        return
    room, model = room_of(phone)
    faults = [
        fault
        for index, rule in enumerate(phone.release)
        for fault in _faults_of_rule(rule, f"release[{index}]", [(room, model)])
    ]
    if not faults:
        faults = list(_resolved(room, model, settings, phone.release))
    if not faults and is_new and phone.provisioning_password is None:
        faults = list(_unknown_credentials(room, model, settings, phone))
    yield from _one_each(faults)


def _faults_of_rule(rule: PhoneRule, place: str, models: _Models) -> Iterator[Fault]:
    """What is wrong with a rule whatever stands beside it."""
    said = [field for field in _SETS if getattr(rule, field) is not None]
    if not said:
        yield Fault(place, "sets nothing", f"give at least one of {', '.join(_SETS)}")
    if isinstance(rule, SiteRule) and rule.model is not None:
        if rule.vendor is None:
            yield Fault(f"{place}.model", "is given without its vendor", "name the vendor too")
            return
        if not models:
            yield model_fault(rule.vendor, rule.model).inside(place)
            return
    if rule.strict is not None and rule.mode not in (None, "once" if rule.strict else "window"):
        what = f"strict {'on' if rule.strict else 'off'} contradicts the mode {rule.mode}"
        yield Fault(f"{place}.strict", what, "leave out one of them")
    if rule.audience is not None and rule.shred is not None:
        what = "the secret is destroyed for everybody, so it cannot be a matter of who fetched it"
        yield Fault(f"{place}.shred", what, "leave out audience")
    if rule.audience is Audience.CONTROLLER:
        yield from _faults_for_controller(rule, place, said)
    else:
        yield from _without_effect(rule, place, said, models)


def _faults_for_controller(rule: PhoneRule, place: str, said: Sequence[str]) -> Iterator[Fault]:
    for field in said:
        if field not in CONTROLLER_FIELDS | {"shred"}:
            what = "an Ansible run proves itself with its token, and its window starts when it asks"
            yield Fault(f"{place}.{field}", what, "leave it out, or leave out audience")
    if rule.mode == "always":
        what = "would hand a generated password to every Ansible run that asks"
        yield Fault(f"{place}.mode", what, "use window or once")
    if rule.secret_class not in (None, SecretClass.SIP):
        what = f"an Ansible run is told SIP passwords, no {rule.secret_class} passwords"
        yield Fault(f"{place}.secret_class", what, "leave it out")


def _without_effect(rule: PhoneRule, place: str, said: Sequence[str], models: _Models) -> Iterator[Fault]:
    """Fields that could change nothing for any secret the rule is for."""
    secrets = [
        (room, model, secret_class)
        for room, model in models
        for secret_class in room.secret_classes(model)
        if speaks_of(rule, room, model, secret_class)
    ]
    if not secrets:
        what = f"the phones it is for have no {rule.secret_class} password of their own"
        yield Fault(f"{place}.secret_class", what, "leave the rule out")
        return
    if "shred" in said and rule.shred and all(what is SecretClass.PROVISIONING for _room, _model, what in secrets):
        what = "provisioning credentials are kept, because the phone's later requests are checked against them"
        yield Fault(f"{place}.shred", what, "leave it out")
    if all(needs_label(room, model) for room, model, _secret_class in secrets):
        room, model, _secret_class = secrets[0]
        what = f"a {room.title} {model.name} forgets its passwords when they are left out, and gets them each time"
        for field in said:
            if field not in _FOR_LABEL_PHONES and not (field == "mode" and rule.mode == "always"):
                yield Fault(f"{place}.{field}", what, "leave it out")
    elif rule.mode == "always" and rule.on_theft is not None:
        what = "who asks without the proof that always wants is refused, and nothing was stolen"
        yield Fault(f"{place}.on_theft", what, "leave it out where mode is always")


def _resolved(room: Vendor, model: Model, settings: ReleaseSettings, own: Sequence[PhoneRule]) -> Iterator[Fault]:
    for secret_class in sorted(room.secret_classes(model)):
        yield from faults_of_terms(_terms(room, model, secret_class, settings, own), room, model)


def _unknown_credentials(room: Vendor, model: Model, settings: ReleaseSettings, phone: Phone) -> Iterator[Fault]:
    own = SecretClass.PROVISIONING
    if own in room.secret_classes(model):
        terms = _terms(room, model, own, settings, phone.release)
        if terms["proof"] == "credentials":
            what = "is missing: the rules release nothing without it, so nobody can type a generated one into the phone"
            fix = "give it, or release the secret class provisioning to another proof"
            yield Fault("provisioning_password", what, fix)


def _terms(
    room: Vendor, model: Model, secret_class: SecretClass, settings: ReleaseSettings, own: Sequence[PhoneRule]
) -> Terms:
    return resolve(room, model, secret_class, Audience.PHONE, settings, own)


def _one_each(faults: Iterable[Fault]) -> Iterator[Fault]:
    """The first fault of each place: what a rule does to one model it often does to all."""
    first: dict[str, Fault] = {}
    for fault in faults:
        first.setdefault(fault.where, fault)
    yield from first.values()
