# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of SIP PnP: one hears the group on all chosen interfaces, the other sends notifications.

The first is bound to the group's address and not to all, so that a PBX on this host may have port 5060 of the host's
own addresses. What phones send to those does not come here: notifications therefore leave from a port of their own,
where they are acknowledged. Both are read in turns with all else the service does.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Network

from autoprovd import log, metrics
from autoprovd.pnp.interfaces import Interface, Interfaces
from autoprovd.pnp.responder import PORT

GROUP = "224.0.1.75"
_IP_PKTINFO, _IP_MULTICAST_ALL = 8, 49  # <linux/in.h>; Python has no names for them
_LONGEST_DATAGRAM = 65_536
_AT_A_TIME = 64
"""Datagrams read before phones that ask by HTTP have their turn."""
_PAUSE_SECONDS = 0.001
_BUFFER_BYTES = 1 << 20
_PKTINFO = struct.Struct("=i4s4s")


class PortTaken(Exception):
    """Another program has the port; the text says what to do."""


def _hearing(share_port: bool) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if share_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Else it would hear the group on every interface on which any program of this host has joined it.
        made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        made.bind((GROUP, PORT))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"another program on this host holds {PORT}/UDP of all addresses, most likely a PBX (ss -ulpn sport = "
                f":{PORT} names it); bind the PBX to the host's own address instead of 0.0.0.0, or, if it sets "
                "SO_REUSEADDR, set pnp.share_port (provisioning_pnp_share_port)"
            ) from None
        raise
    return made


def _telling() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    made.bind(("", 0))
    return made


