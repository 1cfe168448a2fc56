# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All vendors: who is asking, and whether a definition fits the phone it is for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from autoprovd.faults import Fault
from autoprovd.model import Phone, SecretKey, Settings
from autoprovd.render import Document
from autoprovd.vendors.base import Agent, Model, Offer, Vendor
from autoprovd.vendors.gigaset import Gigaset
from autoprovd.vendors.snom import Snom
from autoprovd.vendors.yealink import Yealink

VENDORS: Mapping[str, Vendor] = MappingProxyType({room.name: room for room in (Snom(), Yealink(), Gigaset())})
_LONGEST_USER_AGENT = 256


def room_of(phone: Phone) -> tuple[Vendor, Model]:
    """The vendor's room and the model of a phone that :func:`faults_of_phone` found nothing wrong with."""
    vendor = VENDORS[phone.vendor]
    model = vendor.model(phone.model)
    if model is None:
        raise LookupError(f"{vendor.title} has no model {phone.model!r}")
    return vendor, model


def agent_of(user_agent: str) -> Agent | None:
    """Which phone sends this User-Agent, or None when no vendor's phone does."""
    for vendor in VENDORS.values():
        # Cut, so that a stranger's header cannot keep a pattern busy.
        agent = vendor.agent(user_agent[:_LONGEST_USER_AGENT])
        if agent is not None:
            return agent
    return None


def is_shared_file(name: str) -> bool:
    """Whether many phones ask for a file of that name (in lower case), so that it names none of them."""
    return any(vendor.shared_files.fullmatch(name) for vendor in VENDORS.values())


def proves_by_label(agent: Agent) -> bool:
    """Whether a phone that says this of itself is asked for the ID of its label, in whatever folder."""
    vendor = VENDORS[agent.vendor]
    model = vendor.model(agent.model)
    return model is not None and model.family in vendor.label_proof


def models_of(vendor: str | None, model: str | None) -> list[tuple[Vendor, Model]]:
    """All models there are, or those of a vendor, or the one of that name; empty when there is none."""
    rooms = [VENDORS[vendor]] if vendor is not None else VENDORS.values()
    return [
        (room, known)
        for room in rooms
        for known in room.models.values()
        if model is None or known.name.lower() == model.lower()
    ]


def model_fault(vendor: str, model: str) -> Fault:
    """The fault of a model this vendor does not have."""
    room = VENDORS[vendor]
    names = [known.name for known in room.models.values()]
    close = _closest(model, names)
    known = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names)}"
    return Fault("model", f"{room.title} has no model {model!r}", known)


def render(phone: Phone, site: Settings, offer: Offer) -> list[Document]:
    """The files of a phone. Dear; called when something was written, never when a phone asks."""
    vendor, model = room_of(phone)
    return vendor.documents(phone, model, site, offer)


def secret_keys(phone: Phone) -> tuple[SecretKey, ...]:
    """The secrets a phone has, whether brought or to be generated: those its files have a place for."""
    vendor, model = room_of(phone)
    carried = vendor.secret_classes(model)
    return tuple(key for key in phone.secret_keys() if key.secret_class in carried)


def faults_of_phone(phone: Phone) -> Iterator[Fault]:
    """Everything about a phone's definition that the phone itself could not carry."""
    vendor = VENDORS[phone.vendor]
    model = vendor.model(phone.model)
    if model is None:
        yield model_fault(phone.vendor, phone.model)
        return
    yield from _key_faults(phone, vendor, model)
    lines = [account.line for account in phone.accounts]
    for index, line in enumerate(lines):
        if line in lines[:index]:
            yield Fault(f"accounts[{index}].line", f"line {line} is given twice", "give each account its own line")
    carried = vendor.secret_classes(model)
    for key, secret in phone.given_secrets().items():
        where = f"accounts[{lines.index(key.line)}].password" if key.line else f"{key.secret_class}_password"
        if key.secret_class not in carried:
            yield Fault(where, f"a {vendor.title} {model.name} has no setting for it", "leave it out")
        elif reason := vendor.secret_fault(key, secret):
            yield Fault(where, f"{vendor.title} phones cannot carry it: {reason}", "choose another password")
    yield from vendor.faults(phone, model)


def _closest(wanted: str, names: list[str]) -> list[str]:
    """The three names most like it; among equals those that differ last, as the D785 does from a D786."""
    wanted = wanted.upper()
    close = difflib.get_close_matches(wanted, [name.upper() for name in names], n=len(names), cutoff=0.4)

    def likeness(name: str) -> tuple[bool, float, int]:
        ratio = difflib.SequenceMatcher(None, wanted, name).ratio()
        pairs = enumerate(zip(wanted, name, strict=False))
        differs_at = next((place for place, (one, other) in pairs if one != other), len(name))
        return name.startswith(wanted), ratio, differs_at

    best = sorted(close, key=likeness, reverse=True)[:3]
    return [name for like in best for name in names if name.upper() == like]


def _key_faults(phone: Phone, vendor: Vendor, model: Model) -> Iterator[Fault]:
    lines = {account.line for account in phone.accounts}
    seen: set[tuple[int, int]] = set()
    for index, key in enumerate(phone.keys):
        where = f"keys[{index}]"
        phone_model = f"a {vendor.title} {model.name}"
        place, limit = (f"a module of {phone_model}", model.module_keys) if key.module else (phone_model, model.keys)
        if key.module > model.modules:
            what = f"is on expansion module {key.module}, and {phone_model} takes {model.modules or 'none'}"
            yield Fault(where, what, "use a smaller module number" if model.modules else "leave it out")
        elif key.key > limit:
            what = f"is key {key.key}, and {place} has {limit or 'none'}"
            yield Fault(where, what, f"use a key from 1 to {limit}" if limit else "leave it out")
        if (key.module, key.key) in seen:
            yield Fault(where, f"key {key.key} is given twice", "keep one of them")
        seen.add((key.module, key.key))
        if key.account not in lines and lines:
            yield Fault(where, f"uses line {key.account}, but the phone has no such account", "name a line it has")
