# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files with a gap where each secret goes.

Files are rendered when a phone changes, never when it asks. Rendered text holds no secret: where one belongs, the
template leaves a *gap*, a piece of text that is either filled and kept, or dropped as a whole. A password that is not
released is thus omitted from the file, never sent empty::

    {% call(secret) gap('sip', account.line) %}
    account.1.password = {{ secret }}
    {% endcall %}

Gaps are marked by control characters. No value that came through :mod:`autoprovd.model` can hold one, and the
renderer refuses any that does, so nothing a person types can forge a gap.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any
from xml.sax.saxutils import escape

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from autoprovd.model import SecretClass, SecretKey

_GAP_START, _GAP_NAME_END, _SECRET_HERE, _GAP_END = "\x02", "\x03", "\x1a", "\x04"
_GAP = re.compile(f"{_GAP_START}([a-z]+)/([0-9]+){_GAP_NAME_END}([^{_GAP_END}]*){_GAP_END}")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]|[\n\t]")
_MASK = "********"


class Syntax(StrEnum):
    """How a file escapes a value."""

    XML = "xml"
    LINES = "lines"
    """One ``name = value`` a line; nothing is escaped, so a value must not hold a line end."""


def _escape(value: str, syntax: Syntax) -> str:
    if syntax is Syntax.XML:
        # Templates write the quotes of attributes themselves, so both kinds are escaped.
        return escape(value, {'"': "&quot;", "'": "&apos;"})
    return value


@dataclass(frozen=True)
class Document:
    """A rendered configuration file of one phone, as it is kept: text with gaps."""

    name: str
    """Which of the phone's files this is; the vendor's room maps file names to it."""
    media_type: str
    syntax: Syntax
    text: str
    encoding: str = "utf-8"

    @cached_property
    def gaps(self) -> frozenset[SecretKey]:
        """The secrets this file has a place for."""
        return frozenset(SecretKey(int(line), SecretClass(name)) for name, line, _text in _GAP.findall(self.text))

    @cached_property
    def locked(self) -> bytes:
        """The file with every gap dropped: what any later provisioning receives."""
        return self.filled({})

    @cached_property
    def etag(self) -> str:
        """The entity tag of :attr:`locked`; a response with a secret in it has none."""
        return f'"{hashlib.sha256(self.locked).hexdigest()[:32]}"'

    def filled(self, secrets: Mapping[SecretKey, str]) -> bytes:
        """The file with these secrets in their gaps; the other gaps are dropped."""

        def fill(gap: re.Match[str]) -> str:
            secret = secrets.get(SecretKey(int(gap[2]), SecretClass(gap[1])))
            return "" if secret is None else gap[3].replace(_SECRET_HERE, _escape(secret, self.syntax))

        return _GAP.sub(fill, self.text).encode(self.encoding, "xmlcharrefreplace")

    def masked(self, waiting: Iterable[SecretKey]) -> str:
        """The file as a person may see it: asterisks for the secrets it would be sent with now, the rest omitted."""
        return self.filled(dict.fromkeys(waiting, _MASK)).decode(self.encoding)


def _refuse_control_characters(value: object) -> object:
    # The second line of defence behind the model: such a value means a fault in this program, not in the input.
    if isinstance(value, str) and not isinstance(value, Markup) and _CONTROL.search(value):
        raise ValueError("a value with a control character reached a template")
    return value


def _gap(secret_class: str, line: int, caller: Callable[[Markup], str]) -> Markup:
    key = SecretKey(line, SecretClass(secret_class))
    inside = str(caller(Markup(_SECRET_HERE)))  # noqa: S704 - the mark itself, not a value
    return Markup(f"{_GAP_START}{key.secret_class}/{key.line}{_GAP_NAME_END}{inside}{_GAP_END}")  # noqa: S704


class Templates:
    """The templates of one vendor's room: ``templates/`` beside its code."""

    def __init__(self, package: str) -> None:
        self._environments = {syntax: self._environment(package, syntax) for syntax in Syntax}

    @staticmethod
    def _environment(package: str, syntax: Syntax) -> Environment:
        environment = Environment(
            loader=PackageLoader(package),
            autoescape=syntax is Syntax.XML,  # noqa: S701 - lines have nothing to escape; see Syntax
            undefined=StrictUndefined,
            finalize=_refuse_control_characters,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        environment.globals["gap"] = _gap
        return environment

    def render(self, template: str, name: str, media_type: str, syntax: Syntax, context: Mapping[str, Any]) -> Document:
        """Render one file. Equal context gives equal text, byte for byte."""
        text = self._environments[syntax].get_template(template).render(context)
        return Document(name=name, media_type=media_type, syntax=syntax, text=text)
