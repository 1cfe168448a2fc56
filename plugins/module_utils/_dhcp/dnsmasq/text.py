# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""dnsmasq's configuration as text: words, quotes, comments, and which files of a folder are read."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

#: Goes before a line of the administrator's that gives way to ours.
REPLACED = b"#autoprov-replaced# "
#: Ends the line that brings our file in, where dnsmasq reads no folder.
INCLUDED = b" # autoprov"
#: The same, where the line before it had no end.
INCLUDED_BEHIND_OPEN_LINE = INCLUDED + b", with the line break before it"
#: What dnsmasq reads of a line; what is longer becomes a line of its own.
MAX_LINE_BYTES = 1024
_ESCAPES = {'"': '"', "\\": "\\", "t": "\t", "n": "\n", "e": "\033", "b": "\b", "r": "\r"}
_Letters = t.List[t.Tuple[str, bool]]  # each with whether it stood in quotes


class TextFault(Exception):
    """A line that dnsmasq would refuse."""


@dataclass(frozen=True)
class Word:
    """What stands between two commas. Quotes are gone; dnsmasq takes what was in them for text, never for a number."""

    text: str
    quoted: bool = False


@dataclass(frozen=True)
class Line:
    """An option and its argument, wherever it was given."""

    name: str
    words: t.Tuple[Word, ...]
    #: Empty for the command line.
    path: str
    number: int

    @property
    def where(self) -> str:
        return "%s:%d" % (self.path, self.number) if self.path else "the command line"


def parse_line(text: str) -> t.Optional[t.Tuple[str, t.Tuple[Word, ...]]]:
    """Name and words of a line; None where there is nothing but blanks and comments. Raises TextFault."""
    letters = _strip(_letters(text))
    if not letters:
        return None
    for index, (letter, _quoted) in enumerate(letters):
        if letter == "=":
            name = "".join(letter for letter, _quoted in _strip(letters[:index]))
            return name, _words(letters[index + 1 :])
    return "".join(letter for letter, _quoted in letters), ()


def parse_argument(text: str) -> t.Tuple[Word, ...]:
    """The words of a bare argument: a line of an options file."""
    return _words(_letters(text))


def argument_words(text: str) -> t.Tuple[Word, ...]:
    """The words of an argument on the command line, where quotes were the shell's business."""
    return _words([(letter, False) for letter in text])


def _letters(text: str) -> _Letters:
    found: _Letters = []
    index, blank = 0, True
    while index < len(text):
        letter = text[index]
        if letter == '"':
            index += 1
            while index < len(text) and text[index] != '"':
                if text[index] == "\\" and text[index + 1 : index + 2] in _ESCAPES:
                    index += 1
                    found.append((_ESCAPES[text[index]], True))
                else:
                    found.append((text[index], True))
                index += 1
            if index >= len(text):
                raise TextFault('missing "')
            blank = False
        elif letter.isspace():
            found.append((" ", False))
            blank = True
        elif letter == "#" and blank:
            break
        else:
            found.append((letter, False))
            blank = False
        index += 1
    return found


def _strip(letters: _Letters) -> _Letters:
    start, end = 0, len(letters)
    while start < end and letters[start] == (" ", False):
        start += 1
    while end > start and letters[end - 1] == (" ", False):
        end -= 1
    return letters[start:end]


def _words(letters: _Letters) -> t.Tuple[Word, ...]:
    letters = _strip(letters)
    if not letters:
        return ()
    parts: t.List[_Letters] = [[]]
    for item in letters:
        if item == (",", False):
            parts.append([])
        else:
            parts[-1].append(item)
    stripped = [_strip(part) for part in parts]
    return tuple(
        Word("".join(letter for letter, _quoted in part), any(quoted for _letter, quoted in part)) for part in stripped
    )


def is_read(name: str, filters: t.Sequence[str]) -> bool:
    """Does dnsmasq read a file of this name in a folder given with these filters (`.dpkg-old`, `*.conf`)?"""
    if not name or name.endswith("~") or name.startswith(".") or (name.startswith("#") and name.endswith("#")):
        return False
    wanted = [item[1:] for item in filters if item.startswith("*")]
    if wanted and not any(name.endswith(item) for item in wanted):
        return False
    return not any(item and name.endswith(item) for item in filters if not item.startswith("*"))


def quote(text: str) -> str:
    """Text in quotes, as dnsmasq reads it back. It must be printable."""
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


# --- what we change in files that are not ours ---


def without_ours(content: bytes) -> bytes:
    """The file as the administrator has it: replaced lines are back, our include line is gone."""
    lines: t.List[bytes] = []
    found = re.findall(rb"[^\n]*\n|[^\n]+", content)
    for index, line in enumerate(found):
        bare = line.rstrip(b"\r\n")
        if bare.startswith(b"conf-file=") and bare.endswith(INCLUDED_BEHIND_OPEN_LINE):
            if index == len(found) - 1 and lines:  # else something was added behind ours, and needs the line break
                lines[-1] = lines[-1][:-1]
        elif bare.startswith(b"conf-file=") and bare.endswith(INCLUDED):
            pass
        elif line.startswith(REPLACED):
            lines.append(line[len(REPLACED) :])
        else:
            lines.append(line)
    return b"".join(lines)


def with_include(content: bytes, path: str) -> bytes:
    """Our include line at the end."""
    is_open = bool(content) and not content.endswith(b"\n")
    mark = INCLUDED_BEHIND_OPEN_LINE if is_open else INCLUDED
    return content + (b"\n" if is_open else b"") + b"conf-file=" + path.encode() + mark + b"\n"


def without_line(content: bytes, number: int) -> bytes:
    """That line (counted from 1) in a comment, from which `without_ours` takes it back."""
    lines = content.split(b"\n")
    lines[number - 1] = REPLACED + lines[number - 1]
    return b"\n".join(lines)
