# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a dnsmasq configuration says, for a person and for the probe: what is set, who wins, what hides ours."""

from __future__ import annotations

import ipaddress
import typing as t

from ..backend import Answer, Hidden, ProbeCase, SetOption
from ..errors import DhcpError
from ..intent import GLOBAL, GLOBAL_SCOPE, PHONE, VENDOR, OptionSetting, Scope
from ..options import display, option_name
from ..probe import Client
from ..vendors import VENDORS
from .entries import Placer, class_order
from .model import DnsmasqModel, Sent
from .plan import Draft, situations_of
from .precedence import NO, YES, Contender, Precedence, Situation

#: Plays a client that is nobody's phone; 02 = locally administered.
_NEUTRAL_MAC = "020000617001"
_PLAYED_NUMBER = "617001"
_MAX_NAMES = 3
_ADVICE = (
    "In dnsmasq tags of the client or its interface win over tags of its dhcp-range, these over no tag, and of equals "
    "the last line: remove it there, or give it a tag that only its own clients have"
)
_ADVICE_BESIDE = "dnsmasq sends it besides ours, and phones read both as one: remove it there"
_ADVICE_UNASKED = "Remove it there, or let it be sent to those too that do not ask for it (dhcp-option-force)"
_ADVICE_RIVAL = "Phones of this vendor read that option first: remove it there, or set it for the vendor too"


