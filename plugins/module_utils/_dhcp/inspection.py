# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What phones are told today: asked from the network, held against what is expected (dhcp_probe)."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from . import engine, probe
from .backend import Target
from .decoding import decode, known_name
from .errors import DhcpError
from .intent import encoded, folder_url, url_faults, vendor_url
from .options import display, option_name
from .packets import Offer
from .phones import Phone, phones, same_value, taken
from .vendors import VENDORS

Expected = t.Dict[int, t.Optional[bytes]]


@dataclass(frozen=True)
class Question:
    """Who asks where, and what every answer must be. Empty `interfaces`: those that the server of this host serves."""

    interfaces: t.Tuple[str, ...]
    phones: t.Tuple[Phone, ...]
    #: The provisioning URL that each phone must take, by its label; missing: any, or none.
    urls: t.Mapping[str, str]
    #: Options that each offer must carry; None: with any value.
    options: Expected
    #: Only this server's offers must be as expected.
    server: t.Optional[str]
    #: Ask `server` as a relay agent of this address.
    relay: t.Optional[str]
    timeout: float
    wait: float


def question(
    interfaces: t.Optional[t.Sequence[str]] = None,
    vendors: t.Sequence[str] = (),
    vendor_class: t.Optional[str] = None,
    mac: t.Optional[str] = None,
    request_list: t.Optional[t.Sequence[str]] = None,
    url: t.Optional[str] = None,
    vendor_urls: t.Optional[t.Mapping[str, str]] = None,
    expect: t.Sequence[t.Mapping[str, t.Any]] = (),
    server: t.Optional[str] = None,
    relay: t.Optional[str] = None,
    timeout: float = 5.0,
    wait: float = 1.5,
) -> Question:
    """The question in the module's words. Raises DhcpError with every fault found."""
    faults: t.List[str] = []
    played: t.List[Phone] = []
    try:
        played = phones(vendors, vendor_class, mac, request_list)
    except DhcpError as exc:
        faults += exc.faults
    urls: t.Dict[str, str] = {}
    if url or vendor_urls:
        own_urls = vendor_urls or {}
        known = [name for name in vendors if name in VENDORS]
        faults += url_faults(url, known, own_urls)
        urls = {name: vendor_url(name, url, own_urls) for name in known} or {"any client": folder_url(url)}
    options: Expected = {}
    for index, entry in enumerate(expect):
        try:
            code, data = encoded(entry, vendors[0] if len(vendors) == 1 and vendors[0] in VENDORS else None)
            options[code] = data
        except ValueError as exc:
            faults.append("expect[%d]: %s" % (index, exc))
    for name, value in (("server", server), ("relay", relay)):
        try:
            ipaddress.IPv4Address(value or "0.0.0.0")  # noqa: S104 - not an address to listen on
        except ValueError:
            faults.append("%s: %s is not an IPv4 address" % (name, value))
    if relay and not server:
        faults.append("relay: name the server too; a relay agent asks one server")
    for name, seconds, most in (("timeout", timeout, 120), ("wait", wait, 60)):
        if not 0 <= seconds <= most:
            faults.append("%s: %s is not from 0 to %d seconds" % (name, seconds, most))
    if faults:
        raise DhcpError(*faults)
    return Question(tuple(interfaces or ()), tuple(played), urls, options, server, relay, timeout, wait)


def probe_phones(asked: Question) -> t.Dict[str, t.Any]:
    """The module's result: clients, servers, findings. Raises DhcpError when anything is not as expected."""
    interfaces = ["relay %s" % asked.relay] if asked.relay else list(asked.interfaces) or served_interfaces()
    relay = (asked.relay, asked.server) if asked.relay and asked.server else None
    clients: t.List[t.Dict[str, t.Any]] = []
    findings: t.List[str] = []
    faults: t.List[str] = []
    servers: t.Dict[str, None] = {}
    for interface in interfaces:

        def content(_index: int, offer: Offer) -> bool:
            return asked.server in (None, offer.server)

        try:
            answers = probe.ask(
                interface, [phone.client for phone in asked.phones], content, asked.timeout, asked.wait, relay
            )
        except probe.ProbeUnavailable as exc:
            raise DhcpError("cannot probe: %s" % exc, details={"unavailable": True}) from exc
        for index, phone in enumerate(asked.phones):
            offers = _one_of_each(answers[index])
            clients.append(_client_result(phone, interface, offers, asked.server))
            servers.update(dict.fromkeys(offer.server for offer in offers))
            meant = [offer for offer in offers if asked.server in (None, offer.server)]
            findings += _findings(phone, interface, offers, meant, asked.server)
            faults += _faults(phone, interface, meant, asked)
    findings += _rival_findings(list(servers), asked.server)
    report = {"clients": clients, "servers": list(servers), "findings": list(dict.fromkeys(findings))}
    if faults:
        raise DhcpError(*faults, details=report)
    return report


