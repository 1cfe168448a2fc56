# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP as a phone does it: ask the multicast group where its configuration is, and acknowledge the answer."""

from __future__ import annotations

import sys

from demo.site import Host, SiteError

_ASK = """
import fcntl, random, socket, struct, sys, time
mac, event = sys.argv[1:]
hears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hears.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
hears.bind(("", 5060))
own = socket.inet_ntoa(fcntl.ioctl(hears, 0x8915, struct.pack("256s", b"eth0"))[20:24])
call, tag = random.randrange(10**9), random.randrange(10**9)
uri = f"sip:MAC%3a{mac.upper()}@224.0.1.75"
question = "\\r\\n".join([
    f"SUBSCRIBE {uri} SIP/2.0", f"Via: SIP/2.0/UDP {own}:5060;rport", f"From: <{uri}>;tag={tag}", f"To: <{uri}>",
    f"Call-ID: {call}@{own}", "CSeq: 1 SUBSCRIBE", f"Event: {event}", "Expires: 0", "Accept: application/url",
    f"Contact: <sip:{own}:5060>", "Content-Length: 0", "", ""]).encode()
end, pause = time.monotonic() + 4, 0.5
while (left := end - time.monotonic()) > 0:
    hears.sendto(question, ("224.0.1.75", 5060))
    until = time.monotonic() + min(pause, left)
    pause *= 2
    while (rest := until - time.monotonic()) > 0:
        hears.settimeout(rest)
        try:
            data, source = hears.recvfrom(65536)
        except TimeoutError:
            break
        head, _, body = data.decode().partition("\\r\\n\\r\\n")
        lines = head.split("\\r\\n")
        if not lines[0].startswith("NOTIFY ") or f"Call-ID: {call}@{own}" not in lines:
            continue
        names_event = any(each.startswith("Event: ua-profile") for each in lines)
        if "Content-Type: application/url" not in lines or not names_event:
            sys.exit("a NOTIFY that no phone would take")
        kept = [each for each in lines if each.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        answer = "\\r\\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""])
        hears.sendto(answer.encode(), source)
        print(body)
        sys.exit(0)
sys.exit("nobody answers SIP PnP")
"""


def ask(host: Host, mac: str, event: str) -> str:
    """The address the network tells that phone. Raises :class:`SiteError` when nobody does."""
    done = host.run([sys.executable, "-c", _ASK, mac, event], check=False, timeout=20)
    if done.returncode != 0:
        raise SiteError(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()
