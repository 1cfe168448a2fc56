# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The configuration of ISC dhcpd as text, edited without touching anything else.

Statements end in a semicolon or have a block in braces; every one knows in which file and where it stands, so that one
line can be put in, and taken out again, byte for byte. What statements mean is not known here. A text has one character
for each byte (Latin-1), as dhcpd does not care for encodings.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>[\x00-\x20]+)
      | (?P<comment>\#[^\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<mark>[{};(),=])
      | (?P<word>[^\x00-\x20\#"{};(),=]+)""",
    re.S | re.X,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.S)
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n", "b": "\b"}
_MAX_INCLUDE_DEPTH = 20

MARK = "# autoprov (dhcp_options); do not edit this line"
#: The same, where the line break before the line is ours too.
MARK_AFTER_BREAK = MARK + "."
_DISABLED = "# autoprov (dhcp_options) has replaced: "
_DISABLED_LINE = re.compile(re.escape(_DISABLED) + r'("(?:[^"\\\n]|\\.)*")\n')


class TextFault(Exception):
    """The text is not what dhcpd could read; the message names file and line."""


@dataclass(frozen=True)
class Token:
    kind: str  # word, string, mark
    #: Words in lower case, as dhcpd compares them; of strings what is between the quotes, escapes resolved.
    value: str
    #: As it stands in the file.
    raw: str
    start: int
    end: int


@dataclass
class Statement:
    """A statement in the file `source`, from offset `start` to the one behind its semicolon or closing brace."""

    tokens: t.List[Token]
    source: str
    start: int
    end: int = -1
    #: Offset of the closing brace; -1 when the statement has no block.
    closing: int = -1
    #: What is in the block, or in the file included.
    children: t.List["Statement"] = field(default_factory=list)
    #: An include of one of our own files, which is not followed unless asked for.
    own: bool = False

    @property
    def is_block(self) -> bool:
        return self.closing >= 0

    @property
    def keyword(self) -> str:
        return self.tokens[0].value if self.tokens and self.tokens[0].kind == "word" else ""

    @property
    def included(self) -> t.Optional[str]:
        """The path, of an include statement."""
        if self.keyword == "include" and not self.is_block and len(self.tokens) == 2:
            return self.tokens[1].value
        return None

    def word(self, index: int) -> str:
        """The value of a token, empty where there is none."""
        return self.tokens[index].value if index < len(self.tokens) else ""

    def raw(self, first: int = 0) -> str:
        """The tokens from `first` on, as they stand in the file, with single blanks between."""
        text = " ".join(token.raw for token in self.tokens[first:])
        return re.sub(r" ?([(),]) ?", lambda match: match.group(1) + (" " if match.group(1) == "," else ""), text)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def unescape(text: str) -> str:
    """What dhcpd makes of the inside of a string: \\t \\r \\n \\b, \\x1f and \\037; one character for each byte."""

    def resolve(match: "re.Match[str]") -> str:
        code = match.group(1)
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return _ESCAPED.get(code, code)

    return _ESCAPE.sub(resolve, text)


class Reader:
    """Reads a configuration and all it includes. `load` gives the text of a path, `is_own` tells our files."""

    def __init__(self, load: t.Callable[[str], str], is_own: t.Callable[[str], bool], follow_own: bool = False) -> None:
        self._load = load
        self._is_own = is_own
        self._follow_own = follow_own
        self.texts: t.Dict[str, str] = {}

    def read(self, path: str, depth: int = 0) -> t.List[Statement]:
        """The statements of a file. Raises TextFault."""
        if depth > _MAX_INCLUDE_DEPTH:
            raise TextFault("%s: includes are nested more than %d deep" % (path, _MAX_INCLUDE_DEPTH))
        if path not in self.texts:
            self.texts[path] = self._load(path)
        statements = _Parser(path, self.texts[path]).statements()
        self._follow(statements, depth)
        return statements

    def _follow(self, statements: t.List[Statement], depth: int) -> None:
        for item in statements:
            target = item.included
            if target is None:
                self._follow(item.children, depth)
                continue
            item.own = self._is_own(target)
            if not item.own or self._follow_own:
                item.children = self.read(target, depth + 1)


class _Parser:
    def __init__(self, source: str, text: str) -> None:
        self._source = source
        self._text = text
        self._tokens = self._scan()
        self._next = next(self._tokens, None)

    def _fault(self, offset: int, what: str) -> TextFault:
        return TextFault("%s line %d: %s" % (self._source, line_of(self._text, offset), what))

    def _scan(self) -> t.Iterator[Token]:
        position = 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:  # only a quote can begin nothing
                raise self._fault(position, "a string has no end")
            start, position = match.span()
            kind, raw = str(match.lastgroup), match.group()
            if kind == "string":
                yield Token(kind, unescape(raw[1:-1]), raw, start, position)
            elif kind in ("word", "mark"):
                yield Token(kind, raw.lower(), raw, start, position)

    def _is(self, mark: str) -> bool:
        return self._next is not None and self._next.kind == "mark" and self._next.value == mark

    def _take(self) -> Token:
        token = t.cast("Token", self._next)
        self._next = next(self._tokens, None)
        return token

    def statements(self) -> t.List[Statement]:
        found = self._statements()
        if self._next is not None:
            raise self._fault(self._next.start, "this brace closes nothing")
        return found

    def _statements(self) -> t.List[Statement]:
        found: t.List[Statement] = []
        while self._next is not None and not self._is("}"):
            if self._is(";"):  # as dhcpd allows behind some blocks
                self._take()
                continue
            found.append(self._statement())
        return found

    def _statement(self) -> Statement:
        item = Statement([], self._source, t.cast("Token", self._next).start)
        depth = 0  # of braces that belong to the statement: option x code 201 = { boolean, text };
        while self._next is not None:
            if self._is(";") and not depth:
                item.end = self._take().end
                return item
            if self._is("{") and not (item.keyword == "option" and "code" in (item.word(2), item.word(3))):
                opening = self._take()
                item.children = self._statements()
                if self._next is None:
                    raise self._fault(opening.start, "this brace is never closed")
                closing = self._take()
                item.closing, item.end = closing.start, closing.end
                return item
            if self._is("}") and not depth:
                raise self._fault(self._next.start, "a semicolon is missing before this brace")
            depth += self._is("{") - self._is("}")
            item.tokens.append(self._take())
        raise self._fault(item.start, "this statement has no semicolon")


def own_includes(
    statements: t.Iterable[Statement], container: t.Optional[Statement] = None
) -> t.Iterator[t.Tuple[str, t.Optional[Statement]]]:
    """Our own includes, wherever they stand: (path, the block they are in; None at the top)."""
    for item in statements:
        if item.own:
            yield t.cast("str", item.included), container
        else:
            yield from own_includes(item.children, item if item.is_block else container)


# --- edits ---


def _quoted(path: str) -> str:
    return '"%s"' % path.replace("\\", "\\\\").replace('"', '\\"')


def append_include(text: str, path: str) -> str:
    """Our include as the last line of a file."""
    if text.endswith("\n") or not text:
        return "%sinclude %s; %s\n" % (text, _quoted(path), MARK)
    return "%s\ninclude %s; %s\n" % (text, _quoted(path), MARK_AFTER_BREAK)


def insert_include(text: str, block: Statement, path: str) -> str:
    """Our include as the last line in a block."""
    line_start = text.rfind("\n", 0, block.closing) + 1
    indentation = text[line_start : block.closing]
    if not indentation.strip(" \t") and line_start > block.start:
        line = "%s  include %s; %s\n" % (indentation, _quoted(path), MARK)
        return text[:line_start] + line + text[line_start:]
    line = "\ninclude %s; %s\n" % (_quoted(path), MARK_AFTER_BREAK)
    return text[: block.closing] + line + text[block.closing :]


def remove_include(text: str, path: str) -> str:
    """Take every include of this path of ours out, and the line breaks that came with it."""
    statement = r"include[ \t]*%s[ \t]*;" % re.escape(_quoted(path))
    while True:
        match = re.search(r"\n[ \t]*%s %s\n" % (statement, re.escape(MARK_AFTER_BREAK)), text)
        if match is None:
            break
        before, after = text[: match.start()], text[match.end() :]
        text = before + ("\n" if _must_stay_apart(before, after) else "") + after
    text = re.sub(r"(?m)^[ \t]*%s %s\n" % (statement, re.escape(MARK)), "", text)
    # Somebody has edited the line: take the statement alone.
    return "".join(
        part if part.startswith(("#", '"')) else re.sub(statement, "", part) for part in _code_and_rest(text, statement)
    )


def _must_stay_apart(before: str, after: str) -> bool:
    """Would what others have written behind our line since become part of the line before it, or of its comment?"""
    if not after or after[0] in "\r\n":
        return False
    kinds = [match.lastgroup for match in _TOKEN.finditer(before)]
    return after[0] != "}" or kinds[-1:] == ["comment"]


def _code_and_rest(text: str, statement: str) -> t.Iterator[str]:
    """The text in pieces; comments, and strings that are not part of the statement looked for, apart."""
    pattern = re.compile(r'(?i:%s)|\#[^\n]*|"(?:[^"\\]|\\.)*"' % statement, re.S)
    position = 0
    for match in pattern.finditer(text):
        yield text[position : match.start()]
        yield match.group()
        position = match.end()
    yield text[position:]


def disable_statement(text: str, start: int, end: int) -> str:
    """Turn a statement into a comment from which `restore_statements` makes it again."""
    return "%s%s%s\n%s" % (text[:start], _DISABLED, json.dumps(text[start:end]), text[end:])


def restore_statements(text: str) -> str:
    """Undo every `disable_statement`."""

    def restore(match: "re.Match[str]") -> str:
        try:
            return str(json.loads(match.group(1)))
        except ValueError:  # somebody has edited the comment; then it is theirs
            return match.group()

    return _DISABLED_LINE.sub(restore, text)


def rewrite_includes(text: str, statements: t.Iterable[Statement], rename: t.Callable[[str], str]) -> str:
    """The text of one file (whose statements these are) with the paths of its includes renamed."""
    edits: t.List[t.Tuple[int, int, str]] = []

    def collect(items: t.Iterable[Statement]) -> None:
        for item in items:
            if item.included is not None:
                edits.append((item.tokens[1].start, item.tokens[1].end, _quoted(rename(item.included))))
            else:
                collect(item.children)

    collect(statements)
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def parse(source: str, text: str) -> t.List[Statement]:
    """The statements of one text, includes not followed. Raises TextFault."""
    return _Parser(source, text).statements()
