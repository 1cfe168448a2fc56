# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Yealink: desk and conference phones, DECT bases. ``name = value`` files, fetched by MAC address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from autoprovd.faults import Fault
from autoprovd.model import KeyType, Phone, SecretClass, SecretKey, Settings
from autoprovd.render import Document, Syntax, Templates
from autoprovd.vendors.base import (
    SETTINGS,
    Agent,
    Model,
    Offer,
    Vendor,
    choice_fault,
    key_type_fault,
    key_value_fault,
    read_models,
    read_rows,
    read_words,
    split_authority,
)

_BOOT_FILE: Final = "y000000000000.boot"
_LINES: Final = 16
"""SIP accounts of the largest phones; a smaller one ignores what it does not have."""
_CLEARED: Final = "%NULL%"
"""The value that empties a setting; nobody's text may read so."""
_WEB_USER_ROLE: Final = "user"
# Lengths that Yealink's administrator guides permit.
_LONGEST = {SecretClass.SIP: 99, SecretClass.WEB: 32, SecretClass.PROVISIONING: 32}

_LANGUAGES = read_words(__package__, "languages.tsv")
_TONES = read_words(__package__, "tones.tsv")
_TIME_ZONES = {zone: (offset, name) for zone, offset, name in read_rows(__package__, "time_zones.tsv")}
_TRANSPORTS = {"udp": 0, "tcp": 1, "tls": 2}
_SRTP = {"off": 0, "optional": 1, "mandatory": 2}


class _KeyRule(NamedTuple):
    number: int
    value: str
    """``needed``, ``optional`` or ``unused``."""


_KEY_TYPES = {
    KeyType(kind): _KeyRule(int(number), value) for kind, number, value in read_rows(__package__, "key_types.tsv")
}

# "Yealink SIP-T54W 96.87.0.15 80:5e:0c:12:34:56"; DECT bases and old phones go without "SIP-" or without "Yealink".
_AGENT = re.compile(
    r"(?:yealink[ -](?:SIP[- ](?:VP-)?)?(?P<model>\w+)|(?P<old>VP530P?)) +(?P<firmware>\d[\d.]+)"
    r"(?: +(?P<mac>[0-9a-f:-]{12,17}))?",
    re.IGNORECASE,
)


