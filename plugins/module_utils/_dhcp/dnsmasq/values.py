# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""DHCP options as dnsmasq writes and reads them: which bytes travel for which words."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .text import Word, quote

# What `dnsmasq --help dhcp` says.
_NAMES = """
    netmask=1 time-offset=2 router=3 dns-server=6 log-server=7 lpr-server=9 hostname=12 boot-file-size=13
    domain-name=15 swap-server=16 root-path=17 extension-path=18 ip-forward-enable=19 non-local-source-routing=20
    policy-filter=21 max-datagram-reassembly=22 default-ttl=23 mtu=26 all-subnets-local=27 router-discovery=31
    router-solicitation=32 static-route=33 trailer-encapsulation=34 arp-timeout=35 ethernet-encap=36 tcp-ttl=37
    tcp-keepalive=38 nis-domain=40 nis-server=41 ntp-server=42 netbios-ns=44 netbios-dd=45 netbios-nodetype=46
    netbios-scope=47 x-windows-fs=48 x-windows-dm=49 T1=58 T2=59 vendor-class=60 nis+-domain=64 nis+-server=65
    tftp-server=66 bootfile-name=67 mobile-ip-home=68 smtp-server=69 pop3-server=70 nntp-server=71 irc-server=74
    user-class=77 rapid-commit=80 client-arch=93 client-interface-id=94 client-machine-id=97 posix-timezone=100
    tzdb-timezone=101 ipv6-only=108 domain-search=119 sip-server=120 classless-static-route=121 vendor-id-encap=125
    tftp-server-address=150 server-ip-address=54
"""
NAMES: t.Dict[str, int] = {name: int(code) for name, code in (word.split("=") for word in _NAMES.split())}
# Tried with 2.90 and 2.91, every code: these take nothing but addresses, …
_ADDRESSES = frozenset((1, 3, 6, 7, 9, 16, 21, 28, 32, 33, 41, 42, 44, 45, 48, 49, 50, 54, 65, 68, 69, 70, 71, 74, 150))
# … these nothing but text (what looks like hexadecimal digits is sent as it stands), …
_TEXTS = frozenset((12, 14, 15, 17, 18, 40, 47, 64, 66, 67, 100, 101))
# … these a number of seconds, …
_SECONDS = frozenset((35, 38))
# … this is encoded by dnsmasq itself. (120 would be too, but takes hexadecimal digits.)
_NAMES_ONLY = frozenset((119,))
#: A number without a suffix takes as many bytes as it needs, except for these.
_NUMBER_BYTES = {2: 4, 13: 2, 22: 2, 23: 1, 26: 2, 37: 1, 46: 1}


def spell(code: int, data: bytes) -> str:
    """The argument for which dnsmasq sends exactly these bytes (and a NUL behind 66 and 67, whatever one does).

    Raises ValueError with the reason where there is none.
    """
    text = data.decode("latin-1")
    printable = text.isascii() and text.isprintable()
    if code in _ADDRESSES:
        if len(data) % 4:
            raise ValueError("dnsmasq takes only IPv4 addresses for it")
        return ",".join(str(ipaddress.IPv4Address(data[at : at + 4])) for at in range(0, len(data), 4))
    if code in _TEXTS:
        if not printable:
            raise ValueError("dnsmasq takes only text for it")
        if len(data) > 254 and code in (66, 67):
            raise ValueError("dnsmasq puts a NUL byte behind it, so 254 bytes is the most")
        return quote(text)
    if code in _NAMES_ONLY:
        raise ValueError("dnsmasq encodes it itself, from domain names; set it in its own configuration")
    if code in _SECONDS:
        if len(data) != 4 or data[0] > 0x7F:
            raise ValueError("dnsmasq takes a number of seconds for it (encoding uint32)")
        return str(int.from_bytes(data, "big"))
    if printable and code != 120:
        return quote(text)
    return hexadecimal(data) if len(data) > 1 else "%db" % data[0]


def hexadecimal(data: bytes) -> str:
    return ":".join("%02x" % byte for byte in data)


def code_of(word: Word) -> t.Optional[int]:
    """The code of an option, by number or name; None where the word is none (a tag, an option of DHCPv6)."""
    if re.match(r"^[0-9]+$", word.text) and not word.quoted:
        return int(word.text)
    if word.text.startswith("option:"):
        return NAMES.get(word.text[len("option:") :], -1)
    return None


def value_of(code: int, words: t.Sequence[Word]) -> t.Optional[bytes]:
    """The bytes that dnsmasq sends for what an administrator wrote; None where that cannot be told."""
    if not words:
        return b""
    text = ",".join(word.text for word in words)
    if code not in _TEXTS and not any(word.quoted for word in words):
        addresses = _addresses(words)
        if addresses is not None:
            return b"\x01" + addresses if code == 120 else addresses
        if re.match(r"^[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2})+$", text):
            return bytes(int(digits, 16) for digits in text.split(":"))
        number = re.match(r"^([0-9]+)([bsi]?)$", text)
        if number:
            return _number(code, int(number.group(1)), number.group(2))
        if code in _NAMES_ONLY or code == 120 or re.match(r"^[0-9./]+$", words[0].text):
            return None  # names, routes with widths
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _addresses(words: t.Sequence[Word]) -> t.Optional[bytes]:
    try:
        found = [ipaddress.IPv4Address(word.text) for word in words]
    except ValueError:
        return None
    # 0.0.0.0 stands for the address of the server.
    return None if any(int(item) == 0 for item in found) else b"".join(item.packed for item in found)


def _number(code: int, value: int, suffix: str) -> t.Optional[bytes]:
    if suffix:
        size = {"b": 1, "s": 2, "i": 4}[suffix]
    elif code in _SECONDS:
        size = 4
    else:
        size = _NUMBER_BYTES.get(code) or (4 if value > 0xFFFF else 2 if value > 0xFF else 1)
    mask: int = 256**size - 1
    return (value & mask).to_bytes(size, "big")
