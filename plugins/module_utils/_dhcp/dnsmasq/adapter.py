# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""dnsmasq, 2.90 and later.

Ours is one file in a folder that dnsmasq reads, or beside its configuration and brought in by one line. dnsmasq reads
its configuration at its start only (SIGHUP rereads hosts and leases, no options), so a change is a restart. It is
planned so that a restart can hardly fail: the whole is tested before a file is touched, and the files again, as they
then stand, before the server is.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from .. import files, processes, supervision
from ..backend import Answer, Backend, Plan, SetOption, Target
from ..errors import DhcpError, EditedMeanwhile
from ..files import FileChange
from ..intent import OptionSetting
from ..probe import Client
from . import process as dnsmasq_process
from . import text
from .config import DEFAULT_FILE, CommandLine, DnsmasqConfiguration
from .model import DnsmasqModel
from .plan import Draft, draft, own_paths
from .process import Server
from .report import DnsmasqReport

#: Seconds a started dnsmasq may take until it listens, and for which it is then watched.
START_TIMEOUT, SETTLING = 10.0, 0.3
#: Seconds for which a restart is tried again when the old state is put back: who holds the port may let go of it.
RESTORE_TIMEOUT = 30.0
MAX_PROBE_INTERFACES = 8
#: What `dnsmasq --test` accepts and a start may still fail for.
_UNPROVED = frozenset(
    (
        *(
            "interface",
            "except-interface",
            "listen-address",
            "bind-interfaces",
            "bind-dynamic",
            "port",
            "user",
            "group",
        ),
        *("pid-file", "dhcp-leasefile", "log-facility", "dhcp-script", "dhcp-luascript", "conf-script", "enable-tftp"),
        *(
            "tftp-root",
            "dnssec",
            "enable-dbus",
            "enable-ubus",
            "dumpfile",
            "dhcp-alternate-port",
            "server",
            "local-service",
        ),
    )
)


