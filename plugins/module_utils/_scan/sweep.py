# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks many addresses by one UDP socket, as fast as it is told to and no faster, and again those that stay silent.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import select
import socket
import time
import typing as t

_BURST = 64
_PAUSE = 0.002
"""Without a limit: how many at once, and how long until the next; a kernel's queues hold that."""
_BUFFER = 4 << 20


def sweep(
    addresses: t.Sequence[str],
    port: int,
    question: t.Callable[[int], bytes],
    answer: t.Callable[[int, bytes], bool],
    rate: float,
    patience: float,
    source: str = "",
) -> int:
    """Ask each address; those that stay silent once more. The number of datagrams that were sent.

    ``question`` makes the datagram for the address of that index, ``answer`` takes what came from it, and says whether
    that was an answer. What comes from elsewhere, or from a port that was not asked, is nobody's. ``rate`` is datagrams
    a second (0: as fast as is safe), ``patience`` how long to wait after the last, in seconds. Raises ``OSError``.
    """
    index_of = {address: index for index, address in enumerate(addresses)}
    waiting = set(range(len(addresses)))
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        own.bind((source, 0))
        own.setblocking(False)

        def listen(until: float) -> None:
            while waiting:
                left = until - time.monotonic()
                if not select.select([own], [], [], max(0.0, left))[0]:
                    return
                for _each in range(256):
                    try:
                        data, (host, from_port) = own.recvfrom(65535)
                    except BlockingIOError:
                        break
                    except OSError:  # nobody there, says somebody's router
                        continue
                    index = index_of.get(host)
                    if index in waiting and from_port == port and answer(index, data):
                        waiting.discard(index)
                if left <= 0:
                    return

        burst, pause = _BURST, _PAUSE
        if rate:  # evenly, so that no switch has to queue
            burst = max(1, int(rate / 100))
            pause = burst / rate
        for _attempt in range(2):
            todo, due = sorted(waiting), time.monotonic()
            for start in range(0, len(todo), burst):
                for index in todo[start : start + burst]:
                    if index in waiting:
                        sent += _send(own, question(index), (addresses[index], port))
                due = max(due + pause, time.monotonic())
                listen(due)
            listen(time.monotonic() + patience)
            if not waiting:
                break
    return sent


def _send(own: socket.socket, data: bytes, to: tuple[str, int]) -> int:
    for _attempt in range(3):
        try:
            own.sendto(data, to)
        except BlockingIOError:
            select.select([], [own], [], 0.05)
        except OSError:  # no way there: as if nobody answered
            return 1
        else:
            return 1
    return 1
