# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP authentication of phones: Digest (RFC 7616) with nonces kept here, and Basic where TLS protects it.

A nonce is random, lives for a minute, and each of its counts is accepted once, so that an answer overheard on the
voice VLAN cannot be sent again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import NamedTuple

REALM = "autoprov"
_NONCE_SECONDS = 60.0
_MOST_NONCES = 20_000
_ALGORITHMS = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAMETER = re.compile(r'([a-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', re.IGNORECASE)


class Credentials(NamedTuple):
    """What an Authorization header holds; ``fields`` is empty for Basic."""

    scheme: str
    user: str
    password: str
    fields: dict[str, str]


@dataclass(slots=True)
class _Nonce:
    issued: float
    count: int = 0


def parse(header: str) -> Credentials | None:
    """The credentials of an Authorization header, or None when it is neither Digest nor Basic, or malformed."""
    scheme, _space, rest = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            user, separator, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return Credentials("basic", user, password, {}) if separator else None
    if scheme.lower() == "digest":
        fields = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        return Credentials("digest", fields["username"], "", fields) if "username" in fields else None
    return None


class Digest:
    """Issues challenges and checks answers to them."""

    def __init__(self) -> None:
        self._nonces: dict[str, _Nonce] = {}

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
        now = time.monotonic()
        if len(self._nonces) >= _MOST_NONCES:
            alive = {key: nonce for key, nonce in self._nonces.items() if now - nonce.issued < _NONCE_SECONDS}
            self._nonces = alive if len(alive) < _MOST_NONCES else {}
        key = secrets.token_urlsafe(18)
        self._nonces[key] = _Nonce(now)
        return key

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
        answer = fields.get("response", "").lower()
        fits = False
        for password in passwords:
            expected = hashed(f"{hashed(f'{credentials.user}:{REALM}:{password}')}:{middle}:{request}")
            fits |= hmac.compare_digest(expected, answer)
        if not fits:
            return False
        return True if self._use(fields.get("nonce", ""), fields.get("nc", "")) else None

    def _use(self, key: str, count: str) -> bool:
        nonce = self._nonces.get(key)
        if nonce is None or time.monotonic() - nonce.issued >= _NONCE_SECONDS:
            return False
        if not re.fullmatch("[0-9a-fA-F]{8}", count) or int(count, 16) <= nonce.count:
            return False
        nonce.count = int(count, 16)
        return True


def check_basic(credentials: Credentials, passwords: list[str]) -> bool:
    """Whether a Basic password is one of these, compared in constant time."""
    fits = False
    for password in passwords:
        fits |= hmac.compare_digest(password.encode(), credentials.password.encode())
    return fits
