# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""One change of a DHCP server, whichever it is: read, plan, check, apply, verify, probe; put back on doubt."""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import asdict, dataclass, field

from . import probe
from .backend import Backend, Plan, Policy, ProbeCase, Target
from .dhcpd.adapter import DhcpdBackend
from .dnsmasq.adapter import DnsmasqBackend
from .errors import DhcpError, EditedMeanwhile
from .files import FileChange, locked
from .intent import OptionSetting
from .kea.adapter import KeaBackend
from .options import display, option_name
from .phones import same_value

#: How often a run begins anew because somebody edited the files meanwhile.
ATTEMPTS = 10
PROBE_MODES = ("auto", "never", "required")
#: Every adapter; a new server is one more line here.
_BACKENDS: t.Tuple[t.Type[Backend], ...] = (KeaBackend, DnsmasqBackend, DhcpdBackend)
SERVERS = ("auto", *(backend.name for backend in _BACKENDS))
#: Seconds to wait for an offer before the change (dnsmasq pings the address first for 3 seconds) and after it.
BASELINE_TIMEOUT, VERIFY_TIMEOUT = 3.5, 6.0


@dataclass(frozen=True)
class Request:
    """What the module was asked for."""

    settings: t.Sequence[OptionSetting]
    server: str = "auto"
    on_conflict: str = "fail"
    policy: Policy = field(default_factory=Policy)
    target: Target = field(default_factory=Target)
    probe: str = "auto"
    probe_interface: t.Optional[str] = None
    check_mode: bool = False


@dataclass
class Outcome:
    """What happened, in plain data for the module's result."""

    changed: bool
    server: str
    version: str
    config_file: str
    running: bool
    reloaded: bool = False
    backup_file: t.Optional[str] = None
    options: t.List[t.Dict[str, t.Any]] = field(default_factory=list)
    conflicts: t.List[t.Dict[str, t.Any]] = field(default_factory=list)
    hidden: t.List[t.Dict[str, t.Any]] = field(default_factory=list)
    probe: t.Dict[str, t.Any] = field(default_factory=dict)
    diff: t.List[t.Dict[str, str]] = field(default_factory=list)
    warnings: t.List[str] = field(default_factory=list)


def open_backend(server: str, target: Target) -> Backend:
    """The adapter of the server asked for, or of the one that serves here, or is installed here. Raises DhcpError."""
    if server == "auto":
        found = [backend for backend in _BACKENDS if backend.serving()]
        found = found or [backend for backend in _BACKENDS if backend.installed()]
    else:
        found = [backend for backend in _BACKENDS if server == backend.name]
    names = ", ".join(backend.name for backend in found)
    if len(found) > 1:
        raise DhcpError("several DHCP servers are here (%s); say which with server" % names)
    if not found:
        raise DhcpError(
            "no DHCP server was found here (%s); install one, or run this on the host that serves DHCP"
            % ", ".join(SERVERS[1:])
        )
    return found[0](target)


def serving_backends() -> t.List[t.Type[Backend]]:
    """Every server that runs in this host's network."""
    return [backend for backend in _BACKENDS if backend.serving()]


def backends_here(server: str = "auto") -> t.List[t.Type[Backend]]:
    """Every server on this host, or the one asked for; those that run first. Raises DhcpError when there is none."""
    chosen = [backend for backend in _BACKENDS if server in ("auto", backend.name)]
    found = [backend for backend in chosen if backend.serving() or backend.installed()]
    if not found:
        raise DhcpError("no DHCP server was found here (%s)" % ", ".join(backend.name for backend in chosen))
    return sorted(found, key=lambda backend: not backend.serving())


def run(request: Request) -> Outcome:
    """Make exactly `request.settings` ours on the server. Raises DhcpError, which says so if anything is changed."""
    backend = open_backend(request.server, request.target)
    backend.policy = request.policy
    if request.policy.on_hidden == "override" and not backend.can_override:
        raise DhcpError(
            "%s has nothing by which a setting wins over a more specific one; remove the other (on_hidden=report names "
            "it)" % backend.name
        )
    with locked(backend.lock_path):
        for left in reversed(range(ATTEMPTS)):
            try:
                return _run(request, backend)
            except EditedMeanwhile:
                if not left:
                    raise
    raise AssertionError  # the last attempt has returned or raised


