# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones send when they ask by SIP PnP: the forms their vendors and users have published, one for each habit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

GROUP = "224.0.1.75"


class Asking(NamedTuple):
    """A phone's question: the lines it is made of."""

    uri: str
    sender: str
    event: str
    via: str
    others: tuple[str, ...] = ()
    sequence: int = 1
    to: str = ""

    def datagram(self, mac: str, address: str, port: int = 5060, call: str = "1930770594") -> bytes:
        """The question of the phone with that MAC address, from there."""
        places = {"mac": mac, "MAC": mac.upper(), "address": address, "port": port, "call": call}
        uri = self.uri.format(**places)
        sender = self.sender.format(**places) or f"<{uri}>;tag=658512961"
        lines = [
            f"SUBSCRIBE {uri} SIP/2.0",
            f"Via: {self.via.format(**places)}",
            f"From: {sender}",
            f"To: {self.to.format(**places) or f'<{uri}>'}",
            f"Call-ID: {call}@{address}",
            f"CSeq: {self.sequence} SUBSCRIBE",
            f"Event: {self.event}",
            "Expires: 0",
            "Accept: application/url",
            f"Contact: <sip:{address}:{port}>",
            *(other.format(**places) for other in self.others),
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()


def _event(vendor: str, model: str, version: str) -> str:
    return f'ua-profile;profile-type="device";vendor="{vendor}";model="{model}";version="{version}"'


_BRANCH = "SIP/2.0/UDP {address}:{port};branch=z9hG4bK{call};rport"

PHONES = {
    # No branch, no Max-Forwards, no User-Agent; the host is the phone's domain. service.snom.com
    "snom desk": Asking(
        "sip:MAC%3a{MAC}@intern.snom.de", "", _event("OEM", "OEM", "7.1.19"), "SIP/2.0/UDP {address}:{port};rport"
    ),
    "snom D120": Asking(
        "sip:MAC%3a{MAC}@224.0.1.75", "", _event("snom", "snomD120", "10.1.39.11"), _BRANCH,
        ("User-Agent: snomD120/10.1.39.11", "Max-Forwards: 70"),
    ),
    # An extension in From, CSeq is not 1. The manual of the M300
    "snom M700": Asking(
        "sip:MAC%3a{MAC}@224.0.1.75", "<sip:512@{address}>;tag=dmrud.mzfyg66", _event("snom", "snomM700", "03.23.0005"),
        _BRANCH, ("User-Agent: snomM700/03.23.0005 (MAC={MAC}; SER= 00000; HW=255)",), 20264,
    ),
    # "MAC" glued to the digits, which are lower-case.
    "yealink T21, old": Asking(
        "sip:MAC{mac}@224.0.1.75", "", _event("Yealink", "T21D", "34.72.14.6"), _BRANCH,
        ("User-Agent: Yealink SIP-T21P 34.72.14.6",),
    ),
    "yealink T53W": Asking(
        "sip:MAC%3a{mac}@224.0.1.75", "", _event("Yealink", "T53W", "96.87.0.16"), _BRANCH,
        ("User-Agent: Yealink SIP-T53W 96.87.0.16",),
    ),
    # Upper-case %3A.
    "grandstream": Asking("sip:MAC%3A{MAC}@224.0.1.75", "", _event("Grandstream", "GRP2601P", "1.0.5.68"), _BRANCH),
    "gigaset N670": Asking(
        "sip:MAC%3A{MAC}@local", "", "ua-profile", _BRANCH,
        ("User-Agent: Gigaset N670 IP PRO/83.V2.11.0+build.a546b91;{MAC}",),
    ),
    "fanvil": Asking("sip:MAC%3a{mac}@224.0.1.75", "", _event("Fanvil", "VOIP PHONE", "2.12.16.17"), _BRANCH),
    # A colon as it is.
    "colon": Asking("sip:MAC:{MAC}@224.0.1.75", "", _event("OEM", "OEM", "1"), _BRANCH),
    # The Request-URI names the group alone; the MAC address is in To.
    "in To": Asking(
        "sip:224.0.1.75", "<sip:512@{address}>;tag=1", _event("OEM", "OEM", "1"), _BRANCH,
        to='"A phone" <sip:MAC%3a{MAC}@224.0.1.75>',
    ),
}  # fmt: skip


_PIECES = (b"\r\n", b"\r\n\r\n", b"\x00", b";", b":", b"<", b'"', b"%3a")


def mutilated(number: int, mac: str, address: str) -> Iterator[bytes]:
    """So many questions of that phone, mutilated at random, always the same."""
    at_random = random.Random(75)
    whole = [phone.datagram(mac, address) for phone in PHONES.values()]
    for _each in range(number):
        text = bytearray(at_random.choice(whole))
        for _change in range(at_random.randint(1, 8)):
            place = at_random.randrange(len(text) + 1)
            match at_random.randrange(5):
                case 0:
                    text[place : place + 1] = at_random.randbytes(1)
                case 1:
                    del text[place : place + at_random.randrange(40)]
                case 2:
                    text[place:place] = text[: at_random.randrange(300)]
                case 3:
                    text[place:place] = at_random.choice(_PIECES)
                case 4:
                    del text[max(place, 1) :]
        yield bytes(text)
