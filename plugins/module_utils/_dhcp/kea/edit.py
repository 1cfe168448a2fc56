# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Edits of a Kea configuration that touch nothing else, and can be undone byte for byte."""

from __future__ import annotations

import re
import typing as t

from .text import TOKEN, Node, TextFault, line_of

_REPLACED_BEGIN, _REPLACED_END = "/* autoprov replaced: ", " :autoprov */"


def _directive(path: str) -> str:
    return '<?include "%s"?>' % path


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_of(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]


#: Text to put in at an offset of a file.
Insertion = t.Tuple[int, str]


def insertion_into_array(text: str, array: Node, path: str) -> Insertion:
    """Our directive on a line of its own, last in the array."""
    at = array.end - 1
    while text[at - 1] in " \t\r\n\f\v":
        at -= 1
    first = (array.elements or [array])[0]
    indent = (
        _indent_of(text, array.start) + "    "
        if first is array or first.source != array.source
        else _indent_of(text, first.start)
    )
    return at, _newline(text) + indent + _directive(path)


def insertion_of_array(text: str, parent: Node, key: str, path: str) -> Insertion:
    """`"key": [ our directive ],` on a line of its own, first in the object."""
    at = parent.start + 1
    rest = re.compile(r"[ \t]*(//[^\n]*|#[^\n]*|/\*(?:[^*\n]|\*(?!/))*\*/[ \t]*)?(?=\r?\n)").match(text, at)
    if rest:
        at = rest.end() - 1 if text[at : rest.end()].endswith("\r") else rest.end()
    comma = "," if parent.members else ""
    line = '%s    "%s": [ %s ]%s' % (_indent_of(text, parent.start), key, _directive(path), comma)
    return at, _newline(text) + line


def insert(text: str, insertions: t.Iterable[Insertion]) -> str:
    """The text with everything put in; of two at the same offset, the first comes first."""
    parts, done = [], 0
    for at, new in sorted(insertions, key=lambda item: item[0]):
        parts += [text[done:at], new]
        done = at
    return "".join([*parts, text[done:]])


def remove_include(text: str, path: str) -> str:
    """Take our line out again: with the key and array around it when those came with it and nothing was added since."""
    directive = r'<\?\s*include\s*"%s"\s*\?>' % re.escape(path)
    text = re.sub(r'\r?\n[ \t]*"[a-z0-9-]+": \[ %s \],?' % directive, "", text)
    text = re.sub(r"\r?\n[ \t]*" + directive + r"(?=[ \t]*\r?(?:\n|$|//|#|/\*|\]))", "", text)
    return TOKEN.sub(
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
        match = TOKEN.match(text, position)
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

    return TOKEN.sub(replace, text)
