# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""DHCP options in the words of ISC dhcpd: its names for them, and what an option statement puts into the packet."""

from __future__ import annotations

import ipaddress
import re
import string
import typing as t
from dataclasses import dataclass

from ..options import display
from .text import Statement, Token

#: The names dhcpd 4.4 knows (dhcp-options(5)) for options a client may be given: code -> (name, type). Types: text;
#: string (text in quotes, or bytes in hexadecimal); ip (one address or several); int8 … int32; other.
BUILT_IN: t.Dict[int, t.Tuple[str, str]] = {
    1: ("subnet-mask", "ip"), 2: ("time-offset", "int32"), 3: ("routers", "ip"), 4: ("time-servers", "ip"),
    5: ("ien116-name-servers", "ip"), 6: ("domain-name-servers", "ip"), 7: ("log-servers", "ip"),
    8: ("cookie-servers", "ip"), 9: ("lpr-servers", "ip"), 10: ("impress-servers", "ip"),
    11: ("resource-location-servers", "ip"), 12: ("host-name", "string"), 13: ("boot-size", "int16"),
    14: ("merit-dump", "text"), 15: ("domain-name", "text"), 16: ("swap-server", "ip"), 17: ("root-path", "text"),
    18: ("extensions-path", "text"), 19: ("ip-forwarding", "other"), 20: ("non-local-source-routing", "other"),
    21: ("policy-filter", "other"), 22: ("max-dgram-reassembly", "int16"), 23: ("default-ip-ttl", "int8"),
    24: ("path-mtu-aging-timeout", "int32"), 25: ("path-mtu-plateau-table", "int16"), 26: ("interface-mtu", "int16"),
    27: ("all-subnets-local", "other"), 28: ("broadcast-address", "ip"), 29: ("perform-mask-discovery", "other"),
    30: ("mask-supplier", "other"), 31: ("router-discovery", "other"), 32: ("router-solicitation-address", "ip"),
    33: ("static-routes", "other"), 34: ("trailer-encapsulation", "other"), 35: ("arp-cache-timeout", "int32"),
    36: ("ieee802-3-encapsulation", "other"), 37: ("default-tcp-ttl", "int8"), 38: ("tcp-keepalive-interval", "int32"),
    39: ("tcp-keepalive-garbage", "other"), 40: ("nis-domain", "text"), 41: ("nis-servers", "ip"),
    42: ("ntp-servers", "ip"), 43: ("vendor-encapsulated-options", "string"), 44: ("netbios-name-servers", "ip"),
    45: ("netbios-dd-server", "ip"), 46: ("netbios-node-type", "int8"), 47: ("netbios-scope", "string"),
    48: ("font-servers", "ip"), 49: ("x-display-manager", "ip"), 50: ("dhcp-requested-address", "ip"),
    51: ("dhcp-lease-time", "int32"), 52: ("dhcp-option-overload", "int8"), 53: ("dhcp-message-type", "int8"),
    54: ("dhcp-server-identifier", "ip"), 55: ("dhcp-parameter-request-list", "int8"), 56: ("dhcp-message", "text"),
    57: ("dhcp-max-message-size", "int16"), 58: ("dhcp-renewal-time", "int32"), 59: ("dhcp-rebinding-time", "int32"),
    60: ("vendor-class-identifier", "string"), 61: ("dhcp-client-identifier", "string"), 62: ("nwip-domain", "string"),
    64: ("nisplus-domain", "text"), 65: ("nisplus-servers", "ip"), 66: ("tftp-server-name", "text"),
    67: ("bootfile-name", "text"), 68: ("mobile-ip-home-agent", "ip"), 69: ("smtp-server", "ip"),
    70: ("pop-server", "ip"), 71: ("nntp-server", "ip"), 72: ("www-server", "ip"), 73: ("finger-server", "ip"),
    74: ("irc-server", "ip"), 75: ("streettalk-server", "ip"),
    76: ("streettalk-directory-assistance-server", "ip"), 77: ("user-class", "string"),
    78: ("slp-directory-agent", "other"), 79: ("slp-service-scope", "other"), 85: ("nds-servers", "ip"),
    86: ("nds-tree-name", "string"), 87: ("nds-context", "string"), 88: ("bcms-controller-names", "other"),
    89: ("bcms-controller-address", "ip"), 91: ("client-last-transaction-time", "int32"), 92: ("associated-ip", "ip"),
    93: ("pxe-system-type", "int16"), 94: ("pxe-interface-id", "other"), 97: ("pxe-client-id", "other"),
    98: ("uap-servers", "text"), 99: ("geoconf-civic", "string"), 100: ("pcode", "text"), 101: ("tcode", "text"),
    108: ("v6-only-preferred", "int32"), 112: ("netinfo-server-address", "ip"), 113: ("netinfo-server-tag", "text"),
    114: ("default-url", "text"), 116: ("auto-config", "int8"), 117: ("name-service-search", "int16"),
    118: ("subnet-selection", "ip"), 119: ("domain-search", "other"), 124: ("vivco", "string"),
    125: ("vivso", "string"), 136: ("pana-agent", "ip"), 137: ("v4-lost", "other"), 138: ("capwap-ac-v4", "ip"),
    141: ("sip-ua-cs-domains", "other"), 146: ("rdnss-selection", "other"), 150: ("tftp-server-address", "ip"),
    159: ("v4-portparams", "other"), 160: ("v4-captive-portal", "text"),
    209: ("loader-configfile", "text"), 210: ("loader-pathprefix", "text"), 211: ("loader-reboottime", "int32"),
    212: ("option-6rd", "other"), 213: ("v4-access-domain", "other"),
}  # fmt: skip
_DEFINED_TYPES = {"text": "text", "string": "string", "ip-address": "ip"}
_INTEGER_BYTES = {"int8": 1, "int16": 2, "int32": 4}
#: Statements that set an option, whatever they do with an earlier value.
SETTING_KEYWORDS = ("option", "supersede", "send", "default", "append", "prepend")
REQUEST_LIST = 55


