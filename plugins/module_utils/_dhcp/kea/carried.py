# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What our settings amount to in Kea: as planned, and as a running server carries them."""

from __future__ import annotations

import typing as t

from ..intent import OptionSetting
from .entries import CLASS, MARK, RANKS, class_name, class_test
from .hooks import ONLY_BY_HOOK, class_of, data_of, entries_of

#: (scope as text, code) -> bytes. A class also has (scope as text, 0) -> its test.
Carried = t.Dict[t.Tuple[str, int], bytes]


def carried_by_plan(settings: t.Iterable[OptionSetting], by_hook: t.Iterable[OptionSetting]) -> Carried:
    carried: Carried = {}
    for item in settings:
        place = str(item.scope)
        if RANKS[item.scope.kind] == CLASS:
            place = "class %s" % class_name(item.scope)
            carried[place, 0] = class_test(item.scope).encode()
        if item.code not in ONLY_BY_HOOK:
            carried[place, item.code] = item.data
    for item in by_hook:
        scope = class_of(item)
        carried["class %s" % class_name(scope), 0] = class_test(scope).encode()
        carried["flex_option for class %s" % class_name(scope), item.code] = item.data
    return carried


def carried_by_server(config: t.Mapping[str, t.Any]) -> Carried:
    """Our marked entries in a running configuration (config-get)."""
    carried: Carried = {}

    def collect(place: str, holder: t.Mapping[str, t.Any]) -> None:
        for entry in holder.get("option-data", []):
            if entry.get("user-context") == MARK:
                data = bytes.fromhex(entry["data"]) if entry.get("always-send") and not entry.get("csv-format") else b""
                carried[place, entry["code"]] = data

    collect("global", config)
    for item in config.get("client-classes", []):
        if item.get("user-context") == MARK:
            place = "class %s" % item["name"]
            carried[place, 0] = item.get("test", "").encode()
            collect(place, item)
    for network in config.get("shared-networks", []):
        collect("shared network %s" % network["name"], network)
    subnets = list(config.get("subnet4", []))
    for network in config.get("shared-networks", []):
        subnets += network.get("subnet4", [])
    for subnet in subnets:
        collect("subnet %s" % subnet["subnet"], subnet)
    for entry in entries_of(config.get("hooks-libraries", [])):
        place = "flex_option for class %s" % entry["client-class"]
        carried[place, entry.get("code", 0)] = data_of(str(entry.get("supersede", ""))) or b""
    return carried
