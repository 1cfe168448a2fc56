# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What the engine asks of a firewall's adapter, and the words both use."""

from __future__ import annotations

import abc
import typing as t
from dataclasses import dataclass, field

from .intent import Opening
from .steps import Steps


@dataclass(frozen=True)
class Connection:
    """The connection over which Ansible came: nothing may cut it."""

    source: str  # address of the controller
    address: str  # of this host
    port: int  # of this host, TCP


@dataclass
class Plan:
    """What would change. The lists of steps need nothing but the host's own programs."""

    openings: t.List[Opening]
    #: Changes what runs now, and nothing that survives a reboot.
    now: Steps = field(default_factory=Steps)
    #: Changes what comes back after a reboot. Done once a second connection has confirmed.
    lasting: Steps = field(default_factory=Steps)
    #: Takes back everything in `now`, and in `lasting` as far as it was done.
    undo: Steps = field(default_factory=Steps)
    #: For the module's diff: unified diffs of files and of the rules that run, ours alone.
    diff: t.List[t.Dict[str, str]] = field(default_factory=list)
    #: What a person should know: already open, opened by somebody else too, what would still close it.
    notes: t.List[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.now) or bool(self.lasting)


class Backend(abc.ABC):
    """One firewall. The engine calls, in this order and under a lock:

    read → plan → would_cut → check → (check mode ends here) → arm the timer with plan.undo → plan.now → verify
    → … a second connection confirms … → plan.lasting → disarm the timer.
    Every method raises FirewallError with sentences fit for a person.
    """

    #: As in the module's option `backend`.
    name: t.ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def found(cls) -> t.Optional[str]:
        """Why this one is what rules here ("firewalld.service runs"), None when it is not."""

    @property
    @abc.abstractmethod
    def version(self) -> str: ...

    @abc.abstractmethod
    def read(self) -> None:
        """Read the rules that run and the files that last."""

    @abc.abstractmethod
    def plan(self, openings: t.Sequence[Opening]) -> Plan:
        """What must change so that exactly `openings` (maybe none) are ours. Changes nothing. After `read`."""

    @abc.abstractmethod
    def would_cut(self, plan: Plan, connection: Connection) -> t.Optional[str]:
        """Which rule or policy would drop new packets of that connection after the plan; None when none would."""

    @abc.abstractmethod
    def check(self, plan: Plan) -> None:
        """Have the firewall's own checker judge the plan, changing nothing."""

    @abc.abstractmethod
    def verify(self, plan: Plan) -> None:
        """Prove from the rules that run that they carry the plan."""
