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

from .. import files
from ..backend import Answer, Backend, Plan, SetOption, Target
from ..errors import DhcpError
from ..held import requests_held
from ..intent import SHARED_NETWORK, SUBNET, OptionSetting, Scope
from ..probe import Client
from ..processes import Process
from . import apparmor as kea_apparmor
from . import guard
from . import hooks as kea_hooks
from . import process as kea_process
from .carried import carried_by_plan, carried_by_server
from .config import KeaConfiguration
from .entries import CLASS, RANKS, class_name, revision_of
from .levels import options_of
from .precedence import Precedence
from .report import KeaReport
from .service import RunningKea
from .switch import FileSwitch
from .text import Node

DEFAULT_CONFIG_FILE = "/etc/kea/kea-dhcp4.conf"
DEFAULT_SOCKET_DIRECTORY = "/run/kea"
NO_LIBRARY = "by the hook library flex_option, which is not installed; install kea-common (%s)" % kea_hooks.LIBRARY
BACKUP_SUFFIX = ".autoprov-backup"
#: What was found in place of a good file when Kea had to be restarted.
REJECTED_SUFFIX = ".autoprov-rejected"
#: From this version on the checker also asks hook libraries (-T).
THOROUGH_SINCE = (2, 6)
#: Seconds a Kea that has just been started may take until its control socket answers.
START_TIMEOUT = 5.0
#: Seconds there may be no process at all while a supervisor restarts it; a socket file can also be a remnant.
START_PAUSE = 1.0
MAX_PROBE_INTERFACES = 8


