# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What each vendor's service does for the engine: read how phones stand there, and change it."""

from __future__ import annotations

import base64
import typing as t
from abc import ABC, abstractmethod

from .authentication import Scheme
from .errors import CallError, NotAccepted, PhoneFault
from .transport import Transport

CREATE, UPDATE, REMOVE = "create", "update", "remove"


class Registration(t.NamedTuple):
    """A phone that is registered to the account."""

    #: Where the service sends it; None where the service does not tell.
    url: t.Optional[str]
    #: What the service needs back when it is changed.
    held: t.Any = None


class Change(t.NamedTuple):
    """One phone that is to stand otherwise."""

    mac: str
    verb: str
    url: str = ""
    label_id: str = ""
    before: t.Optional[Registration] = None


#: By MAC address (12 lower-case hexadecimal digits): how a phone stands, None when it is not registered, or why the
#: service keeps it to itself.
Standing = t.Dict[str, t.Union[Registration, PhoneFault, None]]
#: By MAC address: None where the change was made, else why it was not.
Made = t.Dict[str, t.Union[PhoneFault, CallError, None]]


class Provider(ABC):
    """A service of a vendor. One object for one run."""

    name: t.ClassVar[str]
    title: t.ClassVar[str]
    vendor: t.ClassVar[str]
    #: Where it is, by region; the first is the usual one.
    endpoints: t.ClassVar[t.Mapping[str, str]]
    #: Whether it tells where a registered phone is sent.
    tells_url: t.ClassVar[bool] = True
    #: Whether it can list what the account has registered.
    lists: t.ClassVar[bool] = False
    #: How many phones one call changes.
    batch: t.ClassVar[int] = 1
    #: Whether a phone is registered by the ID of its label, too.
    needs_label_id: t.ClassVar[bool] = False

    def __init__(self, transport: Transport, username: str, password: str, provider_name: str) -> None:
        self.transport = transport
        self.provider_name = provider_name
        self.username = username
        # What Basic sends, should a service quote it.
        transport.keep_secret(base64.b64encode(f"{username}:{password}".encode()).decode())
        self.scheme = self.make_scheme(username, password)

    @abstractmethod
    def make_scheme(self, username: str, password: str) -> Scheme:
        """How the account shows who it is."""

    def read(self, macs: t.Sequence[str]) -> Standing:
        """How these phones stand. Raises CallError."""
        standing: Standing = {}
        for mac in macs:
            try:
                standing[mac] = self.read_one(mac)
            except PhoneFault as fault:
                standing[mac] = fault
        return standing

    def read_one(self, mac: str) -> t.Optional[Registration]:
        """How a phone stands. Raises CallError, and PhoneFault where the service keeps it to itself."""
        raise NotImplementedError

    def write(self, changes: t.Sequence[Change]) -> Made:
        """Make up to `batch` changes. Raises NotAccepted."""
        made: Made = {}
        for change in changes:
            try:
                self.write_one(change)
                made[change.mac] = None
            except NotAccepted:
                raise
            except (PhoneFault, CallError) as error:
                made[change.mac] = error
        return made

    def write_one(self, change: Change) -> None:
        """Make a change. Raises CallError and PhoneFault."""
        raise NotImplementedError

    def list_registered(self) -> t.List[str]:
        """The MAC addresses of all that the account has registered. Raises CallError."""
        raise NotImplementedError
