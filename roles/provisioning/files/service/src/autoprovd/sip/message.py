# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP messages as a client writes and reads them (RFC 3261, sections 7, 8.1 and 22.2)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

LONGEST: Final = 65_535
"""Bytes of a message; nobody has to answer with more."""

_COMPACT: Final = {"v": "via", "f": "from", "t": "to", "i": "call-id", "l": "content-length", "m": "contact"}
_STATUS_LINE: Final = re.compile(r"SIP/2\.0 ([1-6]\d\d) ?([^\r\n]{0,200})")
# A parameter of a challenge: a token, or a text in quotes with backslashes before what would end it.
_PARAMETER: Final = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: Final = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class Malformed(ValueError):
    """This is no SIP message."""


class Response(NamedTuple):
    """The answer to a request."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    """In their order, names in lower case and written out."""

    def header(self, name: str) -> str:
        """The first header of that name, empty where there is none."""
        return next((value for known, value in self.headers if known == name), "")


def request(method: str, uri: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request without a body. Raises ``ValueError`` when a value would begin a line of its own."""
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers), "Content-Length: 0"]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise ValueError("a header of a SIP message cannot have several lines")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def parse_response(data: bytes) -> Response:
    """The response in a datagram, or in the head that was read from a connection. Raises :class:`Malformed`."""
    if len(data) > LONGEST:
        raise Malformed("longer than a datagram")
    head, separator, _body = data.partition(b"\r\n\r\n")
    if not separator:
        raise Malformed("it has no end")
    # Lines that begin with a blank go on with the line before.
    first, *lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace")).split("\r\n")
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise Malformed("it begins with no status")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a header has no colon")
        name = name.strip().lower()
        headers.append((_COMPACT.get(name, name), value.strip()))
    return Response(int(found[1]), found[2], tuple(headers))


def body_length(head: bytes) -> int:
    """How many bytes follow this head on a connection. Raises :class:`Malformed`."""
    text = parse_response(head).header("content-length") or "0"
    if not re.fullmatch("[0-9]{1,5}", text):
        raise Malformed("its length is no number")
    return int(text)


def answer_to(challenge: str, user: str, password: str, method: str, uri: str) -> str | None:
    """The value of the header that answers a Digest challenge (RFC 8760); None where it asks for what is not known.

    The caller names the header: ``Authorization`` after 401, ``Proxy-Authorization`` after 407.
    """
    kind, _space, rest = challenge.strip().partition(" ")
    asked = {name.lower(): quoted or token for name, quoted, token in _PARAMETER.findall(rest)}
    algorithm = asked.get("algorithm", "MD5")
    make = _HASHES.get(algorithm.lower())
    if kind.lower() != "digest" or make is None or not {"realm", "nonce"} <= asked.keys() or '"' in user:
        return None

    def digest(text: str) -> str:
        return make(text.encode("utf-8")).hexdigest()

    realm, nonce = asked["realm"], asked["nonce"]
    secret, action = digest(f"{user}:{realm}:{password}"), digest(f"{method}:{uri}")
    parts = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"', f"algorithm={algorithm}"]
    if "qop" in asked:
        if "auth" not in re.split(r"\s*,\s*", asked["qop"].lower()):
            return None
        client = secrets.token_hex(8)
        response = digest(f"{secret}:{nonce}:00000001:{client}:auth:{action}")
        parts += ["qop=auth", "nc=00000001", f'cnonce="{client}"']
    else:
        response = digest(f"{secret}:{nonce}:{action}")
    parts.append(f'response="{response}"')
    if "opaque" in asked:
        parts.append(f'opaque="{asked["opaque"]}"')
    return "Digest " + ", ".join(parts)
