# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching files the way a phone does: HTTP/1.1 by curl, from inside the phone's host."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from demo.site import Host, SiteError


@dataclass(frozen=True)
class Credentials:
    """What a phone answers a challenge with."""

    user: str
    password: str


@dataclass(frozen=True)
class Response:
    """The answer to one request of a phone."""

    url: str
    statuses: tuple[int, ...]
    """Every HTTP status on the way, such as (401, 200) where a challenge was answered."""
    challenges: tuple[str, ...]
    """The schemes the server asked for, in lower case."""
    body: str

    @property
    def status(self) -> int:
        """The last HTTP status."""
        return self.statuses[-1]


def fetch(
    host: Host, url: str, user_agent: str, credentials: Credentials | None = None, certificate: Path | None = None
) -> Response:
    """GET ``url``; ``credentials`` answer a Digest challenge, and nothing else; ``certificate`` holds its key as well.

    Raises :class:`SiteError` where no HTTP answer comes.
    """
    options = {"url": url, "user-agent": user_agent, "max-time": "15", "header": "Accept: */*"}
    if credentials:
        options["user"] = f"{credentials.user}:{credentials.password}"
    if certificate:
        options["cert"] = str(certificate)
    flags = ["silent", "show-error", "http1.1", "insecure", "globoff", *(["digest"] if credentials else [])]
    # On standard input, because a command line is read by everyone on this host.
    configuration = "".join(f"{flag}\n" for flag in flags)
    configuration += "".join(f'{name} = "{_quote(value)}"\n' for name, value in options.items())
    headers = host.directory / "headers"
    body = host.directory / "body"
    body.write_bytes(b"")
    command: list[str | Path] = [
        "curl",
        "--config",
        "-",
        "--dump-header",
        headers,
        "--output",
        body,
        "--write-out",
        "%{json}",
    ]
    done = host.run(command, text=configuration, check=False)
    if done.returncode != 0:
        raise SiteError(f"{url}: {done.stderr.strip() or json.loads(done.stdout).get('errormsg')}")
    heads = headers.read_text("latin-1")
    return Response(
        url=url,
        statuses=tuple(int(status) for status in re.findall(r"^HTTP/\S+ (\d{3})", heads, re.MULTILINE)),
        challenges=tuple(
            scheme.lower() for scheme in re.findall(r"^www-authenticate: *(\w+)", heads, re.MULTILINE | re.IGNORECASE)
        ),
        body=body.read_bytes().decode("utf-8"),
    )


def _quote(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