class DnsmasqBackend(Backend):
    name = "dnsmasq"
    binary = dnsmasq_process.BINARY

    def __init__(self, target: Target) -> None:
        binary = processes.find_binary(self.binary)
        if binary is None:
            raise DhcpError("dnsmasq is not installed here; install the package dnsmasq")
        self._binary = binary
        self._target = target
        self._server = dnsmasq_process.choose(target.config_file)
        self._version = ""
        # Known after read().
        self._configuration: t.Optional[DnsmasqConfiguration] = None
        # Known after check().
        self._restart: t.List[str] = []
        #: What has been written, for the way back.
        self._written: t.List[FileChange] = []

    @classmethod
    def installed(cls) -> bool:
        """The package dnsmasq, that is: dnsmasq-base comes with libvirt and others for their own purposes."""
        return super().installed() and os.path.exists(DEFAULT_FILE)

    @classmethod
    def serving(cls) -> bool:
        """Does one of the administrator's serve DHCP in this host's network? Others only answer DNS queries."""
        return any(
            not server.process.other_network and not server.owner and dnsmasq_process.has_ranges(server)
            for server in dnsmasq_process.running_servers()
        )

    @property
    def lock_path(self) -> str:
        return "/run/lock/autoprov-dnsmasq"

    @property
    def config_file(self) -> str:
        if self._server is not None:
            return self._server.main
        return os.path.realpath(self._command.main)

    @property
    def version(self) -> str:
        self._version = self._version or dnsmasq_process.version(self._binary)
        return self._version

    @property
    def running(self) -> bool:
        return self._server is not None

    @property
    def _command(self) -> CommandLine:
        if self._server is not None:
            return self._server.command
        return dnsmasq_process.installed_command(self._target.config_file)

    @property
    def _cwd(self) -> str:
        return self._server.process.cwd if self._server is not None else "/"

    # --- read and plan ---

    def read(self) -> None:
        self._server = dnsmasq_process.choose(self._target.config_file)
        self._written = []
        self._configuration = DnsmasqConfiguration(self._command, self._cwd)

    @property
    def _read(self) -> DnsmasqConfiguration:
        return t.cast("DnsmasqConfiguration", self._configuration)

    def _draft(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Draft:
        return draft(self._command, self._cwd, dnsmasq_process.routes(self._server), settings, on_conflict)

    def plan(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Plan:
        made = self._draft(settings, on_conflict)
        report = DnsmasqReport(made.model, (made.own_path,))
        plan = Plan(settings=made.settings, changes=made.changes, conflicts=made.conflicts)
        plan.hidden = report.hidden(made)
        plan.probes = report.probe_cases(made.settings)
        if self._server is not None:
            plan.running_differs = self._is_owed() or self._is_newer(made.own_path)
            if plan.changed:
                plan.warnings = self._pending(made)
        return plan

    def _is_newer(self, path: str) -> bool:
        """Was the file put there after the server had started, and so never read?"""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(path).st_ctime > dnsmasq_process.started_at(t.cast("Server", self._server))
        return False

    def _pending(self, made: Draft) -> t.List[str]:
        """What the administrator has changed since the server started: our restart brings it to life too.

        Raises DhcpError where that is refused.
        """
        found = [path for path in sorted(self._read.contents) if path != made.own_path and self._is_newer(path)]
        if not found:
            return []
        lines = [item for item in made.configuration.lines if item.path in found and item.name in _UNPROVED]
        policy = self.policy.on_pending
        if policy == "fail" or (policy == "safe" and lines):
            what = "dnsmasq has not read %s since it was changed, and the restart that our change needs would do so" % (
                ", ".join(found)
            )
            why = ", ".join("%s at %s" % (item.name, item.where) for item in lines[:3])
            reason = "; its checker cannot tell whether what is there works (%s)" % why if policy == "safe" else ""
            raise DhcpError("%s%s. Restart it yourself first, or choose on_pending=load" % (what, reason))
        return ["the restart also brings to life what was changed in %s since dnsmasq started" % ", ".join(found)]

    # A restart that is owed is written down, so that a run which is killed before it is made up for by the next.

    @property
    def _owed_path(self) -> str:
        return self.lock_path + ".restart"

    def _is_owed(self) -> bool:
        server = t.cast("Server", self._server)
        return files.read_bytes(self._owed_path) == b"%d %d\n" % (server.process.pid, server.started)

    def _owe(self) -> None:
        server = t.cast("Server", self._server)
        with open(self._owed_path, "wb") as stream:
            stream.write(b"%d %d\n" % (server.process.pid, server.started))

    def _settle(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._owed_path)

    # --- what stands there ---

    def _report(self) -> DnsmasqReport:
        configuration = self._read
        model = DnsmasqModel(configuration, dnsmasq_process.routes(self._server))
        return DnsmasqReport(model, own_paths(configuration))

    def set_options(self) -> t.List[SetOption]:
        return self._report().set_options()

    def answer(self, code: int, client: Client, subnet: t.Optional[str] = None) -> Answer:
        return self._report().answer(code, client, subnet)

    # --- check, apply, verify, restore ---

    def check(self, plan: Plan) -> None:
        if self._server is not None:
            self._restart = supervision.restart_command(self._server.process, self._target.restart_command)
        before = dnsmasq_process.test_files(self._binary, self._command, self._server)
        if before is not None:
            raise DhcpError(
                "the configuration %s is invalid before any change: %s; repair it first" % (self.config_file, before)
            )
        planned = {change.path: change.after for change in plan.changes}
        configuration = DnsmasqConfiguration(self._command, self._cwd, planned)
        complaint = dnsmasq_process.test_stream(self._binary, self._command, configuration, self._server)
        if complaint is not None:
            raise DhcpError("dnsmasq refuses the planned configuration, nothing was changed: %s" % complaint)

    def apply(self, plan: Plan) -> t.Optional[str]:
        if self._server is not None:
            self._owe()
        backup = None
        for change in plan.changes:
            if change.before is not None and not self._is_own(change.path):
                # The dot keeps dnsmasq from reading it where all files of the folder are read.
                folder, name = os.path.split(change.path)
                backup = os.path.join(folder, ".%s.autoprov-backup" % name)
                files.write_atomically(backup, change.before, like=change.path)
        for change in plan.changes:
            files.replace_unchanged(change.path, change.before, change.after, self._model_file)
            self._written.append(change)
        if self._server is not None:
            complaint = dnsmasq_process.test_files(self._binary, self._command, self._server)
            if complaint is not None:
                raise DhcpError("dnsmasq refuses its files as they stand now: %s" % complaint)
            supervision.run(self._restart)
        return backup

    @property
    def _model_file(self) -> str:
        """Whose owner and mode a new file gets."""
        return self.config_file if os.path.exists(self.config_file) else self._read.folders[0].path

    def _is_own(self, path: str) -> bool:
        return path in own_paths(self._read)

    def verify(self, plan: Plan) -> None:
        if self._server is None:
            return
        self._await_server()
        self._settle()

    def _await_server(self) -> Server:
        """The server that runs instead of the one that was read. Raises DhcpError when none comes, or does not stay."""
        old = t.cast("Server", self._server)
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end:
            for server in dnsmasq_process.running_servers():
                is_new = (server.process.pid, server.started) != (old.process.pid, old.started)
                if server.main == old.main and is_new and self._serves(server):
                    return self._watch(server)
            time.sleep(0.02)
        if dnsmasq_process.still_runs(old):
            raise DhcpError("the restart command has not restarted dnsmasq: process %d still runs" % old.process.pid)
        raise DhcpError("dnsmasq does not run %d seconds after its restart" % START_TIMEOUT)

    def _serves(self, server: Server) -> bool:
        lines = {line.name for line in self._read.lines}
        return "dhcp-range" not in lines or "dhcp-alternate-port" in lines or dnsmasq_process.listens(server)

    def _watch(self, server: Server) -> Server:
        time.sleep(SETTLING)
        if not dnsmasq_process.still_runs(server):
            raise DhcpError("dnsmasq was started (process %d) and has ended at once" % server.process.pid)
        return server

    def restore(self, plan: Plan) -> None:
        for change in reversed(self._written):
            self._put_back(change)
        if self._server is None:
            return
        if dnsmasq_process.still_runs(self._server):
            self._settle()
            return  # it has never read anything else
        self._owe()
        end = time.monotonic() + RESTORE_TIMEOUT
        while True:
            try:
                supervision.run(self._restart)
                self._await_server()
                break
            except DhcpError as exc:
                if time.monotonic() > end:
                    raise DhcpError("dnsmasq does not start again: %s%s" % (exc, self._complaint())) from exc
            time.sleep(0.5)
        self._settle()

    def _complaint(self) -> str:
        complaint = dnsmasq_process.test_files(self._binary, self._command, None)
        return "; its checker says: %s" % complaint if complaint else ""

    def _put_back(self, change: FileChange) -> None:
        """As it was; where somebody has edited the file on top of ours, only ours is taken out."""
        while True:
            now = files.read_bytes(change.path)
            after = change.before
            if now != change.after and not self._is_own(change.path):
                if now is None or change.before is None:
                    return
                had_ours = text.without_ours(change.before) != change.before
                after = now if had_ours else text.without_ours(now)
            with contextlib.suppress(EditedMeanwhile):
                files.replace_unchanged(change.path, now, after, self._model_file)
                return

    # --- probe ---

    def probe_interfaces(self) -> t.List[str]:
        if self._server is not None and self._server.process.other_network:
            return []
        model = DnsmasqModel(self._read, dnsmasq_process.routes(self._server))
        excluded = {
            word.text
            for line in self._read.lines
            if line.name in ("except-interface", "no-dhcp-interface", "no-dhcpv4-interface")
            for word in line.words
        }
        names = dict.fromkeys(name for item in model.ranges for name in model.attached(item) if name not in excluded)
        return list(names)[:MAX_PROBE_INTERFACES]

    def server_identifiers(self) -> t.Optional[t.FrozenSet[str]]:
        if any(item.code == 54 for item in self._report().set_options()):
            return None
        return dnsmasq_process.own_addresses()
