# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Kea's configuration as text: JSON with comments and `<?include "file"?>`, read with the place of everything.

The tree knows for every value in which file and where it stands, so that one line can be put in, and taken out again,
byte for byte. Includes are textual in Kea (a file may hold half an array), so they are followed while reading, except
those of our own files: of these it is only remembered where they stand.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f\v]+)
      | (?P<comment>//[^\n]*|\#[^\n]*|/\*.*?\*/)
      | (?P<include><\?\s*include\s*"(?P<path>[^"\n]+)"\s*\?>)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<literal>-?[0-9][0-9.eE+\-]*|true|false|null)
      | (?P<mark>[\[\]{}:,])""",
    re.S | re.X,
)
#: The same for reading whole files fast: blanks are passed over with what follows them, groups are known by number.
_FAST_TOKEN = re.compile(
    r"""[ \t\r\n\f\v]*(?:
        ([\[\]{}:,])
      | "([^"\\]*)"
      | ("(?:[^"\\]|\\.)*")
      | (-?[0-9][0-9.eE+\-]*|true|false|null)
      | (//[^\n]*|\#[^\n]*|/\*.*?\*/)
      | <\?\s*include\s*"([^"\n]+)"\s*\?>
      | (\Z))""",
    re.S | re.X,
)
_MARK, _PLAIN, _ESCAPED, _LITERAL, _COMMENT, _INCLUDE, _END = range(1, 8)
_MAX_INCLUDE_DEPTH = 10  # Kea's own limit


class TextFault(Exception):
    """The text is not what Kea could read; the message names file and line."""


@dataclass
class Include:
    """A directive of ours in an array. `after_value`, `before_value`: is a value next to it, with no comma between?"""

    path: str
    source: str
    #: How many values stand before it.
    position: int = 0
    after_value: bool = False
    before_value: bool = False


@dataclass
class Node:
    """A value in the tree: from offset `start` in the file `source` to offset `end` in the file `end_source`."""

    source: str
    start: int
    end: int
    end_source: str
    scalar: t.Any = None
    members: t.Optional[t.Dict[str, "Node"]] = None
    elements: t.Optional[t.List["Node"]] = None
    includes: t.Sequence[Include] = ()

    def get(self, key: str) -> t.Optional["Node"]:
        return (self.members or {}).get(key)

    def items(self, key: str) -> t.List["Node"]:
        """The elements of the array under `key`; none when there is no such array."""
        node = self.get(key)
        return list(node.elements or []) if node is not None else []

    def text(self, key: str, default: str = "") -> str:
        node = self.get(key)
        return default if node is None or node.scalar is None else str(node.scalar)

    def value(self) -> t.Any:
        if self.members is not None:
            return {key: node.value() for key, node in self.members.items()}
        if self.elements is not None:
            return [node.value() for node in self.elements]
        return self.scalar


#: (kind, value, file, start, end); the kind is a mark itself, or one of the following.
_Token = t.Tuple[str, t.Any, str, int, int]
_VALUE, _OWN, _STOP = "value", "own", "stop"


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def include_paths(text: str) -> t.List[str]:
    """Paths of the include directives in one text, those in comments and strings not counted."""
    if "<?" not in text:
        return []
    return [match.group("path") for match in TOKEN.finditer(text) if match.group("include")]


class Reader:
    """Reads a configuration and all it includes. `load` gives the text of a path, `is_own` tells our files."""

    def __init__(self, load: t.Callable[[str], str], is_own: t.Callable[[str], bool]) -> None:
        self._load = load
        self._is_own = is_own
        self.texts: t.Dict[str, str] = {}

    def read(self, path: str) -> Node:
        self._tokens: t.List[_Token] = []
        self._scan(path, 0)
        self._tokens.append((_STOP, None, path, len(self.texts[path]), len(self.texts[path])))
        self._at = 0
        node = self._value()
        if self._tokens[self._at][0] != _STOP:
            raise self._fault("something stands behind the end of the configuration")
        return node

    def _scan(self, path: str, depth: int) -> None:
        """Append the tokens of a file and of all it includes. A file of thousands of subnets has 100,000 of them."""
        if depth > _MAX_INCLUDE_DEPTH:
            raise TextFault("%s: includes are nested more than %d deep" % (path, _MAX_INCLUDE_DEPTH))
        text = self.texts.setdefault(path, self._load(path))
        append, scan = self._tokens.append, _FAST_TOKEN.match
        position = 0
        while True:
            match = scan(text, position)
            if match is None:
                raise TextFault(
                    "%s line %d: not JSON as Kea reads it" % (path, line_of(text, _not_blank(text, position)))
                )
            kind = t.cast("int", match.lastindex)
            start, position = match.start(kind), match.end()
            if kind == _MARK:
                append((text[start], None, path, start, position))
            elif kind == _PLAIN:
                append((_VALUE, match.group(kind), path, start - 1, position))
            elif kind in (_ESCAPED, _LITERAL):
                append((_VALUE, _scalar(match.group(kind), path, text, start), path, start, position))
            elif kind == _INCLUDE:
                target = match.group(kind)
                if self._is_own(target):
                    append((_OWN, target, path, start, position))
                else:
                    self._scan(target, depth + 1)
            elif kind == _END:
                return

    def _fault(self, what: str) -> TextFault:
        _kind, _value, source, start, _end = self._tokens[self._at]
        return TextFault("%s line %d: %s" % (source, line_of(self.texts[source], start), what))

    def _value(self) -> Node:
        kind, value, source, start, end = self._tokens[self._at]
        if kind == _VALUE:
            self._at += 1
            return Node(source, start, end, source, value)
        if kind not in ("{", "["):
            raise self._fault("a value is missing here")
        self._at += 1
        node = Node(source, start, end, source)
        if kind == "{":
            node.members = self._members()
            closing = "}"
        else:
            self._elements(node)
            closing = "]"
        if self._tokens[self._at][0] != closing:
            raise self._fault("%s is missing here" % closing)
        node.end_source, node.end = self._tokens[self._at][2], self._tokens[self._at][4]
        self._at += 1
        return node

    def _members(self) -> t.Dict[str, Node]:
        tokens, members = self._tokens, {}
        while True:
            kind, key = tokens[self._at][:2]
            if kind == _VALUE and isinstance(key, str):
                self._at += 1
                if tokens[self._at][0] != ":":
                    raise self._fault(": is missing here")
                self._at += 1
                members[key] = self._value()
            elif kind in (_OWN, ","):
                self._at += 1
            else:
                return members

    def _elements(self, node: Node) -> None:
        """Commas are left to Kea's own check; only what stands beside our directives matters here."""
        elements: t.List[Node] = []
        includes: t.List[Include] = []
        after_value, last_own = False, t.cast("t.Optional[Include]", None)
        while True:
            kind, value, source, _start, _end = self._tokens[self._at]
            if kind in ("]", _STOP):
                break
            if kind == ",":
                self._at += 1
                after_value, last_own = False, None
            elif kind == _OWN:
                self._at += 1
                last_own = Include(value, source, len(elements), after_value)
                includes.append(last_own)
            else:
                if last_own is not None:
                    last_own.before_value = True
                elements.append(self._value())
                after_value, last_own = True, None
        node.elements, node.includes = elements, includes


def _not_blank(text: str, position: int) -> int:
    return position + len(text[position:]) - len(text[position:].lstrip(" \t\r\n\f\v"))


_CONSTANTS = {"true": True, "false": False, "null": None}


def _scalar(word: str, path: str, text: str, start: int) -> t.Any:
    """The value of a number, a constant, or a string with escapes."""
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if word.isdigit():
        return int(word)
    try:
        return json.loads(word, strict=False)
    except ValueError:
        if word[0] == '"':
            return word[1:-1]
        raise TextFault("%s line %d: %s is no number" % (path, line_of(text, start), word)) from None