def _run(request: Request, backend: Backend) -> Outcome:
    backend.read()
    plan = backend.plan(request.settings, request.on_conflict)
    outcome = _outcome(backend, plan)
    if not backend.running and request.target.content is None:  # a server made here is started afterwards
        outcome.warnings.append(
            "%s is not running: the files are written (or would be), nothing was reloaded or probed" % backend.name
        )
    if plan.hidden and request.policy.on_hidden == "fail":
        raise DhcpError(*outcome.warnings[: len(plan.hidden)], details={"hidden": outcome.hidden})
    if not plan.changed:
        outcome.probe = {"performed": False, "reason": "nothing changed", "clients": []}
        return outcome
    backend.check(plan)
    if request.check_mode:
        outcome.probe = {"performed": False, "reason": "check mode", "clients": []}
        return outcome
    prober = _Prober(request, backend)
    prober.baseline(plan.probes)
    try:
        outcome.backup_file = backend.apply(plan)
        outcome.reloaded = backend.running
        backend.verify(plan)
        outcome.probe = prober.confirm()
    except BaseException as exc:
        raise _rolled_back(backend, plan, prober, exc) from exc
    outcome.warnings += prober.warnings
    return outcome


def _rolled_back(backend: Backend, plan: Plan, prober: "_Prober", exc: BaseException) -> BaseException:
    """Put everything back, prove it, and say both what went wrong and what stands now."""
    what = str(exc) if isinstance(exc, DhcpError) else "%s: %s" % (type(exc).__name__, exc)
    means = ""
    try:
        backend.restore(plan)
        prober.confirm_service()
    except Exception as second:  # whatever happens here, the first reason must not be lost
        means, failed = _last_resort(backend, prober)
        if not means:
            return DhcpError(
                what,
                "and putting the old state back was not proved: %s. Look at the server now, and restart it if it is "
                "silent" % "; ".join([str(second), *failed]),
                details={"rolled_back": False},
            )
    if not isinstance(exc, Exception) or isinstance(exc, EditedMeanwhile):
        return exc  # the old state stands, and there is nothing else to say
    if not backend.running:
        proof = "the server was not running"
    else:
        proof = means + "the server runs its old configuration" + (" and answers clients" if prober.answered else "")
    return DhcpError(what, "everything was put back as it was: %s" % proof, details={"rolled_back": True})


def _last_resort(backend: Backend, prober: "_Prober") -> t.Tuple[str, t.List[str]]:
    """(the means that brought the service back, or nothing; what failed)."""
    failed = []
    for means, step in backend.last_resorts():
        try:
            step()
            prober.confirm_service()
        except Exception as exc:
            failed.append("%s: %s" % (means, exc))
        else:
            return "by %s, " % means, failed
    return "", failed


def _outcome(backend: Backend, plan: Plan) -> Outcome:
    outcome = Outcome(plan.changed, backend.name, backend.version, backend.config_file, backend.running)
    outcome.options = [
        {"scope": str(item.scope), "code": item.code, "value": display(item.data)} for item in plan.settings
    ]
    outcome.conflicts = [asdict(item) for item in plan.conflicts]
    for item in plan.hidden:
        outcome.hidden.append(dict(asdict(item), by=list(item.by)))
        outcome.warnings.append(
            "option %s of %s (%s) will not reach every client, something more specific wins: %s. %s."
            % (option_name(item.code), item.scope, item.value, ", ".join(item.by), item.advice)
        )
    outcome.warnings += plan.warnings
    outcome.diff = [_diff(change) for change in plan.changes]
    if plan.running_differs and not plan.changes:
        outcome.diff.append({"prepared": "--- running configuration\n+++ %s (reload needed)\n" % backend.config_file})
    return outcome


def _diff(change: FileChange) -> t.Dict[str, str]:
    """Only the lines that change: the lines around them are the administrator's and may hold a password."""

    def lines(content: t.Optional[bytes]) -> t.List[str]:
        return (content or b"").decode("utf-8", "replace").splitlines(keepends=True)

    before_name = change.path if change.before is not None else "/dev/null"
    after_name = change.path if change.after is not None else "/dev/null"
    text = difflib.unified_diff(lines(change.before), lines(change.after), before_name, after_name, n=0)
    return {"prepared": "".join(line if line.endswith("\n") else line + "\n" for line in text)}


