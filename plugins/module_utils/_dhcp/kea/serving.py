# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""A Kea of our own: the configuration of a host that serves DHCP itself, and whether it may.

The text made here takes the place of the administrator's file, with the options for phones beside it as on any Kea.
Where it goes in, how it is tested, loaded and put back is the engine's business.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import typing as t
from dataclasses import dataclass

from .. import files, probe
from ..errors import DhcpError
from ..serving import Service, Subnet, parse
from . import process
from . import text as kea_text
from .entries import MARK, revision_of

CONTROL_SOCKET = "/run/kea/kea4-ctrl-socket"  # below the only folder that Kea 2.6 and later allow
LEASES = "/var/lib/kea/kea-leases4.csv"
PACKAGES = ("kea-dhcp4-server", "kea-common")
#: Seconds to listen for other servers: dnsmasq pings an address for three before it offers it.
OTHERS_TIMEOUT = 4.0
PROBE_CLIENT = probe.Client("020000000001")


def subnet_id(subnet: Subnet) -> int:
    """Made from the address, so that leases stay with their subnet whatever else stands in the list.

    Networks that do not overlap have different addresses. Kea takes 1 to 4294967294; the addresses that would be
    outside are no network of clients (see serving).
    """
    return int(subnet.network.network_address)


def render(service: Service) -> str:
    """The configuration file. The same service is always the same text, byte for byte."""
    body = _body(service)
    revision = hashlib.sha256(body.encode()).hexdigest()[:16]
    mark = json.dumps(dict(MARK, revision=revision))
    head = [
        "// Written by autoprov. Do not edit: the next run replaces this file.",
        "// The options for phones stand in the files that are included.",
        '{ "Dhcp4": {',
        '    "user-context": %s,' % mark,
    ]
    return "\n".join(head) + "\n" + body + "} }\n"


def _body(service: Service) -> str:
    interfaces = {
        "interfaces": list(service.interfaces),
        "dhcp-socket-type": "raw",
        # An interface that comes up after Kea, at boot for instance, is served all the same.
        "service-sockets-max-retries": 720,
        "service-sockets-retry-wait-time": 5000,
    }
    lines = [
        '"interfaces-config": %s,' % json.dumps(interfaces),
        '"control-socket": { "socket-type": "unix", "socket-name": "%s" },' % CONTROL_SOCKET,
        '"lease-database": { "type": "memfile", "persist": true, "name": "%s" },' % LEASES,
        "// Leases of a subnet that is cut otherwise go to the one their address is in.",
        '"sanity-checks": { "lease-checks": "fix" },',
        '"valid-lifetime": %d,' % service.lease_seconds,
        '"loggers": [ { "name": "kea-dhcp4", "severity": "INFO", "output_options": [',
        r'    { "output": "stdout", "pattern": "%-5p %m\n" } ] } ],',
        '"option-data": [',
        "],",
    ]
    alone = [subnet for subnet in service.subnets if not subnet.shared_network]
    names = list(dict.fromkeys(subnet.shared_network for subnet in service.subnets if subnet.shared_network))
    if names:
        lines.append('"shared-networks": [')
        for name in names:
            lines.append('    { "name": %s, "option-data": [' % json.dumps(name))
            lines.append('      ], "subnet4": [')
            inner = [subnet for subnet in service.subnets if subnet.shared_network == name]
            lines += ["        " + line for line in _list([_subnet(subnet) for subnet in inner])]
            lines.append("    ] }" + ("," if name != names[-1] else ""))
        lines.append("],")
    lines.append('"subnet4": [')
    lines += ["    " + line for line in _list([_subnet(subnet) for subnet in alone])]
    lines.append("]")
    return "".join("    " + line + "\n" for line in lines)


def _list(blocks: t.Sequence[t.List[str]]) -> t.List[str]:
    """The lines of several elements, with commas between them."""
    lines: t.List[str] = []
    for index, block in enumerate(blocks):
        lines += block
        if index + 1 < len(blocks):
            lines[-1] += ","
    return lines


def _subnet(subnet: Subnet) -> t.List[str]:
    options = [
        ("routers", str(subnet.gateway or "")),
        ("domain-name-servers", ", ".join(map(str, subnet.dns_servers))),
        ("domain-name", subnet.domain),
        ("ntp-servers", ", ".join(map(str, subnet.ntp_servers))),
    ]
    data = [[json.dumps({"name": name, "data": value})] for name, value in options if value]
    pools = [[json.dumps({"pool": "%s - %s" % (pool.first, pool.last)})] for pool in subnet.pools]
    reservations = []
    for item in subnet.reservations:
        entry = {"hw-address": ":".join(item.mac[place : place + 2] for place in range(0, 12, 2))}
        if item.address is not None:
            entry["ip-address"] = str(item.address)
        if item.hostname:
            entry["hostname"] = item.hostname
        reservations.append([json.dumps(entry)])
    lines = ['{ "id": %d, "subnet": "%s",' % (subnet_id(subnet), subnet.network)]
    for key, blocks, end in (("pools", pools, "],"), ("option-data", data, "],"), ("reservations", reservations, "]")):
        lines.append('  "%s": [' % key)
        lines += ["    " + line for line in _list(blocks)]
        lines.append("  " + end)
    return [*lines, "}"]


