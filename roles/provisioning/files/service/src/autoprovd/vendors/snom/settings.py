# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML settings of phones that Snom builds, whoever sells them: Snom's own, and Gigaset's P series.

Permission flags: everything is ``""``, which a user may change and the next provisioning puts right. ``!`` (kept once
the user has changed it) must not stand at a password: the phone cannot tell who set the first value, and would refuse
every new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from autoprovd.faults import Fault
from autoprovd.model import Account, Key, KeyType, Phone, Settings
from autoprovd.render import Document, Syntax, Templates
from autoprovd.vendors.base import (
    SETTINGS,
    Model,
    Offer,
    choice_fault,
    join_authority,
    key_type_fault,
    key_value_fault,
    read_rows,
    read_words,
)

EMPTY: Final = "empty"
"""The document with none, for the file that all phones of a model ask for."""
IDENTITIES: Final = 12
"""SIP identities of the largest phones; a smaller one ignores what it does not have."""

_WEB_USER_ROLE: Final = "user"
_MEDIA_TYPE: Final = "text/xml"
LANGUAGES: Final = read_words(__package__, "languages.tsv")
"""What the phones call languages, by code; they take a file for each."""
_TONES = read_words(__package__, "tones.tsv")
_TIME_ZONES = read_words(__package__, "time_zones.tsv")
_KEY_TYPES = {KeyType(kind): (full, bare) for kind, full, bare in read_rows(__package__, "key_types.tsv")}
_TEMPLATES = Templates(__package__)


class _FunctionKey(NamedTuple):
    place: int
    context: int
    label: str
    argument: str


def render(phone: Phone, model: Model, site: Settings, offer: Offer) -> Document:
    """The settings of a phone. Of the site's defaults, those Snom has no word for are left to the phone."""
    accounts = {account.line: account for account in phone.accounts}
    return _TEMPLATES.render(
        "settings.xml.j2",
        SETTINGS,
        _MEDIA_TYPE,
        Syntax.XML,
        {
            "phone": phone,
            "offer": offer,
            "two_web_users": model.family == "snom8",
            "web_user_role": _WEB_USER_ROLE,
            "accounts": [(account, _host(account), _outbound(account)) for _line, account in sorted(accounts.items())],
            "unused_lines": [line for line in range(1, IDENTITIES + 1) if line not in accounts],
            "keys": _function_keys(phone, model, accounts),
            "language": LANGUAGES.get(phone.language or site.language),
            "tone": _TONES.get(phone.tone or site.tone),
            "time_zone": _TIME_ZONES.get(phone.time_zone or site.time_zone),
            "ntp_server": phone.ntp_server or site.ntp_server,
            "refresh_seconds": site.refresh_minutes * 60,
            "protected_url": site.folder_url(protected=True) + "{mac}.xml",
        },
    )


@lru_cache(maxsize=1)
def render_empty() -> Document:
    """Settings that change nothing."""
    return _TEMPLATES.render("empty.xml.j2", EMPTY, _MEDIA_TYPE, Syntax.XML, {})


def faults(phone: Phone, model: Model, phones: str) -> Iterator[Fault]:
    """What such phones cannot carry; ``phones`` is how the message calls them."""
    yield from choice_fault("language", phone.language, LANGUAGES, phones)
    yield from choice_fault("tone", phone.tone, _TONES, phones)
    yield from choice_fault("time_zone", phone.time_zone, _TIME_ZONES, phones)
    if model.family == "snom8" and phone.web_user == _WEB_USER_ROLE:
        what = f"{phones} of this model keep that name for the web interface's second user"
        yield Fault("web_user", what, "choose another name")
    for index, account in enumerate(phone.accounts):
        if account.line > IDENTITIES:
            what = f"{phones} have {IDENTITIES} lines at most"
            yield Fault(f"accounts[{index}].line", what, f"use a line from 1 to {IDENTITIES}")
    for index, key in enumerate(phone.keys):
        if key.type not in _KEY_TYPES:
            yield key_type_fault(index, key, _KEY_TYPES, phones)
        elif _argument(key) is None:
            yield key_value_fault(index, key, phones)


def _host(account: Account) -> str:
    # With an outbound proxy the registrar's own port has no other place to stand.
    return join_authority(account.registrar, account.port if account.outbound_proxy else None)


def _outbound(account: Account) -> str:
    """Where requests go; it is also the only place where Snom takes the transport."""
    first_hop = account.outbound_proxy or join_authority(account.registrar, account.registrar_port)
    return f"{first_hop};transport={account.transport}"


def _argument(key: Key) -> str | None:
    full, bare = _KEY_TYPES[key.type]
    argument = full if key.value else bare
    return None if argument == "-" else argument


def _function_keys(phone: Phone, model: Model, accounts: dict[int, Account]) -> list[_FunctionKey]:
    keys = []
    for key in sorted(phone.keys, key=lambda key: (key.module, key.key)):
        # The keys of the modules are counted on from those of the phone, and all of them from 0.
        place = key.key - 1 + (model.keys + (key.module - 1) * model.module_keys if key.module else 0)
        argument = (_argument(key) or "none").format(value=key.value, uri=_address(key, accounts))
        keys.append(_FunctionKey(place, key.account, key.label, argument))
    return keys


def _address(key: Key, accounts: dict[int, Account]) -> str:
    if key.value.startswith(("sip:", "sips:")):
        return key.value
    account = accounts.get(key.account)
    return (
        f"sip:{key.value}@{join_authority(account.registrar)}"
        if account and "@" not in key.value
        else f"sip:{key.value}"
    )
