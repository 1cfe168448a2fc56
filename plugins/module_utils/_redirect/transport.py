# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""HTTPS to one service: its certificate verified, no redirect followed, no other host ever asked.

Reading is repeated where it failed in passing. A change is not: whether it was done is for the engine to find out.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import re
import socket
import ssl
import time
import typing as t
import urllib.error
from urllib.parse import urljoin, urlsplit

from ansible.module_utils.urls import open_url

from .authentication import Request, Scheme, read_challenges
from .errors import CallError, NotAccepted

#: Answers that may be another one in a moment.
_PASSING = (408, 429, 500, 502, 503, 504)
_LARGEST_ANSWER = 8 * 1024 * 1024
_LONGEST_WAIT = 60.0
#: Hawk and others allow a minute between two clocks.
_CLOCKS_AGREE = 60
_sleep = time.sleep


class Response(t.NamedTuple):
    """An answer below 400, or one that the caller wants to read itself."""

    status: int
    headers: t.Any
    body: bytes


class Transport:
    """The connection to one service.

    ``endpoint`` is its address, https only. ``timeout`` is in seconds, for each read and write; ``retries`` is how
    often something that failed in passing is tried again.
    """

    def __init__(
        self,
        title: str,
        endpoint: str,
        secrets: t.Sequence[str],
        ca_path: t.Optional[str] = None,
        timeout: float = 30.0,
        retries: int = 3,
    ) -> None:
        self.title = title
        self.endpoint = endpoint
        self.retries = retries
        self._origin = _origin(endpoint)
        self._secrets = [secret for secret in secrets if secret]
        self._ca_path = ca_path
        self._timeout = timeout

    def call(
        self,
        request: Request,
        scheme: Scheme,
        safe: bool,
        headers: t.Callable[[], t.Mapping[str, str]] = dict,
        read: t.Container[int] = (),
    ) -> Response:
        """The answer to a request. Raises CallError.

        A ``safe`` one changes nothing, and is repeated. ``headers`` makes further headers, for each attempt anew.
        ``read`` are statuses from 400 on that the caller wants to see.
        """
        if _origin(request.url) != self._origin:
            raise CallError(
                f"{self.title} names an address on another host ({_host(request.url)}); credentials are for "
                f"{_host(self.endpoint)} alone, so it was not asked"
            )
        for attempt in range(self.retries + 1):
            try:
                return self._once(request, scheme, safe, headers, read)
            except NotAccepted:
                raise
            except CallError as error:
                if not safe or not error.may_be_done or attempt == self.retries:
                    raise
                self.pause(attempt, error.retry_after)
        raise AssertionError("unreachable")

    def pause(self, attempt: int, retry_after: float = 0.0) -> None:
        """Wait before the next attempt: as long as the service said, else twice as long each time, and not in step
        with others."""
        backoff = min(2.0**attempt, _LONGEST_WAIT) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        _sleep(min(retry_after or backoff, _LONGEST_WAIT))

    def relative(self, path: str) -> str:
        """The address of something below the endpoint, or what a link of the service means."""
        return urljoin(self.endpoint, path)

    def clean(self, text: str) -> str:
        """What a service said, as it may be shown: one short line, without credentials."""
        for secret in self._secrets:
            text = text.replace(secret, "********")
        line = " ".join(re.sub(r"[^\x20-\x7e\xa0-\uffff]", " ", text).split())
        return line if len(line) <= 200 else line[:200] + " ..."

    def keep_secret(self, secret: str) -> None:
        """Add something to what is never shown."""
        self._secrets.append(secret)

    def json(self, response: Response) -> t.Any:
        """The JSON of an answer. Raises CallError."""
        try:
            return json.loads(response.body)
        except ValueError:
            raise CallError(
                f"{self.title} answered HTTP {response.status} without JSON; check endpoint, or does a proxy answer?"
            ) from None

    def refusal(self, response: Response) -> CallError:
        """The error of an answer that says nothing better itself."""
        status = response.status
        if status < 400:
            target = _host(urljoin(self.endpoint, response.headers.get("Location") or ""))
            return CallError(
                f"{self.title} redirects to {self.clean(target)}: credentials are not carried there; check endpoint",
                status=status,
            )
        if status == 401:
            return NotAccepted(
                f"{self.title} does not accept the credentials; check username and password{self._clock(response)}",
                status=status,
            )
        if status == 403:
            return CallError(
                f"{self.title} forbids this to the account; have it enabled by the vendor, or use another",
                status=status,
            )
        wait = retry_after(response.headers.get("Retry-After"))
        if status == 429:
            message = f"{self.title} wants fewer requests (HTTP 429); wait, and run again"
        elif status in _PASSING:
            message = f"{self.title} is in trouble (HTTP {status}); wait, and run again"
        else:
            said = self.clean(response.body[:2000].decode("utf-8", "replace")) or "nothing else"
            message = f"{self.title} refused (HTTP {status}), saying: {said}"
        return CallError(message, may_be_done=status in _PASSING, retry_after=wait, status=status)

    def _once(
        self,
        request: Request,
        scheme: Scheme,
        safe: bool,
        headers: t.Callable[[], t.Mapping[str, str]],
        read: t.Container[int],
    ) -> Response:
        for _challenge in range(2):
            response = self._send(request, scheme, headers())
            if response.status != 401 or 401 in read:
                break
            if not scheme.learn(read_challenges(response.headers.get_all("WWW-Authenticate") or ())):
                break
        if response.status < 300 or response.status in read:
            return response
        raise self.refusal(response)

    def _send(self, request: Request, scheme: Scheme, further: t.Mapping[str, str]) -> Response:
        headers = {"Accept": "application/json, text/xml", **further}
        if request.content_type:
            headers["Content-Type"] = request.content_type
        authorization = scheme.header(request)
        if authorization:
            headers["Authorization"] = authorization
        try:
            answer = open_url(
                request.url,
                method=request.method,
                data=request.body or None,
                headers=headers,
                timeout=self._timeout,
                validate_certs=True,
                ca_path=self._ca_path,
                follow_redirects="no",
                http_agent="autoprov.appliance",
                use_netrc=False,
            )
        except urllib.error.HTTPError as error:
            answer = error
        except (OSError, http.client.HTTPException) as error:
            # "from None": a cause may quote what was sent, and Ansible prints causes.
            raise self._no_answer(error) from None
        except Exception as error:  # ansible's own, of its proxies and certificates
            raise CallError(f"{self.title} cannot be asked: {self.clean(str(error))}") from None
        with answer:
            try:
                body = answer.read(_LARGEST_ANSWER + 1)
            except (OSError, http.client.HTTPException) as error:
                raise self._no_answer(error) from None
        if len(body) > _LARGEST_ANSWER:
            raise CallError(f"{self.title} answered with more than {_LARGEST_ANSWER // 1024**2} MB; check endpoint")
        return Response(answer.code, answer.headers, body)

    def _clock(self, response: Response) -> str:
        try:
            theirs = email.utils.parsedate_to_datetime(response.headers.get("Date") or "").timestamp()
        except (TypeError, ValueError, IndexError):
            return ""
        apart = round(theirs - time.time())
        if abs(apart) <= _CLOCKS_AGREE:
            return ""
        return f". The clock of this host is {abs(apart)} s {'behind' if apart > 0 else 'ahead'}; see to its NTP"

    def _no_answer(self, error: BaseException) -> CallError:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        host = _host(self.endpoint)
        if isinstance(reason, ssl.SSLCertVerificationError):
            why = (reason.verify_message or "not trusted").rstrip(".")
            return CallError(
                f"{host} shows a certificate that is not trusted: {why}; set endpoint_ca_path if a proxy of yours "
                "stands in between"
            )
        if isinstance(reason, socket.gaierror):
            return CallError(f"{host} does not resolve; check the DNS of this host")
        if isinstance(reason, (TimeoutError, socket.timeout)):
            message = f"{self.title} did not answer within {self._timeout:g} s; run again, or raise endpoint_timeout"
        elif isinstance(reason, ConnectionRefusedError):
            return CallError(f"{host} refuses the connection; check endpoint, and the firewall on the way")
        else:
            why = (reason.strerror if isinstance(reason, OSError) else None) or type(reason).__name__
            message = f"the connection to {host} broke off ({why}); run again"
        return CallError(message, may_be_done=True)


def _origin(url: str) -> t.Tuple[str, str, int]:
    parts = urlsplit(url)
    try:
        return parts.scheme, (parts.hostname or "").lower(), parts.port or 443
    except ValueError:
        return parts.scheme, "", 0


def _host(url: str) -> str:
    return urlsplit(url).hostname or "no host"


def retry_after(value: t.Optional[str]) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), 0 when there is none."""
    if value and value.strip().isdigit():
        return float(value.strip())
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value or "").timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return 0.0
