# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""How a client shows a service who it is: Basic (RFC 7617), Digest (RFC 7616), Hawk (github.com/mozilla/hawk, API.md).

A scheme makes the Authorization header of a request, and learns from a refusal whether to try once more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
import typing as t
from urllib.parse import urlsplit

Challenges = t.Dict[str, t.Dict[str, str]]
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z-]+\s*=|\s*$|\s*,)")
_PARAMETER = re.compile(r'([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Request(t.NamedTuple):
    """What a header is made for."""

    method: str
    url: str
    body: bytes = b""
    content_type: str = ""

    @property
    def target(self) -> str:
        """Path and query, as they go over the wire."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class Scheme:
    """No authentication at all."""

    def header(self, request: Request) -> t.Optional[str]:
        """The Authorization header of that request; None sends none."""
        return None

    def learn(self, challenges: Challenges) -> bool:
        """Take in the challenges of a 401; whether the request is worth sending once more."""
        return False

    def notes(self) -> t.List[str]:
        """What a person should know, such as a clock that is wrong."""
        return []


class Basic(Scheme):
    """User name and password with each request."""

    def __init__(self, username: str, password: str) -> None:
        self._header = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    def header(self, request: Request) -> t.Optional[str]:
        return self._header


class Bearer(Scheme):
    """A token that something else obtains."""

    def __init__(self) -> None:
        self.token = ""

    def header(self, request: Request) -> t.Optional[str]:
        return f"Bearer {self.token}"


class Challenged(Scheme):
    """Says nothing until it is asked: then Digest where the service offers it, else Basic."""

    #: Of RFC 7616; the strongest first. Services of this kind know MD5 at least.
    _ALGORITHMS = (("SHA-256", "sha256"), ("MD5", "md5"))

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._basic: t.Optional[Basic] = None
        self._digest: t.Dict[str, str] = {}
        self._hash = ""
        self._count = 0

    def header(self, request: Request) -> t.Optional[str]:
        if self._basic is not None:
            return self._basic.header(request)
        if not self._digest:
            return None
        self._count += 1
        count, cnonce = f"{self._count:08x}", secrets.token_hex(16)
        realm, nonce = self._digest.get("realm", ""), self._digest["nonce"]
        first = self._h(f"{self._username}:{realm}:{self._password}")
        second = self._h(f"{request.method}:{request.target}")
        response = self._h(f"{first}:{nonce}:{count}:{cnonce}:auth:{second}")
        quoted = {"username": self._username, "realm": realm, "nonce": nonce, "uri": request.target}
        if "opaque" in self._digest:
            quoted["opaque"] = self._digest["opaque"]
        quoted.update(cnonce=cnonce, response=response)
        fields = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
        return "Digest " + ", ".join([*fields, f"algorithm={self._digest['algorithm']}", "qop=auth", f"nc={count}"])

    def learn(self, challenges: Challenges) -> bool:
        offered = challenges.get("digest")
        if offered and self._usable(offered):
            # Refused for a new nonce: they are wrong. One that was good before may have been forgotten by the service,
            # or miscounted where a request got lost.
            wrong = self._count == 1 and offered.get("stale", "").lower() != "true"
            self._digest, self._count = offered, 0
            return not wrong
        if "basic" in challenges and self._basic is None and not self._digest:
            self._basic = Basic(self._username, self._password)
            return True
        return False

    def _usable(self, offered: t.Dict[str, str]) -> bool:
        named = offered.setdefault("algorithm", "MD5").upper()
        qop = [word.strip() for word in offered.get("qop", "").split(",")]
        for name, algorithm in self._ALGORITHMS:
            if name == named and "auth" in qop and offered.get("nonce"):
                self._hash = algorithm
                return True
        return False

    def _h(self, text: str) -> str:
        return hashlib.new(self._hash, text.encode()).hexdigest()


class Hawk(Scheme):
    """A MAC over each request, by a key that never travels; with the hash of the payload, and SHA-256 throughout."""

    #: The lines that are signed, each ended by a line feed; the MAC of a request is over these.
    _SIGNED = ("hawk.1.header", "ts", "nonce", "method", "target", "host", "port", "hash", "ext")

    def __init__(self, identifier: str, key: str, now: t.Callable[[], float] = time.time) -> None:
        self._id = identifier
        self._key = key
        self._now = now
        self._offset = 0
        self._corrected = False

    def header(self, request: Request, nonce: str = "", ext: str = "") -> t.Optional[str]:
        values = {
            "ts": str(int(self._now()) + self._offset),
            "nonce": nonce or secrets.token_urlsafe(12),
            "hash": self.payload_hash(request),
            "ext": ext,
        }
        values["mac"] = self._mac(self._lines(request, values))
        shown = [(name, values[name]) for name in ("ts", "nonce", "hash", "ext", "mac") if values[name]]
        return "Hawk " + ", ".join(f'{name}="{_escaped(value)}"' for name, value in [("id", self._id), *shown])

    def learn(self, challenges: Challenges) -> bool:
        """A service that finds the time stale tells its own, signed: only then is it believed, and once."""
        offered = challenges.get("hawk", {})
        stamp = offered.get("ts", "")
        if self._corrected or not stamp.isdigit():
            return False
        if not hmac.compare_digest(offered.get("tsm", ""), self._mac(["hawk.1.ts", stamp])):
            return False
        self._offset = int(stamp) - int(self._now())
        self._corrected = True
        return True

    def notes(self) -> t.List[str]:
        if not self._corrected or not self._offset:
            return []
        side = "behind" if self._offset > 0 else "ahead of"
        return [f"the clock of this host is {abs(self._offset)} s {side} that of the service; see to its NTP"]

    @staticmethod
    def payload_hash(request: Request) -> str:
        """The hash of what is sent; of nothing, too."""
        kind = request.content_type.partition(";")[0].strip().lower()
        text = f"hawk.1.payload\n{kind}\n".encode() + request.body + b"\n"
        return base64.b64encode(hashlib.sha256(text).digest()).decode()

    def _lines(self, request: Request, values: t.Mapping[str, str]) -> t.List[str]:
        parts = urlsplit(request.url)
        known = {
            **values,
            "hawk.1.header": "hawk.1.header",
            "method": request.method.upper(),
            "target": request.target,
            "host": (parts.hostname or "").lower(),
            "port": str(parts.port or {"https": 443}.get(parts.scheme, 80)),
        }
        return [known[name] for name in self._SIGNED]

    def _mac(self, lines: t.Sequence[str]) -> str:
        text = "".join(f"{line}\n" for line in lines)
        return base64.b64encode(hmac.new(self._key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def read_challenges(values: t.Iterable[str]) -> Challenges:
    """The parameters of each scheme that the WWW-Authenticate headers of a refusal offer, by its lower-case name."""
    found: Challenges = {}
    for value in values:
        blank = _PARAMETER.sub(
            lambda match: match.group(1) + "=" + "x" * (len(match.group()) - len(match.group(1)) - 1), value
        )
        starts = [(match.start(1), match.end(1)) for match in _SCHEME.finditer(blank)]
        for index, (start, end) in enumerate(starts):
            until = starts[index + 1][0] if index + 1 < len(starts) else len(value)
            parameters = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
                for name, quoted, plain in _PARAMETER.findall(value[end:until])
            }
            found.setdefault(value[start:end].lower(), parameters)
    return found


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
