# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Why is this packet dropped? The kernel's own answer: the chain, rule or policy, by name.

A throw-away table marks exactly the packets in question, and ``nft monitor trace`` tells where they go. nftables sees
every packet, whoever made the rules: nft, iptables-nft, firewalld or ufw. The table belongs to a process (``flags
owner``) that ends with this one, so the kernel takes it away even when this process is killed; on a kernel older than
5.12 the end of the watch does.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import queue
import re
import shutil
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass

from .errors import FirewallError
from .profiles import TCP, UDP
from .steps import SEARCH_PATH

#: Before every chain that could drop: conntrack is at -200, iptables' raw table at -300.
_FIRST_PRIORITY = -350
#: After every chain on the input hook.
_LAST_PRIORITY = 2000000000
#: `nft monitor` ends by itself, should this process be killed.
_LONGEST = 120.0  # seconds
_NETLINK_NETFILTER, _TRACE_GROUP = "12", 1 << 8
_INTERFACE = re.compile(r"^[^\s/\"'{};,]{1,15}$")
_EVENT = re.compile(r"^trace id (\w+) (\w+) (\S+) (\S+) (packet:|unknown rule|rule|policy|verdict)\s*(.*?)\s*$")
_RULE = re.compile(r"^(.*?)\s*\(verdict (\w+)[^)]*\)$")
_COUNTER = re.compile(r"counter packets \d+ bytes \d+")


@dataclass(frozen=True)
class Packet:
    """The packets in question, as this host receives them. Of TCP, those that ask for a new connection."""

    protocol: str  # tcp or udp
    port: int
    source: t.Optional[str] = None  # an address or a network; None is any
    interface: t.Optional[str] = None  # by which it comes in; None is any
    destination: t.Optional[str] = None  # an address of this host, or a multicast group; None is any

    def __str__(self) -> str:
        parts = ["%s/%d" % (self.protocol, self.port)]
        parts += ["from %s" % self.source] if self.source else []
        parts += ["to %s" % self.destination] if self.destination else []
        return " ".join(parts + (["by %s" % self.interface] if self.interface else []))


@dataclass(frozen=True)
class Verdict:
    """What became of the packet, and who decided it."""

    #: True when every chain on the input hook let it through, False when one dropped it, None when nobody can tell.
    accepted: t.Optional[bool]
    #: The chain that dropped it, as in `nft list chain inet filter input`: `inet filter`, and `input`.
    table: t.Optional[str] = None
    chain: t.Optional[str] = None
    #: The rule that dropped it, as nft prints it; None when it was the policy.
    rule: t.Optional[str] = None
    #: The policy that dropped it; None when it was a rule.
    policy: t.Optional[str] = None
    #: Why nobody can tell.
    reason: t.Optional[str] = None

    def __str__(self) -> str:
        if self.accepted:
            return "no chain on the input hook drops it"
        if self.accepted is None:
            return self.reason or "nobody can tell"
        where = "chain %s of table %s" % (self.chain, self.table)
        return "%s drops it: %s" % (where, self.rule) if self.rule else "the policy of %s drops it" % where


def explain(send: t.Callable[[], None], packet: Packet, seconds: float = 3.0) -> Verdict:
    """Have `send` cause such a packet to arrive, and tell what became of it.

    Waits up to `seconds` after `send` has returned. Raises FirewallError when packets cannot be traced here, and
    whatever `send` raises; the throw-away table is taken away in any case.
    """
    with Watch(packet) as watch:
        send()
        return watch.verdict(seconds)


