# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking? Hawk, Digest and Basic, verified as their specifications say, apart from the client's code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable

from tests.redirect_services.service import Asked


def _pairs(text: str) -> dict[str, str]:
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', text)}


class HawkGuard:
    """Hawk (github.com/mozilla/hawk, API.md): SHA-256, payload hash demanded, nonces once, a minute of skew."""

    def __init__(self, identifier: str, key: str) -> None:
        self.identifier = identifier
        self.key = key
        self.ahead = 0
        """Seconds that this service's clock is ahead of the client's."""
        self.tells_time = True
        self.forges_time = False
        self._nonces: set[str] = set()

    def check(self, asked: Asked, host: str, port: int) -> str | None:
        """The WWW-Authenticate header of a refusal; None where the request is genuine."""
        kind, _blank, rest = (asked.headers.get("Authorization") or "").partition(" ")
        shown = _pairs(rest)
        if kind != "Hawk" or not {"id", "ts", "nonce", "hash", "mac"} <= set(shown):
            return "Hawk"
        if shown["id"] != self.identifier:
            return 'Hawk error="Unknown credentials"'
        content_type = (asked.headers.get("Content-Type") or "").split(";")[0].strip().lower()
        digest = hashlib.sha256()
        for piece in (b"hawk.1.payload\n", content_type.encode(), b"\n", asked.body, b"\n"):
            digest.update(piece)
        if base64.b64encode(digest.digest()).decode() != shown["hash"]:
            return 'Hawk error="Bad payload hash"'
        signed = "hawk.1.header\n{ts}\n{nonce}\n".format(**shown)
        signed += f"{asked.method}\n{asked.target}\n{host}\n{port}\n{shown['hash']}\n{shown.get('ext', '')}\n"
        if not hmac.compare_digest(self._sign(signed), shown["mac"]):
            return 'Hawk error="Bad mac"'
        if shown["nonce"] in self._nonces:
            return 'Hawk error="Invalid nonce"'
        self._nonces.add(shown["nonce"])
        now = int(time.time()) + self.ahead
        if abs(int(shown["ts"]) - now) > 60:
            if not self.tells_time:
                return "Hawk"
            signature = "Zm9yZ2Vk" if self.forges_time else self._sign(f"hawk.1.ts\n{now}\n")
            return f'Hawk ts="{now}", tsm="{signature}", error="Stale timestamp"'
        return None

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self.key.encode(), text.encode(), "sha256")).decode()


class BasicGuard:
    """Basic (RFC 7617)."""

    def __init__(self, username: str, password: str) -> None:
        self._expected = base64.b64encode(f"{username}:{password}".encode()).decode()

    def check(self, asked: Asked) -> str | None:
        """The WWW-Authenticate header of a refusal; None where the request is genuine."""
        if asked.headers.get("Authorization") == f"Basic {self._expected}":
            return None
        return 'Basic realm="redirect"'


class DigestGuard:
    """Digest (RFC 7616), qop=auth: each nonce counts up from one, and runs out after some uses."""

    REALM = "Redirect, Gigaset"

    def __init__(self, username: str, password: str, algorithm: str = "MD5", uses: int = 100) -> None:
        self._username = username
        self._password = password
        self.algorithm = algorithm
        self.uses = uses
        self.problems: list[str] = []
        self._nonces: dict[str, int] = {}

    def check(self, asked: Asked) -> str | None:
        """The WWW-Authenticate header of a refusal; None where the request is genuine."""
        kind, _blank, rest = (asked.headers.get("Authorization") or "").partition(" ")
        if kind != "Digest":
            return self._challenge()
        shown = _pairs(rest)
        used = self._nonces.get(shown.get("nonce", ""))
        h: Callable[[str], str] = lambda text: hashlib.new(  # noqa: E731 - the H of the specification
            {"MD5": "md5", "SHA-256": "sha256"}[self.algorithm], text.encode()
        ).hexdigest()
        first = h(f"{self._username}:{self.REALM}:{self._password}")
        second = h(f"{asked.method}:{asked.target}")
        middle = ":".join(shown.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
        genuine = shown.get("response") == h(f"{first}:{middle}:{second}")
        right = (
            shown.get("username") == self._username
            and shown.get("uri") == asked.target
            and shown.get("algorithm") == self.algorithm
            and shown.get("opaque") == "of the server"
            and shown.get("qop") == "auth"
        )
        if used is None or not genuine or not right:
            return self._challenge()
        if int(shown["nc"], 16) != used + 1:
            self.problems.append(f"nc is {shown['nc']} after {used} uses")
            return self._challenge()
        self._nonces[shown["nonce"]] = used + 1
        if used + 1 > self.uses:
            return self._challenge(stale=True)
        return None

    def _challenge(self, stale: bool = False) -> str:
        nonce = secrets.token_hex(8)
        self._nonces[nonce] = 0
        return (
            f'Digest realm="{self.REALM}", nonce="{nonce}", qop="auth,auth-int", algorithm={self.algorithm}, '
            f'opaque="of the server"{", stale=true" if stale else ""}'
        )
