# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time as a phone gets it: one question by SNTP (RFC 4330).

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import os
import socket
import struct
import time

from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.items import Item, item

_TO_1970 = 2_208_988_800
_BEARABLE_SECONDS = 60.0
_PORT = 123


def ask(server: str, language: str, patience: float, port: int = _PORT) -> Item:
    """How far that server is from this host's clock."""
    question = os.urandom(8)
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as own:
            own.settimeout(patience)
            own.connect(address)
            before = time.time()
            own.send(b"\x23" + bytes(39) + question)
            data = own.recv(512)
            after = time.time()
    except OSError as error:
        return item("time", server, "no time", language, reason=error.strerror or str(error) or "timed out")
    # The server copies the time it was asked at, here a number nobody can guess, and says since when it is in step.
    if len(data) < 48 or data[0] & 7 != 4 or data[24:32] != question or not 1 <= data[1] <= 15 or data[0] >> 6 == 3:
        return item("time", server, "no time", language, reason="it is not in step itself, or that is no answer")
    seconds, fraction = struct.unpack_from(">II", data, 40)
    offset = seconds - _TO_1970 + fraction / 2**32 - (before + after) / 2
    what = "right time" if abs(offset) < _BEARABLE_SECONDS else "wrong time"
    return item("time", server, what, language, offset=offset)
