# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""One change of a firewall, whichever it is: read, plan, refuse to be cut off, check, apply, confirm or take back."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from . import rollback
from .backend import Backend, Connection
from .errors import FirewallError
from .firewalld.adapter import Firewalld
from .intent import Opening
from .nftables import Nftables
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
    raise FirewallError("no firewall was found on this host (%s); install nftables, or name one with backend" % names)


def run(request: Request) -> Outcome:
    """Make exactly `request.openings` ours. Raises FirewallError, which says what stands now.

    With `confirm_seconds`, the change takes itself back unless `rollback.confirm` is called with the token in time.
    """
    backend, why = choose(request.backend)
    with rollback.locked():
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
        token = rollback.arm(plan.undo, plan.lasting, request.confirm_seconds or 60.0)
        try:
            rollback.do(plan.now)
            backend.verify(plan)
            if request.confirm_seconds is None:
                rollback.confirm(token)
                return outcome
        except BaseException as exc:
            raise _taken_back(token, exc) from exc
        outcome.token = token
        return outcome


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


def ansible_connection(environment: t.Mapping[str, str] = os.environ) -> t.Optional[Connection]:
    """The SSH connection this process came over, None when there is none (sshd sets SSH_CONNECTION; sudo drops it)."""
    words = environment.get("SSH_CONNECTION", "").split()
    if len(words) != 4 or not words[3].isdigit():
        return None
    return Connection(source=words[0], address=words[2], port=int(words[3]))