def served_interfaces() -> t.List[str]:
    """The interfaces of this host that its running DHCP servers serve. Raises DhcpError when there are none."""
    found: t.Dict[str, None] = {}
    for backend in engine.serving_backends():
        opened = backend(Target())
        opened.read()
        found.update(dict.fromkeys(opened.probe_interfaces()))
    if not found:
        raise DhcpError(
            "no DHCP server of this host serves an interface of it; name the interfaces on which to ask",
            details={"unavailable": True},
        )
    return list(found)


def _one_of_each(offers: t.Sequence[Offer]) -> t.List[Offer]:
    """A server that is asked twice may offer another address the second time; that is the same offer to a reader."""
    kept: t.Dict[t.Any, Offer] = {}
    for offer in offers:
        kept.setdefault((offer.server, offer.sname, offer.file, tuple(sorted(offer.options.items()))), offer)
    return list(kept.values())


def _client_result(
    phone: Phone, interface: str, offers: t.Sequence[Offer], server: t.Optional[str]
) -> t.Dict[str, t.Any]:
    meant = next((offer for offer in offers if server in (None, offer.server)), None)
    result = {
        "client": phone.label,
        "interface": interface,
        "mac": ":".join(re.findall("..", phone.client.mac)),
        "vendor_class": phone.client.vendor_class,
        "request_list": list(phone.client.request_list) if phone.client.request_list is not None else None,
        "offers": [_offer_result(phone, offer) for offer in offers],
    }
    return dict(result, **(_taken_result(phone, meant)))


def _taken_result(phone: Phone, offer: t.Optional[Offer]) -> t.Dict[str, t.Any]:
    found = taken(phone.vendor, offer) if offer else None
    url = found.url if found else ""
    return {"provisioning_url": url or None, "provisioning_source": found.source if found and url else None}


def _offer_result(phone: Phone, offer: Offer) -> t.Dict[str, t.Any]:
    options = {
        str(code): {"name": known_name(code), "value": decode(code, data), "hex": data.hex()}
        for code, data in sorted(offer.options.items())
    }
    result = {
        "server": offer.server,
        "address": offer.address,
        "next_server": offer.next_server,
        "sname": display(offer.sname),
        "file": display(offer.file),
        "seconds": offer.seconds,
        "options": options,
    }
    return dict(result, **_taken_result(phone, offer))


def _findings(
    phone: Phone, interface: str, offers: t.Sequence[Offer], meant: t.Sequence[Offer], server: t.Optional[str]
) -> t.List[str]:
    who = "%s on %s" % (phone.label, interface)
    if not offers:
        return ["%s is offered nothing: no DHCP server answers there, or none that serves such a client" % who]
    if not meant:
        return ["%s is offered nothing by %s" % (who, server)]
    found = []
    for offer in meant:
        url = taken(phone.vendor, offer)
        if not url.url and phone.vendor is not None:
            found.append("%s is offered no provisioning URL by %s" % (who, offer.server))
        elif url.source.startswith("sname"):
            found.append(
                "%s: %s sends the URL in the field sname, as no option: the client did not ask for option 66, and few "
                "phones look there. Set it with dhcp_options, which sends the option in any case" % (who, offer.server)
            )
    return found


def _rival_findings(servers: t.Sequence[str], server: t.Optional[str]) -> t.List[str]:
    if len(servers) > 1:
        what = "several DHCP servers answer (%s); a phone takes whichever offer it likes" % ", ".join(servers)
        rivals = [other for other in servers if other != server] if server else []
        return [what + ("; %s should not" % ", ".join(rivals) if rivals else "")]
    return []


def _faults(phone: Phone, interface: str, meant: t.Sequence[Offer], asked: Question) -> t.List[str]:
    """What is not as expected, one table for each server."""
    wanted_url = asked.urls.get(phone.label)
    if not wanted_url and not asked.options:
        return []
    who = "%s on %s" % (phone.label, interface)
    if not meant:
        return ["%s is offered nothing%s" % (who, " by %s" % asked.server if asked.server else "")]
    faults = []
    for offer in meant:
        rows = []
        found = taken(phone.vendor, offer)
        if wanted_url and found.url != wanted_url:
            got = "%s (%s)" % (found.url, found.source) if found.url else "none"
            rows.append(("provisioning URL", wanted_url, got))
        for code, data in sorted(asked.options.items()):
            value = offer.options.get(code)
            if value is None or (data is not None and not same_value(code, value, data)):
                shown = decode(code, data) if data is not None else "any value"
                rows.append(("option %s" % option_name(code), shown, decode(code, value) if value else "missing"))
        if rows:
            faults.append(
                "%s is offered something else by %s than expected:\n%s"
                % (who, offer.server, _table([("", "expected", "offered"), *rows]))
            )
    return faults


def _table(rows: t.Sequence[t.Tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(widths[column]) for column, cell in enumerate(row)) for row in rows]
    return "\n".join("  " + line.rstrip() for line in lines)
