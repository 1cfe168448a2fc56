# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What is wanted, in words no DHCP server knows: these phones get these options. Checked once, all faults at once."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import DhcpError
from .options import CODES, default_encoding, encode, option_name
from .vendors import VENDORS

GLOBAL, SHARED_NETWORK, SUBNET, VENDOR, PHONE = "global", "shared_network", "subnet", "vendor", "phone"
URL_SCHEMES = ("http", "https", "tftp", "ftp")
#: What a client and a server settle between them.
_PROTOCOL_OPTIONS = frozenset((*range(50, 62), 82))
VLAN_ID = 132
#: One DHCP option; longer values would be split (RFC 3396), which phones do not put together again.
MAX_VALUE_BYTES = 255


@dataclass(frozen=True)
class Scope:
    """Who gets an option: everybody, a shared network (name), a subnet (CIDR), a vendor class, or one phone (MAC)."""

    kind: str
    #: Network name, subnet in CIDR notation, class name, or MAC as 12 lower-case digits; empty for global.
    name: str = ""
    #: Vendor classes only: option 60 prefixes and OUIs, any of which makes the phone a member.
    option60_prefixes: t.Tuple[str, ...] = ()
    ouis: t.Tuple[str, ...] = ()

    def __str__(self) -> str:
        return {
            GLOBAL: "global",
            SHARED_NETWORK: "shared network %s" % self.name,
            SUBNET: "subnet %s" % self.name,
            VENDOR: "vendor class %s" % self.name,
            PHONE: "phone %s" % ":".join(re.findall("..", self.name)),
        }[self.kind]


@dataclass(frozen=True)
class OptionSetting:
    """One option for one scope. `text` is the value as the user wrote it, `data` what travels in the packet."""

    scope: Scope
    code: int
    text: str
    data: bytes


GLOBAL_SCOPE = Scope(GLOBAL)


def normalize_mac(text: str) -> str:
    """12 lower-case hexadecimal digits from any usual spelling. Raises ValueError."""
    digits = re.sub(r"[:.\-\s]", "", text).lower()
    if not re.match(r"^[0-9a-f]{12}$", digits):
        raise ValueError("%s is not a MAC address (12 hexadecimal digits)" % text)
    return digits


def normalize_oui(text: str) -> str:
    """6 lower-case hexadecimal digits from any usual spelling of the first half of a MAC address. Raises ValueError."""
    digits = re.sub(r"[:.\-\s]", "", text).lower()
    if not re.match(r"^[0-9a-f]{6}$", digits):
        raise ValueError("%s is not an OUI (the first 6 hexadecimal digits of a MAC address)" % text)
    return digits


def vendor_scope(name: str) -> Scope:
    vendor = VENDORS[name]
    return Scope(VENDOR, name, vendor.option60_prefixes, vendor.ouis)


def vendor_url(name: str, url: t.Optional[str], vendor_urls: t.Mapping[str, str]) -> str:
    """What a vendor's phones are told: its own URL or the common one, with what it needs behind a folder."""
    value = vendor_urls.get(name) or folder_url(url)
    return value + VENDORS[name].url_suffix if value.endswith("/") else value


def folder_url(url: t.Optional[str]) -> str:
    """The common URL is a folder."""
    return url + "/" if url and not url.endswith("/") else url or ""


def _url_fault(url: str) -> t.Optional[str]:
    try:
        encode(url, "string")
        parts = urlsplit(url)
        if parts.scheme not in URL_SCHEMES or not parts.hostname:
            return "is not a URL with a host (%s)" % ", ".join(scheme + "://…" for scheme in URL_SCHEMES)
        if " " in url:
            return "contains a blank"
    except ValueError as exc:
        return str(exc)
    return None


def url_faults(url: t.Optional[str], vendors: t.Sequence[str], vendor_urls: t.Mapping[str, str]) -> t.List[str]:
    """What is wrong with the URLs for these vendors."""
    faults = []
    for where, value in [("url", url)] + [("vendor_urls.%s" % name, vendor_urls[name]) for name in sorted(vendor_urls)]:
        fault = _url_fault(value) if value else ("is empty" if where != "url" else None)
        if fault:
            faults.append("%s: %s %s" % (where, value, fault))
    for name in [*vendors, *vendor_urls]:
        if name not in VENDORS:
            faults.append("vendors: %s is not known; known are %s" % (name, ", ".join(sorted(VENDORS))))
    for name in vendor_urls:
        if name not in vendors:
            faults.append("vendor_urls.%s: %s is not in vendors; add it there or remove the URL" % (name, name))
    missing = [name for name in vendors if name not in vendor_urls]
    if missing and not url:
        faults.append("vendors: url is needed for %s (or a vendor_urls entry for each)" % ", ".join(missing))
    return faults


def _vendor_settings(
    url: t.Optional[str], vendors: t.Sequence[str], vendor_urls: t.Mapping[str, str], fallback: bool
) -> t.List[OptionSetting]:
    folder = folder_url(url)
    settings = [OptionSetting(GLOBAL_SCOPE, 66, folder, encode(folder, "string"))] if folder and fallback else []
    for name in dict.fromkeys(vendors):
        value = vendor_url(name, url, vendor_urls)
        settings += [
            OptionSetting(vendor_scope(name), code, value, encode(value, "string"))
            for code in VENDORS[name].url_options
        ]
    return settings


