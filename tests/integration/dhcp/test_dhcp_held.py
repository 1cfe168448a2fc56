# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that asks while the server hears nothing is answered once it hears again; nobody else is bothered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from .kea_site import KeaSite
from .sites import REPOSITORY

pytestmark = pytest.mark.root

HELD = "ansible_collections.autoprov.appliance.plugins.module_utils._dhcp"
HOLD = f"""
import sys
from {HELD}.held import requests_held
with requests_held(["srv0", "nosuch0"]):
    print("held", flush=True)
    sys.stdin.readline()
print("sent", flush=True)
"""
# Asks on cli0, and says each DHCP frame that comes from the other side: direction, transaction, hardware address.
CLIENT = f"""
import json, select, socket, struct, sys, time
from {HELD} import packets
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind(("cli0", 0x0800))
mac = wire.getsockname()[4]
client = packets.Client("020000000009")
release = packets.build_discover(client, 2).replace(b"\\x35\\x01\\x01", b"\\x35\\x01\\x07", 1)
relayed = packets.build_discover(client, 3, "198.18.0.7")
for payload in (packets.build_discover(client, 1), release, relayed, packets.build_discover(client, 1)):
    wire.send(packets.build_frame(payload, mac))
print("asked", flush=True)
seen = []
while True:
    readable = select.select([wire, sys.stdin], [], [])[0]
    if wire in readable:
        frame, sender = wire.recvfrom(65535)
        payload = packets.payload_of(frame)
        if sender[2] != 4 and frame[23] == 17 and len(payload) > 240:
            seen.append([payload[0], int.from_bytes(payload[4:8], "big"), frame[6:12].hex()])
    elif sys.stdin in readable:
        print(json.dumps(seen))
        break
"""


def start(namespace: str, script: str, first_word: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY / "collections")),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == first_word + "\n"
    return process


def frames(site: KeaSite, deaf: bool) -> list[list[object]]:
    """What the other side sent to clients that asked while requests were held."""
    if deaf:
        site.stop()
    holding = start(site.server, HOLD, "held")
    asking = start(site.client, CLIENT, "asked")
    time.sleep(0.5)
    if deaf:
        site.start()
    assert holding.communicate("\n", timeout=20)[0] == "sent\n"
    time.sleep(1)
    seen: list[list[object]] = json.loads(asking.communicate("\n", timeout=20)[0])
    return seen


def test_who_was_not_heard_is_answered(site: KeaSite) -> None:
    ours = site.hardware_address()
    seen = frames(site, deaf=True)
    # Asked once more, although the client asked twice, and from our own address; the rest is not repeated.
    assert [item for item in seen if item[0] == 1] == [[1, 1, ours]]
    assert [2, 1, ours] in seen, "the offer"


def test_who_was_answered_is_not_asked_for_again(site: KeaSite) -> None:
    seen = frames(site, deaf=False)
    assert [item[:2] for item in seen if item[0] == 2] != []
    assert [item for item in seen if item[0] == 1 and item[1] == 1] == []
