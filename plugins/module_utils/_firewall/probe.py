# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Is a port open from here? Asked with real packets, all ports at once.

TCP tells by itself. UDP is silent where nobody answers and where a firewall drops; each port is asked something that
the service behind it answers, and what stays silent can be told by a trace only (`trace.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import selectors
import socket
import struct
import threading
import time
import typing as t
from dataclasses import dataclass

from .errors import FirewallError
from .intent import parse_ports
from .profiles import PROFILES, TCP, UDP

OPEN, CLOSED, FILTERED, SILENT = "open", "closed", "filtered", "silent"
_AT_ONCE = 200  # sockets
_RESEND = 0.4  # seconds, for UDP: one packet may be lost
_CLONE_NEWNET = 0x40000000
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_ICMP, _ICMP6 = 2, 3  # ee_origin
_PROHIBITED = {(_ICMP, 3, 9), (_ICMP, 3, 10), (_ICMP, 3, 13), (_ICMP6, 1, 1), (_ICMP6, 1, 5), (_ICMP6, 1, 6)}
_NO_PORT = {(_ICMP, 3, 3), (_ICMP6, 1, 4)}
_SIP = (
    "OPTIONS sip:probe@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {0};rport;branch=z9hG4bKautoprov\r\nMax-Forwards: 1\r\n"
    "From: <sip:probe@{0}>;tag=1\r\nTo: <sip:probe@{0}>\r\nCall-ID: autoprov\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True)
class Question:
    """One port of one address."""

    protocol: str
    port: int
    address: str

    def __str__(self) -> str:
        return "%d/%s" % (self.port, self.protocol)


@dataclass
class Answer:
    """What was found."""

    question: Question
    #: OPEN (somebody answers), CLOSED (nobody listens), FILTERED (dropped), SILENT (UDP: open or dropped).
    state: str
    how: str


def questions(address: str, profiles: t.Sequence[str], ports: t.Sequence[str]) -> t.List[Question]:
    """What to ask; of a range, its first and its last port. Raises FirewallError with every fault."""
    faults: t.List[str] = []
    try:
        ipaddress.ip_address(address)
    except ValueError:
        faults.append("address %s is no IP address" % address)
    found: t.Dict[Question, None] = {}
    for name in profiles:
        profile = PROFILES.get(name)
        if profile is None:
            faults.append("profiles: %s is not known; known are %s" % (name, ", ".join(sorted(PROFILES))))
            continue
        for item in profile.ports:
            for port in (item.first, item.last):
                found[Question(item.protocol, port, profile.group or address)] = None
    for text in ports:
        wanted, _unused, protocol = str(text).partition("/")
        try:
            for port in parse_ports(wanted):
                found[Question(protocol or TCP, port, address)] = None
        except ValueError as exc:
            faults.append("ports: %s" % exc)
        if protocol not in ("", TCP, UDP):
            faults.append("ports: %s: protocol %s is not known; it is tcp or udp" % (text, protocol))
    if not (profiles or ports):
        faults.append("nothing to ask: give profiles or ports")
    if faults:
        raise FirewallError(*faults)
    return list(found)


def ask(
    asked: t.Sequence[Question], timeout: float = 2.0, namespace: t.Optional[str] = None, source: t.Optional[str] = None
) -> t.List[Answer]:
    """Ask all of them, from this host or a network namespace on it. Raises FirewallError where nothing can be sent."""
    answers: t.List[Answer] = []
    for start in range(0, len(asked), _AT_ONCE):
        answers += _ask_some(asked[start : start + _AT_ONCE], timeout, namespace, source)
    return answers


def is_local(address: str) -> bool:
    """Whether an address is one of this host: packets to it never pass what filters packets from outside."""
    version = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(version, socket.SOCK_DGRAM) as own:
        try:
            own.bind((address, 0))
        except OSError:
            return False
    return not ipaddress.ip_address(address).is_multicast


def in_namespace(namespace: t.Optional[str], do: t.Callable[[], t.Any]) -> t.Any:
    """What `do` returns in a network namespace (a name as `ip netns` has it, or a path). Raises FirewallError."""
    if namespace is None:
        return do()
    path = namespace if namespace.startswith("/") else "/run/netns/" + namespace
    result: t.List[t.Any] = []
    faults: t.List[BaseException] = []

    def work() -> None:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(handle)
            result.append(do())
        except BaseException as exc:  # told in the thread that waits
            faults.append(exc)

    # A namespace is entered by a thread, which ends in it: the others stay where they are.
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if faults and isinstance(faults[0], OSError):
        raise FirewallError("the namespace %s cannot be entered: %s" % (namespace, faults[0].strerror)) from faults[0]
    if faults:
        raise faults[0]
    return result[0]


def _ask_some(
    asked: t.Sequence[Question], timeout: float, namespace: t.Optional[str], source: t.Optional[str]
) -> t.List[Answer]:
    sockets = in_namespace(namespace, lambda: [_socket(question) for question in asked])
    found: t.Dict[int, Answer] = {}
    selector = selectors.DefaultSelector()
    try:
        for index, (question, own) in enumerate(zip(asked, sockets)):  # noqa: B905 -- Python 3.8 on hosts
            answer = _send(question, own, source)
            if answer is not None:
                found[index] = answer
                continue
            wanted = selectors.EVENT_WRITE if question.protocol == TCP else selectors.EVENT_READ
            selector.register(own, wanted, index)
        end = time.monotonic() + timeout
        again = time.monotonic() + _RESEND
        while len(found) < len(asked) and time.monotonic() < end:
            for key, _unused in selector.select(max(0.0, min(again, end) - time.monotonic())):
                answer = _received(asked[key.data], t.cast("socket.socket", key.fileobj))
                if answer is not None:
                    found[key.data] = answer
                    selector.unregister(key.fileobj)
            if time.monotonic() >= again:
                again = end
                for index, question in enumerate(asked):
                    if index not in found and question.protocol == UDP:
                        _send(question, sockets[index], None)
    finally:
        selector.close()
        for own in sockets:
            own.close()
    silence = "no answer within %g seconds" % timeout
    return [
        found.get(index) or Answer(question, FILTERED if question.protocol == TCP else SILENT, silence)
        for index, question in enumerate(asked)
    ]


def _socket(question: Question) -> socket.socket:
    family = socket.AF_INET6 if ":" in question.address else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM if question.protocol == TCP else socket.SOCK_DGRAM)
    own.setblocking(False)
    own.setsockopt(*_RECVERR[family], 1)  # ICMP with its type, not merged into an errno
    return own


def _send(question: Question, own: socket.socket, source: t.Optional[str]) -> t.Optional[Answer]:
    try:
        if source is not None:
            own.bind((source, 0))
            if ipaddress.ip_address(question.address).is_multicast and own.family == socket.AF_INET:
                own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        if question.protocol == TCP:
            number = own.connect_ex((question.address, question.port))
            if number not in (0, errno.EINPROGRESS, errno.ECONNREFUSED):
                raise OSError(number, os.strerror(number))
        else:
            own.sendto(_payload(question), (question.address, question.port))
    except OSError as exc:
        if exc.errno == errno.ECONNREFUSED or (source is None and exc.errno == errno.EHOSTUNREACH):
            return _received(question, own)
        raise FirewallError(
            "%s of %s cannot be asked: %s; is there a route from there?" % (question, question.address, exc.strerror)
        ) from exc
    return None


def _payload(question: Question) -> bytes:
    if question.port == 123:
        return b"\x23" + bytes(47)  # NTP, version 4, client
    if question.port == 69:
        return b"\x00\x01autoprov-probe\x00octet\x00"  # TFTP, read a file that is not there
    if question.port == 5060:
        return _SIP.format(question.address).encode()
    return b"\x00"


def _received(question: Question, own: socket.socket) -> t.Optional[Answer]:
    """What a socket that has something to say means; None when it is to be waited on."""
    said = _icmp(own)
    if said is not None:
        kind, who = said
        if kind in _NO_PORT and question.protocol == UDP:
            return Answer(question, CLOSED, "nobody listens there (ICMP port unreachable from %s)" % who)
        if kind in _NO_PORT:  # a host without a listener says RST
            return Answer(question, FILTERED, "a firewall rejects it (ICMP port unreachable from %s)" % who)
        if kind in _PROHIBITED:
            return Answer(question, FILTERED, "a firewall rejects it (ICMP prohibited, from %s)" % who)
        return Answer(question, FILTERED, "the host is not reached (ICMP type %d, code %d, from %s)" % (*kind[1:], who))
    if question.protocol == TCP:
        number = own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == 0:
            with contextlib.suppress(OSError):
                own.getpeername()
                return Answer(question, OPEN, "connected")
        if number == errno.ECONNREFUSED:
            return Answer(question, CLOSED, "refused (RST): nobody listens there, or a rule rejects it")
        return Answer(question, FILTERED, os.strerror(number)) if number else None
    with contextlib.suppress(OSError):
        _unused, sender = own.recvfrom(2048)
        return Answer(question, OPEN, "answered by %s" % sender[0])
    return None


def _icmp(own: socket.socket) -> t.Optional[t.Tuple[t.Tuple[int, int, int], str]]:
    """The ICMP error a socket has heard: origin, type and code; and who said it."""
    try:
        control = own.recvmsg(0, 1024, socket.MSG_ERRQUEUE)[1]
    except OSError:
        return None
    for level, kind, data in control:
        if (level, kind) in _RECVERR.values() and len(data) >= 16:
            _unused, origin, icmp_type, code = struct.unpack_from("=IBBB", data)
            family = struct.unpack_from("=H", data, 16)[0] if len(data) >= 24 else 0
            who = "this host"
            if family == socket.AF_INET:
                who = socket.inet_ntop(family, data[20:24])
            elif family == socket.AF_INET6 and len(data) >= 40:
                who = socket.inet_ntop(family, data[24:40])
            return (origin, icmp_type, code), who
    return None
