# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Our settings in the words of ISC dhcpd.

Options are written as raw bytes, most of them by code (`option unknown-160 = "http://…";`): dhcpd knows that form for
every code, whatever the administrator calls it, so nothing needs to be defined and no type changes what is sent.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ..intent import GLOBAL as GLOBAL_KIND
from ..intent import PHONE, SHARED_NETWORK, VENDOR, OptionSetting, Scope
from ..intent import SUBNET as SUBNET_KIND
from ..options import option_name
from .options import BUILT_IN
from .survey import CLASS, GLOBAL, NETWORK, SUBNET

CLASS_PREFIX = "autoprov-"
#: Everybody is a member. Classes come after pools, so it can add to what a subnet or pool lets through.
EVERYBODY = CLASS_PREFIX + "everybody"
RANKS = {PHONE: CLASS, VENDOR: CLASS, SUBNET_KIND: SUBNET, SHARED_NETWORK: NETWORK, GLOBAL_KIND: GLOBAL}

#: Names every dhcpd knows; with these it does not say in its log that it knows a better one.
_NAMES = {code: BUILT_IN[code][0] for code in (42, 43, 66, 67)}
_HEAD = "# Written by autoprov (dhcp_options). Do not edit: the next run replaces this file."
_REQUEST_LIST = "dhcp-parameter-request-list"
# A client that names the options it wants gets no others. So its list becomes the server's, and ours are added. Where
# the client has sent no list, and the administrator has set none, there must be none: all options are sent then.
_TAKE_LIST = "if exists %s { default %s = option %s; }" % (_REQUEST_LIST, _REQUEST_LIST, _REQUEST_LIST)
_ADD_TO_LIST = "if not (config-option %s = null) { append %s = %%s; }" % (_REQUEST_LIST, _REQUEST_LIST)


def class_name(scope: Scope) -> str:
    return CLASS_PREFIX + re.sub(r"[^A-Za-z0-9._-]", "-", scope.name)


def class_order(scope: Scope) -> t.Tuple[int, int, str]:
    """Sort key of classes, as the first that matches wins: one phone, a prefix asked for (longest first), a vendor."""
    custom = scope.kind == VENDOR and not scope.ouis and len(scope.option60_prefixes) == 1
    return (0 if scope.kind == PHONE else 1 if custom else 2, -len(scope.name) if custom else 0, scope.name)


def _title(scope: Scope) -> str:
    return "# " + "".join(char if char.isprintable() else "?" for char in str(scope))


def _colons(data: bytes) -> str:
    return ":".join("%02x" % byte for byte in data)


def literal(data: bytes) -> str:
    """Bytes as an expression: as text where nothing in it has a meaning to dhcpd, else in hexadecimal."""
    text = data.decode("latin-1")
    return '"%s"' % text if text.isascii() and text.isprintable() and not set(text) & set('"\\') else _colons(data)


def class_condition(scope: Scope) -> str:
    if scope.kind == PHONE:
        return "substring(hardware, 1, 6) = %s" % _colons(bytes.fromhex(scope.name))
    tests = [
        "substring(option vendor-class-identifier, 0, %d) = %s" % (len(prefix), literal(prefix.encode("ascii")))
        for prefix in scope.option60_prefixes
    ]
    tests += ["substring(hardware, 1, 3) = %s" % _colons(bytes.fromhex(oui)) for oui in scope.ouis]
    return "\n     or ".join(tests)


def _options(settings: t.Iterable[OptionSetting]) -> t.List[str]:
    return [
        "option %s = %s; # option %s"
        % (_NAMES.get(item.code, "unknown-%d" % item.code), literal(item.data), option_name(item.code))
        for item in settings
    ]


def _always(codes: t.Iterable[int]) -> t.List[str]:
    ordered = sorted(set(codes))
    return [_ADD_TO_LIST % _colons(bytes(ordered))] if ordered else []


def _class(name: str, condition: str, lines: t.Iterable[str]) -> t.List[str]:
    head = 'class "%s" {' % name.replace("\\", "\\\\").replace('"', '\\"')
    match = ["  match if %s;" % condition] if condition else []
    return [head, *match, *("  " + line for line in lines), "}"]


def render_scope(scope: Scope, settings: t.Sequence[OptionSetting]) -> str:
    """The file for one subnet or shared network."""
    lines = [_HEAD, _title(scope), *_options(settings), _TAKE_LIST, *_always(item.code for item in settings)]
    return "\n".join(lines) + "\n"


def render_main(
    settings: t.Sequence[OptionSetting], also_always: t.Iterable[int], limited_classes: t.Iterable[str]
) -> str:
    """The file that the last line of the configuration brings in.

    `also_always`: codes of subnets and networks of ours whose addition a pool or subnet of the administrator's undoes.
    `limited_classes`: classes of the administrator's that set a list of options, which ours are added to.
    """
    general = [item for item in settings if RANKS[item.scope.kind] == GLOBAL]
    lines = [_HEAD, _TAKE_LIST, *_options(general), *_always(item.code for item in general)]
    scopes = sorted({item.scope for item in settings if RANKS[item.scope.kind] == CLASS}, key=class_order)
    for scope in scopes:
        own = [item for item in settings if item.scope == scope]
        lines.append(_title(scope))
        lines += _class(class_name(scope), class_condition(scope), _options(own) + _always(item.code for item in own))
    everybody = [item.code for item in general] + list(also_always)
    if everybody:
        lines += ["# For subnets and pools that set the list themselves."]
        lines += _class(EVERYBODY, "exists dhcp-message-type", _always(everybody))
    for name in limited_classes:
        lines += ["# The administrator's, which sets the list itself; it is only added to."]
        lines += _class(name, "", _always(item.code for item in settings))
    return "\n".join(lines) + "\n"


def file_suffix(scope: Scope) -> str:
    """The part of our file's name that tells its place in the configuration."""
    if RANKS[scope.kind] in (CLASS, GLOBAL):
        return ""
    slug = re.sub(r"[^A-Za-z0-9.-]", "_", scope.name)
    if scope.kind == SHARED_NETWORK:  # any text may be a name
        slug += "-" + hashlib.sha256(scope.name.encode()).hexdigest()[:8]
    return "-%s-%s" % ("network" if scope.kind == SHARED_NETWORK else "subnet", slug)
