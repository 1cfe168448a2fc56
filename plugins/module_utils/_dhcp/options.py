# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""DHCP options phones read: codes, names, and how a value becomes bytes in the packet."""

from __future__ import annotations

import ipaddress
import string
import typing as t

#: code -> (name, encoding unless the user says otherwise). Names as in RFC 2132, 3361, 8910 and the IANA registry; 132,
#: 159 and 160 have no name for what phones do with them, so theirs are ours.
OPTIONS: t.Dict[int, t.Tuple[str, str]] = {
    42: ("ntp-servers", "ipv4"),  # RFC 2132 8.3
    43: ("vendor-encapsulated-options", "hex"),  # RFC 2132 8.4: the vendor decides what is inside
    66: ("tftp-server-name", "string"),  # RFC 2132 9.4; phones take a whole URL
    67: ("boot-file-name", "string"),  # RFC 2132 9.5
    114: ("captive-portal", "string"),  # RFC 8910; was "default URL", and that is what Gigaset reads it as
    120: ("sip-servers", "sip_servers"),  # RFC 3361
    132: ("vlan-id", "string"),  # phones: decimal digits, or "VLAN-A=20;"
    150: ("tftp-server-address", "ipv4"),  # RFC 5859
    159: ("provisioning-url-159", "string"),  # phones: a URL; RFC 7618 has since taken the code for port sets
    160: ("provisioning-url-160", "string"),  # phones: a URL
}
CODES: t.Dict[str, int] = {name: code for code, (name, _encoding) in OPTIONS.items()}
# What the three servers call the same options.
CODES.update({"v4-captive-portal": 114, "default-url": 114, "bootfile-name": 67, "tftp-server": 66, "ntp-server": 42})

ENCODINGS = ("string", "ipv4", "sip_servers", "uint8", "uint16", "uint32", "hex")
_INTEGER_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4}


def option_name(code: int) -> str:
    """`66 (tftp-server-name)`, or just the number for a code without a name."""
    return "%d (%s)" % (code, OPTIONS[code][0]) if code in OPTIONS else str(code)


def default_encoding(code: int) -> str:
    return OPTIONS[code][1] if code in OPTIONS else "string"


def _addresses(value: str) -> bytes:
    parts = [part.strip() for part in value.split(",")]
    return b"".join(ipaddress.IPv4Address(part).packed for part in parts)


def encode(value: str, encoding: str) -> bytes:
    """The bytes of `value` in the packet. Raises ValueError with the reason; which option it is, the caller knows."""
    if not value:
        raise ValueError("the value is empty")
    if encoding == "string":
        if not value.isascii() or not value.isprintable():
            raise ValueError("only printable ASCII characters can be sent")
        return value.encode("ascii")
    if encoding == "ipv4":
        return _addresses(value)
    if encoding == "sip_servers":
        return b"\x01" + _addresses(value)  # RFC 3361: 1 = a list of IPv4 addresses follows
    if encoding in _INTEGER_BYTES:
        size = _INTEGER_BYTES[encoding]
        try:
            return int(value, 10).to_bytes(size, "big")
        except (ValueError, OverflowError):
            raise ValueError("not a whole number from 0 to %d" % (256**size - 1)) from None
    if encoding == "hex":
        digits = value.replace(":", "").replace(" ", "")
        if len(digits) % 2 or any(char not in string.hexdigits for char in digits):
            raise ValueError("not an even count of hexadecimal digits")
        if not digits:
            raise ValueError("the value is empty")
        return bytes.fromhex(digits)
    raise ValueError("unknown encoding %s" % encoding)


def shown(code: int, data: bytes) -> str:
    """The same for the bytes of an option: addresses as such where it has addresses in it."""
    encoding, addresses = default_encoding(code), data
    if encoding == "sip_servers" and data[:1] == b"\x01":
        encoding, addresses = "ipv4", data[1:]
    if encoding != "ipv4" or not addresses or len(addresses) % 4:
        return display(data)
    return ", ".join(str(ipaddress.IPv4Address(addresses[at : at + 4])) for at in range(0, len(addresses), 4))


def display(data: bytes) -> str:
    """Bytes as a person reads them: the text where it is printable, hexadecimal digits where it is not."""
    text = data.decode("latin-1")
    return text if text.isascii() and text.isprintable() else "0x" + data.hex()
