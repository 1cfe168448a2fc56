# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Which option wins in dnsmasq: tags of the client or its interface, then tags of its range, then no tags; the last."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from .model import DnsmasqModel, Range, Sent, Source

#: Verdicts, in the order of their certainty to apply.
NO, MAYBE, YES = 0, 1, 2
_BESIDE, _CLIENT_TAG, _RANGE_TAG, _UNTAGGED = range(4)
_MAX_DEPTH = 8  # of tag-if upon tag-if


@dataclass(frozen=True)
class Situation:
    """What is known of a client. Unknown is None, or ? for each digit of the MAC address."""

    mac: str = "?" * 12
    vendor_class: t.Optional[str] = None
    #: Is `vendor_class` only how it begins?
    begins: bool = False
    #: Words by which the client's vendor would name itself.
    names: t.Tuple[str, ...] = ()
    subnet: t.Optional[ipaddress.IPv4Network] = None


@dataclass(frozen=True)
class Contender:
    """An option that certainly (YES) or perhaps (MAYBE) concerns a client."""

    sent: Sent
    verdict: int


class Precedence:
    """One configuration, judged."""

    def __init__(self, model: DnsmasqModel) -> None:
        self._model = model
        self._ranked = sorted(model.sent, key=self.rank)

    def rank(self, item: Sent) -> t.Tuple[int, int]:
        """What sorts first wins, if it concerns the client."""
        if item.beside:
            return _BESIDE, item.order
        if not item.conditions:
            return _UNTAGGED, -item.order
        later = any(self._comes_with_range(tag) for tag in item.conditions if not tag.startswith("!"))
        return _RANGE_TAG if later else _CLIENT_TAG, -item.order

    def _comes_with_range(self, tag: str, depth: int = 0) -> bool:
        """Is the tag known only when the address range is? dnsmasq looks at those options in a second pass."""
        sources = self._model.sources.get(tag, [])
        if not sources or depth > _MAX_DEPTH:
            return False
        return all(
            source.kind == "range"
            or (source.kind == "tags" and any(self._comes_with_range(name, depth + 1) for name in source.conditions))
            for source in sources
        )

    def ranked(self) -> t.List[Sent]:
        return self._ranked

    def contenders(self, code: int, situation: Situation) -> t.List[Contender]:
        """What may be sent as this option, what wins first; nothing stands behind the first that is certain."""
        found = []
        for item in self._ranked:
            if item.code != code:
                continue
            verdict = self.verdict(item.conditions, situation)
            if verdict != NO:
                found.append(Contender(item, verdict))
            if verdict == YES:
                break
        return found

    def verdict(self, conditions: t.Sequence[str], situation: Situation, depth: int = 0) -> int:
        """Has a client all these tags?"""
        verdicts = [YES]
        for tag in conditions:
            verdict = self._has(tag.lstrip("!"), situation, depth)
            verdicts.append(YES - verdict if tag.startswith("!") else verdict)
        return min(verdicts)

    def _has(self, tag: str, situation: Situation, depth: int) -> int:
        verdict = NO
        if tag in self._model.interfaces:
            verdict = self._arrives_on(tag, situation)
        elif tag in ("known", "known-othernet"):
            verdict = MAYBE if self._model.knows_hosts else NO
        elif tag in ("bootp", "cpewan-id"):
            verdict = NO  # no phone
        for source in self._model.sources.get(tag, []):
            if verdict == YES:
                break
            verdict = max(verdict, self._gives(source, tag, situation, depth))
        return verdict

    def _ranges(self, situation: Situation) -> t.List[Range]:
        ranges = self._model.ranges
        return [item for item in ranges if situation.subnet is None or item.subnet == situation.subnet]

    def _arrives_on(self, interface: str, situation: Situation) -> int:
        ways = [self._model.attached(item) for item in self._ranges(situation)]
        return _all_or_some([MAYBE if not way else YES if way == [interface] else interface in way for way in ways])

    def _gives(self, source: Source, tag: str, situation: Situation, depth: int) -> int:
        if source.kind == "range":
            return _all_or_some([YES if item.tag == tag else NO for item in self._ranges(situation)])
        if source.kind == "mac":
            return _mac_verdict(source.value, situation.mac)
        if source.kind in ("class", "prefix"):
            return _class_verdict(source, situation)
        if source.kind == "tags" and depth < _MAX_DEPTH:
            return self.verdict(source.conditions, situation, depth + 1)
        return MAYBE


def _all_or_some(verdicts: t.Sequence[int]) -> int:
    """Of a client that may be in any of these."""
    if not verdicts:
        return MAYBE
    return verdicts[0] if len(set(verdicts)) == 1 else MAYBE


def _mac_verdict(pattern: str, mac: str) -> int:
    verdict = YES
    for index, wanted in enumerate(pattern):
        digit = mac[index]
        if wanted == "?" or wanted == digit:
            continue
        if digit != "?":
            return NO
        verdict = MAYBE
    return verdict


def _class_verdict(source: Source, situation: Situation) -> int:
    known, text = situation.vendor_class, source.value
    if known is None:
        # Only the MAC address is known, and maybe with it the vendor.
        return MAYBE if not situation.names or _may_hold(text, situation.names) else NO
    if source.kind == "prefix":
        common = min(len(text), len(known))
        if any(text[index] not in ("\0", known[index]) for index in range(common)):
            return NO
        return YES if len(text) <= len(known) else MAYBE if situation.begins else NO
    if text in known:
        return YES
    return MAYBE if situation.begins and _may_hold(text, (known.lower(),)) else NO


def _may_hold(text: str, names: t.Sequence[str]) -> bool:
    """May the text be in option 60 of a phone whose vendor calls itself so? Behind the name stands a model (D785);
    another vendor's name, a word of letters (Cisco), will not come up there."""
    lower = text.lower()
    if any(name in lower or lower in name for name in names):
        return True
    return not re.search("[a-z]{3}", lower)
