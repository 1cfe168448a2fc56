# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Which ports a site must open, and to whom. Data only; the table in the documentation is made from it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

TCP, UDP = "tcp", "udp"

#: Who may reach a port.
PHONES = "phones"  # the networks of the phones, as given to the module
ADMINISTRATORS = "administrators"  # the networks of the administrators, as given to the module
ANYBODY = "anybody"  # who has no address yet, or any address
WHO = (PHONES, ADMINISTRATORS, ANYBODY)


@dataclass(frozen=True)
class PortRange:
    """One protocol and the ports from `first` to `last`."""

    protocol: str
    first: int
    last: int

    def __str__(self) -> str:
        ports = str(self.first) if self.first == self.last else "%d-%d" % (self.first, self.last)
        return "%s/%s" % (ports, self.protocol)


@dataclass(frozen=True)
class Profile:
    """Ports that are opened together."""

    name: str
    ports: t.Tuple[PortRange, ...]
    purpose: str
    who: str = PHONES
    #: Where packets are sent that reach the port, when it is a group address and no address of this host.
    group: t.Optional[str] = None


def _one(protocol: str, port: int) -> PortRange:
    return PortRange(protocol, port, port)


PROFILES: t.Dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("provisioning", (_one(TCP, 50080),), "configurations and phone menus, plain HTTP"),
        Profile("provisioning_tls", (_one(TCP, 50081),), "configurations and phone menus, HTTPS"),
        Profile("sip", (_one(UDP, 5060), _one(TCP, 5060)), "SIP: registration and calls"),
        Profile("sip_tls", (_one(TCP, 5061),), "SIP over TLS"),
        Profile("rtp", (PortRange(UDP, 10000, 20000),), "voice (RTP), towards this host"),
        # RFC 6080 and the vendors' SIP PnP: SUBSCRIBE to this group, on the phone's own network.
        Profile("pnp_multicast", (_one(UDP, 5060),), "SIP PnP: phones that look for their server", group="224.0.1.75"),
        Profile("tftp", (_one(UDP, 69),), "TFTP, for phones that know nothing else"),
        # Who asks for an address has none: its packets come from 0.0.0.0, to 255.255.255.255.
        Profile("dhcp", (_one(UDP, 67),), "DHCP, where this host serves it", who=ANYBODY),
        Profile("ntp", (_one(UDP, 123),), "time"),
        Profile("ldap", (_one(TCP, 389),), "telephone directory"),
        Profile("ldaps", (_one(TCP, 636),), "telephone directory over TLS"),
        Profile("admin", (_one(TCP, 50082),), "the admin API over HTTPS, for Ansible", who=ADMINISTRATORS),
    )
}
