# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which telephone says such a thing of itself, and who made the one with such a MAC address.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import re
import typing as t


class Identity(t.NamedTuple):
    """What a text says."""

    vendor: str
    model: str
    version: str
    mac: str
    """12 lower-case digits, empty where the text has none."""


# The first that matches counts. Sources: what such telephones send as User-Agent, Server and sysDescr (the vendors'
# pages and collections of such headers in public projects); of HTTP pages the title.
_SAYS = (
    (
        "gigaset",
        r"(?:Gigaset[ _])?(?P<model>N510|N610|N670|N720|N870E?|Maxwell[ _-]?\w{1,8})\b"
        r"[\w -]{0,20}(?:/(?P<version>[\w.]+))?",
    ),
    ("gigaset", r"Gigaset[ _-]?(?P<model>P[78]\d\dW?)(?:-SIP)?(?:[ /](?P<version>\d+(?:\.\d+)+))?"),
    (
        "snom",
        r"snom[ _-]?(?P<model>(?:[DMC]\d{2,3}\w?|SP800|\d{3}\w?))(?:-SIP)?(?:[ /,]+(?P<version>\d+(?:\.\d+)+))?",
    ),
    (
        "yealink",
        r"yealink[ _](?:SIP-|SIP VP-)?(?P<model>[A-Z]{1,2}\d{2,3}[A-Z]{0,3})(?:[ /](?P<version>\d+(?:\.\d+){2,3}))?",
    ),
    ("yealink", r"^SIP[- ](?P<model>[A-Z]{1,2}\d{2,3}[A-Z]{0,3})\b(?:[ /](?P<version>\d+(?:\.\d+){3}))"),
    ("fanvil", r"Fanvil (?P<model>[\w -]{2,14}?) (?P<version>\d+(?:\.\d+)+)"),
    (
        "grandstream",
        r"Grandstream (?:Model HW )?(?P<model>[A-Z]{2,4}\d{3,4}\w{0,2})(?:.{0,20}?(?P<version>\d+(?:\.\d+){3}))?",
    ),
    ("polycom", r"Polycom\w*-(?P<model>\w{3,12})(?:-UA)?/(?P<version>\d+(?:\.\d+)+)"),
    ("mitel", r"(?:Aastra|Mitel)(?P<model>\d{4}\w?)(?:.{0,30}?V:(?P<version>\d+(?:\.\d+)+))?"),
    ("htek", r"Htek (?P<model>\w{3,8}) (?P<version>\d+(?:\.\d+)+)"),
)
_PATTERNS = tuple((vendor, re.compile(text, re.IGNORECASE)) for vendor, text in _SAYS)
_MAC = re.compile(r"\b([0-9a-f]{2})" + 5 * r"[:-]?([0-9a-f]{2})" + r"\b", re.IGNORECASE)
_LONGEST = 400
# 000413 is Snom's and, of the P series that Snom builds, Gigaset's.
_MAKERS = {
    "snom": "000413 1c7126",
    "yealink": "001565 e434d7 805ec0 805e0c 249ad8 3497d7 44dbd2 644f56 b061a9 c4fc22 ec1da9 f01653",
    "gigaset": "002104 14b370 7c2f80",
    "fanvil": "0c383e",
    "grandstream": "000b82 c074ad ec74d7",
    "htek": "001fc1",
    "mitel": "00085d 08000f",
    "polycom": "0004f2 00907a 482567 64167f",
}
_MAKER_OF = {prefix: vendor for vendor, prefixes in _MAKERS.items() for prefix in prefixes.split()}


def identity(text: str) -> t.Optional[Identity]:
    """Which telephone says that, or None when it is not known for one."""
    text = text[:_LONGEST]
    for vendor, pattern in _PATTERNS:
        found = pattern.search(text)
        if found:
            mac = _MAC.search(text)
            version = found.group("version") or ""
            model = re.sub("[ _-]", "", found.group("model"))
            return Identity(vendor, model, version, "".join(mac.groups()).lower() if mac else "")
    return None


def maker(mac: str) -> str:
    """The vendor the first half of that MAC address belongs to; empty where it is none of telephones."""
    return _MAKER_OF.get(mac[:6], "")