# --- may we? ---


def _current(config_file: str) -> t.Dict[str, t.Any]:
    """The Dhcp4 object of a file of ours; empty for any other."""
    content = files.read_bytes(config_file)
    if content is None:
        return {}
    text = content.decode("utf-8", "surrogateescape")
    try:
        root = kea_text.Reader(lambda _path: text, lambda _path: True).read(config_file).value()
    except kea_text.TextFault:
        return {}
    dhcp4 = root.get("Dhcp4") if isinstance(root, dict) else None
    return t.cast("t.Dict[str, t.Any]", dhcp4) if revision_of(dhcp4) else {}


@dataclass(frozen=True)
class Configuration:
    """What is to stand in the file, and what a person should know before."""

    content: str
    #: Does a Kea of ours serve any of the interfaces already?
    serves_already: bool
    warnings: t.List[str]


def configuration(params: t.Mapping[str, t.Any], config_file: str) -> Configuration:
    """What the module's option `serve` means for `config_file`.

    Raises DhcpError with every fault of the parameters, or where this host must not serve them.
    """
    service = parse(params)
    if not params.get("take_over"):
        refuse_foreign_file(config_file)
    runs = any(item.config_file == config_file for item in process.running_servers())
    served = _current(config_file).get("interfaces-config", {}).get("interfaces", []) if runs else []
    # Whoever comes later to an interface that is served already is not this run's doing.
    begun = [interface for interface in service.interfaces if interface not in served]
    own = _own_addresses() if runs else frozenset()
    warnings = [] if params.get("allow_other_servers") else refuse_other_servers(begun, own)
    return Configuration(render(service), len(begun) < len(service.interfaces), warnings)


def refuse_foreign_file(config_file: str) -> None:
    """Raises DhcpError when the file is neither ours nor as the package brought it."""
    content = files.read_bytes(config_file)
    if content is None or _current(config_file) or _as_packaged(config_file, content):
        return
    raise DhcpError(
        "%s was written by somebody: this host has a DHCP server of its own. To set options for phones in it, leave "
        "serve away (role: dhcp_serve: false); to have it replaced, say take_over (role: dhcp_take_over: true), and a "
        "copy is kept" % config_file
    )


def _as_packaged(config_file: str, content: bytes) -> bool:
    """Does the package's list of configuration files know the file with this content?"""
    try:
        done = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Conffiles}\n", *PACKAGES],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    known = [line.split() for line in done.stdout.splitlines()]
    # MD5 is what dpkg keeps; it is no matter of security here.
    return [config_file, hashlib.md5(content).hexdigest()] in [words[:2] for words in known]  # noqa: S324


def refuse_other_servers(interfaces: t.Sequence[str], own: t.FrozenSet[str]) -> t.List[str]:
    """Raises DhcpError when somebody else serves DHCP on one of these interfaces. Warnings come back.

    `own` are the addresses by which a Kea that runs with our file already may call itself.
    """
    faults: t.List[str] = []
    warnings: t.List[str] = []
    for interface in interfaces:
        name = interface.split("/", 1)[0]
        try:
            offers = probe.discover(name, PROBE_CLIENT, lambda offer: offer.server not in own, OTHERS_TIMEOUT)
        except probe.ProbeUnavailable as exc:
            warnings.append("whether another DHCP server answers on %s could not be asked: %s" % (name, exc))
            continue
        others = sorted({offer.server or "nameless" for offer in offers if offer.server not in own})
        if others:
            faults.append(
                "another DHCP server (%s) answers on %s; stop it, or set the options for phones on its host instead "
                "(role: dhcp_host), or say allow_other_servers (role: dhcp_allow_other_servers: true)"
                % (", ".join(others), name)
            )
    if faults:
        raise DhcpError(*faults)
    return warnings


def _own_addresses() -> t.FrozenSet[str]:
    """The addresses of this host: a Kea that runs with the file already, and is taken over, calls itself by one."""
    try:
        with open("/proc/self/net/fib_trie", encoding="ascii") as stream:
            return frozenset(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", stream.read()))
    except OSError:
        return frozenset()
