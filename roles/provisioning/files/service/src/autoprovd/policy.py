# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which secret is released how: how often, inside which window, to what proof of identity, and what follows a theft.

The terms of a grant are resolved when it is armed, and stand on the grant from then on. They come from what the
phone's vendor needs, then the site's settings, then the site's rules in their order, then the phone's own: the last
one that sets a field wins. What is wrong with rules is told at the door, see :mod:`autoprovd.rules`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from autoprovd.faults import Fault, invalid
from autoprovd.model import Audience, PhoneRule, ReleaseSettings, SecretClass, SiteRule
from autoprovd.vendors import VENDORS
from autoprovd.vendors.base import Model, Vendor


class Proof(IntEnum):
    """How sure it is that a request comes from the phone it names; stronger is greater."""

    NONE = 0
    """The network itself, or a certificate, contradicts the claim."""
    ADDRESS = 10
    """Nothing but the source address."""
    NEIGHBOUR = 20
    """The neighbour table, or a DHCP server's lease, knows the source address with the phone's MAC address."""
    LABEL = 30
    """The phone knows the ID on its label (Gigaset MAC-ID)."""
    CREDENTIALS = 40
    """The phone knows the provisioning credentials that were released to it."""
    CERTIFICATE = 50
    """The phone holds the key of a factory certificate whose common name is its MAC address."""


class Mode(StrEnum):
    """How often one arming may be answered."""

    ONCE = "once"
    WINDOW = "window"
    """Again to the same claimant, until it is confirmed or the window ends."""
    ALWAYS = "always"
    """Each time, for phones that forget their passwords when they are left out."""


class Policy(NamedTuple):
    """The terms a grant is armed under."""

    mode: Mode
    window_seconds: float
    starts_at_arming: bool
    """False: the window starts with the first claim; until then the grant waits."""
    min_proof: Proof
    networks: tuple[str, ...] = ()
    """The networks (CIDR) a claimant's address must be in; empty: any."""
    on_theft: str = "report"
    """What follows when someone else asks: ``report``, ``revoke`` or ``rekey``."""
    shred: bool = False
    """Destroy the sealed secret once it was released and nobody else waits for it."""


PROOFS = {
    "address": Proof.ADDRESS,
    "network": Proof.ADDRESS,  # and networks it must be in
    "neighbour": Proof.NEIGHBOUR,
    "label": Proof.LABEL,
    "credentials": Proof.CREDENTIALS,
    "certificate": Proof.CERTIFICATE,
}
"""What rules call a proof."""
_WITHOUT_IT = {
    "label": "it does not answer with the ID of a label",
    "credentials": "it has no provisioning credentials",
    "certificate": "it is not known to hold a certificate from its factory",
}
_WINDOWED = frozenset({SecretClass.SIP, SecretClass.MENU})
CONTROLLER_FIELDS = frozenset({"mode", "strict", "window_seconds"})
"""What a rule sets for an Ansible run, which proves itself with its token."""


class Terms:
    """Terms in the making: each field's value so far, and which rule set it."""

    def __init__(self, **values: Any) -> None:
        self._values = values
        self._set_by: dict[str, tuple[int, str]] = {}

    def __getitem__(self, field: str) -> Any:
        return self._values[field]

    def __setitem__(self, field: str, value: Any) -> None:
        self._values[field] = value

    def apply(self, order: int, place: str, rule: PhoneRule, fields: Iterable[str]) -> None:
        """Take over what a rule sets of these fields."""
        for field in fields:
            value = getattr(rule, field)
            if field == "strict":
                # Every answer of an always is a repeat that is wanted; to end it takes the word itself.
                repeats = value is False and self._values["mode"] == "once"
                field, value = "mode", "once" if value else "window" if repeats else None
            if value is not None:
                self._values[field] = value
                self._set_by[field] = (order, place)

    def place(self, *fields: str) -> str:
        """Where the last word on one of these fields was said."""
        _order, place, field = max((*self._set_by.get(field, (-1, "release")), field) for field in fields)
        return f"{place}.{field}"


def policy_for(
    vendor: str,
    model: str,
    secret_class: SecretClass,
    audience: Audience,
    settings: ReleaseSettings,
    own: Sequence[PhoneRule] = (),
) -> Policy:
    """The terms for one secret of a phone of that vendor and model, with rules of its own.

    Raises ``Refused`` where the rules contradict each other; the doors let no such rules in.
    """
    room = VENDORS[vendor]
    known = room.model(model)
    if known is None:
        raise LookupError(f"{room.title} has no model {model!r}")
    terms = resolve(room, known, secret_class, audience, settings, own)
    if audience is Audience.PHONE:
        faults = list(faults_of_terms(terms, room, known))
        if faults:
            raise invalid(faults, f"the terms of release for a {room.title} {known.name}")
    return Policy(
        Mode(terms["mode"]),
        terms["window_seconds"],
        terms["window_starts"] == "arming" and terms["mode"] != "always",
        PROOFS[terms["proof"]] if audience is Audience.PHONE else Proof.NONE,
        tuple(terms["networks"]),
        terms["on_theft"],
        terms["shred"],
    )


