# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that never stops asking: a DHCPDISCOVER every 20 ms, each with a transaction id of its own.

python -m tests.bench.discovers INTERFACE. It asks until its standard input ends. Then it prints, for each DISCOVER that
was answered, when it was sent and when its first answer came: a JSON list of pairs of seconds on the monotonic clock,
which all processes share.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.packets import (
    Client,
    build_discover,
    build_frame,
    parse_offer,
    payload_of,
)

SPACING = 0.02
"""Seconds between two DISCOVERs."""
_IPV4 = 0x0800
_FIRST_TRANSACTION = 0x61700000


def ask(interface: str) -> list[tuple[float, float]]:
    """Ask on the interface until standard input ends: when each DISCOVER that was answered was sent, and answered."""
    client = Client("026170000001")
    answered: dict[int, float] = {}  # by the number of the DISCOVER
    sent: list[float] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4)) as wire:
        wire.bind((interface, _IPV4))
        source = wire.getsockname()[4]
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= due:
                wire.send(build_frame(build_discover(client, _FIRST_TRANSACTION + len(sent)), source))
                sent.append(now)
                due += SPACING
                continue
            readable, _, _ = select.select([wire, sys.stdin], [], [], due - now)
            if sys.stdin in readable:
                return [(sent[number], moment) for number, moment in sorted(answered.items())]
            if wire in readable:
                payload = payload_of(wire.recv(65535))
                transaction = int.from_bytes(payload[4:8], "big")
                number = transaction - _FIRST_TRANSACTION
                # Others are asked and answered on the same wire: the module itself plays clients.
                if 0 <= number < len(sent) and number not in answered and parse_offer(payload, transaction) is not None:
                    answered[number] = time.monotonic()


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1])))