class Watch:
    """A context in which such packets are traced, for whoever causes them in another way than by a function."""

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self._name = "autoprov_trace_%d" % os.getpid()
        self._owner: t.Optional[subprocess.Popen[str]] = None
        self._monitor: t.Optional[subprocess.Popen[str]] = None
        self._events: queue.Queue[str] = queue.Queue()
        self._mine: t.Set[str] = set()  # the packets that this watch has marked

    def __enter__(self) -> Watch:
        match = _match(self.packet)
        if shutil.which("nft", path=SEARCH_PATH) is None:
            raise FirewallError("packets cannot be traced: there is no nft on this host; install nftables")
        try:
            self._listen()
            self._mark(match)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_unused: object) -> None:
        for process in (self._owner, self._monitor):
            if process is not None:
                process.terminate()  # which `timeout` hands on to nft
                process.wait()
        # Gone with its owner; on an older kernel it is an ordinary table. That it is not there is what is wanted.
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _nft("-f", "-", stdin="delete table inet %s\n" % self._name)

    def verdict(self, seconds: float = 3.0) -> Verdict:
        """What became of the first such packet whose end was seen, waiting up to `seconds` for it."""
        end = time.monotonic() + seconds
        seen = queued = False
        while True:
            try:
                line = self._events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            found = _EVENT.match(line)
            if found is None:
                continue
            number, family, table, chain, kind, said = found.groups()
            if table == self._name and chain == "watch" and kind.endswith("rule"):
                self._mine.add(number)
            if number not in self._mine:
                continue  # marked by somebody else, maybe another watch
            seen = True
            if table == self._name:
                if chain == "arrived":
                    return Verdict(True)
                continue
            rule, verdict = said, said
            if kind.endswith("rule"):
                parts = _RULE.match(said)
                rule, verdict = parts.groups() if parts else (said, "")
            queued = queued or verdict.startswith("queue")
            if verdict.startswith("drop"):
                where = "%s %s" % (family, table)
                if kind == "policy":
                    return Verdict(False, where, chain, policy="drop")
                return Verdict(False, where, chain, rule=" ".join(_COUNTER.sub("counter", rule).split()))
        return Verdict(None, reason=self._silence(seen, queued))

    def _silence(self, seen: bool, queued: bool) -> str:
        if queued:
            return "a rule handed it to a program (queue), which has not let it go on"
        if seen:
            return (
                "%s arrived, and no rule dropped it, but it did not reach the input hook: its destination is not this "
                "host, or the kernel drops it (rp_filter, martian source)" % self.packet
            )
        return (
            "%s did not arrive: it is lost on the way, or before the prerouting hook (a chain on the ingress hook, "
            "another interface or source than asked about)" % self.packet
        )

    def _mark(self, match: str) -> None:
        """Have the packets marked, by a table that lives as long as the process that made it."""
        table = (
            "add chain inet {0} watch {{ type filter hook prerouting priority {1}; }}\n"
            "add chain inet {0} arrived {{ type filter hook input priority {2}; }}\n"
            "add rule inet {0} watch {3} meta nftrace set 1\n"
        ).format(self._name, _FIRST_PRIORITY, _LAST_PRIORITY, match)
        self._owner = subprocess.Popen(
            ["nft", "-i"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
        )
        commands = t.cast("t.IO[str]", self._owner.stdin)
        with contextlib.suppress(BrokenPipeError):  # an nft without interactive mode ends at once
            commands.write("add table inet %s { flags owner; }\n%s" % (self._name, table))
            commands.flush()
        end = time.monotonic() + 2.0
        while time.monotonic() < end and self._owner.poll() is None:
            # The rule comes last, so all of it is there.
            if "nftrace set 1" in _nft("list", "table", "inet", self._name).stdout:
                return
            time.sleep(0.02)
        self._owner.kill()
        self._owner.wait()
        done = _nft("-f", "-", stdin="add table inet %s\n%s" % (self._name, table))
        if done.returncode:
            raise FirewallError(
                "packets cannot be traced: nft says: %s; run as root (become: true)" % " ".join(done.stderr.split())
            )

    def _listen(self) -> None:
        """Start `nft monitor trace`, and wait until the kernel knows of it."""
        before = _listeners()
        self._monitor = subprocess.Popen(
            ["timeout", "%d" % _LONGEST, "nft", "monitor", "trace"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=_environment(),
        )
        threading.Thread(target=self._read, args=(self._monitor.stdout,), daemon=True).start()
        end = time.monotonic() + 2.0
        while _listeners() <= before and time.monotonic() < end:
            if self._monitor.poll() is not None:
                raise FirewallError("packets cannot be traced: nft monitor ends at once; run as root (become: true)")
            time.sleep(0.02)

    def _read(self, stream: t.Iterable[str]) -> None:
        with contextlib.suppress(ValueError, OSError):  # the end of the watch
            for line in stream:
                self._events.put(line)


def _match(packet: Packet) -> str:
    """What nft matches the packets by. Raises FirewallError."""
    if packet.protocol not in (TCP, UDP) or not 1 <= packet.port <= 65535:
        raise FirewallError("%s is no packet: the protocol is tcp or udp, the port 1 to 65535" % packet)
    words = []
    for key, text in (("saddr", packet.source), ("daddr", packet.destination)):
        if text is None:
            continue
        try:
            network = ipaddress.ip_network(text)
        except ValueError as exc:
            raise FirewallError("%s: %s is no address: %s" % (packet, text, exc)) from exc
        words.append("%s %s %s" % ("ip" if network.version == 4 else "ip6", key, network))
    if packet.interface is not None:
        if not _INTERFACE.match(packet.interface):
            raise FirewallError("%s: %s cannot be the name of an interface" % (packet, packet.interface))
        words.append('iifname "%s"' % packet.interface)
    words.append("%s dport %d" % (packet.protocol, packet.port))
    if packet.protocol == TCP:
        words.append("tcp flags & (syn | ack) == syn")
    return " ".join(words)


def _listeners() -> int:
    """How many sockets of this network namespace listen to traces."""
    count = 0
    with contextlib.suppress(OSError, ValueError), open("/proc/net/netlink", encoding="ascii") as stream:
        for line in stream:
            words = line.split()
            if len(words) > 3 and words[1] == _NETLINK_NETFILTER and int(words[3], 16) & _TRACE_GROUP:
                count += 1
    return count


def _nft(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nft", *words],
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        env=_environment(),
        check=False,
    )


def _environment() -> t.Dict[str, str]:
    return dict(os.environ, PATH=SEARCH_PATH, LC_ALL="C")
