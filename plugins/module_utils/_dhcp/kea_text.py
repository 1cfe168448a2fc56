# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Kea's configuration as text: JSON with comments and `<?include "file"?>`, edited without touching anything else.

The tree knows for every value in which file and where it stands, so that one line can be put in, and taken out again,
byte for byte. Includes are textual in Kea (a file may hold half an array), so they are followed while reading, except
those of our own files: of these it is only remembered where they stand.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f\v]+)
      | (?P<comment>//[^\n]*|\#[^\n]*|/\*.*?\*/)
      | (?P<include><\?\s*include\s*"(?P<path>[^"\n]+)"\s*\?>)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<literal>-?[0-9][0-9.eE+\-]*|true|false|null)
      | (?P<mark>[\[\]{}:,])""",
    re.S | re.X,
)
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
    end: int = -1
    end_source: str = ""
    scalar: t.Any = None
    members: t.Optional[t.Dict[str, "Node"]] = None
    elements: t.Optional[t.List["Node"]] = None
    includes: t.List[Include] = field(default_factory=list)

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


@dataclass
class _Token:
    kind: str  # mark, string, literal, own, end
    value: t.Any
    source: str
    start: int
    end: int


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def include_paths(text: str) -> t.List[str]:
    """Paths of the include directives in one text, those in comments and strings not counted."""
    return [match.group("path") for match in _TOKEN.finditer(text) if match.group("include")]


class Reader:
    """Reads a configuration and all it includes. `load` gives the text of a path, `is_own` tells our files."""

    def __init__(self, load: t.Callable[[str], str], is_own: t.Callable[[str], bool]) -> None:
        self._load = load
        self._is_own = is_own
        self.texts: t.Dict[str, str] = {}

    def read(self, path: str) -> Node:
        self._tokens = self._scan(path, 0)
        self._next = next(self._tokens)
        node = self._value()
        if self._next.kind != "end":
            raise self._fault("something stands behind the end of the configuration")
        return node

    def _scan(self, path: str, depth: int) -> t.Iterator[_Token]:
        if depth > _MAX_INCLUDE_DEPTH:
            raise TextFault("%s: includes are nested more than %d deep" % (path, _MAX_INCLUDE_DEPTH))
        text = self.texts.setdefault(path, self._load(path))
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise TextFault("%s line %d: not JSON as Kea reads it" % (path, line_of(text, position)))
            start, position = match.span()
            if match.group("include"):
                target = match.group("path")
                if self._is_own(target):
                    yield _Token("own", target, path, start, position)
                else:
                    yield from self._scan(target, depth + 1)
            elif match.group("string"):
                try:
                    yield _Token("string", json.loads(match.group(), strict=False), path, start, position)
                except ValueError:
                    yield _Token("string", match.group()[1:-1], path, start, position)
            elif match.group("literal"):
                try:
                    yield _Token("literal", json.loads(match.group()), path, start, position)
                except ValueError:
                    raise TextFault(
                        "%s line %d: %s is no number" % (path, line_of(text, start), match.group())
                    ) from None
            elif match.group("mark"):
                yield _Token("mark", match.group(), path, start, position)
        if depth == 0:
            yield _Token("end", None, path, position, position)

    def _fault(self, what: str) -> TextFault:
        token = self._next
        return TextFault("%s line %d: %s" % (token.source, line_of(self.texts[token.source], token.start), what))

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _is(self, mark: str) -> bool:
        return self._next.kind == "mark" and self._next.value == mark

    def _value(self) -> Node:
        token = self._take()
        node = Node(token.source, token.start)
        if token.kind == "mark" and token.value == "{":
            node.members = {}
            self._members(node)
            token = self._close("}")
        elif token.kind == "mark" and token.value == "[":
            node.elements = []
            self._elements(node)
            token = self._close("]")
        elif token.kind in ("string", "literal"):
            node.scalar = token.value
        else:
            self._next = token
            raise self._fault("a value is missing here")
        node.end, node.end_source = token.end, token.source
        return node

    def _close(self, mark: str) -> _Token:
        if not self._is(mark):
            raise self._fault("%s is missing here" % mark)
        return self._take()

    def _members(self, node: Node) -> None:
        members = t.cast("t.Dict[str, Node]", node.members)
        while self._next.kind in ("string", "own") or self._is(","):
            token = self._take()
            if token.kind != "string":
                continue
            if not self._is(":"):
                raise self._fault(": is missing here")
            self._take()
            members[token.value] = self._value()

    def _elements(self, node: Node) -> None:
        """Commas are left to Kea's own check; only what stands beside our directives matters here."""
        elements = t.cast("t.List[Node]", node.elements)
        after_value, last_own = False, t.cast("t.Optional[Include]", None)
        while self._next.kind != "end" and not self._is("]"):
            if self._is(","):
                self._take()
                after_value, last_own = False, None
            elif self._next.kind == "own":
                token = self._take()
                last_own = Include(token.value, token.source, len(elements), after_value)
                node.includes.append(last_own)
            else:
                if last_own is not None:
                    last_own.before_value = True
                elements.append(self._value())
                after_value, last_own = True, None