def resolve(
    room: Vendor,
    model: Model,
    secret_class: SecretClass,
    audience: Audience,
    settings: ReleaseSettings,
    own: Sequence[PhoneRule] = (),
) -> Terms:
    """The terms as they come out, whether or not they fit each other."""
    for_phone = audience is Audience.PHONE
    terms = Terms(
        mode="once" if settings.strict and for_phone else "window",
        window_seconds=settings.window_seconds,
        window_starts=settings.window_starts if for_phone and secret_class in _WINDOWED else "first_request",
        proof="address",
        networks=(),
        on_theft="report",
        shred=False,
    )
    for order, (place, rule) in enumerate(_rules(settings, own)):
        if not speaks_of(rule, room, model, secret_class):
            continue
        if (rule.audience or Audience.PHONE) is audience:
            terms.apply(order, place, rule, _PHONE_FIELDS if for_phone else CONTROLLER_FIELDS)
        # Whoever fetched it last: the secret is one.
        terms.apply(order, place, rule, ("shred",))
    if secret_class is SecretClass.PROVISIONING:
        terms["shred"] = False  # later requests are checked against it
    if needs_label(room, model):
        # A phone that forgets what is left out, and knows one proof: rules for all phones cannot change that.
        terms["shred"] = False
        if for_phone:
            terms["mode"] = "always"
            if PROOFS[terms["proof"]] <= Proof.LABEL:
                terms["proof"] = "label"
    return terms


def faults_of_terms(terms: Terms, room: Vendor, model: Model) -> Iterator[Fault]:
    """Why a phone of this model cannot be served under these terms, at the place of the rule that says so."""
    phone = f"a {room.title} {model.name}"
    proof = terms["proof"]
    if proof not in proofs_of(room, model):
        can = ", ".join(proofs_of(room, model))
        what = f"{phone} cannot give the proof {proof}: {_WITHOUT_IT[proof]}"
        yield Fault(terms.place("proof"), what, f"it can give {can}; name with vendor and model what the rule is for")
    if proof == "network" and not terms["networks"]:
        what = "the proof network is an address inside networks, and none are given"
        yield Fault(terms.place("proof", "networks"), what, "give networks, or choose another proof")
    if terms["mode"] == "always" and PROOFS[proof] < Proof.LABEL:
        what = f"always hands the password of {phone} again and again to whoever takes its address (proof {proof})"
        yield Fault(terms.place("mode", "proof"), what, "with always, ask for the proof credentials or certificate")
    if terms["mode"] == "always" and terms["shred"]:
        what = "a password that is given each time cannot be destroyed after the first"
        yield Fault(terms.place("mode", "shred"), what, "leave out one of mode and shred")


def proofs_of(room: Vendor, model: Model) -> tuple[str, ...]:
    """The proofs a phone of this model can give, weakest first."""
    if needs_label(room, model):
        return ("label",)
    cannot = {"label"}
    if SecretClass.PROVISIONING not in room.secret_classes(model):
        cannot.add("credentials")
    if model.family not in room.factory_certificates:
        cannot.add("certificate")
    return tuple(proof for proof in PROOFS if proof not in cannot)


def needs_label(room: Vendor, model: Model) -> bool:
    """Whether such phones get their secrets each time they ask, with the ID of their label as proof."""
    return model.family in room.label_proof


def speaks_of(rule: PhoneRule, room: Vendor, model: Model, secret_class: SecretClass) -> bool:
    """Whether a rule is for that secret of such phones."""
    if rule.secret_class not in (None, secret_class):
        return False
    if not isinstance(rule, SiteRule):
        return True
    return rule.vendor in (None, room.name) and (rule.model is None or rule.model.lower() == model.name.lower())


def is_inside(address: str, networks: Iterable[str]) -> bool:
    """Whether an IP address is in one of these networks; what is no address is in none."""
    try:
        inside = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(inside in _parsed(network) for network in networks)


@lru_cache(maxsize=1024)
def _parsed(network: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(network)


def _rules(settings: ReleaseSettings, own: Sequence[PhoneRule]) -> Iterator[tuple[str, PhoneRule]]:
    yield from ((f"release.rules[{index}]", rule) for index, rule in enumerate(settings.rules))
    yield from ((f"release[{index}]", rule) for index, rule in enumerate(own))


_PHONE_FIELDS = ("mode", "strict", "window_seconds", "window_starts", "proof", "networks", "on_theft")
