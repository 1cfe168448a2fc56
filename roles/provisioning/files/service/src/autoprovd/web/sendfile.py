# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file on its way to a socket without passing through Python: sendfile(2), in a thread beside the event loop.

The event loop has no sendfile of its own. The thread works on a second descriptor of the connection, while nobody else
writes to it; a slow disk and a slow peer keep nobody but this thread.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor

_PIECE = 1 << 20
_LOOK_SECONDS = 1.0
"""How often a thread that waits for its peer looks whether it is still wanted."""


class FileRange:
    """The bytes from ``start`` to before ``end`` of an open file, in the place of a response's body."""

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self.descriptor = descriptor
        self.start = start
        self.end = end

    def __len__(self) -> int:
        return self.end - self.start


async def send_range(
    transport: asyncio.Transport, content: FileRange, pool: ThreadPoolExecutor, stall_seconds: float, least: int
) -> bool:
    """Send it behind what was written to the transport; False when the peer has gone.

    Or when it took fewer than ``least`` bytes in ``stall_seconds``.
    """
    pause = 0.0
    while transport.get_write_buffer_size():
        if transport.is_closing():
            return False
        await asyncio.sleep(pause)
        pause = min(pause + 0.001, 0.05)
    connection: socket.socket = transport.get_extra_info("socket")
    if transport.is_closing() or connection.fileno() < 0:
        return False
    descriptor = os.dup(connection.fileno())
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool, _send, descriptor, content, transport, stall_seconds, least)


def _send(descriptor: int, content: FileRange, transport: asyncio.Transport, stall_seconds: float, least: int) -> bool:
    offset, enough, by = content.start, content.start + least, time.monotonic() + stall_seconds
    try:
        while offset < content.end:
            try:
                sent = os.sendfile(descriptor, content.descriptor, offset, min(_PIECE, content.end - offset))
            except BlockingIOError:
                if transport.is_closing() or time.monotonic() > by:
                    return False
                waiting = select.poll()
                waiting.register(descriptor, select.POLLOUT)
                waiting.poll(_LOOK_SECONDS * 1000)
                continue
            except OSError:
                return False
            if sent == 0:  # the file was cut while it was sent
                return False
            offset += sent
            if offset >= enough:
                enough, by = offset + least, time.monotonic() + stall_seconds
        return True
    finally:
        os.close(descriptor)