class Sockets:
    """Both sockets, and where the group is joined; opens them, or raises :class:`PortTaken` or ``OSError``."""

    def __init__(self, wanted: Collection[str], share_port: bool) -> None:
        """``wanted``: names of interfaces."""
        self._wanted = frozenset(wanted)
        self._hearing = _hearing(share_port)
        try:
            self._telling = _telling()
            self._interfaces = Interfaces()
        except OSError:
            self._hearing.close()
            raise
        self.port: int = self._telling.getsockname()[1]
        self._known: Mapping[int, Interface] = {}
        self._joined: dict[int, str] = {}
        self._missing: frozenset[str] = frozenset()
        self._changed: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Leave everything."""
        for each in (self._hearing, self._telling):
            each.close()
        self._interfaces.close()
        metrics.pnp_interfaces.set(0)

    @property
    def joined(self) -> list[str]:
        """The names of the interfaces that are heard."""
        return sorted(self._joined.values())

    @property
    def networks(self) -> list[tuple[str, IPv4Network]]:
        """The networks phones are answered in, each with the name of its interface."""
        joined = [self._known[index] for index in self._joined if index in self._known]
        return sorted(
            (interface.name, IPv4Network((own.network, own.mask.bit_count())))
            for interface in joined
            for own in interface.own
        )

    # -- interfaces ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the interfaces, and join the group where it is not joined yet."""
        try:
            self._known = self._interfaces.read()
        except OSError as error:
            log.event("interfaces not read", 30, reason=error.strerror or str(error))
            return
        # An interface that went away has taken its membership along; its number is never given again to another.
        now = {index: name for index, name in self._joined.items() if self._is(index, name)}
        for interface in self._known.values():
            fits = interface.name in self._wanted and interface.is_up and interface.own
            if fits and interface.number not in now and self._join(interface):
                now[interface.number] = interface.name
        for index in [index for index in now if not self._known[index].is_up]:
            # Left and joined anew, so that switches and routers hear of it when the link is back.
            self._leave(index)
            del now[index]
        self._tell(now)

    def _is(self, index: int, name: str) -> bool:
        interface = self._known.get(index)
        return interface is not None and interface.name == name

    def _tell(self, now: dict[int, str]) -> None:
        missing = self._wanted - set(now.values())
        for name in sorted(set(now.values()) - set(self._joined.values())):
            log.event("SIP PnP is answered", interface=name)
        for name in sorted(missing - self._missing):
            log.event("SIP PnP is not answered", 30, interface=name, reason="no such interface is up with an address")
        self._joined, self._missing = now, missing
        metrics.pnp_interfaces.set(len(now))

    def _join(self, interface: Interface) -> bool:
        try:
            self._hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(interface.number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # joined it is already
                log.event("SIP PnP is not answered", 30, interface=interface.name, reason=error.strerror)
                return False
        return True

    def _leave(self, index: int) -> None:
        try:
            self._hearing.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, _membership(index))
        except OSError as error:
            log.event("SIP PnP group not left", 30, reason=error.strerror)

    # -- datagrams ----------------------------------------------------------------------------------------------------

    def attend(
        self,
        hear: Callable[[bytes, tuple[str, int], Interface], None],
        hear_reply: Callable[[bytes, tuple[str, int]], None],
    ) -> None:
        """Have the running loop read both sockets, and look after the interfaces, until :meth:`leave`."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            if self._read(hear) == _AT_A_TIME:
                # Under a flood the kernel drops what nobody reads, and everybody else gets more turns.
                loop.remove_reader(self._hearing)
                loop.call_later(_PAUSE_SECONDS, resume)

        def resume() -> None:
            if self._hearing.fileno() >= 0:
                loop.add_reader(self._hearing, read)

        loop.add_reader(self._hearing, read)
        loop.add_reader(self._telling, self._read_replies, hear_reply)
        loop.add_reader(self._interfaces.changes, self._notice)
        self.refresh()

    def leave(self) -> None:
        """The loop reads no more."""
        loop = asyncio.get_running_loop()
        for each in (self._hearing, self._telling, self._interfaces.changes):
            loop.remove_reader(each)
        if self._changed is not None:
            self._changed.cancel()

    def _notice(self) -> None:
        """Something changed; a moment later the rest has, too."""
        self._interfaces.forget_changes()
        if self._changed is None:
            self._changed = asyncio.get_running_loop().call_later(0.2, self._changed_now)

    def _changed_now(self) -> None:
        self._changed = None
        self.refresh()

    def _read(self, hear: Callable[[bytes, tuple[str, int], Interface], None]) -> int:
        for number in range(_AT_A_TIME):
            try:
                data, ancillary, _flags, source = self._hearing.recvmsg(_LONGEST_DATAGRAM, 64)
            except BlockingIOError:
                return number
            except OSError:  # an error of an earlier answer: nobody is there any more
                continue
            for level, kind, content in ancillary:
                if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                    interface = self._known.get(_PKTINFO.unpack(content)[0])
                    if interface is not None and interface.number in self._joined:
                        hear(data, source, interface)
        return _AT_A_TIME

    def _read_replies(self, hear_reply: Callable[[bytes, tuple[str, int]], None]) -> None:
        for _number in range(_AT_A_TIME):
            try:
                data, source = self._telling.recvfrom(_LONGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue
            hear_reply(data, source)

    def respond(self, data: bytes, source: tuple[str, int], interface: Interface, own: str) -> None:
        """See :class:`~autoprovd.pnp.responder.Voice`."""
        _send(self._hearing, data, source, interface, own)

    def notify(self, data: bytes, destination: tuple[str, int], interface: Interface, own: str) -> None:
        """See :class:`~autoprovd.pnp.responder.Voice`."""
        _send(self._telling, data, destination, interface, own)


def _membership(index: int) -> bytes:
    """struct ip_mreqn: the group, no address, the interface by number."""
    return struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)


def _send(by: socket.socket, data: bytes, to: tuple[str, int], interface: Interface, own: str) -> None:
    """Out by that interface, from that address: routes and the host's other addresses do not matter."""
    told = _PKTINFO.pack(interface.number, socket.inet_aton(own), bytes(4))
    try:
        by.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, told)], 0, to)
    except OSError:  # no buffer, or no way there any more: as if lost on the way, and asked for again
        metrics.count_pnp("not sent")
