# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A search: which addresses, asked how, and what is known of each telephone in the end.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import random
import re
import typing as t
from ipaddress import IPv4Network, ip_network

from ansible_collections.autoprov.appliance.plugins.module_utils._scan import known, snmp, web
from ansible_collections.autoprov.appliance.plugins.module_utils._scan.errors import ScanError
from ansible_collections.autoprov.appliance.plugins.module_utils._scan.identity import Identity, identity, maker
from ansible_collections.autoprov.appliance.plugins.module_utils._scan.sweep import sweep

SOURCES = ("neighbours", "leases", "snmp", "sip", "http")
_DESCRIPTION, _NAME = "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.5.0"
_PHYSICAL = tuple(f"1.3.6.1.2.1.2.2.1.6.{number}" for number in (1, 2, 3))
_SIP_PORT = 5060
_OURS = ("snom", "yealink", "gigaset")


class Search(t.NamedTuple):
    """What was asked for."""

    networks: t.Sequence[str]
    exclude: t.Sequence[str]
    most_addresses: int
    by: t.Sequence[str]
    community: str
    """Of SNMPv2c; empty where SNMP is not asked."""
    rate: float
    """Datagrams, or connections, a second; 0 for as fast as is safe."""
    patience: float
    """Seconds."""
    lease_files: t.Sequence[str]
    snmp_port: int = snmp.PORT
    sip_port: int = _SIP_PORT
    http_port: int = web.PORT


def addresses_of(search: Search) -> list[str]:
    """Every address that may be asked; raises :class:`ScanError` with all that is wrong."""
    faults, networks = [], []
    for text in search.networks:
        try:
            network = ip_network(text)
        except ValueError:
            faults.append(f"{text!r} is not a network such as 198.18.0.0/24; write its first address")
            continue
        if not isinstance(network, IPv4Network):
            faults.append(f"{text} is IPv6, which is too wide to be searched; name IPv4 networks")
        elif network.is_multicast or network.network_address.is_unspecified:
            faults.append(f"{text} holds no hosts; name the networks of the phones")
        else:
            networks.append(network)
    number = sum(network.num_addresses for network in networks)
    if number > search.most_addresses:
        faults.append(
            f"{', '.join(map(str, networks))} are {number} addresses, more than max_addresses "
            f"({search.most_addresses}); name narrower networks, or raise it if you mean them all"
        )
    left_out = set()
    for text in search.exclude:
        try:
            excluded = ip_network(text)
        except ValueError:
            faults.append(f"exclude: {text!r} is neither an address nor a network")
            continue
        left_out.add(excluded)
    if "snmp" in search.by and not search.community:
        faults.append("snmp is asked for without snmp_community; give the community of your phones, or leave snmp out")
    if faults:
        raise ScanError(faults)
    found: dict[str, None] = {}
    for network in networks:
        for host in network.hosts() if network.prefixlen < 31 else network:
            if not any(host in excluded for excluded in left_out):
                found[str(host)] = None
    return list(found)


class _Found:
    """What is known of an address."""

    def __init__(self) -> None:
        self.mac = ""
        self.proof: list[dict[str, str]] = []
        self.identity: t.Optional[Identity] = None

    def says(self, by: str, text: str) -> None:
        shown = re.sub("[^ -~]", "?", text)[:200]
        found = identity(shown)
        self.proof.append({"by": by, "says": shown})
        if found is None:
            return
        if self.identity is None or (not self.identity.version and found.version):
            self.identity = found
        self.mac = self.mac or found.mac

    def has_mac(self, by: str, mac: str) -> None:
        self.proof.append({"by": by, "says": mac})
        self.mac = self.mac or mac


