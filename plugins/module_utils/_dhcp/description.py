# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What the DHCP servers of this host are told to tell phones: read from their configurations (dhcp_info)."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import asdict

from . import engine
from .backend import Backend, SetOption, Target
from .decoding import known_name
from .errors import DhcpError
from .options import OPTIONS
from .phones import Phone
from .vendors import VENDORS

#: What is listed; the rest of a configuration is nobody's business here.
_READ_BY_PHONES = frozenset(OPTIONS) | {code for vendor in VENDORS.values() for code in vendor.reads}


def describe_servers(
    server: str, target: Target, played: t.Sequence[Phone], subnet: t.Optional[str]
) -> t.List[t.Dict[str, t.Any]]:
    """Every DHCP server of this host (or the one asked for), those that run first. Raises DhcpError.

    A server that cannot be read does not hide the others: its fault is told instead.
    """
    if subnet:
        try:
            subnet = str(ipaddress.IPv4Network(subnet))
        except ValueError as exc:
            raise DhcpError("subnet %s: %s" % (subnet, exc)) from None
    backends = engine.backends_here(server)
    if len(backends) > 1 and (target.config_file or target.control_socket):
        names = ", ".join(backend.name for backend in backends)
        raise DhcpError("config_file and control_socket belong to one server; say which with server (%s)" % names)
    return [_describe(backend, target, played, subnet) for backend in backends]


def _describe(
    kind: t.Type[Backend], target: Target, played: t.Sequence[Phone], subnet: t.Optional[str]
) -> t.Dict[str, t.Any]:
    result: t.Dict[str, t.Any] = {
        "server": kind.name,
        "version": "",
        "config_file": "",
        "control_socket": None,
        "running": kind.serving(),
        "interfaces": [],
        "options": [],
        "answers": [],
        "fault": None,
    }
    try:
        backend = kind(target)
        result.update(version=backend.version, config_file=backend.config_file)
        backend.read()
        result.update(
            running=backend.running,
            control_socket=backend.control_socket,
            interfaces=backend.probe_interfaces(),
            options=[_set_option(item) for item in backend.set_options() if item.code in _READ_BY_PHONES],
        )
        for phone in played:
            for code in phone.vendor.reads if phone.vendor else (66, 67):
                result["answers"].append(_answer(backend, phone, code, subnet))
    except DhcpError as exc:
        result["fault"] = str(exc)
    return result


def _set_option(item: SetOption) -> t.Dict[str, t.Any]:
    return dict(asdict(item), option=known_name(item.code))


def _answer(backend: Backend, phone: Phone, code: int, subnet: t.Optional[str]) -> t.Dict[str, t.Any]:
    answer = backend.answer(code, phone.client, subnet)
    return {
        "client": phone.label,
        "code": code,
        "option": known_name(code),
        "winner": _set_option(answer.winner) if answer.winner else None,
        "unless": [_set_option(item) for item in answer.unless],
    }
