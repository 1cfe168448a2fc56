# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vendor's phones are described by.

A boot is a generator: it yields the addresses the phone fetches, is sent the responses, and returns the settings it
read, as a flat mapping of name to value. Reading is strict: what a real phone might stumble over is an error.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from demo.sip import Account
from demo.site import SiteError
from demo.web import Response

Settings = dict[str, str]
Boot = Generator[str, Response, Settings]


class UnreadableError(SiteError):
    """A configuration that this vendor's phone would not understand; the message says where."""


@dataclass(frozen=True)
class Vendor:
    """How a vendor's phones behave."""

    vendor_class: str
    """DHCP option 60, with ``{model}``."""
    options: tuple[int, ...]
    """The DHCP options it asks for, in its order."""
    user_agent: str
    """With ``{model}``, ``{MAC}`` (upper case) and ``{mac_colons}``."""
    server: Callable[[Mapping[int, str], Mapping[str, str]], str]
    """Which address it asks when it boots, from DHCP options and settings in flash; empty when none is known."""
    own_server: str
    """The setting that holds the address it asks when it refreshes its configuration without a boot."""
    boot: Callable[[str, str, str], Boot]
    """From provisioning address, model and MAC (12 lower-case hexadecimal digits)."""
    account: Callable[[Mapping[str, str]], Account]
    """The first SIP account, from the settings in flash. Raises ``KeyError`` with the setting that is missing."""
    secrets: Mapping[str, str]
    """Names of the settings that hold a secret, to the secret's class."""
    beside_secrets: frozenset[str]
    """Names of the settings that mean nothing without a secret, and are given together with one."""
    provisioning_user: str
    """The setting that holds the user name of the provisioning credentials; the phone has none where it is empty."""
    function_keys: str
    """A regular expression for the names of settings that assign a function key."""
    pnp_event: str = "ua-profile"
    """The ``Event`` of its question by SIP PnP, with ``{model}``."""
    words: Callable[[Mapping[str, str]], str | None] = lambda flash: None
    """Where it fetches the words of its display from, of the settings in flash; None where they are built in."""


def names_a_file(url: str) -> bool:
    """Whether the last part of the address is a file's name, not a folder's."""
    return "." in url.partition("://")[2].partition("/")[2].rpartition("/")[2]


def folder(url: str) -> str:
    """The address with the slash that makes it a folder's."""
    return url if url.endswith("/") else url + "/"


def xml(response: Response) -> ElementTree.Element:
    """The root element of an XML document."""
    try:
        return ElementTree.fromstring(response.body.encode())
    except ElementTree.ParseError as error:
        raise UnreadableError(f"{response.url}: not XML: {error}") from None
