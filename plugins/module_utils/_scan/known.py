# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host knows already, without sending anything: its neighbour table, and the leases of a DHCP server on it.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import itertools
import os
import re
import typing as t

_LINES = 200_000
_LEASE_FILES = ("/var/lib/misc/dnsmasq.leases", "/var/lib/kea/kea-leases4.csv", "/var/lib/dhcp/dhcpd.leases")
_ARP_COMPLETE = 0x2
_MAC = re.compile("(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


def neighbours() -> dict[str, str]:
    """MAC addresses (12 lower-case digits) by IPv4 address."""
    found = {}
    for line in _lines("/proc/net/arp")[1:]:
        fields = line.split()
        if len(fields) >= 4 and int(fields[2], 16) & _ARP_COMPLETE and fields[3] != "00:00:00:00:00:00":
            found[fields[0]] = fields[3].replace(":", "").lower()
    return found


def leases(files: t.Sequence[str]) -> dict[str, str]:
    """MAC addresses by IPv4 address, the last lease of each; of files that are there."""
    found: dict[str, str] = {}
    for file in files or _LEASE_FILES:
        if os.path.isfile(file):
            found.update(_leases_of(_lines(file)))
    return found


def _leases_of(lines: t.Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    address = ""
    for line in lines:
        text = line.strip().lower()
        if text.startswith("lease ") and text.endswith("{"):  # ISC dhcpd
            address = text.split()[1]
            continue
        mac = _MAC.search(text)
        if mac is None:
            continue
        fields = text.split(",") if text.count(",") >= 3 else text.split()
        if fields[0] == "hardware" and address:
            found[address] = mac.group().replace(":", "")
        elif len(fields) >= 3 and fields[1] == mac.group():
            # Kea: address,hwaddr,…; dnsmasq: end MAC address name.
            place = fields[0] if text.count(",") >= 3 else fields[2]
            found[place] = mac.group().replace(":", "")
    return found


def _lines(file: str) -> list[str]:
    try:
        with open(file, encoding="ascii", errors="replace") as stream:
            return list(itertools.islice(stream, _LINES))
    except OSError:
        return []
