# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registering the way a phone does, by sipp: its exit status says whether the registrar accepted the password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from demo.site import HERE, Host, SiteError

_TRANSPORTS = {"udp": "u1", "tcp": "t1", "tls": "l1"}


@dataclass(frozen=True)
class Account:
    """A SIP account as a phone reads it from its configuration."""

    user: str
    auth_user: str
    password: str
    registrar: str
    port: int
    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    expires: int
    """Seconds."""


def register(host: Host, account: Account, timeout: int = 10) -> str:
    """Register ``account`` from ``host``: the status line of the registrar's last answer, such as ``200 OK``.

    Raises :class:`SiteError` with what the registrar said instead, when it does not accept.
    """
    spoken = (account.user, account.auth_user, account.password, account.registrar)
    if any(re.search(r"[;\[\]\s]", word) for word in spoken):
        raise SiteError("sipp cannot carry a semicolon, a bracket or a blank in an account")
    challenge_answer = f"[authentication username={account.auth_user} password={account.password}]"
    # In a file, because a command line is read by everyone on this host.
    injection = host.directory / "account.csv"
    fields = (account.user, str(account.expires), account.registrar, challenge_answer)
    injection.write_text("SEQUENTIAL\n" + ";".join(fields) + "\n", "utf-8")
    messages = host.directory / "sip-messages.log"
    messages.unlink(missing_ok=True)
    command: list[str | Path] = [
        "sipp",
        f"{account.registrar}:{account.port}",
        *("-sf", HERE / "register.xml", "-inf", injection, "-t", _TRANSPORTS[account.transport]),
        *("-m", "1", "-nostdin", "-timeout", f"{timeout}s", "-timeout_error", "-recv_timeout", "4000"),
        *("-trace_msg", "-message_file", messages),
    ]
    done = host.run(command, check=False, timeout=timeout + 10)
    exchange = messages.read_text("utf-8", "replace") if messages.exists() else ""
    answers = re.findall(r"^SIP/2\.0 (\d{3} .*?)\r?$", exchange, re.MULTILINE)
    last: str = answers[-1] if answers else "no answer"
    if done.returncode != 0:
        raise SiteError(f"the registrar {account.registrar} does not accept {account.user}: {last}")
    return last
