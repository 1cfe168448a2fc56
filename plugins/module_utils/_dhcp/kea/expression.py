# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Would Kea count a client as a member of a class? Judged from the class's test, as far as one can from outside.

Only what a class for telephones usually looks at is understood: the MAC address, option 60, other classes. Everything
else is *unknown* (None), and unknown stays unknown unless the rest decides alone.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

Verdict = t.Optional[bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'[^'\n]*')
      | (?P<hex>0[xX][0-9a-fA-F]*)
      | (?P<integer>-?[0-9]+)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.-]*)
      | (?P<mark>==|[()\[\],.+*-]))""",
    re.X,
)
_VENDOR_CLASS_OPTION = ("60", "vendor-class-identifier")


@dataclass(frozen=True)
class Text:
    """Bytes that are known: all of them, or (`open`) how they begin."""

    known: bytes
    open: bool = False

    def equals(self, other: "Text") -> Verdict:
        shorter, longer = (self, other) if self.open else (other, self)
        if not shorter.open:
            return self.known == other.known
        size = min(len(shorter.known), len(longer.known)) if longer.open else len(shorter.known)
        return None if longer.known[:size] == shorter.known[:size] else False

    def substring(self, start: int, length: t.Optional[int]) -> t.Optional["Text"]:
        """`length` None is all the rest. None when the piece is not known at all."""
        if start < 0 or (length is not None and length < 0):
            return None  # negative ones count from the end; nobody needs them here
        if self.open and start > len(self.known):
            return Text(b"", True)
        piece = self.known[start:] if length is None else self.known[start : start + length]
        return Text(piece, self.open and (length is None or len(piece) < length))


@dataclass(frozen=True)
class Sketch:
    """A client as far as it is known. No vendor class (None) is: it sends no option 60."""

    mac: Text
    vendor_class: t.Optional[Text]
    #: Does it send nothing else by which a server might know it?
    complete: bool = False


class _NotUnderstood(Exception):
    """This is not an expression we can follow."""


def judge(test: str, client: Sketch, member: t.Callable[[str], Verdict]) -> Verdict:
    """Is the test true for the client? None when that cannot be known. `member` answers for other classes."""
    try:
        return _Judge(test, client, member).whole()
    except _NotUnderstood:
        return None


def _or(first: Verdict, second: Verdict) -> Verdict:
    if first or second:
        return True
    return None if first is None or second is None else False


def _and(first: Verdict, second: Verdict) -> Verdict:
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


class _Judge:
    """Kea's grammar by recursive descent: `not` binds closer than `and`, that closer than `or`."""

    def __init__(self, test: str, client: Sketch, member: t.Callable[[str], Verdict]) -> None:
        self._client = client
        self._member = member
        self._tokens = self._scan(test)
        self._position = 0

    @staticmethod
    def _scan(test: str) -> t.List[t.Tuple[str, str]]:
        tokens, position = [], 0
        test = test.strip()
        while position < len(test):
            match = _TOKEN.match(test, position)
            if match is None:
                raise _NotUnderstood
            tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            position = match.end()
        return tokens

    def _peek(self) -> t.Tuple[str, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else ("end", "")

    def _take(self, expected: t.Optional[str] = None) -> t.Tuple[str, str]:
        token = self._peek()
        if token[0] == "end" or (expected is not None and token[1] != expected):
            raise _NotUnderstood
        self._position += 1
        return token

    def whole(self) -> Verdict:
        verdict = self._either()
        if self._peek()[0] != "end":
            raise _NotUnderstood
        return verdict

    def _either(self) -> Verdict:
        verdict = self._both()
        while self._peek() == ("word", "or"):
            self._take()
            verdict = _or(verdict, self._both())
        return verdict

    def _both(self) -> Verdict:
        verdict = self._one()
        while self._peek() == ("word", "and"):
            self._take()
            verdict = _and(verdict, self._one())
        return verdict

    def _one(self) -> Verdict:
        kind, text = self._peek()
        if (kind, text) == ("word", "not"):
            self._take()
            verdict = self._one()
            return None if verdict is None else not verdict
        if (kind, text) == ("mark", "("):
            self._take()
            verdict = self._either()
            self._take(")")
            return verdict
        if (kind, text) == ("word", "member"):
            self._take()
            self._take("(")
            name = self._take()[1][1:-1]
            self._take(")")
            return self._member(name)
        if text == "option" and self._is_existence():
            return self._existence()
        left = self._value()
        self._take("==")
        right = self._value()
        return None if left is None or right is None else left.equals(right)

    def _is_existence(self) -> bool:
        rest = [text for _kind, text in self._tokens[self._position : self._position + 6]]
        return len(rest) == 6 and rest[1] == "[" and rest[3:] == ["]", ".", "exists"]

    def _existence(self) -> Verdict:
        code = self._tokens[self._position + 2][1]
        self._position += 6
        vendor_class = self._client.vendor_class
        if code not in _VENDOR_CLASS_OPTION or vendor_class == Text(b"", True):
            return None
        return vendor_class is not None

    def _value(self) -> t.Optional[Text]:
        kind, text = self._take()
        if kind == "string":
            return Text(text[1:-1].encode("latin-1", "replace"))
        if kind == "hex":
            return Text(bytes.fromhex(text[2:] if len(text) % 2 == 0 else "0" + text[2:]))
        if (kind, text) == ("word", "pkt4.mac"):
            return self._client.mac
        if (kind, text) == ("word", "option"):
            return self._option()
        if (kind, text) == ("word", "substring"):
            return self._substring()
        if kind != "word":
            raise _NotUnderstood
        self._skip_arguments()
        return None

    def _option(self) -> t.Optional[Text]:
        self._take("[")
        code = self._take()[1]
        self._take("]")
        self._take(".")
        form = self._take()[1]
        if code not in _VENDOR_CLASS_OPTION or form not in ("hex", "text"):
            return None
        return self._client.vendor_class or Text(b"")

    def _substring(self) -> t.Optional[Text]:
        self._take("(")
        value = self._value()
        self._take(",")
        start = self._integer()
        self._take(",")
        if self._peek() == ("word", "all"):
            self._take()
            length = None
        else:
            length = self._integer()
        self._take(")")
        return value.substring(start, length) if value is not None else None

    def _skip_arguments(self) -> None:
        """Pass over `[1].hex`, `(a, (b))` and the like behind a word that tells us nothing."""
        depth = 0
        while depth or self._peek()[1] in ("[", "(", "."):
            text = self._take()[1]
            depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(text, 0)
            if text == "." and not depth:
                self._take()

    def _integer(self) -> int:
        kind, text = self._take()
        if kind != "integer":
            raise _NotUnderstood
        return int(text)