# --- editing ---

_REPLACED_BEGIN, _REPLACED_END = "/* autoprov replaced: ", " :autoprov */"


def _directive(path: str) -> str:
    return '<?include "%s"?>' % path


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_of(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]


def insert_into_array(text: str, array: Node, path: str) -> str:
    """Put our directive on a line of its own, last in the array."""
    body = text[: array.end - 1]
    at = len(body.rstrip(" \t\r\n\f\v"))
    first = (array.elements or [array])[0]
    indent = (
        _indent_of(text, array.start) + "    "
        if first is array or first.source != array.source
        else _indent_of(text, first.start)
    )
    return text[:at] + _newline(text) + indent + _directive(path) + text[at:]


def insert_array_key(text: str, parent: Node, key: str, path: str) -> str:
    """Put `"key": [ our directive ],` on a line of its own, first in the object."""
    at = parent.start + 1
    rest = re.compile(r"[ \t]*(//[^\n]*|#[^\n]*|/\*[^\n]*?\*/[ \t]*)?(?=\r?\n)").match(text, at)
    if rest:
        at = len(text[: rest.end()].rstrip("\r"))
    comma = "," if parent.members else ""
    line = '%s    "%s": [ %s ]%s' % (_indent_of(text, parent.start), key, _directive(path), comma)
    return text[:at] + _newline(text) + line + text[at:]


def remove_include(text: str, path: str) -> str:
    """Take our line out again: with the key and array around it when those came with it and nothing was added since."""
    directive = r'<\?\s*include\s*"%s"\s*\?>' % re.escape(path)
    text = re.sub(r'\r?\n[ \t]*"[a-z0-9-]+": \[ %s \],?' % directive, "", text)
    text = re.sub(r"\r?\n[ \t]*" + directive + r"(?=[ \t]*\r?(?:\n|$|//|#|/\*|\]))", "", text)
    return _TOKEN.sub(
        lambda match: "" if match.group("include") and match.group("path") == path else match.group(), text
    )


def disable_element(text: str, array: Node, index: int) -> str:
    """Wrap one element (and one comma) of an array into a comment that `restore_elements` can undo.

    Raises TextFault when the element itself holds a comment end, or is not written in one file.
    """
    elements = t.cast("t.List[Node]", array.elements)
    element = elements[index]
    start, end = element.start, element.end
    if len({element.source, element.end_source, array.source}) > 1:
        raise TextFault("%s: the entry is spread over several files; edit it by hand" % element.source)
    if index + 1 < len(elements):
        if elements[index + 1].source != element.source:
            raise TextFault("%s: the entry is followed by an include; edit it by hand" % element.source)
        end = _skip_to_comma(text, end) + 1
    elif index > 0:
        previous = elements[index - 1]
        if previous.end_source != element.source:
            raise TextFault("%s: the entry follows an include; edit it by hand" % element.source)
        start = _skip_to_comma(text, previous.end)
    body = text[start:end]
    if "*/" in body:
        raise TextFault(
            "%s line %d: the entry holds a comment; remove the entry by hand" % (element.source, line_of(text, start))
        )
    return text[:start] + _REPLACED_BEGIN + body + _REPLACED_END + text[end:]


def _skip_to_comma(text: str, position: int) -> int:
    """Offset of the comma that follows, comments skipped."""
    while True:
        match = _TOKEN.match(text, position)
        if match is None or not (match.group("space") or match.group("comment") or match.group("mark") == ","):
            raise TextFault("line %d: a comma is missing" % line_of(text, position))
        if match.group("mark"):
            return position
        position = match.end()


def restore_elements(text: str) -> str:
    """Undo every `disable_element`."""
    return re.sub(
        re.escape(_REPLACED_BEGIN) + r"(.*?)" + re.escape(_REPLACED_END), lambda match: match.group(1), text, flags=re.S
    )


def rewrite_includes(text: str, rename: t.Callable[[str], str]) -> str:
    """The text with the path of every (real) include directive passed through `rename`."""

    def replace(match: "re.Match[str]") -> str:
        return _directive(rename(match.group("path"))) if match.group("include") else match.group()

    return _TOKEN.sub(replace, text)
