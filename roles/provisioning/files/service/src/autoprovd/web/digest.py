# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP authentication of phones: Digest (RFC 7616) with nonces kept here, and Basic where TLS protects it.

A nonce lives for a minute, and each of its counts is accepted once, so that an answer overheard on the voice VLAN
cannot be sent again. It carries its own time and a keyed digest of it: asking for nonces costs no memory, so a flood of
askers cannot take away those that are in use.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import struct
import time
from typing import NamedTuple

REALM = "autoprov"
_NONCE_SECONDS = 60.0
_MANY_USED = 20_000
_ALGORITHMS = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAMETER = re.compile(r'([a-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', re.IGNORECASE)


class Credentials(NamedTuple):
    """What an Authorization header holds; ``fields`` is empty for Basic."""

    scheme: str
    user: str
    password: str
    fields: dict[str, str]


def parse(header: str) -> Credentials | None:
    """The credentials of an Authorization header, or None when it is neither Digest nor Basic, or malformed."""
    scheme, _space, rest = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            user, separator, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except ValueError:  # not ASCII, not base64, not UTF-8
            return None
        return Credentials("basic", user, password, {}) if separator else None
    if scheme.lower() == "digest":
        fields = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        return Credentials("digest", fields["username"], "", fields) if "username" in fields else None
    return None


class Digest:
    """Issues challenges and checks answers to them."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._used: dict[str, tuple[float, int]] = {}
        """When a nonce that fitted once was issued, and the highest count so far."""
        self._many = _MANY_USED

    def challenges(self, stale: bool, basic: bool) -> list[str]:
        """The WWW-Authenticate headers of a 401, the one every phone understands first."""
        nonce = self._issue()
        suffix = ", stale=true" if stale else ""
        offered = [
            f'Digest realm="{REALM}", nonce="{nonce}", qop="auth", algorithm={algorithm}{suffix}'
            for algorithm in ("MD5", "SHA-256")
        ]
        return [*offered, f'Basic realm="{REALM}"'] if basic else offered

    def _issue(self) -> str:
        head = struct.pack("!d", time.monotonic()) + secrets.token_bytes(8)
        return base64.urlsafe_b64encode(head + self._sign(head)).decode()

    def _sign(self, head: bytes) -> bytes:
        return hmac.digest(self._key, head, "sha256")[:16]

    def _issued(self, nonce: str) -> float | None:
        """When it was issued here; None when it was not."""
        try:
            told = base64.urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return None
        head, signature = told[:16], told[16:]
        if not hmac.compare_digest(self._sign(head), signature):
            return None
        issued: float = struct.unpack("!d", head[:8])[0]
        return issued

    def check(self, credentials: Credentials, method: str, target: str, passwords: list[str]) -> bool | None:
        """True when the answer fits one of the passwords, False when not, None when only the nonce was stale."""
        fields = credentials.fields
        algorithm = fields.get("algorithm", "MD5").upper()
        digest = _ALGORITHMS.get(algorithm)
        if digest is None or fields.get("qop") != "auth" or fields.get("realm") != REALM:
            return False
        if fields.get("uri") != target:
            return False

        def hashed(text: str) -> str:
            return digest(text.encode()).hexdigest()

        middle = f"{fields.get('nonce')}:{fields.get('nc')}:{fields.get('cnonce')}:auth"
        request = hashed(f"{method}:{target}")
        answer = fields.get("response", "").lower().encode()
        fits = False
        for password in passwords:
            expected = hashed(f"{hashed(f'{credentials.user}:{REALM}:{password}')}:{middle}:{request}")
            fits |= hmac.compare_digest(expected.encode(), answer)
        if not fits:
            return False
        return True if self._use(fields.get("nonce", ""), fields.get("nc", "")) else None

    def _use(self, nonce: str, count: str) -> bool:
        """Only what fitted comes here, so only who has a password can fill the memory."""
        issued, now = self._issued(nonce), time.monotonic()
        if issued is None or now - issued >= _NONCE_SECONDS or not re.fullmatch("[0-9a-fA-F]{8}", count):
            return False
        if int(count, 16) <= self._used.get(nonce, (issued, 0))[1]:
            return False
        if len(self._used) >= self._many:
            self._used = {key: used for key, used in self._used.items() if now - used[0] < _NONCE_SECONDS}
            self._many = max(_MANY_USED, 2 * len(self._used))  # when all of them are young, not again at once
        self._used[nonce] = issued, int(count, 16)
        return True


def check_basic(credentials: Credentials, passwords: list[str]) -> bool:
    """Whether a Basic password is one of these, compared in constant time."""
    fits = False
    for password in passwords:
        fits |= hmac.compare_digest(password.encode(), credentials.password.encode())
    return fits