class KeaBackend(Backend):
    name = "kea"
    binary = kea_process.BINARY
    can_override = True

    def __init__(self, target: Target) -> None:
        binary = kea_process.find_binary()
        if binary is None:
            raise DhcpError("Kea is not installed here (no %s); install kea-dhcp4-server" % kea_process.BINARY)
        self._binary = binary
        self._config_file = self._find_config_file(target.config_file)
        self._process = self._find_process()
        self._given_socket = target.control_socket
        self._content = target.content
        self._given_restart = target.restart_command
        self._version = ""
        self._switch: t.Optional[FileSwitch] = None
        self._by_hook: t.List[OptionSetting] = []
        #: Does the configuration say what Kea calls itself in its offers?
        self._names_itself: t.Optional[bool] = None
        # Known after read().
        self._pending: t.List[guard.Difference] = []
        self._socket: t.Optional[kea_process.ControlSocket] = None
        self._service: t.Optional[RunningKea] = None
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
        return self._service is not None

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
        self._files = KeaConfiguration(self._config_file, self._cwd, self._content)
        path = self._given_socket
        if path is None and self._process is not None:
            path = kea_process.listening_on(self._process)  # where the file has been changed, this is the truth
        path = path or _control_socket_in(self._dhcp4)
        self._socket = kea_process.ControlSocket(path) if path else None
        self._service = None
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
                before = self._socket.config_get()
                self._service = RunningKea(self._socket, self._config_file, before)
                self._process = self._find_process()  # it may have been restarted since
                return
            except ConnectionError as exc:
                # Without process and socket it is stopped. With one of them it may be starting just now.
                self._process = self._find_process()
                beginning = os.path.exists(self._socket.path) and time.monotonic() < end - START_TIMEOUT + START_PAUSE
                if self._process is None and not beginning:
                    return
                if time.monotonic() > end:
                    raise DhcpError(
                        "Kea runs (process %d) but nobody answers on its control socket %s (%s); restart Kea, or name "
                        "the socket with control_socket" % (self._process.pid if self._process else 0, path, exc)
                    ) from exc
            time.sleep(0.1)

    def plan(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Plan:
        library = kea_hooks.library(version_numbers(self.version)) if self._hook_wanted(settings) else None
        _refuse_impossible(settings, library)
        configuration = t.cast("KeaConfiguration", self._files)
        by_hook = [item for item in settings if item.code in kea_hooks.ONLY_BY_HOOK]
        draft = configuration.draft(settings, on_conflict, by_hook, library or "")
        precedence = Precedence(draft.dhcp4)
        if self.policy.on_hidden == "override":
            more = precedence.to_override(draft.settings)
            if more and library is None:
                raise DhcpError("a setting can only be made to win %s" % NO_LIBRARY)
            if more:
                draft = configuration.draft(settings, on_conflict, [*by_hook, *more], library or "")
        self._by_hook = draft.by_hook
        plan = Plan(settings=draft.settings, changes=draft.changes, conflicts=draft.conflicts)
        if self._service is not None:
            carried = carried_by_server(self._service.before)
            plan.running_differs = carried != carried_by_plan(plan.settings, self._by_hook)
            plan.running_differs |= self._content is not None and not self._runs_revision(self._service.before)
        plan.hidden = precedence.hidden(plan.settings, draft.by_hook)
        plan.probes = precedence.probe_cases(plan.settings, draft.by_hook)
        self._pending = []
        # A file that is given as a whole differs on purpose.
        if plan.changed and self._service is not None and self._content is None:
            self._pending = guard.differences(self._dhcp4, self._service.before)
        if self._pending:
            plan.warnings.append(
                "the reload also makes Kea load what was changed in %s since it was loaded last: %s"
                % (self._config_file, guard.told(self._pending))
            )
        return plan

    def _hook_wanted(self, settings: t.Sequence[OptionSetting]) -> bool:
        return self.policy.on_hidden == "override" or any(item.code in kea_hooks.ONLY_BY_HOOK for item in settings)

    # --- what stands there today ---

    def set_options(self) -> t.List[SetOption]:
        return KeaReport(t.cast("KeaConfiguration", self._files)).set_options()

    def answer(self, code: int, client: Client, subnet: t.Optional[str] = None) -> Answer:
        return KeaReport(t.cast("KeaConfiguration", self._files)).answer(code, client, subnet)

    # --- check, apply, verify, restore ---

    def check(self, plan: Plan) -> None:
        if kea_apparmor.is_enforced():
            unreadable = {os.path.dirname(item.path) for item in plan.changes if kea_apparmor.denied(item.path)}
            if unreadable:
                raise DhcpError(
                    "AppArmor lets Kea read nothing in %s; move it below /etc/kea, or allow it in "
                    "/etc/apparmor.d/local/usr.sbin.kea-dhcp4" % ", ".join(sorted(unreadable))
                )
        configuration = t.cast("KeaConfiguration", self._files)
        complaint = configuration.test(plan.changes, self._checker)
        if complaint is not None:
            before = configuration.test([], self._checker) if plan.changes else complaint
            if before is not None:
                what = "the configuration %s is invalid before any change: %s; repair it first"
                raise DhcpError(what % (self._config_file, before))
            raise DhcpError("Kea refuses the planned configuration, nothing was changed: %s" % complaint)
        if self._service is not None:
            self._refuse_unproved(self._pending)
            faults = guard.missing_places(self._service.before, self._process)
            if faults:
                raise DhcpError(*["%s, as a reload would silence Kea; nothing was changed" % item for item in faults])

    def _checker(self, path: str) -> t.Optional[str]:
        hooks = bool(self._dhcp4.items("hooks-libraries") or self._by_hook)
        thorough = hooks and version_numbers(self.version) >= THOROUGH_SINCE
        return kea_process.test_config(self._binary, path, self._process, self._cwd, thorough)

    def _refuse_unproved(self, pending: t.Sequence[guard.Difference]) -> None:
        """Raises DhcpError when a reload would also load what the administrator has not loaded, and must not."""
        refused = {"safe": guard.unproved(pending), "fail": pending, "load": []}[self.policy.on_pending]
        if refused:
            why = "that Kea's own checker cannot judge " if self.policy.on_pending == "safe" else ""
            raise DhcpError(
                "%s holds changes %swhich Kea has not loaded yet, and our reload would load them: %s. Nothing was "
                "changed; load them yourself first (config-reload, or restart Kea), take them back, or choose "
                "on_pending=load" % (self._config_file, why, guard.told(refused))
            )

    def apply(self, plan: Plan) -> t.Optional[str]:
        configuration = t.cast("KeaConfiguration", self._files)
        if self._service is not None:
            self._service.remember_restart(self._process, self._given_restart)
        backup = None
        for change in plan.changes:
            if change.path == self._config_file and change.before is not None:
                backup = self._config_file + BACKUP_SUFFIX
                files.write_atomically(backup, change.before, like=self._config_file)
        self._switch = FileSwitch(plan.changes, self._config_file, configuration.is_own)
        self._switch.forward()
        # What is loaded now must be what was judged: nobody holds our lock but us.
        configuration.refuse_edited(plan.changes)
        if self._service is not None:
            with requests_held(self.probe_interfaces()):
                self._service.reload()
        return backup

    def verify(self, plan: Plan) -> None:
        if self._service is None:
            return
        current = self._service.current()
        if self._content is not None and not self._runs_revision(current):
            raise DhcpError("after the reload Kea runs another configuration than %s" % self._config_file)
        carried, wanted = carried_by_server(current), carried_by_plan(plan.settings, self._by_hook)
        if carried != wanted:
            places = sorted({key[0] for key in set(carried) | set(wanted) if carried.get(key) != wanted.get(key)})
            raise DhcpError("after the reload Kea does not carry what was written, at: %s" % ", ".join(places))

    def _runs_revision(self, running_config: t.Dict[str, t.Any]) -> bool:
        """Does Kea run the configuration that is given as a whole?"""
        return revision_of(running_config) == revision_of(self._dhcp4.value())

    def restore(self, plan: Plan) -> None:
        if self._switch is not None:
            self._switch.back()
        if self._service is not None and self._service.commanded:
            self._service.bring_back(self._files_are_good(self._service))

    def _files_are_good(self, service: RunningKea) -> bool:
        """Would a reload of the files as they are now bring back what ran?"""
        try:
            now = KeaConfiguration(self._config_file, self._cwd)
            return not guard.differences(now.dhcp4, service.before) and now.test([], self._checker) is None
        except DhcpError:
            return False

    def last_resorts(self) -> t.Sequence[t.Tuple[str, t.Callable[[], None]]]:
        service = self._service
        if service is None or not service.commanded:
            return ()

        def restart() -> None:
            """With the files as they were judged good; what stands in their place now is put aside."""
            if service.can_restart and not self._files_are_good(service):
                t.cast("KeaConfiguration", self._files).put_aside_edited(REJECTED_SUFFIX)
            service.restart()
            self._process = self._find_process()

        return (("config-set of what ran before", service.set_back), ("a restart", restart))

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
        if self._names_itself is None:
            self._names_itself = any(item.code == 54 for item in options_of(self._dhcp4))
        if self._names_itself:
            return None
        try:
            with open("/proc/self/net/fib_trie", encoding="ascii") as stream:
                return frozenset(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", stream.read()))
        except OSError:
            return None


def version_numbers(version: str) -> t.Tuple[int, ...]:
    """(2, 6, 3) of `2.6.3`."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def _control_socket_in(dhcp4: Node) -> t.Optional[str]:
    one = dhcp4.get("control-socket")
    candidates = ([one] if one is not None else []) + dhcp4.items("control-sockets")  # the list is Kea 3.0's
    for item in candidates:
        if item.text("socket-type", "unix") == "unix" and item.text("socket-name"):
            return os.path.join(DEFAULT_SOCKET_DIRECTORY, item.text("socket-name"))
    return None


def _refuse_impossible(settings: t.Sequence[OptionSetting], library: t.Optional[str]) -> None:
    faults = []
    for item in settings:
        if item.code in kea_hooks.ONLY_BY_HOOK:
            what = "%s: Kea can send option 159 as text (to Kea it is v4-portparams, RFC 7618) only " % item.scope
            if item.scope.kind in (SUBNET, SHARED_NETWORK):
                faults.append(what + "to everybody, a class or a phone; use 160 or 66 here")
            elif library is None:
                faults.append(what + NO_LIBRARY + "; or use 160 or 66")
    names: t.Dict[str, Scope] = {}
    for item in settings:
        if RANKS[item.scope.kind] == CLASS and names.setdefault(class_name(item.scope), item.scope) != item.scope:
            other = names[class_name(item.scope)]
            faults.append("%s and %s would be the same class %s in Kea" % (item.scope, other, class_name(item.scope)))
    if faults:
        raise DhcpError(*dict.fromkeys(faults))
