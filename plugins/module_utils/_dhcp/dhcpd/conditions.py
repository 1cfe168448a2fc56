# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Is a condition of ISC dhcpd (`match if …`, `if … {`) true for a client? Yes, no, or: only the server can judge that.

What is known of a client may be partial (its vendor class begins with `snom`, its MAC address with an OUI), so three
values are needed. An expression that is not understood here is never guessed at.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .options import literal_bytes
from .text import Token

Verdict = t.Optional[bool]


@dataclass(frozen=True)
class Known:
    """Bytes of which the first are known; `whole`: there are no others. `absent`: the client does not send it."""

    first: bytes = b""
    whole: bool = False
    absent: bool = False


UNKNOWN = Known()


@dataclass(frozen=True)
class Facts:
    """What is known of a client, or of all members of a class."""

    mac: Known = UNKNOWN
    vendor_class: Known = UNKNOWN


class _NotUnderstood(Exception):
    pass


def judge(tokens: t.Sequence[Token], facts: Facts) -> Verdict:
    """The value of a boolean expression for such a client; None when it cannot be told."""
    judging = _Judging(tokens, facts)
    try:
        verdict = judging.either()
        return verdict if judging.finished() else None
    except _NotUnderstood:
        return None


def any_of(verdicts: t.Iterable[Verdict]) -> Verdict:
    seen = set(verdicts)
    return True if True in seen else None if None in seen else False


def all_of(verdicts: t.Iterable[Verdict]) -> Verdict:
    seen = set(verdicts)
    return False if False in seen else None if None in seen else True


def equal(left: Known, right: Known) -> Verdict:
    if left.absent or right.absent:
        return left.absent and right.absent
    shared = min(len(left.first), len(right.first))
    if left.first[:shared] != right.first[:shared]:
        return False
    if left.whole and right.whole:
        return len(left.first) == len(right.first)
    if (left.whole and len(right.first) > len(left.first)) or (right.whole and len(left.first) > len(right.first)):
        return False
    return None


def _part(data: Known, offset: int, length: int) -> Known:
    if data.absent:
        return data
    return Known(data.first[offset : offset + length], data.whole or len(data.first) >= offset + length)


class _Judging:
    """A recursive descent over the expression; every part is read even when it no longer matters."""

    def __init__(self, tokens: t.Sequence[Token], facts: Facts) -> None:
        self._tokens = list(tokens)
        self._facts = facts
        self._at = 0

    def finished(self) -> bool:
        return self._at == len(self._tokens)

    def _peek(self) -> str:
        """The next word or mark; strings never look like one."""
        if self._at >= len(self._tokens) or self._tokens[self._at].kind == "string":
            return ""
        return self._tokens[self._at].value

    def _take(self, expected: str = "") -> Token:
        if self.finished() or (expected and self._peek() != expected):
            raise _NotUnderstood
        self._at += 1
        return self._tokens[self._at - 1]

    def either(self) -> Verdict:
        verdicts = [self._both()]
        while self._peek() == "or":
            self._take()
            verdicts.append(self._both())
        return any_of(verdicts)

    def _both(self) -> Verdict:
        verdicts = [self._single()]
        while self._peek() == "and":
            self._take()
            verdicts.append(self._single())
        return all_of(verdicts)

    def _single(self) -> Verdict:
        word = self._peek()
        if word == "not":
            self._take()
            verdict = self._single()
            return None if verdict is None else not verdict
        if word == "(":
            self._take()
            verdict = self.either()
            self._take(")")
            return verdict
        if word == "exists":
            self._take()
            value = self._option(self._take().value)
            return not value.absent if value.absent or value.first or value.whole else None
        if word == "known":
            self._take()
            return None
        return self._comparison()

    def _comparison(self) -> Verdict:
        left = self._data()
        negated = self._peek() == "!"
        if negated:
            self._take()
        self._take("=")
        verdict = equal(left, self._data())
        return None if verdict is None else verdict != negated

    def _option(self, name: str) -> Known:
        if name in ("vendor-class-identifier", "dhcp.vendor-class-identifier", "unknown-60"):
            return self._facts.vendor_class
        if name in ("dhcp-message-type", "dhcp.dhcp-message-type"):
            return Known(b"\x01", False)  # every DHCP client sends one
        return UNKNOWN

    def _number(self) -> int:
        token = self._take()
        if not token.value.isdigit():
            raise _NotUnderstood
        return int(token.value)

    def _data(self) -> Known:
        word = self._peek()
        if word == "substring":
            self._take()
            self._take("(")
            data = self._data()
            self._take(",")
            offset = self._number()
            self._take(",")
            length = self._number()
            self._take(")")
            return _part(data, offset, length)
        if word == "option":
            self._take()
            return self._option(self._take().value)
        if word == "hardware":
            self._take()
            return Known(b"\x01" + self._facts.mac.first, self._facts.mac.whole)  # 01: Ethernet
        token = self._take()
        literal = literal_bytes([token])
        if literal is None:
            raise _NotUnderstood
        return Known(literal, True)
