# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Who wins over whom in Kea: what hides a setting of ours, and what each client must therefore be offered."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .backend import Hidden, ProbeCase
from .intent import GLOBAL_SCOPE, PHONE, SHARED_NETWORK, SUBNET, VENDOR, OptionSetting, Scope
from .kea_entries import (
    CLASS,
    GLOBAL_LEVEL,
    HOST,
    IN_SUBNET,
    NETWORK,
    POOL,
    RANKS,
    class_order,
    definitions_of,
    is_true,
    option_code,
    shown_value,
)
from .kea_text import Node
from .options import display, option_name
from .probe import Client
from .vendors import VENDORS

#: Plays a client that is nobody's phone; 02 = locally administered.
NEUTRAL_MAC = "020000617001"
MAX_NAMES = 3


@dataclass(frozen=True)
class AdminOption:
    """An option the administrator has set somewhere in the configuration."""

    rank: int
    label: str
    code: int
    value: str
    always_send: bool
    network: str
    subnet: str
    mac: str


def admin_options(dhcp4: Node) -> t.List[AdminOption]:
    """Every option the administrator sets, at every level. Our own includes are not part of the tree."""
    definitions = definitions_of(dhcp4)
    found: t.List[AdminOption] = []

    def collect(rank: int, label: str, holder: Node, network: str = "", subnet: str = "", mac: str = "") -> None:
        for entry in holder.items("option-data"):
            code = option_code(entry, definitions)
            if code is not None:
                always = is_true(entry.get("always-send"), False)
                found.append(AdminOption(rank, label, code, shown_value(entry), always, network, subnet, mac))

    def collect_hosts(holder: Node, place: str, network: str = "", subnet: str = "") -> None:
        for host in holder.items("reservations"):
            mac = re.sub(r"[^0-9a-f]", "", host.text("hw-address").lower())
            name = host.text("hw-address") or host.text("hostname") or host.text("client-id") or "?"
            collect(HOST, "reservation of %s %s" % (name, place), host, network, subnet, mac)

    def collect_subnets(holder: Node, network: str = "") -> None:
        for item in holder.items("subnet4"):
            cidr = item.text("subnet")
            collect(IN_SUBNET, "subnet %s" % cidr, item, network, cidr)
            for pool in item.items("pools"):
                collect(POOL, "pool %s in subnet %s" % (pool.text("pool"), cidr), pool, network, cidr)
            collect_hosts(item, "in subnet %s" % cidr, network, cidr)

    collect(GLOBAL_LEVEL, "global", dhcp4)
    for item in dhcp4.items("client-classes"):
        collect(CLASS, "client class %s" % item.text("name"), item)
    for item in dhcp4.items("shared-networks"):
        collect(NETWORK, "shared network %s" % item.text("name"), item, item.text("name"))
        collect_subnets(item, item.text("name"))
    collect_subnets(dhcp4)
    collect_hosts(dhcp4, "(global)")
    return found


def winners_over(
    setting: OptionSetting, ours: t.Sequence[OptionSetting], admins: t.Sequence[AdminOption]
) -> t.List[AdminOption]:
    """What some clients of `setting` get instead of it: the administrator's, and ours at a more specific level."""
    rank, scope = RANKS[setting.scope.kind], setting.scope

    def concerns(other: AdminOption) -> bool:
        if other.code != setting.code or other.value == display(setting.data):
            return False
        if rank == CLASS and other.rank == CLASS:
            return True  # the administrator's classes stand before ours, and the first that matches wins
        if other.rank >= rank:
            return False
        if scope.kind == PHONE and other.rank == HOST:
            return other.mac == scope.name
        if scope.kind == SUBNET:
            return other.subnet == scope.name
        if scope.kind == SHARED_NETWORK:
            return other.network == scope.name
        return True

    found = [item for item in admins if concerns(item)]
    if rank == CLASS:
        for item in ours:
            if item.code == setting.code and item.scope.kind in (SUBNET, SHARED_NETWORK) and item.data != setting.data:
                found.append(
                    AdminOption(
                        RANKS[item.scope.kind], str(item.scope), item.code, display(item.data), True, "", "", ""
                    )
                )
    return found


