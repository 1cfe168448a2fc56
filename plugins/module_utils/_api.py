# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin API of autoprovd, over HTTPS or its Unix socket.

PRIVATE to the collection autoprov.appliance: may change at any time without notice. Importable without Ansible.

No message of this file ever holds a token or anything that was sent: what is wrong is told by the service, which never
quotes a secret, or from the connection's own state.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import typing as t
from urllib.parse import quote, urlencode, urlsplit

DEFAULT_URL = "unix:///run/autoprov/admin.sock"
URL_VARIABLE = "AUTOPROV_API_URL"
TOKEN_VARIABLE = "AUTOPROV_API_TOKEN"  # noqa: S105 - the name of a variable
PREFIX = "/api/v1"
SHOWN_FAULTS = 50
"""How many faults a message spells out; the exception carries all of them."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ApiError(Exception):
    """The service refused a request, or could not be asked. ``str()`` lists all faults, one a line.

    ``status`` is the HTTP status, 0 when there was no answer.
    """

    def __init__(self, message: str, faults: t.Sequence[t.Mapping[str, str]] = (), status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.faults = [dict(fault) for fault in faults]
        self.status = status

    def __str__(self) -> str:
        lines = [self.message, *(f"- {_spell_fault(fault)}" for fault in self.faults[:SHOWN_FAULTS])]
        more = len(self.faults) - SHOWN_FAULTS
        if more > 0:
            lines.append(f"- and {more} more")
        return "\n".join(lines)


class Api:
    """A client of one autoprovd.

    ``url`` is ``unix:///path/to/socket`` or ``https://host:port``; plain ``http`` is for the same host only, since a
    token would cross the network readable. ``timeout`` is in seconds, for each read and write.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: t.Optional[str] = None,
        ca_path: t.Optional[str] = None,
        validate_certs: bool = True,
        timeout: float = 60.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Accept": "application/json"}
        if token:
            if not (token.isascii() and token.isprintable()):
                raise ApiError("api_token holds characters that no token has (a line break?); copy it again")
            self._headers["Authorization"] = f"Bearer {token}"
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ApiError(f"api_url is not an address; write {DEFAULT_URL} or https://host:port") from None
        if parts.username or parts.password:
            raise ApiError("api_url holds a user name or password; give the token as api_token instead")
        self._base = parts.path if parts.scheme != "unix" else ""
        self._tls: t.Optional[ssl.SSLContext] = None
        if parts.scheme == "unix" and parts.path and not parts.netloc:
            self._connect: t.Callable[[], http.client.HTTPConnection] = lambda: _UnixConnection(parts.path, timeout)
        elif parts.scheme == "https" and host:
            tls = self._tls = _tls_context(ca_path, validate_certs)
            self._connect = lambda: http.client.HTTPSConnection(host, port, timeout=timeout, context=tls)
        elif parts.scheme == "http" and host in _LOOPBACK:
            self._connect = lambda: http.client.HTTPConnection(host, port, timeout=timeout)
        elif parts.scheme == "http" and host:
            raise ApiError(f"{self.url} would carry the token readable through the network; use https://")
        else:
            raise ApiError(f"api_url {self.url!r} is not an address; write {DEFAULT_URL} or https://host:port")

    def get(self, path: str, query: t.Sequence[tuple[str, str]] = ()) -> dict[str, t.Any]:
        """What the service answers to GET ``path`` (below ``/api/v1``). Raises :class:`ApiError`."""
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path)

    def put(self, path: str, body: t.Union[t.Mapping[str, t.Any], bytes]) -> dict[str, t.Any]:
        """Replace what stands at ``path``; ``body`` may be JSON already. Raises :class:`ApiError`."""
        return self._request("PUT", path, body)

    def post(self, path: str, body: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Ask the service to do something. Raises :class:`ApiError`."""
        return self._request("POST", path, body)

    def _request(
        self, method: str, path: str, body: t.Union[t.Mapping[str, t.Any], bytes, None] = None
    ) -> dict[str, t.Any]:
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = self._headers if payload is None else {**self._headers, "Content-Type": "application/json"}
        connection = self._connect()
        try:
            try:
                connection.request(method, self._base + PREFIX + quote(path, safe="/?=&%:"), payload, headers)
            except (BrokenPipeError, ConnectionResetError):
                # Refused before the whole body was read: the answer that says why may already be there.
                if connection.sock is None:
                    raise
            response = connection.getresponse()
            status, text = response.status, response.read()
            media_type = (response.getheader("Content-Type") or "no content type").split(";")[0]
        except (OSError, http.client.HTTPException) as error:
            # "from None": the cause could quote what was sent, and Ansible prints causes even under no_log.
            raise ApiError(self._why_unreachable(error)) from None
        finally:
            connection.close()
        return self._answer(status, text, media_type)

    def _answer(self, status: int, text: bytes, media_type: str) -> dict[str, t.Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict) or "message" not in error:
            raise ApiError(
                f"{self.url} answered HTTP {status} with {media_type}: not the admin API of autoprovd; check api_url",
                status=status,
            )
        faults = [fault for fault in error.get("faults") or [] if isinstance(fault, dict)]
        raise ApiError(str(error["message"]), faults, status)

    def _why_unreachable(self, error: Exception) -> str:
        where = f"the provisioning service at {self.url}"
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = (error.verify_message or "not trusted").rstrip(".")
            return f"{where} shows a certificate that is not trusted: {reason}; set ca_path to the CA that signed it"
        if isinstance(error, ssl.SSLError):
            return f"{where} does not speak TLS as expected ({error.reason or 'no reason given'}); check host and port"
        if isinstance(error, TimeoutError):
            return f"{where} did not answer within {self._timeout:g} s; look at its log, or raise timeout"
        if isinstance(error, socket.gaierror):
            return f"{where} has a host name that does not resolve; check api_url"
        if isinstance(error, PermissionError):
            return f"{where} may be used by root and by its own user only; use become, or https with an api_token"
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            return f"{where} does not answer ({reason}); is autoprovd running, and is api_url right?"
        return f"{where} broke off its answer ({type(error).__name__}); check api_url, and look at its log"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _tls_context(ca_path: t.Optional[str], validate_certs: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_path:
        try:
            if os.path.isdir(ca_path):
                context.load_verify_locations(capath=ca_path)
            else:
                context.load_verify_locations(cafile=ca_path)
        except (OSError, ssl.SSLError):
            raise ApiError(f"ca_path {ca_path} is not readable as PEM certificates") from None
    return context


def _spell_fault(fault: t.Mapping[str, str]) -> str:
    where, what, fix = (str(fault.get(part) or "") for part in ("where", "what", "fix"))
    text = f"{where}: {what}" if where else what
    return f"{text}; {fix}" if fix else text
