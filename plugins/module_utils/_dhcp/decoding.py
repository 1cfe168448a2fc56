# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The options of an offer as people read them. Whatever a server sends is shown; nothing here raises."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .options import CODES, OPTIONS, display
from .packets import OPTION_END, OPTION_PAD

#: code -> (name, how its bytes are read). Options that phones are given are in options.py; names as in the IANA
#: registry of BOOTP and DHCP parameters, in the spelling of RFC 2132 and its successors.
_STANDARD: t.Dict[int, t.Tuple[str, str]] = {
    1: ("subnet-mask", "addresses"),
    2: ("time-offset", "signed"),
    3: ("routers", "addresses"),
    4: ("time-servers", "addresses"),
    6: ("domain-name-servers", "addresses"),
    7: ("log-servers", "addresses"),
    12: ("host-name", "text"),
    15: ("domain-name", "text"),
    17: ("root-path", "text"),
    26: ("interface-mtu", "number"),
    28: ("broadcast-address", "addresses"),
    33: ("static-routes", "address_pairs"),
    44: ("netbios-name-servers", "addresses"),
    50: ("requested-address", "addresses"),
    51: ("lease-time", "seconds"),
    52: ("option-overload", "number"),
    53: ("message-type", "message_type"),
    54: ("server-identifier", "addresses"),
    55: ("parameter-request-list", "codes"),
    56: ("message", "text"),
    57: ("max-message-size", "number"),
    58: ("renewal-time", "seconds"),
    59: ("rebinding-time", "seconds"),
    60: ("vendor-class-identifier", "text"),
    61: ("client-identifier", "hex"),
    69: ("smtp-servers", "addresses"),
    82: ("relay-agent-information", "suboptions"),
    100: ("posix-timezone", "text"),
    101: ("tz-database", "text"),
    119: ("domain-search", "names"),
    121: ("classless-static-routes", "routes"),
    125: ("vendor-identifying-options", "enterprise"),
    128: ("vlan-discovery-128", "text"),  # not registered: Poly and Avaya look here for "VLAN-A=20;"
    133: ("vlan-priority", "text"),  # not registered: what Snom takes it for
    161: ("provisioning-url-161", "text"),  # not registered: Yealink's second custom option
    249: ("classless-static-routes-ms", "routes"),
    252: ("proxy-autodiscovery", "text"),
}
_KIND_OF_ENCODING = {"string": "text", "ipv4": "addresses", "sip_servers": "sip_servers", "hex": "suboptions"}
_TABLE = dict(_STANDARD)
_TABLE.update({code: (name, _KIND_OF_ENCODING[encoding]) for code, (name, encoding) in OPTIONS.items()})
_CODE_OF = {name: code for code, (name, _kind) in _TABLE.items()}
_CODE_OF.update(CODES)
_MESSAGES = ("", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM")


def known_name(code: int) -> str:
    """The option's name, or its code where it has none."""
    return _TABLE[code][0] if code in _TABLE else str(code)


def code_of(text: str) -> int:
    """The code from a code or a name. Raises ValueError."""
    code = int(text) if re.match(r"^[0-9]+$", text) else _CODE_OF.get(text, 0)
    if not 1 <= code <= 254:
        raise ValueError("option %s is not known; give a code from 1 to 254, or a name as in routers" % text)
    return code


def text_of(data: bytes) -> str:
    """A text without the NUL byte that some servers put behind it (RFC 2132: receivers must ignore it)."""
    return display(data[:-1] if data.endswith(b"\0") else data)


def decode(code: int, data: bytes) -> str:
    """The value of an option for people: by the option's meaning where it fits, else as text or hexadecimal digits."""
    kind = _TABLE[code][1] if code in _TABLE else "text"
    try:
        return _READERS[kind](data)
    except ValueError:
        return display(data)


def suboptions_of(data: bytes) -> t.Dict[int, bytes]:
    """What is inside option 43 or 82 (RFC 2132 8.4); empty when its bytes are not made that way."""
    found: t.Dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != OPTION_END:
        if data[at] == OPTION_PAD:
            at += 1
            continue
        end = at + 2 + (data[at + 1] if at + 1 < len(data) else 255)
        if end > len(data):
            return {}
        found[data[at]] = found.get(data[at], b"") + data[at + 2 : end]
        at = end
    return found


def _addresses(data: bytes) -> str:
    if not data or len(data) % 4:
        raise ValueError
    return ", ".join(str(ipaddress.IPv4Address(data[at : at + 4])) for at in range(0, len(data), 4))


def _address_pairs(data: bytes) -> str:
    if not data or len(data) % 8:
        raise ValueError
    pairs = [_addresses(data[at : at + 8]).split(", ") for at in range(0, len(data), 8)]
    return ", ".join(" via ".join(pair) for pair in pairs)


def _number(data: bytes, signed: bool = False) -> str:
    if len(data) not in (1, 2, 4):
        raise ValueError
    return str(int.from_bytes(data, "big", signed=signed))


def _suboptions(data: bytes) -> str:
    found = suboptions_of(data)
    if not found:
        raise ValueError
    return ", ".join("%d: %s" % (code, text_of(value) or '""') for code, value in found.items())


def _routes(data: bytes) -> str:
    """RFC 3442: width, as many bytes of the destination as that needs, router."""
    routes, at = [], 0
    while at < len(data):
        width = data[at]
        size = (width + 7) // 8
        if width > 32 or at + 5 + size > len(data):
            raise ValueError
        network = ipaddress.IPv4Address(data[at + 1 : at + 1 + size].ljust(4, b"\0"))
        router = ipaddress.IPv4Address(data[at + 1 + size : at + 5 + size])
        routes.append("%s/%d via %s" % (network, width, router))
        at += 5 + size
    return ", ".join(routes)


def _names(data: bytes) -> str:
    """RFC 3397: domain names, which may end in a pointer to an earlier one."""
    names, at = [], 0
    while at < len(data):
        labels: t.List[str] = []
        position, end = at, -1
        while True:
            if position >= len(data) or len(labels) > 127:
                raise ValueError  # cut off, or pointers that go round in circles
            size = data[position]
            if size & 0xC0 == 0xC0 and position + 1 < len(data):
                end = end if end >= 0 else position + 2
                labels.append("")
                position = (size & 0x3F) << 8 | data[position + 1]
                continue
            if size == 0:
                break
            labels.append(display(data[position + 1 : position + 1 + size]))
            position += 1 + size
        names.append(".".join(label for label in labels if label))
        at = end if end >= 0 else position + 1
    return ", ".join(names)


def _enterprise(data: bytes) -> str:
    """RFC 3925: blocks of a vendor's enterprise number and its options."""
    blocks, at = [], 0
    while at < len(data):
        if at + 5 > len(data):
            raise ValueError
        number, size = int.from_bytes(data[at : at + 4], "big"), data[at + 4]
        blocks.append("%d: {%s}" % (number, decode(43, data[at + 5 : at + 5 + size])))
        at += 5 + size
    return ", ".join(blocks)


def _sip_servers(data: bytes) -> str:
    """RFC 3361: names behind a 0, addresses behind a 1."""
    if data[:1] == b"\x01":
        return _addresses(data[1:])
    if data[:1] == b"\x00":
        return _names(data[1:])
    raise ValueError


def _message_type(data: bytes) -> str:
    number = int(_number(data))
    return _MESSAGES[number] if 0 < number < len(_MESSAGES) else str(number)


_READERS: t.Dict[str, t.Callable[[bytes], str]] = {
    "text": text_of,
    "hex": lambda data: "0x" + data.hex(),
    "addresses": _addresses,
    "address_pairs": _address_pairs,
    "number": _number,
    "signed": lambda data: _number(data, signed=True),
    "seconds": lambda data: _number(data) + " s",
    "codes": lambda data: ", ".join(str(code) for code in data),
    "message_type": _message_type,
    "suboptions": _suboptions,
    "routes": _routes,
    "names": _names,
    "enterprise": _enterprise,
    "sip_servers": _sip_servers,
}