class DnsmasqReport:
    """One configuration, judged. Lines of `own_path` are ours."""

    def __init__(self, model: DnsmasqModel, own_paths: t.Collection[str]) -> None:
        self._model = model
        self._own_paths = own_paths
        self._precedence = Precedence(model)

    def is_ours(self, item: Sent) -> bool:
        return item.line.path in self._own_paths

    # --- what is set, and who would win ---

    def set_options(self) -> t.List[SetOption]:
        """Every option set, what wins first."""
        return [self.shown(item) for item in self._precedence.ranked()]

    def shown(self, item: Sent) -> SetOption:
        level, name = self._level(item)
        return SetOption(
            level=level,
            name=name,
            code=item.code,
            value=display(item.data) if self.is_ours(item) and item.data is not None else item.value,
            ours=self.is_ours(item),
            where=item.line.where,
            always_sent=item.forced,
            condition=",".join("tag:" + tag for tag in item.conditions),
        )

    def _level(self, item: Sent) -> t.Tuple[str, str]:
        if not item.conditions:
            return "global", ""
        model = self._model
        sources = [source for tag in item.conditions for source in model.sources.get(tag.lstrip("!"), [])]
        if sources and all(source.kind == "mac" and "?" not in source.value for source in sources):
            macs = dict.fromkeys(source.value for source in sources)
            return "host", ", ".join(macs)
        place_tags = [*model.interfaces, *(item.tag for item in model.ranges)]
        if any(source.kind != "range" for source in sources) or not any(
            tag.lstrip("!") in place_tags or tag.startswith("!") for tag in item.conditions
        ):
            return "class", ", ".join(item.conditions)
        verdicts = {
            subnet: self._precedence.verdict(item.conditions, Situation(subnet=subnet)) for subnet in model.subnets
        }
        certain = [subnet for subnet, verdict in verdicts.items() if verdict == YES]
        possible = [subnet for subnet, verdict in verdicts.items() if verdict != NO]
        if len(possible) == 1:
            return ("subnet", str(certain[0])) if certain else ("pool", ", ".join(item.conditions))
        return ("shared_network" if possible else "class"), ", ".join(item.conditions)

    def answer(self, code: int, client: Client, subnet: t.Optional[str]) -> Answer:
        """The first that surely applies, and what stands before it and may. Raises DhcpError for an unknown subnet."""
        network = ipaddress.IPv4Network(subnet) if subnet else None
        if network is not None and network not in self._model.subnets:
            known = ", ".join(str(item) for item in self._model.subnets[:10]) or "none"
            raise DhcpError("subnet %s has no dhcp-range; there: %s" % (subnet, known))
        found = self._contenders(code, client, network)
        winner = found[-1].sent if found and found[-1].verdict == YES else None
        unless = tuple(self.shown(item.sent) for item in found if item.sent is not winner)
        return Answer(code, self.shown(winner) if winner else None, unless)

    def _contenders(self, code: int, client: Client, network: t.Optional[ipaddress.IPv4Network]) -> t.List[Contender]:
        situation = Situation(mac=client.mac, vendor_class=client.vendor_class or "", subnet=network)
        return self._precedence.contenders(code, situation)

    # --- what hides ours ---

    def hidden(self, draft: Draft) -> t.List[Hidden]:
        """Every setting that some of its clients do not get, or that their phones pass over, with who is to blame."""
        found = []
        for item in draft.settings:
            names, advice = self._winners_over(item, draft)
            if not names:
                names, advice = self._rivals_of(item, draft), _ADVICE_RIVAL
            if len(names) > _MAX_NAMES:
                names = [*names[:_MAX_NAMES], "%d more" % (len(names) - _MAX_NAMES)]
            if names:
                found.append(Hidden(str(item.scope), item.code, display(item.data), tuple(names), advice))
        return found

    def _winners_over(self, item: OptionSetting, draft: Draft) -> t.Tuple[t.List[str], str]:
        names: t.Dict[str, None] = {}
        advice = _ADVICE
        places = draft.placement.get((item.scope, item.code), [])
        for situation in situations_of(item.scope, self._model, Placer(self._model)):
            for contender in self._precedence.contenders(item.code, situation):
                other = contender.sent
                if self.is_ours(other):
                    if other.conditions in places:
                        break  # ours: what stands behind it loses
                    continue
                if other.data == item.data and other.forced:
                    continue
                if other.beside:
                    advice = _ADVICE_BESIDE
                elif other.data == item.data:
                    advice = _ADVICE_UNASKED
                names[self._named(other)] = None
        return list(names), advice

    def _rivals_of(self, item: OptionSetting, draft: Draft) -> t.List[str]:
        """Options of the administrator's that a phone of the vendor looks at before the one set here."""
        vendor = VENDORS.get(item.scope.name) if item.scope.kind == VENDOR else None
        if vendor is None or item.code not in vendor.url_options:
            return []
        set_too = {other.code for other in draft.settings if other.scope == item.scope}
        names: t.Dict[str, None] = {}
        for code in vendor.reads[: vendor.reads.index(item.code)]:
            for situation in situations_of(item.scope, self._model, Placer(self._model)) if code not in set_too else []:
                for contender in self._precedence.contenders(code, situation):
                    if not self.is_ours(contender.sent):
                        names["option %s of %s" % (option_name(code), self._named(contender.sent))] = None
        return list(names)

    def _named(self, item: Sent) -> str:
        level, name = self._level(item)
        tags = "" if level == "global" else " for %s" % ",".join("tag:" + tag for tag in item.conditions)
        place = " (subnet %s)" % name if level == "subnet" else ""
        return "%s%s%s at %s (%s)" % (item.line.name, tags, place, item.line.where, item.value or "nothing")

    # --- clients to play ---

    def probe_cases(self, settings: t.Sequence[OptionSetting]) -> t.List[ProbeCase]:
        """One client per class of ours and one that is nobody's, with what each must be offered."""
        scopes = sorted({item.scope for item in settings if item.scope.kind in (VENDOR, PHONE)}, key=class_order)
        codes = sorted({item.code for item in settings})
        cases = []
        for scope in [GLOBAL_SCOPE, *scopes]:
            case = ProbeCase(str(scope), _client_of(scope))
            for code in codes:
                usual = self._certain(code, case.client, None)
                if usual is not None:
                    case.expected[code] = usual
                for subnet in self._model.subnets:
                    there = self._certain(code, case.client, subnet)
                    if there != usual:
                        case.expected_in.setdefault(str(subnet), {})[code] = there
            cases.append(case)
        return cases

    def _certain(self, code: int, client: Client, network: t.Optional[ipaddress.IPv4Network]) -> t.Optional[bytes]:
        """What such a client gets of ours for certain."""
        found = self._contenders(code, client, network)
        if len(found) != 1 or found[0].verdict != YES or not self.is_ours(found[0].sent):
            return None
        return found[0].sent.data


def _client_of(scope: Scope) -> Client:
    """A client that is a member of the scope."""
    if scope.kind == PHONE:
        return Client(mac=scope.name)
    if scope.kind == GLOBAL:
        return Client(mac=_NEUTRAL_MAC)
    mac = scope.ouis[0] + _PLAYED_NUMBER if scope.ouis else _NEUTRAL_MAC
    return Client(mac=mac, vendor_class=scope.option60_prefixes[0] if scope.option60_prefixes else None)