class Definitions:
    """Names of options: dhcpd's own, and those the administrator defines (`option opt66 code 66 = text;`)."""

    def __init__(self) -> None:
        self._names = {name: (code, kind) for code, (name, kind) in BUILT_IN.items()}

    def learn(self, item: Statement) -> bool:
        """Take in a definition; False when the statement is none."""
        words = [token.value for token in item.tokens]
        if item.keyword != "option" or "code" not in words[2:3]:
            return False
        name = _plain(words[1])
        rest = words[words.index("=") + 1 :] if "=" in words else []
        if name is not None and len(words) > 3 and words[3].isdigit():
            array, rest = rest[:2] == ["array", "of"], [word for word in rest if word not in ("array", "of")]
            if rest and rest[0] in ("integer", "signed", "unsigned"):
                bits = re.search(r"(8|16|32)", "".join(rest))
                kind = "int%s" % bits.group(1) if bits else "other"
            else:
                kind = _DEFINED_TYPES.get(rest[0], "other") if len(rest) == 1 else "other"
            self._names[name] = (int(words[3]), "other" if array and kind in ("text", "string") else kind)
        return True

    def find(self, name: str) -> t.Optional[t.Tuple[int, str]]:
        """(code, type) of an option that travels in the packet itself, None for anything else."""
        plain = _plain(name)
        if plain is None:
            return None
        if plain in self._names:
            return self._names[plain]
        unknown = re.match(r"^unknown-(\d{1,3})$", plain)
        if not unknown:
            return None
        code = int(unknown.group(1))
        for other, kind in self._names.values():
            if other == code:
                return code, kind
        return code, "string"


def _plain(name: str) -> t.Optional[str]:
    """The name without `dhcp.`; None for one of another option space."""
    name = name[5:] if name.startswith("dhcp.") else name
    return None if "." in name else name


@dataclass(frozen=True)
class Value:
    """What a statement sets: for a person, and as bytes where they can be told without a client."""

    code: int
    shown: str
    data: t.Optional[bytes]


def value_of(item: Statement, definitions: Definitions, first: int = 0) -> t.Optional[Value]:
    """The option that a statement sets, None when it sets none. `first` is the index of its first token."""
    if item.is_block or item.word(first) not in SETTING_KEYWORDS or len(item.tokens) < first + 3:
        return None
    found = definitions.find(item.word(first + 1))
    if found is None or item.word(first + 2) == "code":
        return None
    code, kind = found
    expression = item.word(first + 2) == "="
    tokens = item.tokens[first + 3 :] if expression else item.tokens[first + 2 :]
    try:
        data = literal_bytes(tokens) if expression else _bytes(tokens, kind)
    except ValueError:
        data = None
    shown = display(data) if data and kind != "ip" else None
    if shown is None:
        shown = item.raw(first + (3 if expression else 2))
    return Value(code, shown, data if item.word(first) in ("option", "supersede", "send") else None)


def literal_bytes(tokens: t.Sequence[Token]) -> t.Optional[bytes]:
    """The bytes of `"text"` or `68:74:74:70`, None for anything else."""
    if len(tokens) != 1:
        return None
    if tokens[0].kind == "string":
        return tokens[0].value.encode("latin-1")
    digits = tokens[0].value.split(":")
    if tokens[0].kind == "word" and all(0 < len(part) <= 2 and not part.strip(string.hexdigits) for part in digits):
        return bytes(int(part, 16) for part in digits)
    return None


def _bytes(tokens: t.Sequence[Token], kind: str) -> t.Optional[bytes]:
    """Raises ValueError when the tokens are no such literals (a host name for an address, say)."""
    values = [token.value for token in tokens if token.raw != ","]
    if kind == "text":
        return tokens[0].value.encode("latin-1") if len(tokens) == 1 else None
    if kind == "string":
        return literal_bytes(tokens)
    if kind == "ip":
        return b"".join(ipaddress.IPv4Address(value).packed for value in values)
    if kind in _INTEGER_BYTES:
        size = _INTEGER_BYTES[kind]
        return b"".join(int(value, 0).to_bytes(size, "big", signed=value.startswith("-")) for value in values)
    return None


def requested_codes(item: Statement, first: int = 0) -> t.FrozenSet[int]:
    """The codes that a dhcp-parameter-request-list statement adds to, or leaves of, what a client asks for."""
    codes: t.Set[int] = set()
    expression = item.word(first + 2) == "="
    for token in item.tokens[first + (3 if expression else 2) :]:
        if expression:
            codes.update(literal_bytes([token]) or b"")
        elif token.value.isdigit():
            codes.add(int(token.value))
    return frozenset(codes)
