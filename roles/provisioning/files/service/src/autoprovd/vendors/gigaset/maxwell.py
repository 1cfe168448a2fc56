# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML settings of Maxwell desk phones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from autoprovd.faults import Fault
from autoprovd.model import Account, KeyType, Phone, Settings
from autoprovd.render import Document, Syntax, Templates
from autoprovd.vendors.base import (
    SETTINGS,
    Model,
    Offer,
    choice_fault,
    key_type_fault,
    key_value_fault,
    read_rows,
    read_words,
    split_authority,
)

_LINES: Final = 4
# These numbers are Maxwell's; those of the DECT bases differ. TCP has one too, but nobody documents it.
_TRANSPORTS: Final = {"udp": 1, "tls": 2}
# The phone asks again after this many seconds; that the unit is seconds is inferred.
_SECONDS_PER_MINUTE: Final = 60
_DEFAULT_EXPIRES: Final = Account.model_fields["expires"].default

_LANGUAGES = read_words("autoprovd.vendors.gigaset", "languages.tsv")
_TONES = read_words("autoprovd.vendors.gigaset", "tones.tsv", column=1)
_TIME_ZONES = read_words("autoprovd.vendors.gigaset", "time_zones.tsv", column=1)
_TEMPLATES = Templates("autoprovd.vendors.gigaset")


class _KeyRule(NamedTuple):
    number: int
    parameter: str


_KEY_TYPES = {
    KeyType(kind): _KeyRule(int(number), parameter)
    for kind, number, parameter in read_rows("autoprovd.vendors.gigaset", "key_types.tsv")
}


def render(phone: Phone, site: Settings, offer: Offer) -> Document:
    """The settings of a Maxwell. Of the site's defaults, those it has no word for are left to the phone."""
    accounts = sorted(phone.accounts, key=lambda account: account.line)
    used = {account.line for account in accounts}
    # Transport and encryption are the phone's, not the account's; faults() sees to it that all accounts agree.
    first = accounts[0] if accounts else None
    return _TEMPLATES.render(
        "maxwell.xml.j2",
        SETTINGS,
        "text/xml",
        Syntax.XML,
        {
            "phone": phone,
            "offer": offer,
            "first": first,
            "transport": _TRANSPORTS[first.transport] if first else None,
            "accounts": [
                (account, *(split_authority(account.outbound_proxy) if account.outbound_proxy else (None, None)))
                for account in accounts
            ],
            "unused_lines": [line for line in range(1, _LINES + 1) if line not in used],
            "keys": [(key, _KEY_TYPES[key.type]) for key in sorted(phone.keys, key=lambda key: (key.module, key.key))],
            "language": _LANGUAGES.get(phone.language or site.language),
            "tone": _TONES.get(phone.tone or site.tone),
            "time_zone": _TIME_ZONES.get(phone.time_zone or site.time_zone),
            "ntp_server": phone.ntp_server or site.ntp_server,
            "refresh_seconds": site.refresh_minutes * _SECONDS_PER_MINUTE,
            "server_url": site.folder_url() + "%MACD.xml",
        },
    )


def faults(phone: Phone, model: Model, phones: str) -> Iterator[Fault]:
    """What a Maxwell cannot carry; ``phones`` is how the message calls them."""
    yield from choice_fault("language", phone.language, _LANGUAGES, phones)
    yield from choice_fault("tone", phone.tone, _TONES, phones)
    yield from choice_fault("time_zone", phone.time_zone, _TIME_ZONES, phones)
    yield from _account_faults(phone.accounts, phones)
    for index, key in enumerate(phone.keys):
        if key.type not in _KEY_TYPES:
            yield key_type_fault(index, key, _KEY_TYPES, phones)
        elif _KEY_TYPES[key.type].parameter not in ("-", "account") and not key.value:
            yield key_value_fault(index, key, phones)


def _account_faults(accounts: Sequence[Account], phones: str) -> Iterator[Fault]:
    for index, account in enumerate(accounts):
        where = f"accounts[{index}]"
        if account.line > _LINES:
            yield Fault(f"{where}.line", f"{phones} have {_LINES} lines", f"use a line from 1 to {_LINES}")
        if account.transport not in _TRANSPORTS:
            what = f"{phones} have no known setting for {account.transport}"
            yield Fault(f"{where}.transport", what, f"use {' or '.join(_TRANSPORTS)}")
        if account.expires != _DEFAULT_EXPIRES:
            what = f"{phones} have no known setting for the registration interval"
            yield Fault(f"{where}.expires", what, "leave it out")
        for field in ("transport", "srtp"):
            if getattr(account, field) != getattr(accounts[0], field):
                what = f"{phones} have one {field} for all accounts, and accounts[0] has another"
                yield Fault(f"{where}.{field}", what, "give all accounts the same")
