# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP as a phone asks it: SUBSCRIBE to the group, and what the NOTIFY tells.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time

from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.items import Item, item

_GROUP, _PORT = "224.0.1.75", 5060
_SIOCGIFADDR, _SIOCGIFHWADDR = 0x8915, 0x8927


def ask(interface: str, url: str, language: str, patience: float) -> Item:
    """What a phone with this interface's MAC address is told on this interface; it should be told ``url``."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            name = struct.pack("256s", interface.encode()[:15])
            address = socket.inet_ntoa(fcntl.ioctl(own, _SIOCGIFADDR, name)[20:24])
            mac = fcntl.ioctl(own, _SIOCGIFHWADDR, name)[18:24].hex()
            own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            own.bind((address, 0))
            found = _exchange(own, address, mac, patience)
    except OSError as error:
        reason = error.strerror or str(error)
        way = f"{reason}. Name an interface that is up, with an address."
        return item(
            "pnp",
            interface,
            "pnp silent",
            language,
            way=way,
            way_de=f"{reason}. Eine Schnittstelle mit Adresse nennen.",
        )
    if found is None:
        return item(
            "pnp",
            interface,
            "pnp silent",
            language,
            way=f"Put a phone {mac} on the list for this test, name the interface in provisioning_pnp_interfaces, and "
            "let 5060/UDP to 224.0.1.75 through. The appliance does not answer itself: run this on another host.",
            way_de=f"Für die Prüfung ein Telefon {mac} in die Liste aufnehmen, die Schnittstelle in "
            "provisioning_pnp_interfaces nennen und 5060/UDP an 224.0.1.75 durchlassen. Sich selbst antwortet die "
            "Appliance nicht: auf einem anderen Host laufen lassen.",
        )
    told, source = found
    return item("pnp", interface, "told by pnp" if told == url else "pnp elsewhere", language, url=told, source=source)


def _exchange(own: socket.socket, address: str, mac: str, patience: float) -> tuple[str, str] | None:
    call, uri, port = os.urandom(8).hex(), f"sip:MAC%3a{mac.upper()}@{_GROUP}", own.getsockname()[1]
    lines = (
        f"SUBSCRIBE {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {address}:{port};branch=z9hG4bK{call};rport",
        "Max-Forwards: 70",
        f"From: <{uri}>;tag={call}",
        f"To: <{uri}>",
        f"Call-ID: {call}@{address}",
        "CSeq: 1 SUBSCRIBE",
        'Event: ua-profile;profile-type="device";vendor="OEM";model="OEM";version="1"',
        "Expires: 0",
        "Accept: application/url",
        f"Contact: <sip:{address}:{port}>",
        "Content-Length: 0",
        "",
        "",
    )
    end, pause = time.monotonic() + patience, 0.5
    while time.monotonic() < end:
        own.sendto("\r\n".join(lines).encode(), (_GROUP, _PORT))
        until = min(end, time.monotonic() + pause)
        pause *= 2
        while True:
            left = until - time.monotonic()
            if left <= 0:
                break
            own.settimeout(left)
            try:
                data, source = own.recvfrom(65535)
            except socket.timeout:
                break
            head, _gap, body = data.decode("latin-1").partition("\r\n\r\n")
            if not head.startswith("NOTIFY ") or f"{call}@{address}" not in head:
                continue
            kept = [
                each for each in head.split("\r\n") if each.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")
            ]
            own.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode(), source)
            return "".join(letter for letter in body[:300] if " " < letter <= "~"), source[0]
    return None
