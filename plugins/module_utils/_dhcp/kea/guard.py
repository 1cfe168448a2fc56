# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What a reload would make Kea do besides what we want, and what would fail though Kea's checker accepts it.

A reload reads the whole file. What the administrator has changed in it and not loaded yet comes to life with ours. And
Kea's checker does not look at everything: a lease file in a folder that is not there, or a control socket where none
can be, pass `-t`, and after the reload Kea is alive and silent (measured on 2.2, 2.6 and 3.0).
"""

from __future__ import annotations

import os
import re
import typing as t

from .. import processes
from ..processes import Process
from .entries import CLASS_PREFIX, EMPTY_CLASS_NAME, MARK
from .text import Node

#: What Kea's checker does not prove: in these, the file must say what runs already.
UNPROVED = ("interfaces-config", "lease-database", "control-sockets", "hosts-databases", "hooks-libraries")
#: Kea 3.0 has made lists of what was one; here all are lists.
_NOW_LISTS = {"control-socket": "control-sockets", "hosts-database": "hosts-databases"}
#: Of a client in a reservation; Kea tells them back as hexadecimal digits, whatever the file says.
_IDENTIFIERS = ("hw-address", "duid", "client-id", "circuit-id", "flex-id")
#: Elements of lists are the same when the first of these that both have is equal.
_IDENTITIES = (
    "id",
    "code",
    "subnet",
    "pool",
    "name",
    *_IDENTIFIERS,
    "ip-address",
    "library",
    "socket-name",
    "socket-port",
    "socket-type",
)
_TOLD = ("name", "type", "persist", "interfaces", "socket-name", "socket-type", "library")
_SAME_IN_ANY_SPELLING = ("comment", "user-context")  # Kea turns one into the other; neither does anything
#: Kea does not tell back what is as it would be anyway.
_DEFAULTS = {"dhcp-socket-type": "raw", "outbound-interface": "same-as-inbound", "re-detect": True}
_DEFAULTS.update({"service-sockets-max-retries": 0, "service-sockets-require-all": False, "max-row-errors": 0})
MAX_TOLD = 5
DEFAULT_LEASES = "kea-leases4.csv"

Difference = t.Tuple[str, str]  # (path in the configuration, what is there and what runs; no value that may be secret)


def differences(dhcp4: Node, running: t.Mapping[str, t.Any]) -> t.List[Difference]:
    """Where the administrator's part of the file says something else than what runs. Defaults are not looked at."""
    found: t.List[Difference] = []
    wanted, runs = _as_lists(t.cast("t.Dict[str, t.Any]", dhcp4.value())), _as_lists(dict(running))
    for key in UNPROVED:  # to leave them out is to change them too, except for what has a default
        if key != "lease-database":
            wanted.setdefault(key, {"interfaces": []} if key == "interfaces-config" else [])
    for key, value in wanted.items():
        _compare(key, value, runs.get(key, [] if isinstance(value, list) else None), found)
    return found