def _preferred_elsewhere(setting: OptionSetting, ours: t.Sequence[OptionSetting]) -> t.Set[int]:
    """Options a phone of the vendor looks at before the one set here, and that are not set for it."""
    vendor = VENDORS.get(setting.scope.name) if setting.scope.kind == VENDOR else None
    if vendor is None or setting.code not in vendor.url_options:
        return set()
    set_too = {item.code for item in ours if item.scope == setting.scope}
    return set(vendor.reads[: vendor.reads.index(setting.code)]) - set_too


def hidden_settings(settings: t.Sequence[OptionSetting], admins: t.Sequence[AdminOption]) -> t.List[Hidden]:
    """Every setting that some of its clients do not get, or that their phones pass over, with who is to blame."""
    hidden = []
    for item in settings:
        advice = "In Kea a reservation wins over a pool, then subnet, shared network, class, global: remove it there"
        if RANKS[item.scope.kind] == CLASS:
            advice += ", or let the hook library flex_option set the option, which wins over all of them"
        winners = winners_over(item, settings, admins)
        names = ["%s (%s)" % (other.label, other.value) for other in winners]
        preferred = _preferred_elsewhere(item, settings)
        rivals = [other for other in admins if other.code in preferred]
        if rivals and not winners:
            advice = "Phones of this vendor read that option first: remove it there, or set it for the vendor too"
        names += ["option %s of %s (%s)" % (option_name(other.code), other.label, other.value) for other in rivals]
        if len(names) > MAX_NAMES:
            names = [*names[:MAX_NAMES], "%d more" % (len(names) - MAX_NAMES)]
        if names:
            hidden.append(Hidden(str(item.scope), item.code, display(item.data), tuple(names), advice))
    return hidden


def probe_cases(settings: t.Sequence[OptionSetting], admins: t.Sequence[AdminOption]) -> t.List[ProbeCase]:
    """One client per class of ours and one that is nobody's, with what each must be offered."""
    scopes = sorted({item.scope for item in settings if RANKS[item.scope.kind] == CLASS}, key=class_order)
    # Which subnets a shared network has is not looked up: what is set there cannot be told from an offer.
    unknown = {item.code for item in settings if item.scope.kind == SHARED_NETWORK}
    cases = []
    for scope in [GLOBAL_SCOPE, *scopes]:
        client = _client_of(scope)

        def sure(item: OptionSetting, phone: bool = scope.kind == PHONE) -> bool:
            """Nothing of the administrator's wins over it for this client; a reservation concerns real phones only."""
            return not any(other.rank != HOST or phone for other in winners_over(item, (), admins))

        member_of = [GLOBAL_SCOPE, *reversed([other for other in scopes if _is_member(client, other)])]
        winning = {item.code: item for level in member_of for item in settings if item.scope == level}
        case = ProbeCase(str(scope), client)
        case.expected.update({code: item.data for code, item in winning.items() if code not in unknown and sure(item)})
        for item in settings:
            if item.scope.kind == SUBNET:
                case.expected_in.setdefault(item.scope.name, {})[item.code] = item.data if sure(item) else None
        cases.append(case)
    return cases


def _client_of(scope: Scope) -> Client:
    """A client that is a member of the scope."""
    if scope.kind == PHONE:
        return Client(mac=scope.name)
    if scope.kind == VENDOR:
        mac = scope.ouis[0] + "617001" if scope.ouis else NEUTRAL_MAC
        return Client(mac=mac, vendor_class=scope.option60_prefixes[0] if scope.option60_prefixes else None)
    return Client(mac=NEUTRAL_MAC)


def _is_member(client: Client, scope: Scope) -> bool:
    if scope.kind == PHONE:
        return client.mac == scope.name
    return client.mac[:6] in scope.ouis or (client.vendor_class or "").startswith(scope.option60_prefixes or ("\0",))
