# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a person wrote to phones the service takes: the whole list, all faults at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from autoprovd.faults import Fault, invalid
from autoprovd.model import Phone, faults_of, parse_mac
from autoprovd.vendors import faults_of_phone

_MOST_FAULTS = 200


def parse_phones(raw: Sequence[Mapping[str, Any]]) -> list[Phone]:
    """The phones of a list, or ``Refused`` with every fault of every phone in it."""
    phones: list[Phone] = []
    faults: list[Fault] = []
    first_place: dict[str, int] = {}
    for index, item in enumerate(raw):
        where = f"phones[{index}]"
        found = _faults_or_phone(item)
        if isinstance(found, Phone):
            phones.append(found)
            own = list(faults_of_phone(found))
        else:
            own = found
        mac = _mac_of(item)
        if mac is not None:
            where += f" ({item['mac']})"
            if mac in first_place:
                fault = f"the MAC address stands in the list twice, first as phones[{first_place[mac]}]"
                own = [*own, Fault("mac", fault, "keep one of them")]
            first_place.setdefault(mac, index)
        faults += (fault.inside(where) for fault in own)
    if len(faults) > _MOST_FAULTS:
        rest = len(faults) - _MOST_FAULTS
        faults = [*faults[:_MOST_FAULTS], Fault("", f"and {rest} more faults like these")]
    if faults:
        raise invalid(faults, "the phone list")
    return phones


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
