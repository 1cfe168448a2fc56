# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a phone asks by SIP PnP, and the two messages it is told its address with.

The event is that of RFC 6080 (``ua-profile``), the multicast form is of its early drafts. Where phones differ from the
standard, the tests name the phone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from autoprovd.pnp.message import Message, has_tag, received, write

# sip:MAC%3a00135E874B49@…, %3A, with a colon, or glued together; in either case.
_MAC = re.compile(r"<?\s*sips?:mac(?:%3a|:)?([0-9a-f]{12})(?:@|>|;|$)", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z-]{1,20})\s*=\s*(?:"([^"]*)"|([^;"\s]*))', re.IGNORECASE)
_ADDRESS = re.compile("<([^>]*)>")
_LONGEST_WORD = 60
_LONGEST_USER_AGENT = 256


class Enquiry(NamedTuple):
    """A SUBSCRIBE for a phone's profile."""

    mac: str
    """The MAC address the phone claims, 12 lower-case digits."""
    vendor: str
    model: str
    version: str
    """What the phone says of itself in its ``Event``, for people to read: ``OEM`` and ``VOIP PHONE`` occur."""
    user_agent: str
    request: Message


def enquiry_of(request: Message) -> Enquiry | None:
    """What a request asks, or None when it is not a phone's question where its configuration is.

    The MAC address stands in the Request-URI, or else in ``To``; where both have one they have to agree. What stands in
    ``From`` does not count: a Snom M700 has an extension there.
    """
    if request.method != "SUBSCRIBE" or request.status:
        return None
    event, semicolon, parameters = request.value("event").partition(";")
    if event.strip().lower() != "ua-profile":
        return None
    to = request.value("to")
    address = _ADDRESS.search(to)
    of_uri, of_to = _MAC.match(request.uri), _MAC.match(address[1] if address else to)
    macs = {found[1].lower() for found in (of_uri, of_to) if found}
    if len(macs) != 1:
        return None
    told = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(semicolon + parameters)}
    vendor, model, version = (printable(told.get(name, ""), _LONGEST_WORD) for name in ("vendor", "model", "version"))
    agent = printable(request.value("user-agent"), _LONGEST_USER_AGENT)
    return Enquiry(macs.pop(), vendor, model, version, agent, request)


def printable(text: str, longest: int) -> str:
    """What a stranger wrote, as people may be shown it: printable ASCII, and not too much of it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:longest])


def accepted(enquiry: Enquiry, tag: str, source: tuple[str, int], contact: str) -> bytes:
    """The ``200 OK``: the subscription ends with the one notification that follows (``Expires: 0``)."""
    request = enquiry.request
    first, *others = request.headers["via"]
    headers = [("Via", received(first, *source)), *(("Via", via) for via in others)]
    headers += [
        ("From", request.value("from")),
        ("To", _tagged(request.value("to"), tag)),
        ("Call-ID", request.value("call-id")),
        ("CSeq", request.value("cseq")),
        ("Contact", f"<sip:{contact}>"),
        ("Expires", "0"),
    ]
    return write("SIP/2.0 200 OK", headers)


def notification(enquiry: Enquiry, tag: str, branch: str, destination: str, sender: str, url: str) -> bytes:
    """The ``NOTIFY`` with the address as its body; ``destination`` and ``sender`` are ``host:port``."""
    request = enquiry.request
    headers = [
        ("Via", f"SIP/2.0/UDP {sender};branch={branch};rport"),
        ("Max-Forwards", "70"),
        # The dialog seen from this end: who was asked is who tells.
        ("From", _tagged(request.value("to"), tag)),
        ("To", request.value("from")),
        ("Call-ID", request.value("call-id")),
        ("CSeq", "1 NOTIFY"),
        ("Contact", f"<sip:{sender}>"),
        ("Event", "ua-profile;effective-by=0"),
        ("Subscription-State", "terminated;reason=timeout"),
        ("Content-Type", "application/url"),
    ]
    return write(f"NOTIFY sip:{destination} SIP/2.0", headers, url.encode("ascii"))


def _tagged(address: str, tag: str) -> str:
    return address if has_tag(address) else f"{address};tag={tag}"
