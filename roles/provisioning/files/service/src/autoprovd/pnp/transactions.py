# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which question was answered already, and which notification a phone has not acknowledged yet.

Both are bounded: what is forgotten early is at worst answered once more, or told once less.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from autoprovd.pnp.message import Message

_T1 = 0.5
KEPT_SECONDS = 64 * _T1
"""How long a retransmission is known for one: timer J of RFC 3261."""
_MOST_KEPT = 65_536
NOTIFY_AGAIN_SECONDS = (_T1, 2 * _T1)
"""How long a phone may take to acknowledge before it is told again, each time anew (timer E)."""
_MOST_PENDING = 20_000


class Stage(Enum):
    """How far a question is."""

    NEW = "new"
    WAITING = "waiting"
    """Nobody knows yet whether it is answered."""
    ANSWERED = "answered"
    SILENT = "silent"
    """It gets no answer."""


class Questions:
    """The server transactions (RFC 3261, 17.2.2).

    Nothing but the stage is kept: the response to a retransmission is made from it anew, and is the same, since its
    tag follows from the question.
    """

    def __init__(self, secret: bytes) -> None:
        """``secret`` keeps anybody from making two questions that are taken for one."""
        self._secret = secret
        self._kept: OrderedDict[str, tuple[Stage, float]] = OrderedDict()

    def tag_of(self, request: Message, source: tuple[str, int]) -> str:
        """What tells this question from every other, and a retransmission from a new one: 24 hexadecimal digits.

        A Snom sends no branch, so what RFC 3261 (17.2.3) names for that case counts as well as the ``Via`` it is in.
        """
        parts = (request.uri, request.headers["via"][0], *map(request.value, ("from", "to", "call-id", "cseq")))
        digest = blake2b(digest_size=12, key=self._secret)
        digest.update("\n".join((*parts, source[0], str(source[1]))).encode("latin-1"))
        return digest.hexdigest()

    def stage(self, tag: str, now: float) -> Stage:
        """How far that question is; ``now`` is a monotonic clock's."""
        kept = self._kept.get(tag)
        return kept[0] if kept is not None and kept[1] > now else Stage.NEW

    def move(self, tag: str, stage: Stage, now: float) -> None:
        """It is that far."""
        kept = self._kept.get(tag)
        until = kept[1] if kept is not None and kept[1] > now else now + KEPT_SECONDS
        self._kept[tag] = (stage, until)
        while len(self._kept) > _MOST_KEPT or next(iter(self._kept.values()))[1] <= now:
            self._kept.popitem(last=False)


class _Told(NamedTuple):
    destination: tuple[str, int]
    send: Callable[[], None]
    acknowledged: Callable[[bool], None]
    times: int


class Notifications:
    """The client transactions: each notification, until the phone acknowledges it or was told three times."""

    def __init__(self) -> None:
        self._pending: dict[str, _Told] = {}
        self._due: list[tuple[float, int, str]] = []
        self._number = itertools.count()

    def tell(
        self,
        branch: str,
        destination: tuple[str, int],
        send: Callable[[], None],
        acknowledged: Callable[[bool], None],
        now: float,
    ) -> None:
        """Send it, and again until :meth:`hear` has the answer; ``acknowledged`` is told what came of it."""
        send()
        if len(self._pending) < _MOST_PENDING:
            self._pending[branch] = _Told(destination, send, acknowledged, 1)
            heapq.heappush(self._due, (now + NOTIFY_AGAIN_SECONDS[0], next(self._number), branch))

    def hear(self, branch: str, source: tuple[str, int], status: int) -> bool:
        """A response came; whether it was one to something told, from whom it was told to."""
        told = self._pending.get(branch)
        if told is None or told.destination != source:
            return False
        if status >= 200:
            del self._pending[branch]
            told.acknowledged(status < 300)
        return True

    def tick(self, now: float) -> None:
        """Tell again what is due."""
        while self._due and self._due[0][0] <= now:
            _at, _number, branch = heapq.heappop(self._due)
            told = self._pending.get(branch)
            if told is None:
                continue
            if told.times > len(NOTIFY_AGAIN_SECONDS):
                del self._pending[branch]
                told.acknowledged(False)
                continue
            told.send()
            self._pending[branch] = told._replace(times=told.times + 1)
            # After the last time, as long again as before it.
            wait = NOTIFY_AGAIN_SECONDS[min(told.times, len(NOTIFY_AGAIN_SECONDS) - 1)]
            heapq.heappush(self._due, (now + wait, next(self._number), branch))
