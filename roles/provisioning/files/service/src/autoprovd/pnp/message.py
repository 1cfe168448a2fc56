# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP messages of one datagram (RFC 3261): read strictly enough to copy from them, leniently enough for telephones.

What is copied into an answer can break no line of it: a message with a control character is none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 2048
"""Bytes of a datagram; the longest a phone is known to send has 700."""
_MOST_HEADERS = 64
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_NAME = re.compile("[A-Za-z0-9.!%*_+`'~-]{1,40}")
_METHOD = re.compile("[A-Z]{1,20}")
_STATUS = re.compile("SIP/2.0 ([1-6][0-9][0-9])(?: |$)")
_CSEQ = re.compile(r"([0-9]{1,10})\s+([A-Z]{1,20})")
# The compact forms of RFC 3261 and of RFC 6665.
_COMPACT = {
    "c": "content-type", "f": "from", "i": "call-id", "k": "supported", "l": "content-length", "m": "contact",
    "o": "event", "s": "subject", "t": "to", "v": "via",
}  # fmt: skip
_ONCE = frozenset({"from", "to", "call-id", "cseq", "event", "content-length", "expires", "max-forwards"})


class Malformed(ValueError):
    """Not a SIP message, or one nobody may answer; the text says why and quotes nothing."""


class Message(NamedTuple):
    """A request or a response."""

    method: str
    """Such as ``SUBSCRIBE``; of a response, that of its ``CSeq``."""
    uri: str
    """The Request-URI; empty in a response."""
    status: int
    """Of a response, 100 to 699; 0 in a request."""
    headers: dict[str, list[str]]
    """Values by full lower-case name, in the order they came; folded lines are one. Bytes are read as Latin-1."""
    body: bytes

    def value(self, name: str) -> str:
        """The value of a header, by its full lower-case name; empty where there is none."""
        values = self.headers.get(name)
        return values[0] if values else ""


def parse(data: bytes) -> Message:
    """Read a datagram; raises :class:`Malformed`."""
    if len(data) > LONGEST:
        raise Malformed("too long")
    head, body = _parted(data)
    # Latin-1 gives back each byte as it was; what is not ASCII is only ever copied.
    text = head.decode("latin-1").replace("\r\n", "\n")
    if _FORBIDDEN.search(text):
        raise Malformed("a control character")
    start, _newline, rest = text.partition("\n")
    headers = _headers(rest)
    for needed in ("via", "from", "to", "call-id", "cseq"):
        if not headers.get(needed, [""])[0]:
            raise Malformed(f"no {needed}")
    sequence = _CSEQ.fullmatch(headers["cseq"][0])
    if sequence is None or int(sequence[1]) > 0xFFFFFFFF:
        raise Malformed("a wrong CSeq")
    method, uri, status = _start(start)
    if status == 0 and method != sequence[2]:
        raise Malformed("a CSeq of another method")
    return Message(method or sequence[2], uri, status, headers, _measured(body, headers))


def _parted(data: bytes) -> tuple[bytes, bytes]:
    """What is before the empty line, and what is behind it."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        head, found, body = data.partition(b"\n\n")
    if not found:
        raise Malformed("no end of the headers")
    return head, body


def _start(line: str) -> tuple[str, str, int]:
    """Method, Request-URI and status of a first line."""
    if status := _STATUS.match(line):
        return "", "", int(status[1])
    method, _space, rest = line.partition(" ")
    uri, _space, version = rest.partition(" ")
    if not uri or version.upper() != "SIP/2.0" or not _METHOD.fullmatch(method):
        raise Malformed("neither a request nor a response")
    return method, uri, 0


def _headers(text: str) -> dict[str, list[str]]:
    lines: list[str] = []
    for line in text.split("\n"):
        if line[:1] in (" ", "\t"):
            if not lines:
                raise Malformed("a continuation of nothing")
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    if len(lines) > _MOST_HEADERS:
        raise Malformed("too many headers")
    headers: dict[str, list[str]] = {}
    for line in lines:
        spelled, colon, value = line.partition(":")
        name = spelled.rstrip(" \t").lower()
        if not colon or not _NAME.fullmatch(name):
            raise Malformed("a line that is no header")
        name = _COMPACT.get(name, name)
        values = headers.setdefault(name, [])
        if values and name in _ONCE:
            raise Malformed(f"{name} twice")
        values.append(value.strip(" \t"))
    return headers


def _measured(body: bytes, headers: dict[str, list[str]]) -> bytes:
    """The body as long as the message says it is; what follows belongs to nobody."""
    told = headers.get("content-length")
    if told is None:
        return body
    if not (told[0].isascii() and told[0].isdecimal()) or len(told[0]) > 6:
        raise Malformed("a wrong Content-Length")
    length = int(told[0])
    if length > len(body):
        raise Malformed("cut off")
    return body[:length]


def received(via: str, host: str, port: int) -> str:
    """The topmost ``Via`` as a response carries it back: with where the request really came from (RFC 3581)."""
    first, comma, others = via.partition(",")
    sent, *parameters = (part.strip() for part in first.split(";"))
    kept, wanted = [], False
    for parameter in parameters:
        name = parameter.partition("=")[0].strip().lower()
        if name == "rport":
            wanted = True
        elif name and name != "received":
            kept.append(parameter)
    if wanted:
        kept.append(f"rport={port}")
    if wanted or sent.rpartition(" ")[2].partition(":")[0] != host:
        kept.append(f"received={host}")
    return ";".join([sent, *kept]) + comma + others


def branch_of(via: str) -> str:
    """The branch of the topmost ``Via``; empty where it has none."""
    for parameter in via.partition(",")[0].split(";")[1:]:
        name, _equals, value = parameter.partition("=")
        if name.strip().lower() == "branch":
            return value.strip()
    return ""


def has_tag(address: str) -> bool:
    """Whether a ``From`` or ``To`` carries a tag."""
    parameters = address.rpartition(">")[2]
    return any(part.partition("=")[0].strip().lower() == "tag" for part in parameters.split(";")[1:])


def write(start: str, headers: list[tuple[str, str]], body: bytes = b"") -> bytes:
    """A message as it goes out. Values are copied as they are: they came through :func:`parse`, or are our own."""
    lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
