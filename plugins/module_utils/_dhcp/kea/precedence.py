# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Who wins over whom in Kea: what hides a setting of ours, and what clients must be offered."""

from __future__ import annotations

import typing as t

from ..backend import Hidden, ProbeCase
from ..errors import DhcpError
from ..intent import GLOBAL_SCOPE, PHONE, SHARED_NETWORK, SUBNET, VENDOR, OptionSetting, Scope
from ..options import display, option_name
from ..probe import Client
from ..vendors import VENDORS
from .entries import CLASS, HOOK, RANKS, class_order
from .expression import Sketch
from .levels import BY_TEST, KeaOption, options_of
from .members import Members, sketch_of, sketches_of
from .text import Node

#: Plays a client that is nobody's phone; 02 = locally administered.
NEUTRAL_MAC = "020000617001"
MAX_NAMES = 3
#: Where our include stands among the administrator's classes when that is not known: behind all of them.
LAST = 1 << 30


class Precedence:
    """What the administrator's part of a configuration means for what is set beside it."""

    def __init__(self, dhcp4: Node) -> None:
        """`dhcp4` is the tree without our own files, but with the places of our includes."""
        self._members = Members(dhcp4)
        classes = dhcp4.get("client-classes")
        includes = classes.includes if classes is not None else []
        self._own_class_order = (BY_TEST, min([item.position for item in includes], default=LAST), 0)
        self._by_code: t.Dict[int, t.List[KeaOption]] = {}
        for item in options_of(dhcp4):
            self._by_code.setdefault(item.code, []).append(item)

    def winners_over(self, setting: OptionSetting, clients: t.Optional[t.Sequence[Sketch]] = None) -> t.List[KeaOption]:
        """What some of its clients (or of those given) get of the administrator instead of the setting."""
        if clients is None:
            clients = sketches_of(setting.scope)
        shown = display(setting.data)
        return [
            item
            for item in self._by_code.get(setting.code, [])
            if item.value != shown and self._wins(item, setting.scope, clients)
        ]

    def _wins(self, other: KeaOption, scope: Scope, clients: t.Sequence[Sketch]) -> bool:
        rank = RANKS[scope.kind]
        if other.rank == HOOK:
            return not other.name or any(self._members.belongs(other.name, client) is not False for client in clients)
        if other.client_class is not None:
            before_ours = other.client_class.order < self._own_class_order
            return (rank > CLASS or (rank == CLASS and before_ours)) and any(
                self._members.belongs(other.name, client) is not False for client in clients
            )
        if other.rank >= rank:
            return False
        if other.host is not None and all(
            self._members.has_reservation(other.host, client, None) is False for client in clients
        ):
            return False
        if scope.kind == SUBNET:
            return other.subnet == scope.name or (other.host is not None and not other.subnet)
        if scope.kind == SHARED_NETWORK:
            return other.network == scope.name or (other.host is not None and not other.subnet)
        return True

    def to_override(self, settings: t.Sequence[OptionSetting]) -> t.List[OptionSetting]:
        """What a hook library has to set, so that no class of ours is hidden. Raises DhcpError where that does harm.

        An option is taken as a whole: what one class gets by the hook would else hide what a more special one gets.
        """
        classes = [item for item in settings if RANKS[item.scope.kind] == CLASS]
        codes = {item.code for item in classes if self.winners_over(item)}
        faults = [
            "option %s of %s cannot be made to win: it would also hide the one of %s; leave one of them out"
            % (option_name(item.code), item.scope, other.scope)
            for item in classes
            if item.code in codes
            for other in _ours_over(item, settings)
        ]
        if faults:
            raise DhcpError(*faults)
        return [item for item in classes if item.code in codes]

    def hidden(self, settings: t.Sequence[OptionSetting], by_hook: t.Collection[OptionSetting] = ()) -> t.List[Hidden]:
        """Every setting that some of its clients do not get, or that their phones pass over, with who is to blame."""
        hidden = []
        for item in settings:
            advice = (
                "In Kea a reservation wins over a pool, then subnet, shared network, class, global: remove it there"
            )
            if RANKS[item.scope.kind] == CLASS:
                advice += ", or let the hook library flex_option set the option, which wins over all of them"
                advice += " (on_hidden=override)"
            winners = self.winners_over(item) if item not in by_hook else []
            names = ["%s (%s)" % (other.label, other.value) for other in winners]
            if RANKS[item.scope.kind] == CLASS:
                names += ["%s (%s)" % (other.scope, display(other.data)) for other in _ours_over(item, settings)]
            rivals = [other for code in _preferred_elsewhere(item, settings) for other in self._by_code.get(code, [])]
            if rivals and not names:
                advice = "Phones of this vendor read that option first: remove it there, or set it for the vendor too"
            names += ["option %s of %s (%s)" % (option_name(other.code), other.label, other.value) for other in rivals]
            if len(names) > MAX_NAMES:
                names = [*names[:MAX_NAMES], "%d more" % (len(names) - MAX_NAMES)]
            if names:
                hidden.append(Hidden(str(item.scope), item.code, display(item.data), tuple(names), advice))
        return hidden

    def probe_cases(
        self, settings: t.Sequence[OptionSetting], by_hook: t.Collection[OptionSetting] = ()
    ) -> t.List[ProbeCase]:
        """One client per class of ours and one that is nobody's, with what each must be offered."""
        scopes = sorted({item.scope for item in settings if RANKS[item.scope.kind] == CLASS}, key=class_order)
        # Which subnets a shared network has is not looked up: what is set there cannot be told from an offer.
        unknown = {item.code for item in settings if item.scope.kind == SHARED_NETWORK}
        cases = []
        for scope in [GLOBAL_SCOPE, *scopes]:
            client = _client_of(scope)
            sketch = [sketch_of(client, complete=True)]
            member_of = [GLOBAL_SCOPE, *reversed([other for other in scopes if _is_member(client, other)])]
            winning = {item.code: item for level in member_of for item in settings if item.scope == level}
            case = ProbeCase(str(scope), client)
            for code, item in winning.items():
                if item in by_hook or (code not in unknown and not self.winners_over(item, sketch)):
                    case.expected[code] = item.data
            for item in settings:
                if item.scope.kind == SUBNET:
                    sure = not self.winners_over(item, sketch)
                    case.expected_in.setdefault(item.scope.name, {})[item.code] = item.data if sure else None
            cases.append(case)
        return cases


def _ours_over(setting: OptionSetting, ours: t.Sequence[OptionSetting]) -> t.List[OptionSetting]:
    """Settings of ours at a more specific level, for the same option and of another value."""
    return [
        item
        for item in ours
        if item.code == setting.code and item.scope.kind in (SUBNET, SHARED_NETWORK) and item.data != setting.data
    ]


def _preferred_elsewhere(setting: OptionSetting, ours: t.Sequence[OptionSetting]) -> t.List[int]:
    """Options a phone of the vendor looks at before the one set here, and that are not set for it."""
    vendor = VENDORS.get(setting.scope.name) if setting.scope.kind == VENDOR else None
    if vendor is None or setting.code not in vendor.url_options:
        return []
    set_too = {item.code for item in ours if item.scope == setting.scope}
    return [code for code in vendor.reads[: vendor.reads.index(setting.code)] if code not in set_too]


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