class Yealink(Vendor):
    """The room of Yealink."""

    name = "yealink"
    title = "Yealink"
    models = read_models(__package__)
    shared_files = re.compile(r"y\d{12}\.(?:boot|cfg)")
    # Some phones of each family have but a certificate that is the same for all of them: it proves nothing.
    pnp_families = frozenset({"desk", "conference", "dect"})
    factory_certificates = frozenset({"desk", "conference", "dect"})

    def __init__(self) -> None:
        self._templates = Templates(__package__)

    def agent(self, user_agent: str) -> Agent | None:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        found = _AGENT.match(user_agent.strip())
        if not found:
            return None
        return Agent(self.name, found["model"] or found["old"], found["firmware"], _mac(found["mac"]))

    def file_names(self, phone: Phone, model: Model) -> Mapping[str, str | None]:
        """The boot files, then the file of the model, then the phone's own."""
        # A boot file is not given, because a phone that finds one asks for nothing else; the model's file is not
        # given, because all is in the phone's own.
        common: dict[str, str | None] = {model.common_file: None} if model.common_file else {}
        return {f"{phone.mac}.boot": None, _BOOT_FILE: None} | common | {f"{phone.mac}.cfg": SETTINGS}

    def version_key(self, version: str) -> tuple[int, ...]:
        """Without the first number: it is the hardware's, and differs between models with the same software."""
        numbers = super().version_key(version)
        return numbers[1:] if len(numbers) > 3 else numbers

    def language_files(self, model: Model) -> Mapping[str, str]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        return _LANGUAGES

    def documents(self, phone: Phone, model: Model, site: Settings, offer: Offer) -> list[Document]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        accounts = sorted(phone.accounts, key=lambda account: account.line)
        used = {account.line for account in accounts}
        context = {
            "phone": phone,
            "site": site,
            "offer": offer,
            "web_user_role": _WEB_USER_ROLE,
            "accounts": [
                (account, _TRANSPORTS[account.transport], _SRTP[account.srtp], *_outbound_proxy(account.outbound_proxy))
                for account in accounts
            ],
            "unused_lines": [line for line in range(1, _LINES + 1) if line not in used],
            "keys": [
                (_setting(key.module, key.key), key, _KEY_TYPES[key.type].number)
                for key in sorted(phone.keys, key=lambda key: (key.module, key.key))
            ],
            "language": _LANGUAGES.get(phone.language or site.language),
            "tone": _TONES.get(phone.tone or site.tone),
            "time_zone": _TIME_ZONES.get(phone.time_zone or site.time_zone),
            "ntp_server": phone.ntp_server or site.ntp_server,
            "protected_url": site.folder_url(protected=True),
            "text": _text,
        }
        return [self._templates.render("settings.cfg.j2", SETTINGS, "text/plain", Syntax.LINES, context)]

    def faults(self, phone: Phone, model: Model) -> Iterator[Fault]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        phones = f"{self.title} phones"
        yield from choice_fault("language", phone.language, _LANGUAGES, phones)
        yield from choice_fault("tone", phone.tone, _TONES, phones)
        yield from choice_fault("time_zone", phone.time_zone, _TIME_ZONES, phones)
        if phone.web_user == _WEB_USER_ROLE:
            what = f"{phones} keep that name for the web interface's second user"
            yield Fault("web_user", what, "choose another name")
        for index, account in enumerate(phone.accounts):
            if account.line > _LINES:
                what = f"{phones} have {_LINES} lines at most"
                yield Fault(f"accounts[{index}].line", what, f"use a line from 1 to {_LINES}")
        for index, key in enumerate(phone.keys):
            if key.type not in _KEY_TYPES:
                yield key_type_fault(index, key, _KEY_TYPES, phones)
            elif not key.value.strip() and _KEY_TYPES[key.type].value == "needed":
                yield key_value_fault(index, key, phones)
        for where, text in _texts(phone):
            if text.strip() == _CLEARED:
                yield Fault(where, f"{phones} take {_CLEARED} for an empty setting", "write something else")

    def secret_fault(self, key: SecretKey, secret: str) -> str | None:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        if secret == _CLEARED:
            return f"{_CLEARED} stands for an empty password there"
        if not secret.isascii():
            return "it has a character that is not ASCII"
        if secret[0] == secret[-1] == '"':
            return "it stands in quotes, which may be cut off"
        longest = _LONGEST.get(key.secret_class)
        if longest and len(secret) > longest:
            return f"it has {len(secret)} characters, and they take {longest}"
        return None


def _mac(text: str | None) -> str | None:
    """12 hexadecimal digits of a MAC address as a Yealink writes it: with colons, without, or with broken ones."""
    if text is None:
        return None
    digits = re.sub("[:-]", "", text)
    if len(text) == 17 and len(digits) > 12:
        # Seen: 00:15:6525ef16a7c, where other characters stand in place of some of the separators.
        digits = "".join(text[place : place + 2] for place in range(0, 17, 3))
    return digits.lower() if re.fullmatch("[0-9a-fA-F]{12}", digits) else None


def _setting(module: int, key: int) -> str:
    return f"expansion_module.{module}.key.{key}" if module else f"linekey.{key}"


def _outbound_proxy(text: str | None) -> tuple[str | None, int | None]:
    return split_authority(text) if text else (None, None)


def _text(value: str | None) -> str:
    """A value as it stands in the file; an empty one is emptied on the phone too."""
    return (value or "").strip() or _CLEARED


def _texts(phone: Phone) -> Iterator[tuple[str, str]]:
    """What a person wrote, and where."""
    yield "web_user", phone.web_user
    for index, account in enumerate(phone.accounts):
        for field in ("user", "auth_user", "display_name", "mailbox"):
            yield f"accounts[{index}].{field}", getattr(account, field) or ""
    for index, key in enumerate(phone.keys):
        yield f"keys[{index}].value", key.value
        yield f"keys[{index}].label", key.label
