# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our settings in Kea's words, and Kea's settings in ours."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ..intent import GLOBAL, PHONE, SHARED_NETWORK, SUBNET, VENDOR, OptionSetting, Scope
from ..options import display, option_name
from .names import CODES
from .text import Include, Node

MARK = {"managed-by": "autoprov"}
CLASS_PREFIX = "autoprov-"
EMPTY_CLASS_NAME = "autoprov-none"
EMPTY_CLASS = '{"name": "%s"}' % EMPTY_CLASS_NAME
# Lower wins. A host wins over everything, a class only over the global level (measured on 2.2, 2.6 and 3.0).
HOST, POOL, IN_SUBNET, NETWORK, CLASS, GLOBAL_LEVEL = range(6)
#: What a hook library sets, it sets over everything.
HOOK = -1
#: Scopes of Kea only: where entries of a hook library stand, see kea_hooks.
HOOK_LIBRARY, FLEX_OPTIONS = "hook_library", "flex_options"
RANKS = {
    HOOK_LIBRARY: HOOK,
    FLEX_OPTIONS: HOOK,
    PHONE: CLASS,
    VENDOR: CLASS,
    SUBNET: IN_SUBNET,
    SHARED_NETWORK: NETWORK,
    GLOBAL: GLOBAL_LEVEL,
}


# --- ours, as Kea reads them ---


def class_name(scope: Scope) -> str:
    return CLASS_PREFIX + re.sub(r"[^A-Za-z0-9._-]", "-", scope.name)


def _literal(text: str) -> str:
    return "'%s'" % text if re.match(r"^[A-Za-z0-9 ._/+-]+$", text) else "0x" + text.encode("ascii").hex()


def class_test(scope: Scope) -> str:
    if scope.kind == PHONE:
        return "pkt4.mac == 0x%s" % scope.name
    tests = [
        "substring(option[60].hex,0,%d) == %s" % (len(prefix), _literal(prefix)) for prefix in scope.option60_prefixes
    ]
    tests += ["substring(pkt4.mac,0,3) == 0x%s" % oui for oui in scope.ouis]
    return " or ".join(tests) or "member('ALL')"


def render_option(setting: OptionSetting) -> str:
    # Never csv-format: it cuts a string at a comma, and needs a definition for every code Kea does not know.
    text = setting.data.decode("latin-1")
    plain = text.isascii() and text.isprintable() and not set(text) & set("'\"\\")
    entry = {
        "code": setting.code,
        "csv-format": False,
        "data": "'%s'" % text if plain else setting.data.hex(),
        "always-send": True,
        "user-context": MARK,
    }
    return json.dumps(entry)


def class_order(scope: Scope) -> t.Tuple[int, int, str]:
    """Sort key of classes, as the first that matches wins: one phone, a prefix asked for (longest first), a vendor."""
    custom = scope.kind == VENDOR and not scope.ouis and len(scope.option60_prefixes) == 1
    return (0 if scope.kind == PHONE else 1 if custom else 2, -len(scope.name) if custom else 0, scope.name)


def _class_block(scope: Scope, settings: t.Sequence[OptionSetting]) -> t.List[str]:
    head = {"name": class_name(scope), "test": class_test(scope), "user-context": MARK}
    options = ["    " + render_option(item) for item in settings]
    first = json.dumps(head)[:-1] + ', "option-data": ['
    return ["// %s" % scope, first, ",\n".join(options), "] }"]


HEADER = "// Written by autoprov (dhcp_options). Do not edit: the next run replaces this file."


def render_file(
    scope: Scope, settings: t.Sequence[OptionSetting], include: Include, more_classes: t.Collection[Scope] = ()
) -> str:
    """The content of one of our files. The commas towards the neighbours in the administrator's array are in here.

    `more_classes` are defined too, without options: somebody else refers to them.
    """
    if RANKS[scope.kind] != CLASS:
        blocks = [["// %s: option %s" % (item.scope, option_name(item.code)), render_option(item)] for item in settings]
    elif settings or more_classes:
        scopes = sorted({item.scope for item in settings}.union(more_classes), key=class_order)
        blocks = [_class_block(scope, [item for item in settings if item.scope == scope]) for scope in scopes]
    else:
        blocks = [["// Nobody is a member; to Kea 2.2 an empty list of classes is an error.", EMPTY_CLASS]]
    lines = [HEADER]
    if include.after_value and blocks:
        lines.append(",")
    for index, block in enumerate(blocks):
        comma = "," if index + 1 < len(blocks) or include.before_value else ""
        lines += [*block[:-1], block[-1] + comma]
    return "\n".join(lines) + "\n"


_OTHER_FILES = {GLOBAL: "options", HOOK_LIBRARY: "hooks", FLEX_OPTIONS: "flex-options"}


def file_suffix(scope: Scope) -> str:
    """The part of our file's name that tells its place in the configuration."""
    if scope.kind in (PHONE, VENDOR):
        return "classes"
    if scope.kind in _OTHER_FILES:
        return _OTHER_FILES[scope.kind]
    slug = re.sub(r"[^A-Za-z0-9.-]", "_", scope.name)
    if scope.kind == SHARED_NETWORK:  # any text may be a name
        slug += "-" + hashlib.sha256(scope.name.encode()).hexdigest()[:8]
    return "options-%s-%s" % ("network" if scope.kind == SHARED_NETWORK else "subnet", slug)


def revision_of(dhcp4: t.Any) -> str:
    """The revision of a configuration that is ours as a whole (Dhcp4 as plain data), empty for any other."""
    mark = dhcp4.get("user-context") if isinstance(dhcp4, dict) else None
    return str(mark.get("revision", "")) if isinstance(mark, dict) and mark.items() >= MARK.items() else ""


# --- the administrator's ---


def option_code(entry: Node, definitions: t.Mapping[str, int]) -> t.Optional[int]:
    """The code of an option-data entry in the dhcp4 space, by number or name."""
    if entry.text("space", "dhcp4") != "dhcp4":
        return None
    code = entry.get("code")
    if code is not None and isinstance(code.scalar, int):
        return code.scalar
    name = entry.text("name")
    return definitions.get(name, CODES.get(name))


def definitions_of(dhcp4: Node) -> t.Dict[str, int]:
    return {
        item.text("name"): t.cast("Node", item.get("code")).scalar
        for item in dhcp4.items("option-def")
        if item.get("code") is not None and item.text("space", "dhcp4") == "dhcp4"
    }


def shown_value(entry: Node) -> str:
    """The value of an option-data entry for a person: decoded where it is hexadecimal digits."""
    data = entry.text("data")
    if is_true(entry.get("csv-format"), True):
        return data
    if data.startswith("'") and data.endswith("'"):
        return data[1:-1]
    try:
        return display(bytes.fromhex(data.replace(":", "").replace(" ", "").replace("0x", "")))
    except ValueError:
        return data


def is_true(node: t.Optional[Node], default: bool) -> bool:
    return default if node is None else node.scalar is True
