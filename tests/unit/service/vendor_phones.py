# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phones of every vendor for the tests of their rooms, and reading what was rendered the way a phone does."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from autoprovd.faults import Fault
from autoprovd.firmware.catalogue import Catalogue
from autoprovd.model import Phone, SecretClass, SecretKey, Settings
from autoprovd.render import Document
from autoprovd.vendors import faults_of_phone, room_of

SITE = Settings(public_host="198.18.0.2", language="de", tone="de", time_zone="Europe/Berlin", ntp_server="198.18.0.1")
EVERY_ROOM = [
    ("snom", "D785"),
    ("snom", "D865"),
    ("yealink", "T54W"),
    ("gigaset", "Maxwell3"),
    ("gigaset", "N670"),
    ("gigaset", "P820"),
]
SECRETS = {
    SecretKey(1, SecretClass.SIP): "sip-secret",
    SecretKey(0, SecretClass.WEB): "web-secret",
    SecretKey(0, SecretClass.MENU): "menu-secret",
    SecretKey(0, SecretClass.PROVISIONING): "provisioning-secret",
}
ACCOUNT = {"line": 1, "user": "1001", "registrar": "pbx.example", "display_name": "Anna"}


def definition(vendor: str, model: str, **changes: Any) -> dict[str, Any]:
    """A phone of that model with one account, as a person writes it."""
    own = {"gigaset_id": "A1B2"} if model.startswith(("N", "Maxwell")) else {}
    return {"mac": "00:04:13:92:2d:24", "vendor": vendor, "model": model, "accounts": [ACCOUNT], **own, **changes}


def make(vendor: str, model: str, **changes: Any) -> Phone:
    """The same, validated; the test fails where it has a fault."""
    phone = Phone.model_validate(definition(vendor, model, **changes))
    assert list(faults_of_phone(phone)) == []
    return phone


def faults(vendor: str, model: str, **changes: Any) -> list[Fault]:
    """The faults of such a phone."""
    return list(faults_of_phone(Phone.model_validate(definition(vendor, model, **changes))))


def account(**changes: Any) -> dict[str, Any]:
    """An account as a person writes it."""
    return ACCOUNT | changes


def document(phone: Phone, site: Settings = SITE, mirror: Catalogue | None = None, path: str = "") -> Document:
    """The document with the phone's settings, and what it is offered of the mirror's files."""
    vendor, model = room_of(phone)
    offer = (mirror or Catalogue()).offer(phone, site, path)
    (found,) = [each for each in vendor.documents(phone, model, site, offer) if each.name == "settings"]
    return found


def xml(text: bytes) -> ElementTree.Element:
    """A document of XML, parsed; fails where it is not well-formed."""
    assert text.startswith(b"<?xml ")
    return ElementTree.fromstring(text)


def snom_settings(text: bytes) -> dict[tuple[str, str | None], str]:
    """A Snom's settings by name and index."""
    (settings,) = xml(text).findall("phone-settings")
    found = {(each.tag, each.get("idx")): each.text or "" for each in settings}
    assert len(found) == len(settings), "a setting stands there twice"
    return found


def snom_keys(text: bytes) -> dict[str, dict[str, str | None]]:
    """A Snom's function keys by index."""
    return {str(key.get("idx")): {**key.attrib, "argument": key.text} for key in xml(text).iter("fkey")}


def gigaset_settings(text: bytes) -> dict[str, str]:
    """The parameters of a Maxwell or a DECT base."""
    found = [(str(each.get("name")), str(each.get("value"))) for each in xml(text).findall("nvm/param")]
    assert len(dict(found)) == len(found), "a parameter stands there twice"
    return dict(found)


def yealink_settings(text: bytes) -> dict[str, str]:
    """A Yealink's settings; the passwords of the web interface's users have names of their own here."""
    first, *lines = text.decode("utf-8").splitlines()
    assert first == "#!version:1.0.0.1"
    found: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition("=")
        assert separator, line
        name, value = name.strip(), value.strip()
        assert not name.startswith(("#", "[", "include", "overwrite_mode")), line
        if name == "static.security.user_password":
            user, _, value = value.partition(":")
            name = f"{name} {user}"
        assert name not in found, f"{name} stands there twice"
        found[name] = value
    return found
