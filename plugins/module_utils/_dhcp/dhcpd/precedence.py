# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Who wins over whom in ISC dhcpd: what hides a setting of ours, and what each client must therefore be offered."""

from __future__ import annotations

import typing as t

from ..backend import Answer, Hidden, ProbeCase, SetOption
from ..intent import GLOBAL_SCOPE, PHONE, SHARED_NETWORK, VENDOR, OptionSetting, Scope
from ..intent import SUBNET as SUBNET_KIND
from ..options import display, option_name
from ..probe import Client
from ..vendors import VENDORS
from .conditions import Facts, Known, Verdict, all_of
from .entries import RANKS, class_name, class_order
from .survey import CLASS, GLOBAL, HOST, LEVELS, NETWORK, POOL, SUBNET, Declared, Survey

#: Plays a client that is nobody's phone; 02 = locally administered.
NEUTRAL_MAC = "020000617001"
MAX_NAMES = 3
_ADVICE = (
    "In dhcpd a host wins over a class, then pool, subnet, shared network, global; of several classes, the first in "
    "the file wins: remove it there, or set it there to the same value"
)
_ADVICE_LIST = (
    "A dhcp-parameter-request-list that is set in a host or subclass leaves only what is in it: add the option's code"
)
_ADVICE_PREFERRED = "Phones of this vendor read that option first: remove it there, or set it for the vendor too"


def facts_of_scope(scope: Scope) -> t.List[Facts]:
    """What is known of the clients of a scope: one entry for each way of being one."""
    if scope.kind == PHONE:
        return [Facts(mac=Known(bytes.fromhex(scope.name), True))]
    if scope.kind == VENDOR:
        facts = [Facts(vendor_class=Known(prefix.encode("ascii"))) for prefix in scope.option60_prefixes]
        return facts + [Facts(mac=Known(bytes.fromhex(oui))) for oui in scope.ouis]
    return [Facts()]


def facts_of_client(client: Client) -> Facts:
    text = client.vendor_class
    vendor_class = Known(text.encode("utf-8"), True) if text else Known(absent=True)
    mac = bytes.fromhex(client.mac.replace(":", "").replace("-", "").replace(".", ""))
    return Facts(Known(mac, True), vendor_class)


def may_concern(other: Declared, scope: Scope, survey: Survey) -> bool:
    """Can there be a client of the scope that the declaration is for too?"""
    possible = [
        facts
        for facts in facts_of_scope(scope)
        if all_of(clause.holds(facts) for clause in other.place.clauses) is not False
    ]
    place = other.place
    if place.rank == CLASS:
        possible = [facts for facts in possible if survey.is_member(place, facts) is not False]
    elif place.rank == HOST:
        possible = [facts for facts in possible if _host_may_be(place.macs, facts)]
    elif place.subnets is not None:
        if scope.kind == SUBNET_KIND:
            return bool(possible) and scope.name in place.subnets
        if scope.kind == SHARED_NETWORK:
            return bool(possible) and bool(place.subnets & survey.subnets_of.get(scope.name, frozenset()))
    return bool(possible)


def _host_may_be(macs: t.Optional[t.FrozenSet[str]], facts: Facts) -> bool:
    return macs is None or any(mac.startswith(facts.mac.first.hex()) for mac in macs)


def winners_over(setting: OptionSetting, survey: Survey) -> t.List[Declared]:
    """What some clients of `setting` get instead of it: the administrator's, and ours where that may surprise."""
    rank = RANKS[setting.scope.kind]

    def wins(other: Declared) -> bool:
        if other.code != setting.code or other.value.data == setting.data:
            return False
        if other.is_space or other.is_default:
            return False
        if other.ours:
            return rank in (SUBNET, NETWORK) and other.rank == CLASS
        if rank == CLASS and other.rank == CLASS:
            return survey.class_order(other.place.name) < survey.class_order(class_name(setting.scope))
        return other.rank < rank

    return [other for other in survey.declared if wins(other) and may_concern(other, setting.scope, survey)]


def _lists_without(setting: OptionSetting, survey: Survey) -> t.List[Declared]:
    """Where the administrator's list of options keeps ours from clients that do not ask for it."""
    return [
        other
        for other in survey.request_lists
        if not other.ours
        and (other.rank == HOST or (other.rank == CLASS and other.place.data is not None))
        and setting.code not in other.codes
        and may_concern(other, setting.scope, survey)
    ]


def _preferred_elsewhere(setting: OptionSetting, ours: t.Sequence[OptionSetting], survey: Survey) -> t.List[Declared]:
    """Options of the administrator's that a phone of the vendor looks at before the one set here."""
    vendor = VENDORS.get(setting.scope.name) if setting.scope.kind == VENDOR else None
    if vendor is None or setting.code not in vendor.url_options:
        return []
    codes = set(vendor.reads[: vendor.reads.index(setting.code)])
    codes -= {item.code for item in ours if item.scope == setting.scope}
    return [
        other
        for other in survey.declared
        if not other.ours and other.code in codes and may_concern(other, setting.scope, survey)
    ]


