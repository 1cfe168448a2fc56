# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""ISC dhcpd 4.4 (DHCPv4), whose upstream has ended its life in 2022 and which Debian 12 and 13 still carry.

Ours are files beside the administrator's (`<name of the configuration>.autoprov*.conf`), each brought in by one marked
include line. dhcpd cannot read its configuration anew: it is restarted, which its leases survive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import typing as t

from .. import files, processes, supervision
from ..backend import Answer, Backend, Plan, SetOption, Target
from ..errors import DhcpError
from ..intent import OptionSetting, Scope
from ..probe import Client
from . import precedence
from . import process as dhcpd_process
from .config import DhcpdConfiguration, Draft
from .entries import RANKS, class_name
from .process import Server
from .survey import CLASS, Survey
from .switch import ChangedMeanwhile, Switch

BACKUP_SUFFIX = ".autoprov-backup"
MAX_PROBE_INTERFACES = 8
#: How often a change is made anew because somebody writes to the same files, and a restart is tried on the way back.
MAX_ATTEMPTS, RESTORE_ATTEMPTS = 10, 3
#: Seconds by which the start of a process and the time of a file can be told apart.
TIME_MARGIN = 0.1


class DhcpdBackend(Backend):
    name = "dhcpd"
    binary = dhcpd_process.BINARY

    def __init__(self, target: Target) -> None:
        binary = processes.find_binary(self.binary)
        if binary is None:
            raise DhcpError("ISC dhcpd is not installed here (no %s); install isc-dhcp-server" % self.binary)
        self._binary = binary
        self._config_file = self._find_config_file(target.config_file)
        self._given_restart = target.restart_command
        self._version = ""
        # Known after read().
        self._server: t.Optional[Server] = None
        self._files: t.Optional[DhcpdConfiguration] = None
        self._survey: t.Optional[Survey] = None
        # Of the change that is under way.
        self._asked: t.Tuple[t.Sequence[OptionSetting], str] = ((), "fail")
        self._restart: t.List[str] = []
        self._switch = Switch(self._config_file)
        self._old: t.Optional[Server] = None
        self._restarted = False

    @classmethod
    def serving(cls) -> bool:
        return any(not item.process.other_network for item in dhcpd_process.running_servers())

    @property
    def lock_path(self) -> str:
        return "/run/lock/autoprov-dhcpd"

    @property
    def config_file(self) -> str:
        return self._config_file

    @property
    def version(self) -> str:
        if not self._version:
            self._version = dhcpd_process.version(self._binary)
        return self._version

    @property
    def running(self) -> bool:
        return self._server is not None

    @staticmethod
    def _find_config_file(given: t.Optional[str]) -> str:
        if given:
            return os.path.realpath(given)
        here = {item.config_file for item in dhcpd_process.running_servers() if not item.process.other_network}
        if len(here) > 1:
            raise DhcpError("several dhcpd run here (%s); say which with config_file" % ", ".join(sorted(here)))
        return here.pop() if here else os.path.realpath(dhcpd_process.default_config_file())

    def _find_server(self) -> t.Optional[Server]:
        """The one server with our configuration. Raises DhcpError when there are two: they cannot both be restarted."""
        end = time.monotonic() + 2.0
        while True:
            found = [item for item in dhcpd_process.running_servers() if item.config_file == self._config_file]
            here = [item for item in found if not item.process.other_network] or found
            if len(here) < 2:
                return here[0] if here else None
            if time.monotonic() > end:  # until then it may be one that is just going to the background
                pids = ", ".join(str(item.process.pid) for item in here)
                raise DhcpError(
                    "several dhcpd run with %s (processes %s); give each a configuration of its own, or end one"
                    % (self._config_file, pids)
                )
            time.sleep(0.1)

    @property
    def _cwd(self) -> str:
        return self._server.process.cwd if self._server else "/"

    @property
    def _configuration(self) -> DhcpdConfiguration:
        return t.cast("DhcpdConfiguration", self._files)

    # --- read and plan ---

    def read(self) -> None:
        self._server = self._find_server()
        self._files = DhcpdConfiguration(self._config_file, self._cwd)
        self._survey = None

    def plan(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Plan:
        _refuse_impossible(settings)
        self._asked = (settings, on_conflict)
        plan = Plan(settings=[])
        self._fill(plan, self._configuration.draft(settings, on_conflict))
        plan.running_differs = self._is_older_than_our_files()
        return plan

    @staticmethod
    def _fill(plan: Plan, draft: Draft) -> None:
        plan.settings, plan.changes, plan.conflicts = draft.settings, draft.changes, draft.conflicts
        plan.hidden = precedence.hidden_settings(plan.settings, draft.survey)
        plan.probes = precedence.probe_cases(plan.settings, draft.survey)

    @property
    def _stamp(self) -> str:
        """A file that is touched when ours change; it goes with the next boot, as the server does."""
        return "/run/autoprov-dhcpd-%s.changed" % hashlib.sha256(self._config_file.encode()).hexdigest()[:16]

    def _is_older_than_our_files(self) -> bool:
        """Was the server started before our files were last changed? It has not read them then."""
        if self._server is None:
            return False
        times = []
        for path in [self._stamp, *self._configuration.own_files()]:
            with contextlib.suppress(FileNotFoundError):
                times.append(os.stat(path).st_mtime)
        # A time yet to come tells nothing: the clock was set back.
        return any(self._server.start_time + TIME_MARGIN < item <= time.time() for item in times)

    def _touch_stamp(self) -> None:
        try:
            with open(self._stamp, "ab"):
                os.utime(self._stamp)
        except OSError as exc:
            raise DhcpError(
                "%s cannot be written: %s; run as root (become: true)" % (self._stamp, exc.strerror)
            ) from exc

    # --- check, apply, verify, restore ---

    def check(self, plan: Plan) -> None:
        if self._server is not None:
            self._restart = supervision.restart_command(self._server.process, self._given_restart)
        configuration = self._configuration
        complaint = configuration.test(plan.changes, self._checker)
        if complaint is None:
            return
        before = configuration.test([], self._checker) if plan.changes else complaint
        if before is not None:
            what = "the configuration %s is invalid before any change: %s; repair it first"
            raise DhcpError(what % (self._config_file, before))
        raise DhcpError("dhcpd refuses the planned configuration, nothing was changed: %s" % complaint)

    def _checker(self, path: str) -> t.Optional[str]:
        return dhcpd_process.test_config(self._binary, path, self._server, self._cwd)

    def apply(self, plan: Plan) -> t.Optional[str]:
        self._old = self._server
        for attempt in range(MAX_ATTEMPTS):
            self._touch_stamp()
            try:
                backup = self._put_all(plan, attempt > MAX_ATTEMPTS // 2)
                break
            except ChangedMeanwhile:
                # An administrator is at work. Their text counts; ours is made anew from it, and judged once it stands.
                self._switch.undo()
                self._files = DhcpdConfiguration(self._config_file, self._cwd)
                self._fill(plan, self._configuration.draft(*self._asked))
        else:
            raise DhcpError("somebody writes to %s again and again; run this again later" % self._config_file)
        self._touch_stamp()
        self._refuse_unfit_files()
        if self._server is not None:
            self._restarted = True
            supervision.run(self._restart)
        return backup

    def _put_all(self, plan: Plan, take_over_lines: bool) -> t.Optional[str]:
        backup = None
        for change in plan.changes:
            if change.path == self._config_file and change.before is not None:
                backup = self._config_file + BACKUP_SUFFIX
                files.write_atomically(backup, change.before, like=self._config_file)
        for change in plan.changes:
            self._switch.put(change, take_over_lines)
        return backup

    def _refuse_unfit_files(self) -> None:
        """Raises DhcpError when the files as they stand now would keep dhcpd from starting."""
        complaint = self._checker(self._config_file)
        if complaint is not None:
            raise DhcpError("dhcpd would not start with %s: %s" % (self._config_file, complaint))

    def verify(self, plan: Plan) -> None:
        if self._server is not None:
            self._server = dhcpd_process.wait_for_new(self._config_file, [t.cast("Server", self._old)])
        try:
            self._switch.take_over_late_lines()
        except ChangedMeanwhile as exc:
            raise DhcpError("somebody wrote to %s while it was exchanged; run this again" % exc) from exc

    def restore(self, plan: Plan) -> None:
        try:
            self._switch.undo()
        finally:
            if self._old is not None:
                self._prove_old_state(self._old)

    def _stays(self, old: Server) -> bool:
        """Does the old server still run, and not only because it has not ended yet?"""
        end = time.monotonic() + (dhcpd_process.STABLE if self._restarted else 0.0)
        while old.alive:
            if time.monotonic() >= end:
                return True
            time.sleep(0.05)
        return False

    def _prove_old_state(self, old: Server) -> None:
        """With the old files back, see to it that a server runs that has read them."""
        if self._stays(old):
            self._server = old
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._stamp)
            return
        for attempt in range(RESTORE_ATTEMPTS):
            running = [item for item in dhcpd_process.running_servers() if item.config_file == self._config_file]
            try:
                self._refuse_unfit_files()
                supervision.run(self._restart)
                self._server = dhcpd_process.wait_for_new(self._config_file, running)
                return
            except DhcpError:
                if attempt == RESTORE_ATTEMPTS - 1:
                    raise
                time.sleep(1.0)

    # --- who sets what, and who wins ---

    @property
    def _today(self) -> Survey:
        if self._survey is None:
            self._survey = self._configuration.survey()
        return self._survey

    def set_options(self) -> t.List[SetOption]:
        survey = self._today
        return [precedence.set_option(item, survey) for item in precedence.in_order(survey)]

    def answer(self, code: int, client: Client, subnet: t.Optional[str] = None) -> Answer:
        known = self._today.subnets
        if subnet is not None and subnet not in known:
            more = ["%d more" % (len(known) - 10)] if len(known) > 10 else []
            there = ", ".join([*list(known)[:10], *more])
            raise DhcpError("subnet %s is not in %s; there: %s" % (subnet, self._config_file, there or "none"))
        return precedence.answer(code, client, subnet, self._today)

    # --- probe ---

    def probe_interfaces(self) -> t.List[str]:
        if self._server is None or self._server.process.other_network:
            return []
        names = self._server.interfaces or dhcpd_process.all_interfaces()
        return list(dict.fromkeys(names))[:MAX_PROBE_INTERFACES]

    def server_identifiers(self) -> t.Optional[t.FrozenSet[str]]:
        return None if self._today.names_itself else dhcpd_process.local_addresses()


def _refuse_impossible(settings: t.Sequence[OptionSetting]) -> None:
    faults = []
    names: t.Dict[str, Scope] = {}
    for item in settings:
        if RANKS[item.scope.kind] == CLASS and names.setdefault(class_name(item.scope), item.scope) != item.scope:
            other = names[class_name(item.scope)]
            faults.append("%s and %s would be the same class %s in dhcpd" % (item.scope, other, class_name(item.scope)))
    if faults:
        raise DhcpError(*dict.fromkeys(faults))
