# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench``: every benchmark, one after the other; each prints its figures beside a peer or a limit."""

from __future__ import annotations

import sys

from tests.bench import claims, dhcp_gap, firewall_ports, firmware, phone_files, phone_scan, phones_module, pnp

if __name__ == "__main__":
    wanted = sys.argv[1:] or [
        "phone_files",
        "phones_module",
        "claims",
        "dhcp_gap",
        "firewall_ports",
        "firmware",
        "pnp",
        "phone_scan",
    ]
    for name, benchmark in (
        ("phone_files", phone_files.run),
        ("phones_module", phones_module.run),
        ("claims", claims.run),
        ("dhcp_gap", dhcp_gap.run),
        ("firewall_ports", firewall_ports.run),
        ("firmware", firmware.run),
        ("pnp", pnp.run),
        ("phone_scan", phone_scan.run),
    ):
        if name in wanted:
            benchmark()