def hidden_settings(settings: t.Sequence[OptionSetting], survey: Survey) -> t.List[Hidden]:
    """Every setting that some of its clients do not get, or that their phones pass over, with who is to blame."""
    hidden = []
    for item in settings:
        winners = winners_over(item, survey)
        lists = _lists_without(item, survey)
        rivals = _preferred_elsewhere(item, settings, survey)
        names = ["%s (%s)" % (_label(other), other.value.shown) for other in winners]
        names += ["%s (dhcp-parameter-request-list)" % _label(other) for other in lists]
        for other in rivals:
            names.append("option %s of %s (%s)" % (option_name(other.code), _label(other), other.value.shown))
        if len(names) > MAX_NAMES:
            names = [*names[:MAX_NAMES], "%d more" % (len(names) - MAX_NAMES)]
        advice = _ADVICE if winners else _ADVICE_LIST if lists else _ADVICE_PREFERRED
        if names:
            hidden.append(Hidden(str(item.scope), item.code, display(item.data), tuple(names), advice))
    return hidden


def _label(item: Declared) -> str:
    label = item.place.label + (" of ours" if item.ours else "")
    return "%s, %s" % (label, item.condition) if item.condition else label


# --- who wins for one client ---


def _order(item: Declared, survey: Survey) -> t.Tuple[int, int, bool, int]:
    """Sort key: what wins first. Within a class a subclass, within one place the later statement."""
    if item.is_default:
        return GLOBAL + 1, 0, False, item.number
    order = survey.class_order(item.place.name) if item.rank == CLASS else 0
    return item.rank, order, item.rank == CLASS and item.place.data is None, -item.number


def in_order(survey: Survey) -> t.List[Declared]:
    """Every option, what wins first."""
    return sorted((item for item in survey.declared if not item.is_space), key=lambda item: _order(item, survey))


def _concerns(item: Declared, facts: Facts, subnet: t.Optional[str], survey: Survey) -> Verdict:
    place = item.place
    verdict: Verdict = True
    if place.rank == HOST:
        verdict = None if place.macs is None else facts.mac.first.hex() in place.macs
    elif place.rank == CLASS:
        verdict = survey.is_member(place, facts)
    elif place.rank != GLOBAL:
        if place.subnets is None or subnet is None:
            verdict = None
        else:
            verdict = False if subnet not in place.subnets else None if place.rank == POOL else True
    return all_of([verdict, *(clause.holds(facts) for clause in place.clauses)])


def decide(
    code: int, client: Client, subnet: t.Optional[str], survey: Survey
) -> t.Tuple[t.Optional[Declared], t.List[Declared]]:
    """(what wins for every such client, what would win over it for some)."""
    facts = facts_of_client(client)
    unless: t.List[Declared] = []
    for item in in_order(survey):
        if item.code == code:
            verdict = _concerns(item, facts, subnet, survey)
            if verdict is True:
                return item, unless
            if verdict is None:
                unless.append(item)
    return None, unless


def set_option(item: Declared, survey: Survey) -> SetOption:
    forced = {code for other in survey.request_lists if other.rank == GLOBAL for code in other.codes}
    return SetOption(
        level=LEVELS[item.rank],
        name=item.place.name,
        code=item.code,
        value=item.value.shown,
        ours=item.ours,
        where=item.where,
        always_sent=item.ours or item.code in forced,
        condition=item.condition,
    )


def answer(code: int, client: Client, subnet: t.Optional[str], survey: Survey) -> Answer:
    winner, unless = decide(code, client, subnet, survey)
    return Answer(
        code,
        set_option(winner, survey) if winner else None,
        tuple(set_option(item, survey) for item in unless),
    )


# --- what clients must be offered ---


def probe_cases(settings: t.Sequence[OptionSetting], survey: Survey) -> t.List[ProbeCase]:
    """One client per class of ours and one that is nobody's, with what each must be offered."""
    scopes = sorted({item.scope for item in settings if RANKS[item.scope.kind] == CLASS}, key=class_order)
    codes = sorted({item.code for item in settings})
    return [_probe_case(scope, codes, survey) for scope in [GLOBAL_SCOPE, *scopes]]


def _probe_case(scope: Scope, codes: t.Sequence[int], survey: Survey) -> ProbeCase:
    case = ProbeCase(str(scope), _client_of(scope))
    for code in codes:
        data = _expected(code, case.client, None, survey)
        if data is not None:
            case.expected[code] = data
            continue
        special = {subnet for item in survey.declared if item.code == code for subnet in item.place.subnets or ()}
        general = _expected(code, case.client, "", survey)  # in a subnet that nothing is said of
        if general is not None:
            case.expected[code] = general
        for subnet in sorted(special & set(survey.subnets)):
            case.expected_in.setdefault(subnet, {})[code] = _expected(code, case.client, subnet, survey)
    return case


def _expected(code: int, client: Client, subnet: t.Optional[str], survey: Survey) -> t.Optional[bytes]:
    """What of ours the client must get; None when it may get anything."""
    winner, unless = decide(code, client, subnet, survey)
    rivals = [item for item in unless if item.rank != HOST]  # hosts known by an identifier, which a probe never sends
    if winner is None or rivals or not winner.ours:
        return None
    return winner.value.data


def _client_of(scope: Scope) -> Client:
    """A client that is a member of the scope."""
    if scope.kind == PHONE:
        return Client(mac=scope.name)
    if scope.kind == VENDOR:
        mac = scope.ouis[0] + "617001" if scope.ouis else NEUTRAL_MAC
        return Client(mac=mac, vendor_class=scope.option60_prefixes[0] if scope.option60_prefixes else None)
    return Client(mac=NEUTRAL_MAC)
