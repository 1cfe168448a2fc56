# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All vendors: who is asking, and whether a definition fits the phone it is for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from autoprovd.faults import Fault
from autoprovd.model import Phone
from autoprovd.vendors.base import Agent, Model, Vendor
from autoprovd.vendors.gigaset import Gigaset
from autoprovd.vendors.snom import Snom
from autoprovd.vendors.yealink import Yealink

VENDORS: Mapping[str, Vendor] = MappingProxyType({room.name: room for room in (Snom(), Yealink(), Gigaset())})


def room_of(phone: Phone) -> tuple[Vendor, Model]:
    """The vendor's room and the model of a phone that :func:`faults_of_phone` found nothing wrong with."""
    vendor = VENDORS[phone.vendor]
    model = vendor.model(phone.model)
    if model is None:
        raise LookupError(f"{vendor.title} has no model {phone.model!r}")
    return vendor, model


@lru_cache(maxsize=16384)
def agent_of(user_agent: str) -> Agent | None:
    """Which phone sends this User-Agent, or None when no vendor's phone does."""
    for vendor in VENDORS.values():
        agent = vendor.agent(user_agent)
        if agent is not None:
            return agent
    return None


def faults_of_phone(phone: Phone) -> Iterator[Fault]:
    """Everything about a phone's definition that the phone itself could not carry."""
    vendor = VENDORS[phone.vendor]
    model = vendor.model(phone.model)
    if model is None:
        names = [known.name for known in vendor.models.values()]
        close = difflib.get_close_matches(phone.model.upper(), names, n=3, cutoff=0.4)
        known = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names)}"
        yield Fault("model", f"{vendor.title} has no model {phone.model!r}", known)
        return
    yield from _key_faults(phone, vendor, model)
    lines = [account.line for account in phone.accounts]
    for index, line in enumerate(lines):
        if line in lines[:index]:
            yield Fault(f"accounts[{index}].line", f"line {line} is given twice", "give each account its own line")
    for key, secret in phone.given_secrets().items():
        reason = vendor.secret_fault(key, secret)
        if reason:
            where = f"the SIP password of line {key.line}" if key.line else f"{key.secret_class}_password"
            yield Fault(where, f"{vendor.title} phones cannot carry it: {reason}", "choose another password")
    yield from vendor.faults(phone, model)


def _key_faults(phone: Phone, vendor: Vendor, model: Model) -> Iterator[Fault]:
    lines = {account.line for account in phone.accounts}
    seen: set[tuple[int, int]] = set()
    for index, key in enumerate(phone.keys):
        where = f"keys[{index}]"
        if key.module > model.modules:
            yield Fault(
                where,
                f"expansion module {key.module} on a {vendor.title} {model.name}, which takes {model.modules}",
                "use a smaller module number",
            )
        elif key.key > (limit := model.module_keys if key.module else model.keys):
            place = (
                f"an expansion module of a {vendor.title} {model.name}"
                if key.module
                else f"a {vendor.title} {model.name}"
            )
            yield Fault(where, f"key {key.key} on {place}, which has {limit} keys", f"use a key from 1 to {limit}")
        if (key.module, key.key) in seen:
            yield Fault(where, f"key {key.key} is given twice", "keep one of them")
        seen.add((key.module, key.key))
        if key.account not in lines and lines:
            yield Fault(where, f"uses line {key.account}, but the phone has no such account", "name a line it has")