def _as_lists(config: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    for old, new in _NOW_LISTS.items():
        if old in config:
            config[new] = [config.pop(old), *config.get(new, [])]
    return config


def unproved(found: t.Sequence[Difference]) -> t.List[Difference]:
    return [item for item in found if _is_unproved(item[0])]


def _is_unproved(path: str) -> bool:
    return re.split(r"[.\[]", path)[0] in UNPROVED


def told(found: t.Sequence[Difference]) -> str:
    """The differences in one line for a person."""
    parts = ["%s (%s)" % item if item[1] else item[0] for item in found[:MAX_TOLD]]
    if len(found) > MAX_TOLD:
        parts.append("%d more" % (len(found) - MAX_TOLD))
    return ", ".join(parts)


def _compare(path: str, wanted: t.Any, runs: t.Any, found: t.List[Difference]) -> None:
    if isinstance(wanted, dict) and isinstance(runs, dict):
        # A key that Kea does not tell back has another name in this generation, except where nothing may be overlooked.
        exactly = _is_unproved(path)
        for key, value in wanted.items():
            if (key in runs or exactly) and key not in _SAME_IN_ANY_SPELLING:
                _compare("%s.%s" % (path, key), value, runs.get(key, _DEFAULTS.get(key)), found)
    elif isinstance(wanted, list) and isinstance(runs, list):
        _compare_lists(path, wanted, [item for item in runs if not is_ours(item)], found)
    elif wanted != runs and _plain(path, wanted) != _plain(path, runs):
        tell = path.rsplit(".", 1)[-1] in _TOLD
        found.append((path, "the file says %s, %s runs" % (_shown(wanted), _shown(runs)) if tell else ""))


def _compare_lists(path: str, wanted: t.List[t.Any], runs: t.List[t.Any], found: t.List[Difference]) -> None:
    if not all(isinstance(item, dict) for item in wanted + runs):
        same = sorted(_plain(path, item) for item in wanted) == sorted(_plain(path, item) for item in runs)
        if not same:
            found.append((path, "the file says %s, %s runs" % (_shown(wanted), _shown(runs))))
        return
    left = list(runs)
    for position, item in enumerate(wanted):
        label = "%s[%s]" % (path, _name(item) or position)
        other = next((other for other in left if _is_same(item, other)), None)
        if other is None:
            found.append((label, "does not run yet"))
        else:
            left.remove(other)
            _compare(label, item, other, found)
    found += [("%s[%s]" % (path, _name(item) or "?"), "runs, and is not in the file") for item in left]


def is_ours(item: t.Any) -> bool:
    """Is this entry of a running configuration one of ours?"""
    if not isinstance(item, dict):
        return False
    if str(item.get("client-class", "")).startswith(CLASS_PREFIX) and "code" in item:
        return True  # of the hook library flex_option
    entries = item["parameters"].get("options") if isinstance(item.get("parameters"), dict) else None
    if entries and all(is_ours(entry) for entry in entries):
        return True  # the library itself
    return item.get("user-context") == MARK or item.get("name") == EMPTY_CLASS_NAME


def _is_same(item: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    for key in _IDENTITIES:
        if key in item and key in other:
            return bool(item[key] == other[key] or _plain(key, item[key]) == _plain(key, other[key]))
    return True


def _name(item: t.Mapping[str, t.Any]) -> str:
    for key in ("name", "subnet", "pool", "hw-address", "library", "code", "socket-name", "id"):
        if key in item:
            return str(item[key])
    return ""


def _plain(path: str, value: t.Any) -> str:
    """A value without the freedom of spelling: blanks, case, digits or text of an identifier, a library's folder."""
    key = path.rsplit(".", 1)[-1]
    if key in _IDENTIFIERS:
        quoted = re.fullmatch(r"\s*'(.*)'\s*", str(value))
        return quoted.group(1).encode().hex() if quoted else re.sub(r"[\s:.-]|^0x", "", str(value)).lower()
    text = re.sub(r"\s", "", str(value)).lower()
    return text.rsplit("/", 1)[-1] if key == "library" else text


def _shown(value: t.Any) -> str:
    if value is None or value == []:
        return "nothing"
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def missing_places(running: t.Mapping[str, t.Any], process: t.Optional[Process]) -> t.List[str]:
    """Folders without which a reload fails, as what runs needs them: a sentence for each that is not usable."""
    leases = running.get("lease-database", {})
    if leases.get("type", "memfile") != "memfile" or leases.get("persist") is False:
        return []
    path = str(leases.get("name", ""))
    if not os.path.isabs(path):
        path = _open_leases(process, os.path.basename(path) or DEFAULT_LEASES)
    folder = os.path.dirname(path)
    if path and processes.run_in_view(["test", "-d", folder, "-a", "-w", folder], process, cwd="/").returncode != 0:
        return ["the folder of the lease file, %s, is not there or not writable for Kea; put it in order" % folder]
    return []


def _open_leases(process: t.Optional[Process], name: str) -> str:
    """Where Kea expects the lease file of that name, which its configuration does not tell; nothing if unknown."""
    if process is None:
        return ""
    folder = os.path.join("/proc", str(process.pid))
    try:
        with open(os.path.join(folder, "environ"), "rb") as stream:
            variables = dict(item.partition(b"=")[::2] for item in stream.read().split(b"\0"))
        found = [os.readlink(os.path.join(folder, "fd", number)) for number in os.listdir(os.path.join(folder, "fd"))]
    except OSError:
        return ""
    if b"KEA_DHCP_DATA_DIR" in variables:
        return os.path.join(os.fsdecode(variables[b"KEA_DHCP_DATA_DIR"]), name)
    paths = [path.split(" (deleted)")[0] for path in found]
    return next((path for path in paths if os.path.basename(path) == name), "")
