# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the two ends of a cable: one answers on ports, the other asks whether they are open. Run as text.

Both are told what to do by JSON on their command line, and need nothing but the standard library.
"""

from __future__ import annotations

#: Answers on TCP and UDP ports, and on those of a multicast group; says "ready", then runs until it is ended.
#: Told: {"tcp": [port], "udp": [port], "group": "224.0.1.75", "interfaces": ["10.0.0.1"]}
ANSWER = r"""
import json, selectors, socket, struct, sys
told = json.loads(sys.argv[1])
chooser = selectors.DefaultSelector()

def bound(family, kind, port):
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    made.setblocking(False)
    chooser.register(made, selectors.EVENT_READ)
    return made

for family in (socket.AF_INET, socket.AF_INET6):
    for port in told["tcp"]:
        bound(family, socket.SOCK_STREAM, port).listen(256)
    for port in told["udp"]:
        made = bound(family, socket.SOCK_DGRAM, port)
        if family == socket.AF_INET and port == 5060:
            for address in told["interfaces"]:
                joined = struct.pack("4s4s", socket.inet_aton(told["group"]), socket.inet_aton(address))
                made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        if family == socket.AF_INET and port == 67:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
print("ready", flush=True)
heard = open(told["heard"], "a")
while True:
    for key, _ in chooser.select():
        found = key.fileobj
        try:
            if found.type == socket.SOCK_STREAM:
                found.accept()[0].close()
            else:
                data, sender = found.recvfrom(2048)
                print(found.getsockname()[1], sender[0], file=heard, flush=True)
                if sender[0] != "0.0.0.0":  # who has no address is only heard
                    found.sendto(data, sender)
        except OSError:
            pass
"""

#: Asks, all at once; prints a list of open, refused, filtered.
#: Told: [[protocol, port, address, address of the own interface]]
ASK = r"""
import json, socket, sys, threading
told = json.loads(sys.argv[1])
wait = float(sys.argv[2])
found = [None] * len(told)

def ask(index, protocol, port, address, own):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as made:
        made.settimeout(wait)
        try:
            made.bind((own, 0))
            if address.startswith("224."):
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
                made.sendto(b"?", (address, port))
                made.recvfrom(10)
            else:
                made.connect((address, port))
                if protocol == "udp":
                    made.send(b"?")
                    made.recv(10)
            found[index] = "open"
        except (TimeoutError, socket.timeout):
            found[index] = "filtered"
        except OSError as exc:
            found[index] = "refused" if exc.errno in (111, 113, 101, 13) else repr(exc)

threads = [threading.Thread(target=ask, args=(index, *one)) for index, one in enumerate(told)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(found))
"""

#: Sends what a phone without an address sends: from 0.0.0.0 to everybody, UDP 68 to 67. Told: the interface.
DISCOVER = r"""
import socket, struct, sys
payload = b"discover"
udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
total = sum(struct.unpack("!10H", head))
total = (total & 0xFFFF) + (total >> 16)
head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
frame = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\x00" + head + udp
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as made:
    made.bind((sys.argv[1], 0))
    made.send(frame)
"""

#: Connects over and over, from one process, until its standard input ends. Told: address and port.
#: Prints how often it did, how often in vain, and the longest time in milliseconds.
CONNECT = r"""
import json, select, socket, sys, time
address, port = sys.argv[1], int(sys.argv[2])
count = lost = 0
longest = 0.0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.monotonic()
    try:
        # A lost SYN is sent again after one second.
        socket.create_connection((address, port), timeout=0.9).close()
    except OSError:
        lost += 1
    count += 1
    longest = max(longest, time.monotonic() - began)
    time.sleep(0.0005)
print(json.dumps([count, lost, round(longest * 1000)]))
"""
