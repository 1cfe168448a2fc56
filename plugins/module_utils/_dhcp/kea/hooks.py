# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Kea's hook library flex_option: the one way in which a class wins over a subnet, and text gets into option 159.

It sets options after Kea has chosen all others, asked for or not. Its entries are worked off in order, so that the last
one wins. Loaded twice it would forget the first configuration: where the administrator uses it, our entries go behind
theirs.
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

from ..errors import DhcpError
from ..intent import GLOBAL, VENDOR, OptionSetting, Scope
from ..options import option_name
from .entries import CLASS_PREFIX, FLEX_OPTIONS, HEADER, HOOK_LIBRARY, class_name, class_order
from .text import Include, Node

LIBRARY = "libdhcp_flex_option.so"
_FOLDERS = ("/usr/lib/*/kea/hooks", "/usr/lib/kea/hooks", "/usr/local/lib/kea/hooks", "/opt/kea/lib/kea/hooks")
#: Kea gives these a type in which no text can be sent.
ONLY_BY_HOOK = (159,)
#: From this version on Kea takes the bare name, and looks where its packager has put the libraries.
BARE_NAME_SINCE = (3, 0)
#: Where our entries stand: in a library element of our own, or in the administrator's.
OWN_ELEMENT, AMONG_THEIRS = Scope(HOOK_LIBRARY), Scope(FLEX_OPTIONS)
#: The class of an entry that concerns everybody: it also shows that the entry is ours.
EVERYBODY = Scope(VENDOR, "everybody")


def library(version: t.Tuple[int, ...]) -> t.Optional[str]:
    """How the configuration names the library; None when it is not installed."""
    found = [path for folder in _FOLDERS for path in sorted(glob.glob(os.path.join(folder, LIBRARY)))]
    if not found:
        return None
    return LIBRARY if version >= BARE_NAME_SINCE else found[0]


def their_parameters(dhcp4: Node) -> t.Optional[Node]:
    """The parameters of the library where the administrator loads it. Raises DhcpError when we cannot join in."""
    for element in dhcp4.items("hooks-libraries"):
        if os.path.basename(element.text("library")) == LIBRARY:
            parameters = element.get("parameters")
            if parameters is None or parameters.members is None:
                raise DhcpError(
                    "the administrator loads the hook library flex_option without parameters; give it an empty list of "
                    "options, or remove it"
                )
            return parameters
    return None


def place(dhcp4: Node, scope: Scope) -> t.Tuple[Node, str]:
    """The object in which the array of our entries is, and the array's key."""
    parameters = their_parameters(dhcp4) if scope == AMONG_THEIRS else None
    return (parameters, "options") if parameters is not None else (dhcp4, "hooks-libraries")


def class_of(setting: OptionSetting) -> Scope:
    """The class whose members get the setting through the library."""
    return EVERYBODY if setting.scope.kind == GLOBAL else setting.scope


def _expression(data: bytes) -> str:
    text = data.decode("latin-1")
    plain = text.isascii() and text.isprintable() and "'" not in text
    return "'%s'" % text if plain else "0x" + data.hex()


def data_of(expression: str) -> t.Optional[bytes]:
    """The bytes that an expression of ours stands for; None when it is something else."""
    if re.match(r"^'[^']*'$", expression):
        return expression[1:-1].encode("latin-1", "replace")
    if re.match(r"^0x([0-9a-f]{2})+$", expression):
        return bytes.fromhex(expression[2:])
    return None


def render(scope: Scope, settings: t.Sequence[OptionSetting], include: Include, library_name: str) -> str:
    """The content of our file: entries, or the library with them. What concerns most clients comes first."""
    ordered = sorted(settings, key=lambda item: class_order(class_of(item)), reverse=True)
    ordered.sort(key=lambda item: item.scope.kind != GLOBAL)
    blocks = [
        [
            "// %s: option %s" % (item.scope, option_name(item.code)),
            json.dumps(
                {
                    "code": item.code,
                    "supersede": _expression(item.data),
                    "client-class": class_name(class_of(item)),
                }
            ),
        ]
        for item in ordered
    ]
    lines = [HEADER]
    if include.after_value:
        lines.append(",")
    if scope == OWN_ELEMENT:
        lines.append('{"library": %s, "parameters": {"options": [' % json.dumps(library_name))
    for index, block in enumerate(blocks):
        comma = "," if index + 1 < len(blocks) or (include.before_value and scope != OWN_ELEMENT) else ""
        lines += [*block[:-1], block[-1] + comma]
    if scope == OWN_ELEMENT:
        lines.append("] } }" + ("," if include.before_value else ""))
    return "\n".join(lines) + "\n"


def entries_of(hooks: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[t.Mapping[str, t.Any]]:
    """Our entries among the hook libraries of a running configuration."""
    return [
        entry
        for element in hooks
        if os.path.basename(str(element.get("library"))) == LIBRARY
        for entry in element.get("parameters", {}).get("options", [])
        if str(entry.get("client-class", "")).startswith(CLASS_PREFIX)
    ]
