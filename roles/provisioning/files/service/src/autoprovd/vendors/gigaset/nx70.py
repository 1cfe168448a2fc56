# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML settings of the DECT bases N610, N670 and N870.

Each account is a handset; accounts with the same registrar and the same way to it share a provider. Opening the base
for new handsets takes a time of day and is left to its web interface, so that equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from autoprovd.faults import Fault
from autoprovd.model import Account, Phone, Settings
from autoprovd.render import Document, Syntax, Templates
from autoprovd.vendors.base import SETTINGS, Model, Offer, choice_fault, read_words, split_authority

# These numbers are the bases'; those of Maxwell differ.
_TRANSPORTS: Final = {"udp": 1, "tcp": 2, "tls": 3}
_PROXY_ALWAYS: Final = 0
_PROXY_NEVER: Final = 2

_TONES = read_words("autoprovd.vendors.gigaset", "tones.tsv", column=2)
_TIME_ZONES = read_words("autoprovd.vendors.gigaset", "time_zones.tsv", column=2)
_TEMPLATES = Templates("autoprovd.vendors.gigaset")


class _Provider(NamedTuple):
    registrar: str
    port: int
    transport: int
    encrypted: bool
    srtp: str
    proxy_mode: int
    proxy_host: str | None
    proxy_port: int | None
    expires: int
    voicemail: bool


def render(phone: Phone, site: Settings, offer: Offer) -> Document:
    """The settings of a base. Of the site's defaults, those it has no word for are left to the base."""
    accounts = sorted(phone.accounts, key=lambda account: account.line)
    providers = _providers(accounts)
    return _TEMPLATES.render(
        "nx70.xml.j2",
        SETTINGS,
        "text/xml",
        Syntax.XML,
        {
            "phone": phone,
            "offer": offer,
            "accounts": [(account, f"{account.line:05}", providers[_provider(account)]) for account in accounts],
            "providers": list(enumerate(providers)),
            "tone": _TONES.get(phone.tone or site.tone),
            "time_zone": _TIME_ZONES.get(phone.time_zone or site.time_zone),
            "ntp_server": phone.ntp_server or site.ntp_server,
            "server_url": site.folder_url() + "%MACD.xml",
        },
    )


def faults(phone: Phone, model: Model, phones: str) -> Iterator[Fault]:
    """What a base cannot carry; ``phones`` is how the message calls them."""
    if phone.language is not None:
        yield Fault("language", f"{phones} have none: each handset has its own", "leave it out")
    yield from choice_fault("tone", phone.tone, _TONES, phones)
    yield from choice_fault("time_zone", phone.time_zone, _TIME_ZONES, phones)


def _provider(account: Account) -> _Provider:
    proxy_host, proxy_port = split_authority(account.outbound_proxy) if account.outbound_proxy else (None, None)
    return _Provider(
        registrar=account.registrar,
        port=account.registrar_port,
        transport=_TRANSPORTS[account.transport],
        encrypted=account.transport == "tls",
        srtp=account.srtp,
        proxy_mode=_PROXY_ALWAYS if proxy_host else _PROXY_NEVER,
        proxy_host=proxy_host,
        proxy_port=proxy_port,
        expires=account.expires,
        voicemail=account.mailbox is not None,
    )


def _providers(accounts: Sequence[Account]) -> dict[_Provider, int]:
    """The numbers of the providers, in the order of the lines that use them first."""
    numbers: dict[_Provider, int] = {}
    for account in accounts:
        numbers.setdefault(_provider(account), len(numbers))
    return numbers
