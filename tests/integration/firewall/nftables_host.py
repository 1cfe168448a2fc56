# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with nftables, as an administrator may have it: what is not let in is dropped."""

from __future__ import annotations

from typing import ClassVar

from .walled_host import WalledHost

THEIRS = """
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport 22 accept comment "administrators"
  }
}
"""


class NftablesHost(WalledHost):
    """nftables, with rules of the administrator that drop."""

    backend = "nftables"
    copied = ("/etc", "/usr/local/lib")
    programs: ClassVar = {**WalledHost.programs, "nft": "nftables"}

    def start_firewall(self) -> None:
        """Have the administrator's rules loaded."""
        self.do("nft", "-f", "-", stdin=THEIRS)
