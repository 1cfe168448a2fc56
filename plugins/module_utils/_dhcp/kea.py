# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""ISC Kea (DHCPv4), 2.2 and later.

Ours are files beside the administrator's (`autoprov-<name of the configuration>-*.json`), each brought in by one
include line. Kea reads them by config-reload: file and memory never differ, and a reload that fails is undone by
reloading the old files. config-set is not used: on 2.2 a refused config-set leaves the server alive but silent.
"""

from __future__ import annotations

import os
import re
import socket
import time
import typing as t

from . import files, kea_process
from .backend import Answer, Backend, Plan, SetOption, Target
from .errors import DhcpError
from .intent import OptionSetting, Scope
from .kea_config import KeaConfiguration
from .kea_entries import CLASS, RANKS, carried_by_plan, carried_by_server, class_name
from .kea_levels import options_of
from .kea_precedence import Precedence
from .kea_report import KeaReport
from .kea_text import Node
from .probe import Client
from .processes import Process

DEFAULT_CONFIG_FILE = "/etc/kea/kea-dhcp4.conf"
DEFAULT_SOCKET_DIRECTORY = "/run/kea"
BACKUP_SUFFIX = ".autoprov-backup"
#: Seconds a Kea that has just been started may take until its control socket answers.
START_TIMEOUT = 5.0
MAX_PROBE_INTERFACES = 8


class KeaBackend(Backend):
    name = "kea"
    binary = kea_process.BINARY

    def __init__(self, target: Target) -> None:
        binary = kea_process.find_binary()
        if binary is None:
            raise DhcpError("Kea is not installed here (no %s); install kea-dhcp4-server" % kea_process.BINARY)
        self._binary = binary
        self._config_file = self._find_config_file(target.config_file)
        self._process = self._find_process()
        self._given_socket = target.control_socket
        self._version = ""
        # Known after read().
        self._socket: t.Optional[kea_process.ControlSocket] = None
        self._running_config: t.Optional[t.Dict[str, t.Any]] = None
        self._files: t.Optional[KeaConfiguration] = None

    @property
    def lock_path(self) -> str:
        return "/run/lock/autoprov-kea"

    @property
    def config_file(self) -> str:
        return self._config_file

    @property
    def version(self) -> str:
        if not self._version:
            self._version = kea_process.version(self._binary)
        return self._version

    @property
    def control_socket(self) -> t.Optional[str]:
        return self._socket.path if self._socket is not None else None

    @property
    def running(self) -> bool:
        return self._running_config is not None

    def _find_config_file(self, given: t.Optional[str]) -> str:
        here = [item for item in kea_process.running_servers() if not item.process.other_network]
        path = os.path.realpath(given) if given else ""
        if not path and len({item.config_file for item in here}) > 1:
            names = ", ".join(sorted({item.config_file for item in here}))
            raise DhcpError("several Kea servers run here (%s); say which with config_file" % names)
        return path or (here[0].config_file if here else os.path.realpath(DEFAULT_CONFIG_FILE))

    def _find_process(self) -> t.Optional[Process]:
        found = [item.process for item in kea_process.running_servers() if item.config_file == self._config_file]
        return min(found, key=lambda item: item.other_network) if found else None

    @property
    def _cwd(self) -> str:
        return self._process.cwd if self._process else "/"

    @property
    def _dhcp4(self) -> Node:
        return t.cast("KeaConfiguration", self._files).dhcp4

    # --- read and plan ---

    def read(self) -> None:
        self._files = KeaConfiguration(self._config_file, self._cwd)
        path = self._given_socket or _control_socket_in(self._dhcp4)
        self._socket = kea_process.ControlSocket(path) if path else None
        self._running_config = None
        if self._socket is None:
            if self._process is not None:
                raise DhcpError(
                    'Kea runs (process %d) without a control socket; add "control-socket": { "socket-type": "unix", '
                    '"socket-name": "/run/kea/kea4-ctrl-socket" } to Dhcp4 in %s and restart it once'
                    % (self._process.pid, self._config_file)
                )
            return
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self._running_config = self._socket.config_get()
                self._process = self._find_process()  # it may have been restarted since
                return
            except ConnectionError as exc:
                # Without process and socket it is stopped. With one of them it may be starting just now.
                self._process = self._find_process()
                if self._process is None and not (os.path.exists(self._socket.path) and time.monotonic() < end):
                    return
                if time.monotonic() > end:
                    raise DhcpError(
                        "Kea runs (process %d) but nobody answers on its control socket %s (%s); restart Kea, or name "
                        "the socket with control_socket" % (self._process.pid if self._process else 0, path, exc)
                    ) from exc
            time.sleep(0.1)

    def plan(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Plan:
        _refuse_impossible(settings)
        draft = t.cast("KeaConfiguration", self._files).draft(settings, on_conflict)
        plan = Plan(settings=draft.settings, changes=draft.changes, conflicts=draft.conflicts)
        if self._running_config is not None:
            plan.running_differs = carried_by_server(self._running_config) != carried_by_plan(plan.settings)
        precedence = Precedence(draft.dhcp4)
        plan.hidden = precedence.hidden(plan.settings)
        plan.probes = precedence.probe_cases(plan.settings)
        return plan

    # --- what stands there today ---

    def set_options(self) -> t.List[SetOption]:
        return KeaReport(t.cast("KeaConfiguration", self._files)).set_options()

    def answer(self, code: int, client: Client, subnet: t.Optional[str] = None) -> Answer:
        return KeaReport(t.cast("KeaConfiguration", self._files)).answer(code, client, subnet)

    # --- check, apply, verify, restore ---

    def check(self, plan: Plan) -> None:
        if not plan.changes:
            return
        configuration = t.cast("KeaConfiguration", self._files)

        def checker(path: str) -> t.Optional[str]:
            return kea_process.test_config(self._binary, path, self._process, self._cwd)

        complaint = configuration.test(plan.changes, checker)
        if complaint is None:
            return
        before = configuration.test([], checker)
        if before is not None:
            what = "the configuration %s is invalid before any change: %s; repair it first"
            raise DhcpError(what % (self._config_file, before))
        raise DhcpError("Kea refuses the planned configuration, nothing was changed: %s" % complaint)

    def apply(self, plan: Plan) -> t.Optional[str]:
        backup = None
        for change in plan.changes:
            if change.path == self._config_file and change.before is not None:
                backup = self._config_file + BACKUP_SUFFIX
                files.write_atomically(backup, change.before, like=self._config_file)
        for change in plan.changes:
            self._put(change.path, change.after)
        self._reload()
        return backup

    def _put(self, path: str, content: t.Optional[bytes]) -> None:
        if content is None:
            files.remove(path)
        else:
            files.write_atomically(path, content, like=self._config_file)

    def _reload(self) -> None:
        if self._socket is None or not self.running:
            return
        try:
            complaint = self._socket.config_reload()
        except ConnectionError as exc:
            raise DhcpError("Kea's control socket %s is gone: %s" % (self._socket.path, exc)) from exc
        if complaint is not None:
            raise DhcpError("Kea refuses to load %s: %s" % (self._config_file, complaint))

    def _current(self) -> t.Dict[str, t.Any]:
        try:
            return t.cast("kea_process.ControlSocket", self._socket).config_get()
        except ConnectionError as exc:
            raise DhcpError("Kea no longer answers on its control socket: %s" % exc) from exc

    def verify(self, plan: Plan) -> None:
        if not self.running:
            return
        carried, wanted = carried_by_server(self._current()), carried_by_plan(plan.settings)
        if carried != wanted:
            places = sorted({key[0] for key in set(carried) | set(wanted) if carried.get(key) != wanted.get(key)})
            raise DhcpError("after the reload Kea does not carry what was written, at: %s" % ", ".join(places))

    def restore(self, plan: Plan) -> None:
        for change in reversed(plan.changes):
            self._put(change.path, change.before)
        self._reload()
        if self.running and self._current() != self._running_config:
            raise DhcpError("Kea has read the old files again, but runs something else than before")

    # --- probe ---

    def probe_interfaces(self) -> t.List[str]:
        if self._process is not None and self._process.other_network:
            return []
        node = self._dhcp4.get("interfaces-config")
        names: t.List[str] = []
        for item in node.items("interfaces") if node is not None else []:
            name = str(item.scalar).split("/", 1)[0]
            names += [other for _index, other in socket.if_nameindex() if other != "lo"] if name == "*" else [name]
        return list(dict.fromkeys(names))[:MAX_PROBE_INTERFACES]

    def server_identifiers(self) -> t.Optional[t.FrozenSet[str]]:
        if any(item.code == 54 for item in options_of(self._dhcp4)):
            return None
        try:
            with open("/proc/self/net/fib_trie", encoding="ascii") as stream:
                return frozenset(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", stream.read()))
        except OSError:
            return None


def _control_socket_in(dhcp4: Node) -> t.Optional[str]:
    one = dhcp4.get("control-socket")
    candidates = ([one] if one is not None else []) + dhcp4.items("control-sockets")  # the list is Kea 3.0's
    for item in candidates:
        if item.text("socket-type", "unix") == "unix" and item.text("socket-name"):
            return os.path.join(DEFAULT_SOCKET_DIRECTORY, item.text("socket-name"))
    return None


def _refuse_impossible(settings: t.Sequence[OptionSetting]) -> None:
    faults = [
        "%s: Kea cannot send option 159 as text (to Kea it is v4-portparams, RFC 7618); use 160 or 66, or the hook "
        "library flex_option" % item.scope
        for item in settings
        if item.code == 159
    ]
    names: t.Dict[str, Scope] = {}
    for item in settings:
        if RANKS[item.scope.kind] == CLASS and names.setdefault(class_name(item.scope), item.scope) != item.scope:
            other = names[class_name(item.scope)]
            faults.append("%s and %s would be the same class %s in Kea" % (item.scope, other, class_name(item.scope)))
    if faults:
        raise DhcpError(*dict.fromkeys(faults))
