# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What the engine asks of a DHCP server's adapter, and the words both use."""

from __future__ import annotations

import abc
import ipaddress
import typing as t
from dataclasses import dataclass, field

from . import processes
from .files import FileChange
from .intent import OptionSetting
from .probe import Client

ON_CONFLICT = ("fail", "replace", "keep")
ON_HIDDEN = ("report", "fail", "override")
ON_PENDING = ("safe", "load", "fail")
#: Where an option can be set, in the words of every server. In which order they win, each adapter knows.
#: A hook (Kea's flex_option) is code that sets options after all others are chosen.
LEVELS = ("global", "shared_network", "subnet", "pool", "class", "host", "hook")


@dataclass(frozen=True)
class Conflict:
    """The administrator has set the same option at the same level."""

    scope: str
    code: int
    existing: str
    wanted: str
    where: str  # file:line


@dataclass(frozen=True)
class Hidden:
    """A setting of ours that some clients will not see, because something more specific wins there."""

    scope: str
    code: int
    value: str
    by: t.Tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class SetOption:
    """An option as it stands in the configuration today, whoever set it."""

    level: str  # one of LEVELS
    #: Subnet in CIDR notation, pool, name of the network or class, MAC address; empty for global.
    name: str
    code: int
    value: str  # for a person
    #: Did this module set it?
    ours: bool
    where: str  # file:line
    #: Is it sent to clients that do not ask for it?
    always_sent: bool
    #: What decides whether a client is concerned, as the configuration says it; empty for everybody at that level.
    condition: str = ""


@dataclass(frozen=True)
class Answer:
    """What a client would be given for an option, as far as the configuration tells."""

    code: int
    #: What wins for every such client; None when nothing is certain to apply.
    winner: t.Optional[SetOption]
    #: What would win over it for some of them (in a subnet, in a class whose condition only the server can judge).
    unless: t.Tuple[SetOption, ...] = ()


@dataclass(frozen=True)
class ProbeCase:
    """A client to play, and the options its offer must carry afterwards (code -> bytes; none: any offer will do)."""

    label: str
    client: Client
    expected: t.Dict[int, bytes] = field(default_factory=dict)
    #: What is different in a subnet (CIDR); None: there it may be anything.
    expected_in: t.Dict[str, t.Dict[int, t.Optional[bytes]]] = field(default_factory=dict)

    def expected_at(self, address: str) -> t.Dict[int, bytes]:
        """What an offer of this address must carry."""
        expected: t.Dict[int, t.Optional[bytes]] = dict(self.expected)
        for subnet, values in self.expected_in.items():
            if ipaddress.ip_address(address) in ipaddress.ip_network(subnet):
                expected.update(values)
        return {code: data for code, data in expected.items() if data is not None}


@dataclass
class Plan:
    """What would change. `changes` is in the order in which files are to be written."""

    settings: t.List[OptionSetting]
    changes: t.List[FileChange] = field(default_factory=list)
    #: What the running server carries differs from what is wanted, whatever the files say.
    running_differs: bool = False
    conflicts: t.List[Conflict] = field(default_factory=list)
    hidden: t.List[Hidden] = field(default_factory=list)
    probes: t.List[ProbeCase] = field(default_factory=list)
    warnings: t.List[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.changes) or self.running_differs


@dataclass(frozen=True)
class Policy:
    """What to do where ours and the administrator's meet; see the module's options of these names."""

    on_hidden: str = "report"
    on_pending: str = "safe"


@dataclass(frozen=True)
class Target:
    """Which server is meant; what is not given is found out."""

    config_file: t.Optional[str] = None
    #: Kea's Unix control socket; other servers have none.
    control_socket: t.Optional[str] = None
    #: How the server is restarted, as words; needed where neither systemd nor runit supervises it.
    restart_command: t.Tuple[str, ...] = ()
    #: What is to stand in the configuration file, without our options, where the whole file is ours; see kea_serving.
    content: t.Optional[str] = None


class Backend(abc.ABC):
    """One DHCP server. The engine calls, in this order and under `lock_path`:

    read → plan → check → (probe) → apply → verify → (probe), and restore when anything from `apply` on fails.
    Every method raises DhcpError with a sentence fit for a person.
    """

    #: As in the module's option `server`.
    name: t.ClassVar[str]

    #: The program.
    binary: t.ClassVar[str]

    #: Has the server a means by which a setting wins over what is more specific (`on_hidden: override`)?
    can_override: t.ClassVar[bool] = False

    policy: Policy = Policy()

    @abc.abstractmethod
    def __init__(self, target: Target) -> None: ...

    @classmethod
    def installed(cls) -> bool:
        """Is this server on this host?"""
        return processes.find_binary(cls.binary) is not None

    @classmethod
    def serving(cls) -> bool:
        """Does this server run in this host's network?"""
        return any(not process.other_network for process in processes.running(cls.binary))

    @property
    @abc.abstractmethod
    def lock_path(self) -> str:
        """One writer at a time per configuration."""

    @property
    @abc.abstractmethod
    def config_file(self) -> str: ...

    @property
    def control_socket(self) -> t.Optional[str]:
        """Where the running server takes commands; None where it takes none. Known after `read`."""
        return None

    @property
    @abc.abstractmethod
    def version(self) -> str: ...

    @property
    @abc.abstractmethod
    def running(self) -> bool:
        """Known after `read`."""

    @abc.abstractmethod
    def read(self) -> None:
        """Read the files and, when the server runs, its running configuration."""

    @abc.abstractmethod
    def plan(self, settings: t.Sequence[OptionSetting], on_conflict: str) -> Plan:
        """What must change so that exactly `settings` (maybe none) are ours. Changes nothing."""

    @abc.abstractmethod
    def check(self, plan: Plan) -> None:
        """Have the server's own checker judge the planned files, beside the real ones."""

    @abc.abstractmethod
    def apply(self, plan: Plan) -> t.Optional[str]:
        """Switch the files (returns the path of the backup kept, if any) and make a running server read them."""

    @abc.abstractmethod
    def verify(self, plan: Plan) -> None:
        """Prove from the running server that it carries the plan."""

    @abc.abstractmethod
    def restore(self, plan: Plan) -> None:
        """Put every file back as it was, make the server read them, and prove that it runs what it ran before."""

    def last_resorts(self) -> t.Sequence[t.Tuple[str, t.Callable[[], None]]]:
        """When even `restore` did not bring the service back: what else may be done, by name, the mildest first."""
        return ()

    @abc.abstractmethod
    def set_options(self) -> t.List[SetOption]:
        """Every option that the configuration sets, ours and the administrator's, what wins first. After `read`."""

    @abc.abstractmethod
    def answer(self, code: int, client: Client, subnet: t.Optional[str] = None) -> Answer:
        """Who would win for this client (in that subnet, in CIDR notation), as the files stand. After `read`."""

    @abc.abstractmethod
    def probe_interfaces(self) -> t.List[str]:
        """Interfaces of this host on which the server serves; empty when this host cannot probe them."""

    @abc.abstractmethod
    def server_identifiers(self) -> t.Optional[t.FrozenSet[str]]:
        """Addresses this server may call itself in its offers; None when that cannot be known."""
