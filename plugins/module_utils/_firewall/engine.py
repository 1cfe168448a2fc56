# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""One change of a firewall, whichever it is: read, plan, refuse to be cut off, check, apply, confirm or take back."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
from dataclasses import dataclass, field

from . import rollback, steps
from .backend import Backend, Connection, Plan
from .errors import FirewallError
from .firewalld.adapter import Firewalld
from .intent import Opening
from .nftables.adapter import Nftables
from .ufw.adapter import Ufw

#: Every adapter, in the order in which they are asked whether they rule here; a new one is one more line.
_BACKENDS: t.Tuple[t.Type[Backend], ...] = (
    Firewalld,
    Ufw,
    Nftables,  # the last: it rules where no other does
)
CONFIRM_MODES = ("connection", "now")


@dataclass(frozen=True)
class Request:
    """What the module was asked for."""

    openings: t.Sequence[Opening]
    backend: str = "auto"
    check_mode: bool = False
    #: The connection Ansible came over; None where there is no network in between.
    connection: t.Optional[Connection] = None
    #: Seconds until the change is taken back unless it is confirmed; None confirms at once.
    confirm_seconds: t.Optional[float] = None
    #: By which it is to be confirmed; None makes one.
    token: t.Optional[str] = None


@dataclass
class Outcome:
    """What happened, in plain data for the module's result."""

    changed: bool
    backend: str
    reason: str
    version: str
    openings: t.List[t.Dict[str, t.Any]] = field(default_factory=list)
    notes: t.List[str] = field(default_factory=list)
    diff: t.List[t.Dict[str, str]] = field(default_factory=list)
    #: Confirms the change; None when it stands, or when nothing changed.
    token: t.Optional[str] = None


def choose(name: str) -> t.Tuple[Backend, str]:
    """The adapter asked for, or of the firewall that rules here, and why. Raises FirewallError."""
    for backend in _BACKENDS:
        why = backend.found() if name == "auto" else None
        if why is not None or name == backend.name:
            return backend(), why or "asked for"
    names = ", ".join(backend.name for backend in _BACKENDS)
    raise FirewallError(
        "no firewall was found on this host (%s); install nftables, or name one with backend" % names,
        details={"no_firewall": True},
    )


def run(request: Request) -> Outcome:
    """Make exactly `request.openings` ours. Raises FirewallError, which says what stands now.

    With `confirm_seconds`, the change takes itself back unless `rollback.confirm` is called with the token in time.
    """
    backend, why = choose(request.backend)
    with undisturbed(request.check_mode):
        backend.read()
        plan = backend.plan(request.openings)
        outcome = Outcome(plan.changed, backend.name, why, backend.version, notes=plan.notes, diff=plan.diff)
        outcome.openings = [shown(item) for item in plan.openings]
        if not plan.changed:
            return outcome
        if request.connection is not None:
            cut = backend.would_cut(plan, request.connection)
            if cut is not None:
                raise FirewallError(
                    "the change would cut the connection Ansible came over (from %s to port %d/tcp): %s; open that "
                    "port for it first, or come from elsewhere. Nothing was changed"
                    % (request.connection.source, request.connection.port, cut)
                )
        backend.check(plan)
        if request.check_mode:
            return outcome
        token = rollback.arm(plan.undo, plan.lasting, request.confirm_seconds or 60.0, request.token)
        try:
            rollback.do(plan.now)
            backend.verify(plan)
            if rollback.overtaken(token):
                raise _too_slow(token, plan)
            if request.confirm_seconds is None:
                rollback.confirm(token)
                return outcome
        except _TooSlow:
            raise
        except BaseException as exc:
            raise _taken_back(token, exc) from exc
        outcome.token = token
        return outcome


@contextlib.contextmanager
def undisturbed(check_mode: bool = False) -> t.Iterator[None]:
    """Hold the lock while no earlier change waits: to take that back later would take back this one as well."""
    while True:
        with rollback.locked():
            left = None if check_mode else rollback.pending()
            if left is None:
                yield
                return
        time.sleep(min(left + 0.1, 0.5))


def confirm(token: str) -> None:
    """Keep a change, and have it last. Raises FirewallError when it was taken back meanwhile."""
    with rollback.locked():
        rollback.confirm(token)


class _TooSlow(FirewallError):
    pass


def _too_slow(token: str, plan: Plan) -> _TooSlow:
    """Take back what was done after the timer had taken it back."""
    rollback.wait_until_taken_back(token, steps.COMMAND_TIMEOUT)
    rollback.do(plan.undo)
    return _TooSlow(
        "the change took longer than there was time to confirm it; everything was taken back. Give it more "
        "(confirm_seconds)",
        details={"rolled_back": True},
    )


def _taken_back(token: str, exc: BaseException) -> BaseException:
    """Take the change back, and say both what went wrong and what stands now."""
    faults = exc.faults if isinstance(exc, FirewallError) else ["%s: %s" % (type(exc).__name__, exc)]
    try:
        rollback.take_back(token)
    except FirewallError as second:
        return FirewallError(*faults, "and taking it back failed: %s" % second, details={"rolled_back": False})
    if not isinstance(exc, Exception):
        return exc  # an interrupt stays one; the old rules stand
    return FirewallError(*faults, "everything was taken back", details={"rolled_back": True})


def shown(opening: Opening) -> t.Dict[str, t.Any]:
    """An opening as the module's result has it."""
    return {
        "name": opening.name,
        "ports": [str(item) for item in opening.ports],
        "purpose": opening.purpose,
        "networks": [str(item) for item in opening.sources.networks],
        "interfaces": list(opening.sources.interfaces),
        "zones": list(opening.sources.zones),
        "group": opening.group,
    }


def ansible_connection(environment: t.Optional[t.Mapping[str, str]] = None) -> t.Optional[Connection]:
    """The SSH connection this process came over, None when there is none.

    sshd sets SSH_CONNECTION. sudo and others drop it for what they start, but have it themselves.
    """
    words = ((os.environ if environment is None else environment).get("SSH_CONNECTION") or _said_to_parents()).split()
    if len(words) != 4 or not words[3].isdigit():
        return None
    return Connection(source=words[0], address=words[2], port=int(words[3]))


def _said_to_parents(variable: str = "SSH_CONNECTION") -> str:
    """What the nearest process that this one descends from was started with; empty when none was."""
    process = os.getppid()
    while process > 1:
        with contextlib.suppress(OSError), open("/proc/%d/environ" % process, "rb") as stream:
            for item in stream.read().split(b"\0"):
                name, _unused, value = item.partition(b"=")
                if name == variable.encode() and value:
                    return value.decode("ascii", "replace")
        try:
            with open("/proc/%d/stat" % process, "rb") as stream:
                process = int(stream.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return ""
