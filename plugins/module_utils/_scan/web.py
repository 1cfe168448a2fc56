# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first words of a web server: its Server header, what it asks a login for, and the title of its page.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import re
import socket
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

PORT = 80
_MOST_BYTES = 16_384
_AT_A_TIME = 32
_HEADER = re.compile(rb"^(?:Server|WWW-Authenticate):\s*([^\r\n]{1,200})", re.IGNORECASE | re.MULTILINE)
_TITLE = re.compile(rb"<title>\s*([^<]{1,200})", re.IGNORECASE)


def banners(addresses: t.Sequence[str], rate: float, patience: float, port: int = PORT) -> dict[str, str]:
    """What the servers of these addresses say, in one line each; nothing is followed, nothing is logged in to."""
    pause = 1 / rate if rate else 0.0
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        asked = []
        for address in addresses:
            asked.append((address, pool.submit(_banner, address, port, patience)))
            if pause:
                time.sleep(pause)
        return {address: said for address, future in asked for said in [future.result()] if said}


def _banner(address: str, port: int, patience: float) -> str:
    end = time.monotonic() + 2 * patience
    text = b""
    try:
        with socket.create_connection((address, port), timeout=patience) as own:
            own.sendall(b"GET / HTTP/1.0\r\nHost: " + address.encode() + b"\r\n\r\n")
            while len(text) < _MOST_BYTES and time.monotonic() < end:
                own.settimeout(max(0.01, end - time.monotonic()))
                part = own.recv(4096)
                if not part:
                    break
                text += part
    except OSError:
        pass
    words = _HEADER.findall(text) + _TITLE.findall(text)
    return " | ".join(re.sub("[^ -~]", "?", word.decode("latin-1")).strip() for word in words)[:400]
