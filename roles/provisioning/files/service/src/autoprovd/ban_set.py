# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m autoprovd.ban_set``: hand the bans of the service to the kernel, as sets that a rule of nftables drops.

It runs beside the service, with another user and the one capability that the kernel asks for; the service itself has
none. All it takes from the service is a file of addresses and times, and it takes nothing else than that: whoever took
the service over could close the phones' ports to addresses, and change no other rule.

It uses the standard library alone, so that nothing else runs with its right.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

TABLE = "autoprov_bans"
_MOST_BANS, _MOST_BYTES = 20_000, 1 << 20
_LONGEST_SECONDS = 30 * 86400
_PREFIX = 64
_LINE = re.compile(r"([0-9a-f.:]{2,39}(?:/64)?) (\d{1,12})")
_SECONDS = 60.0
"""How long the kernel may take."""


class Spoilt(Exception):
    """Something that was given is not as it must be; its words are for a person."""


def read_bans(text: str, now: float) -> dict[str, int]:
    """The seconds each ban still lasts, by address or /64. Raises :class:`Spoilt` and takes nothing of such a text."""
    lines = text.splitlines()
    if len(lines) > _MOST_BANS:
        raise Spoilt(f"{len(lines)} bans are more than {_MOST_BANS}")
    bans: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        try:
            # What is handed on is what was read, spelled anew: no text of the file reaches nft.
            network = ipaddress.ip_network(found[1]) if found else None
        except ValueError:
            network = None
        if found is None or network is None or network.num_addresses not in (1, 1 << (128 - _PREFIX)):
            raise Spoilt(f"line {number} is not an address, or an IPv6 network of /64, and a time")
        left = min(int(found[2]) - int(now), _LONGEST_SECONDS)
        if left > 0:
            spelled = str(network) if network.num_addresses > 1 else str(network.network_address)
            bans[spelled] = max(left, bans.get(spelled, 0))
    return bans


def script(bans: dict[str, int], ports: Iterable[int]) -> str:
    """What nft is told: one transaction that leaves these bans and no others. The count of drops goes on."""
    wanted = ", ".join(map(str, sorted(set(ports))))
    lines = [
        f"add table inet {TABLE}",
        f"add counter inet {TABLE} dropped",
        f"add set inet {TABLE} sources4 {{ type ipv4_addr; flags timeout; }}",
        f"add set inet {TABLE} sources6 {{ type ipv6_addr; flags interval, timeout; }}",
        f"add chain inet {TABLE} phones {{ type filter hook input priority filter - 10; policy accept; }}",
        f"flush chain inet {TABLE} phones",
        f"flush set inet {TABLE} sources4",
        f"flush set inet {TABLE} sources6",
    ]
    # Only the phones' ports: whatever is in the sets, nobody is cut off from anything else on this host.
    for family, name in (("ip", "sources4"), ("ip6", "sources6")):
        lines.append(
            f"add rule inet {TABLE} phones tcp dport {{ {wanted} }} {family} saddr @{name} counter name dropped drop"
        )
    for name, is_ipv6 in (("sources4", False), ("sources6", True)):
        elements = [f"{spelled} timeout {left}s" for spelled, left in bans.items() if (":" in spelled) is is_ipv6]
        if elements:
            lines.append(f"add element inet {TABLE} {name} {{ {', '.join(elements)} }}")
    return "\n".join(lines) + "\n"


def _ports(text: str) -> list[int]:
    ports = [int(port) for port in text.split(",")]
    if not all(0 < port < 65536 for port in ports):
        raise ValueError
    return ports


def _nft(text: str) -> None:
    try:
        done = subprocess.run(
            ["/usr/sbin/nft", "-f", "-"], input=text, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Spoilt(f"nft did not do it: {type(error).__name__}; is the package nftables installed?") from None
    if done.returncode:
        raise Spoilt(f"nft did not do it: {' '.join(done.stderr.split())[:300]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the program: reads the file that the service writes (limits.kernel_file) from the standard input."""
    parser = argparse.ArgumentParser(prog="autoprovd.ban_set", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ports", type=_ports, default=[50080, 50081, 50083], help="the ports of phones, with commas")
    parser.add_argument("--remove", action="store_true", help="read nothing, and take the table away")
    given = parser.parse_args(arguments)
    try:
        if given.remove:
            _nft(f"add table inet {TABLE}\ndelete table inet {TABLE}\n")
            return 0
        content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise Spoilt(f"more than {_MOST_BYTES} bytes")
        _nft(script(read_bans(content.decode("ascii"), time.time()), given.ports))
    except (OSError, Spoilt, UnicodeDecodeError) as error:
        reason = error if isinstance(error, Spoilt) else "what was read is no text in ASCII"
        print(f"autoprovd.ban_set: {reason}; the bans in the kernel are as before", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
