# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a person wrote to phones the service takes: the whole list, all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from autoprovd.faults import Fault, invalid
from autoprovd.model import Phone, faults_of, parse_mac
from autoprovd.vendors import faults_of_phone

_MOST_FAULTS = 200


_T = TypeVar("_T")


def take_phones(
    raw: Iterable[Mapping[str, Any]],
    is_unchanged: Callable[[str, Mapping[str, Any]], bool],
    take: Callable[[Phone, Mapping[str, Any]], _T],
    faults_of_rules: Callable[[Phone], Iterable[Fault]],
) -> tuple[set[str], list[_T]]:
    """All MAC addresses of a list, and what ``take`` makes of each phone that is not as it was.

    ``faults_of_rules`` tells what is wrong with the terms of release of a phone that is otherwise sound.

    Raises ``Refused`` with every fault of every phone; once one is found, nothing more is taken.
    """
    taken: list[_T] = []
    faults: list[Fault] = []
    first_place: dict[str, int] = {}
    for index, item in enumerate(raw):
        mac = _mac_of(item)
        own: list[Fault] = []
        if mac is None or not is_unchanged(mac, item):
            found = _faults_or_phone(item)
            own = list(faults_of_phone(found)) if isinstance(found, Phone) else found
            if isinstance(found, Phone) and not own:
                own = list(faults_of_rules(found))
            if isinstance(found, Phone) and not own and not faults:
                taken.append(take(found, item))
        if mac is not None:
            if mac in first_place:
                fault = f"the MAC address stands in the list twice, first as phones[{first_place[mac]}]"
                own = [*own, Fault("mac", fault, "keep one of them")]
            first_place.setdefault(mac, index)
        if own:
            where = f"phones[{index}]" + (f" ({item['mac']})" if mac is not None else "")
            faults += (fault.inside(where) for fault in own)
    if len(faults) > _MOST_FAULTS:
        rest = len(faults) - _MOST_FAULTS
        faults = [*faults[:_MOST_FAULTS], Fault("", f"and {rest} more faults like these")]
    if faults:
        raise invalid(faults, "the phone list")
    return set(first_place), taken


def _faults_or_phone(item: Mapping[str, Any]) -> Phone | list[Fault]:
    try:
        return Phone.model_validate(item)
    except ValidationError as error:
        return list(faults_of(error))


def _mac_of(item: Mapping[str, Any]) -> str | None:
    try:
        return parse_mac(item.get("mac"))
    except (ValueError, AttributeError):
        return None
