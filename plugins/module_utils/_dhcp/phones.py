# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Phones as a DHCP server meets them: what each vendor's send, and what they take of an offer."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .decoding import code_of, suboptions_of, text_of
from .errors import DhcpError
from .intent import normalize_mac
from .packets import PLAIN_REQUEST_LIST, Client, Offer
from .vendors import VENDORS, Vendor

#: Ends the MAC address of a phone that is played. Nobody has a reservation for it, one may hope.
PLAYED_NUMBER = "617001"
#: Plays a client that is nobody's phone; 02 = locally administered.
NEUTRAL_OUI = "020000"
#: What a phone reads of whom nothing is known: RFC 2132 9.4 and 9.5.
_UNKNOWN_READS = (66, 67)
# RFC 2132 9.4, 9.5: what servers put into these fields where the client has not asked for the option.
_FIELDS = {66: "sname", 67: "file"}


@dataclass(frozen=True)
class Phone:
    """A client to play, and whose phone it is (None: nobody's)."""

    label: str
    vendor: t.Optional[Vendor]
    client: Client


@dataclass(frozen=True)
class Taken:
    """The URL a phone takes of an offer, and where it stood ("option 66", "sname"; empty without a URL)."""

    url: str = ""
    source: str = ""


def phones(
    vendors: t.Sequence[str],
    vendor_class: t.Optional[str] = None,
    mac: t.Optional[str] = None,
    request_list: t.Optional[t.Sequence[str]] = None,
) -> t.List[Phone]:
    """One phone of each vendor (without vendors: nobody's), changed by what is given. Raises DhcpError, all faults."""
    faults = [
        "vendors: %s is not known; known are %s" % (name, ", ".join(sorted(VENDORS)))
        for name in vendors
        if name not in VENDORS
    ]
    if len(vendors) > 1:
        faults += [
            "%s: it can only be that of one vendor's phone; name one vendor" % name
            for name, value in (("mac", mac), ("vendor_class", vendor_class))
            if value
        ]
    if vendor_class and len(vendor_class.encode("utf-8")) > 255:
        faults.append("vendor_class: longer than 255 bytes")
    given_mac, codes = "", []
    try:
        given_mac = normalize_mac(mac) if mac else ""
    except ValueError as exc:
        faults.append("mac: %s" % exc)
    for index, item in enumerate(request_list or ()):
        try:
            codes.append(code_of(item))
        except ValueError as exc:
            faults.append("request_list[%d]: %s" % (index, exc))
    if faults:
        raise DhcpError(*faults)

    def played(vendor: t.Optional[Vendor]) -> Phone:
        asks: t.Optional[t.Tuple[int, ...]] = vendor.request_list if vendor else PLAIN_REQUEST_LIST
        if request_list is not None:
            asks = tuple(codes) or None
        oui = vendor.ouis[0] if vendor else NEUTRAL_OUI
        sends = vendor_class or (vendor.sends_class if vendor else None)
        label = vendor.name if vendor else "any client"
        return Phone(label, vendor, Client(given_mac or oui + PLAYED_NUMBER, sends, asks))

    return [played(VENDORS[name]) for name in dict.fromkeys(vendors)] or [played(None)]


def taken(vendor: t.Optional[Vendor], offer: Offer) -> Taken:
    """The provisioning URL that a phone of the vendor takes of the offer, by its order of preference."""
    if vendor is not None and vendor.reads_encapsulated:
        inside = suboptions_of(offer.options.get(43, b""))
        found = _joined(*(Taken(text_of(inside.get(code, b"")), "%d in option 43" % code) for code in (66, 67)))
        found = found if found.url else _joined(_value(66, offer), _value(67, offer))
        if found.url:
            return found
    for code in vendor.reads if vendor else _UNKNOWN_READS:
        found = _value(code, offer)
        if found.url:
            return found
    return Taken()


def same_value(code: int, got: bytes, wanted: bytes) -> bool:
    """Is it what was wanted? dnsmasq puts a NUL byte behind the text of 66 and 67, whatever one does."""
    return got == wanted or (code in _FIELDS and got == wanted + b"\0")


def _value(code: int, offer: Offer) -> Taken:
    """The URL in one option, or in the field that stands for it."""
    data = offer.options.get(code, b"")
    if code == 43:
        # What is inside is the vendor's own; a URL is told by its looks.
        for value in [*suboptions_of(data).values(), data]:
            if b"://" in value[:8]:
                return Taken(text_of(value), "option 43")
        return Taken()
    if data:
        return Taken(text_of(data), "option %d" % code)
    field = _FIELDS.get(code, "")
    value = getattr(offer, field) if field else b""
    return Taken(text_of(value), field) if value else Taken()


def _joined(folder: Taken, file: Taken) -> Taken:
    """66 names the server or folder, or the whole URL, and 67 the file in it, or the whole URL."""
    if not folder.url or "://" in file.url:
        return file if file.url else Taken()
    if not file.url:
        return folder
    return Taken(folder.url.rstrip("/") + "/" + file.url.lstrip("/"), "%s and %s" % (folder.source, file.source))