_SCOPE_KEYS = ("shared_network", "subnet", "vendor", "vendor_class", "oui", "mac")


def _scope_of(entry: t.Mapping[str, t.Any]) -> Scope:
    given = [key for key in _SCOPE_KEYS if entry.get(key)]
    if len(given) > 1:
        raise ValueError("%s exclude each other; split the entry" % " and ".join(given))
    if not given:
        return GLOBAL_SCOPE
    key, value = given[0], str(entry[given[0]])
    if key == "shared_network":
        return Scope(SHARED_NETWORK, value)
    if key == "subnet":
        try:
            return Scope(SUBNET, str(ipaddress.IPv4Network(value)))
        except ValueError as exc:
            raise ValueError("subnet %s: %s" % (value, exc)) from None
    if key == "vendor":
        if value not in VENDORS:
            raise ValueError("vendor %s is not known; known are %s" % (value, ", ".join(sorted(VENDORS))))
        return vendor_scope(value)
    if key == "vendor_class":
        if not value.isascii() or not value.isprintable():
            raise ValueError("vendor_class: only printable ASCII characters can be compared")
        return Scope(VENDOR, "option 60 " + value, (value,))
    if key == "oui":
        oui = normalize_oui(value)
        return Scope(VENDOR, "OUI " + oui, (), (oui,))
    return Scope(PHONE, normalize_mac(value))


def encoded(entry: t.Mapping[str, t.Any], vendor: t.Optional[str] = None) -> t.Tuple[int, t.Optional[bytes]]:
    """Code and bytes of an entry with `code` or `name`, `value` (None: no bytes) and `encoding`. Raises ValueError."""
    code, name = entry.get("code"), entry.get("name")
    if name:
        if name not in CODES:
            raise ValueError(
                "option name %s is not known; give its code, or one of: %s" % (name, ", ".join(sorted(CODES)))
            )
        if code is not None and code != CODES[name]:
            raise ValueError("code %d and name %s are different options; keep one" % (code, name))
        code = CODES[name]
    if code is None:
        raise ValueError("code or name is needed")
    if not 1 <= code <= 254:
        raise ValueError("code %d is outside 1..254" % code)
    if entry.get("value") is None:
        return code, None
    encoding = entry.get("encoding") or "auto"
    value = str(entry["value"])
    if encoding == "auto":
        encoding = VENDORS[vendor].encodings.get(code, default_encoding(code)) if vendor else default_encoding(code)
    try:
        data = encode(value, encoding)
    except ValueError as exc:
        raise ValueError("option %s, value %s: %s" % (option_name(code), value, exc)) from None
    if code == VLAN_ID and value.isdigit() and not 1 <= int(value, 10) <= 4094:
        raise ValueError("option %s, value %s: a VLAN is a number from 1 to 4094" % (option_name(code), value))
    if len(data) > MAX_VALUE_BYTES:
        raise ValueError(
            "option %s: %d bytes; phones read at most %d" % (option_name(code), len(data), MAX_VALUE_BYTES)
        )
    return code, data


def _explicit_setting(entry: t.Mapping[str, t.Any]) -> OptionSetting:
    scope = _scope_of(entry)
    value = str(entry.get("value") or "")
    code, data = encoded(dict(entry, value=value), entry.get("vendor"))
    if code in _PROTOCOL_OPTIONS:
        raise ValueError("code %d cannot be set: it belongs to the protocol itself" % code)
    return OptionSetting(scope, code, value, data or b"")


def build_intent(
    url: t.Optional[str] = None,
    vendors: t.Sequence[str] = (),
    vendor_urls: t.Optional[t.Mapping[str, str]] = None,
    global_fallback: bool = True,
    options: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> t.List[OptionSetting]:
    """All settings wanted. An explicit entry of `options` wins over what `vendors` implies for the same scope and code.

    Raises DhcpError with every fault found.
    """
    urls = vendor_urls or {}
    faults = url_faults(url, vendors, urls)
    settings = {
        (item.scope, item.code): item
        for item in (_vendor_settings(url, vendors, urls, global_fallback) if not faults else ())
    }
    seen: t.Dict[t.Tuple[Scope, int], int] = {}
    for index, entry in enumerate(options):
        try:
            item = _explicit_setting(entry)
        except ValueError as exc:
            faults.append("options[%d]: %s" % (index, exc))
            continue
        key = (item.scope, item.code)
        if key in seen:
            faults.append(
                "options[%d]: option %s for %s is already set by options[%d]; remove one"
                % (index, option_name(item.code), item.scope, seen[key])
            )
        seen[key] = index
        settings[key] = item
    for item in settings.values():
        if len(item.data) > MAX_VALUE_BYTES:
            faults.append(
                "%s: option %s is longer than %d bytes" % (item.scope, option_name(item.code), MAX_VALUE_BYTES)
            )
    if faults:
        raise DhcpError(*faults)
    return list(settings.values())
