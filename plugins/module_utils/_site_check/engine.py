# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of a site, at the same time, each with an end.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import inspection
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._site_check import clock, phone, pnp, ways
from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.items import Item, item
from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.vendors import NEEDS

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Site(t.NamedTuple):
    """What is to be checked."""

    url: str
    """What phones are told: scheme, host, port, folder."""
    cloud_vendors: t.Sequence[str]
    """Whose redirect services are used."""
    ntp_servers: t.Sequence[str]
    dhcp_interfaces: t.Sequence[str]
    dhcp_vendors: t.Sequence[str]
    pnp_interfaces: t.Sequence[str]
    phones: t.Sequence[t.Mapping[str, str]]
    ca_path: t.Optional[str]
    language: str
    patience: float
    """Seconds for one question."""


def url_faults(url: str) -> t.List[str]:
    """What is wrong with the address itself."""
    try:
        place = urlsplit(url)
        fine = place.scheme in _DEFAULT_PORTS and bool(place.hostname) and (place.port or 1) > 0
    except ValueError:
        fine = False
    return [] if fine and url.endswith("/") else [f"url: {url!r} is not an address such as http://198.18.0.1:50080/"]


def check(site: Site) -> t.List[Item]:
    """Every item, in the order of the checks; nothing is changed anywhere, and one failure stops no other check."""
    place = urlsplit(site.url)
    host, port = place.hostname or "", place.port or _DEFAULT_PORTS[place.scheme]
    language, patience = site.language, site.patience
    tasks: t.List[t.Tuple[str, str, t.Callable[[], t.List[Item]]]] = [
        ("dns", host, lambda: [ways.resolve(host, language)[0]])
    ]
    tasks.append(("reach", f"{host}:{port}", lambda: [ways.reach(host, port, language, patience)]))
    if place.scheme == "https":
        tasks.append(
            ("certificate", f"{host}:{port}", lambda: [ways.certificate(host, port, site.ca_path, language, patience)])
        )
    for vendor in site.cloud_vendors:
        for need in NEEDS[vendor]:
            tasks.append(("reach", f"{need.host}:{need.port}", _far(need.host, need.port, language, patience)))
    for server in site.ntp_servers:
        tasks.append(("time", server, _call(clock.ask, server, language, patience)))
    if site.dhcp_interfaces:
        tasks.append(("dhcp", ", ".join(site.dhcp_interfaces), lambda: _dhcp(site)))
    for interface in site.pnp_interfaces:
        tasks.append(("pnp", interface, _call(pnp.ask, interface, site.url, language, patience)))
    for each in site.phones:
        tasks.append(("phone", each["mac"], _call(phone.ask, site.url, each, site.ca_path, language, patience)))
    with ThreadPoolExecutor(max(1, min(32, len(tasks)))) as pool:
        running = [(name, subject, pool.submit(task)) for name, subject, task in tasks]
        found: t.List[Item] = []
        for name, subject, future in running:
            try:
                found += future.result()
            except Exception as failure:  # pylint: disable=broad-exception-caught
                found.append(item(name, subject, "broken", language, reason=type(failure).__name__))
    return found


def _call(function: t.Callable[..., Item], *arguments: t.Any) -> t.Callable[[], t.List[Item]]:
    return lambda: [function(*arguments)]


def _far(host: str, port: int, language: str, patience: float) -> t.Callable[[], t.List[Item]]:
    def look() -> t.List[Item]:
        named, addresses = ways.resolve(host, language)
        return [named, ways.reach(host, port, language, patience)] if addresses else [named]

    return look


def _dhcp(site: Site) -> t.List[Item]:
    """Each vendor's phones, played."""
    found = []
    for vendor in site.dhcp_vendors:
        try:
            inspection.probe_phones(
                inspection.question(
                    interfaces=site.dhcp_interfaces, vendors=[vendor], url=site.url, timeout=site.patience
                )
            )
        except DhcpError as error:
            what = "dhcp not asked" if error.details.get("unavailable") else "dhcp"
            found.append(item("dhcp", vendor, what, site.language, reason="; ".join(error.faults)[:400]))
        else:
            found.append(item("dhcp", vendor, "told by dhcp", site.language, url=site.url))
    return found