class _Prober:
    """Plays clients before and after a change. Who was answered before must be afterwards, with the right options."""

    def __init__(self, request: Request, backend: Backend) -> None:
        self._mode = request.probe
        self._given_interface = request.probe_interface
        self._backend = backend
        self._reason = ""
        self._trusts_all = False
        #: (interface, case) pairs that were offered something before the change.
        self.answered: t.List[t.Tuple[str, ProbeCase]] = []
        self.warnings: t.List[str] = []

    def baseline(self, cases: t.Sequence[ProbeCase]) -> None:
        """Find out what can be probed. Raises DhcpError when a probe is required and impossible."""
        if self._mode == "never":
            self._reason = "probe is never"
        elif not self._backend.running:
            self._reason = "the server is not running"
        else:
            interfaces = [self._given_interface] if self._given_interface else self._backend.probe_interfaces()
            reasons = [] if interfaces else ["no interface of this host is served"]
            for interface in interfaces:
                try:
                    offers = self._offers(interface, cases, BASELINE_TIMEOUT)
                except probe.ProbeUnavailable as exc:
                    reasons.append(str(exc))
                    continue
                self.answered += [(interface, case) for index, case in enumerate(cases) if offers[index]]
                if not any(offers):
                    reasons.append("no offer on %s" % interface)
            if self.answered:
                return
            self._reason = ", ".join(reasons)
            if self._mode == "auto":
                self.warnings.append(
                    "not probed as a client: %s; the change was verified over the control channel only" % self._reason
                )
        if self._mode == "required":
            raise DhcpError(
                "probe is required but impossible: %s; nothing was changed. Name a probe_interface" % self._reason
            )

    def confirm(self) -> t.Dict[str, t.Any]:
        """Every client answered before is answered again, with what it must get. Raises DhcpError."""
        clients = []
        for interface, case, offers in self._again(as_expected=True):
            if not offers:
                raise DhcpError(
                    "after the change nothing is offered on %s to a client of: %s" % (interface, case.label)
                )
            got, expected = offers[-1].options, case.expected_at(offers[-1].address)
            wrong = [
                "option %s is %s, wanted is %s"
                % (option_name(code), display(got[code]) if code in got else "missing", display(data))
                for code, data in sorted(expected.items())
                if not same_value(code, got.get(code, b""), data)
            ]
            if wrong:
                raise DhcpError(
                    "after the change the offer on %s to a client of: %s is wrong: %s"
                    % (interface, case.label, ", ".join(wrong))
                )
            clients.append(
                {
                    "client": case.label,
                    "interface": interface,
                    "server": offers[-1].server,
                    "options": {str(code): display(data) for code, data in sorted(expected.items())},
                }
            )
        return {"performed": bool(clients), "reason": self._reason, "clients": clients}

    def confirm_service(self) -> None:
        """Every client answered before the change is answered again, with whatever. Raises DhcpError."""
        for interface, case, offers in self._again(as_expected=False):
            if not offers:
                raise DhcpError("no offer on %s to a client of: %s" % (interface, case.label))

    def _again(self, as_expected: bool) -> t.Iterator[t.Tuple[str, ProbeCase, t.List[probe.Offer]]]:
        """Ask on each interface for all clients that were answered there before."""
        for interface in dict.fromkeys(interface for interface, _case in self.answered):
            cases = [case for where, case in self.answered if where == interface]
            offers = self._offers(interface, cases, VERIFY_TIMEOUT, as_expected)
            for index, case in enumerate(cases):
                yield interface, case, offers[index]

    def _offers(
        self, interface: str, cases: t.Sequence[ProbeCase], timeout: float, as_expected: bool = False
    ) -> t.List[t.List[probe.Offer]]:
        """Offers of our own server to each client; the last is as expected, if that is asked for and any is."""
        own = self._backend.server_identifiers()

        def is_own(offer: probe.Offer) -> bool:
            return own is None or self._trusts_all or offer.server in own

        def wanted(index: int, offer: probe.Offer) -> bool:
            expected = cases[index].expected_at(offer.address) if as_expected else {}
            return is_own(offer) and all(
                same_value(code, offer.options.get(code, b""), data) for code, data in expected.items()
            )

        answers = probe.ask(interface, [case.client for case in cases], wanted, timeout)
        if self._given_interface and not self.answered and not any(is_own(offer) for item in answers for offer in item):
            # Before the change only: the server may be called otherwise where a person says that it answers.
            self._trusts_all = True
        return [[offer for offer in offers if is_own(offer)] for offers in answers]