def scan(search: Search) -> dict[str, t.Any]:
    """Search; raises :class:`ScanError`. Nothing is changed anywhere."""
    addresses = addresses_of(search)
    wanted = set(addresses)
    found: dict[str, _Found] = {}

    def at(address: str) -> _Found:
        return found.setdefault(address, _Found())

    sent = 0
    if "snmp" in search.by:
        sent += _ask_snmp(search, addresses, at)
    if "sip" in search.by:
        silent = [address for address in addresses if address not in found or found[address].identity is None]
        sent += _ask_sip(search, silent, at)
    # Whoever answered is in the neighbour table now; so it is read last.
    tables = {"leases": known.leases(search.lease_files) if "leases" in search.by else {}}
    tables["neighbours"] = known.neighbours() if "neighbours" in search.by else {}
    for by, table in tables.items():
        for address, mac in table.items():
            if address in wanted:
                at(address).has_mac(by, mac)
    if "http" in search.by:
        unsure = [address for address, each in found.items() if each.identity is None and _may_be_phone(each)]
        sent += len(unsure)
        for address, said in web.banners(unsure, search.rate, search.patience, search.http_port).items():
            at(address).says("http", said)
    order = {address: index for index, address in enumerate(addresses)}
    phones = [_phone(address, found[address]) for address in sorted(found, key=order.__getitem__)]
    phones = [phone for phone in phones if phone["vendor"]]
    definitions = [
        {name: phone[name] for name in ("mac", "vendor", "model")}
        for phone in phones
        if phone["mac"] and phone["model"] and phone["vendor"] in _OURS
    ]
    return {"phones": phones, "definitions": definitions, "asked": len(addresses), "packets": sent}


def _may_be_phone(each: _Found) -> bool:
    """A web server is only asked where a phone is likely: nobody's printer is disturbed."""
    return not each.mac or bool(maker(each.mac))


def _phone(address: str, each: _Found) -> dict[str, t.Any]:
    of_mac = maker(each.mac)
    said = each.identity
    return {
        "address": address,
        "mac": each.mac,
        "vendor": said.vendor if said else of_mac,
        "model": said.model if said else "",
        "version": said.version if said else "",
        "proof": each.proof + ([{"by": "oui", "says": of_mac}] if of_mac else []),
    }


def _ask_snmp(search: Search, addresses: t.Sequence[str], at: t.Callable[[str], _Found]) -> int:
    question = snmp.Question(search.community, (_DESCRIPTION, _NAME, *_PHYSICAL))
    # Nobody who cannot see the questions can guess the numbers of the answers.
    first = random.SystemRandom().randrange(1 << 30)

    def answered(index: int, data: bytes) -> bool:
        try:
            told = snmp.response(data)
        except snmp.Malformed:
            return False
        if told.request_id != first + index or told.error:
            return False
        each = at(addresses[index])
        physical = [told.values.get(oid) for oid in _PHYSICAL]
        macs = [value.hex() for value in physical if isinstance(value, bytes) and len(value) == 6 and any(value)]
        if macs:
            each.has_mac("snmp ifPhysAddress", next((mac for mac in macs if maker(mac)), macs[0]))
        description = told.values.get(_DESCRIPTION)
        if isinstance(description, bytes):
            each.says("snmp sysDescr", description.decode("latin-1"))
        return True

    return sweep(
        addresses,
        search.snmp_port,
        lambda index: question.numbered(first + index),
        answered,
        search.rate,
        search.patience,
    )


_OPTIONS = "\r\n".join(
    (
        "OPTIONS sip:{address} SIP/2.0",
        "Via: SIP/2.0/UDP 0.0.0.0:5060;branch=z9hG4bK{number:x};rport",
        "Max-Forwards: 1",
        "From: <sip:search@invalid>;tag={number:x}",
        "To: <sip:{address}>",
        "Call-ID: {number:x}",
        "CSeq: 1 OPTIONS",
        "Accept: application/sdp",
        "Content-Length: 0",
        "",
        "",
    )
)
_SAID = re.compile(r"^(?:User-Agent|Server):\s*([^\r\n]{1,300})", re.IGNORECASE | re.MULTILINE)
_CALL = re.compile(r"^(?:Call-ID|i):\s*([0-9a-f]+)\s*$", re.IGNORECASE | re.MULTILINE)


def _ask_sip(search: Search, addresses: t.Sequence[str], at: t.Callable[[str], _Found]) -> int:
    first = random.SystemRandom().randrange(1 << 62)

    def answered(index: int, data: bytes) -> bool:
        text = data[:4096].decode("latin-1")
        call = _CALL.search(text)
        if not text.startswith("SIP/2.0 ") or call is None or int(call.group(1)[:32], 16) != first + index:
            return False
        said = _SAID.search(text)
        at(addresses[index]).says("sip", said.group(1) if said else "")
        return True

    return sweep(
        addresses,
        search.sip_port,
        lambda index: _OPTIONS.format(address=addresses[index], number=first + index).encode(),
        answered,
        search.rate,
        search.patience,
    )
