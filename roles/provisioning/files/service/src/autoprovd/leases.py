# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a DHCP server on this host says about an address: its lease file.

A phone behind a router has no entry in this host's neighbour table; the lease it was given is as good a proof. Files
are looked at once a second at most, and read when they changed: those that servers only append to, from where the
last reading ended. A file that cannot be read proves nothing, and is told in the log once.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from autoprovd import log

_AGE_SECONDS = 1.0
_NEVER = float("inf")


class Lease(NamedTuple):
    """An address that a server gave away, or took back."""

    address: str
    mac: str | None
    """12 lower-case hexadecimal digits; None: it is nobody's any more."""
    ends: float
    """Seconds since 1970."""


class Kind(NamedTuple):
    """How a server writes its leases."""

    parse: Callable[[str], Iterator[Lease]]
    end: bytes
    """What an entry ends with."""
    grows: bool
    """Whether the server only appends to its file, until it begins a new one."""


class _File:
    """One lease file, as far as it was read."""

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        self.leases: dict[str, Lease] = {}
        self._kind = kind
        self._seen: tuple[int, ...] = ()
        self._read_to = 0
        self._unfinished = b""

    def refresh(self) -> None:
        """Read what is new; raises ``OSError``."""
        with self.path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return
            is_longer = self._kind.grows and seen[:2] == self._seen[:2] and found.st_size >= self._read_to
            if is_longer:
                stream.seek(self._read_to)
            data = stream.read()
            after = os.fstat(stream.fileno())
        if not self._kind.grows and (after.st_size, after.st_mtime_ns) != seen[2:]:
            return  # it is being written anew; what was read may be half of it
        if not is_longer:
            self.leases, self._read_to, self._unfinished = {}, 0, b""
        self._seen, self._read_to = seen, self._read_to + len(data)
        # What stands behind the last end of an entry is still being written.
        whole, end, rest = (self._unfinished + data).rpartition(self._kind.end)
        self._unfinished = rest
        for lease in self._kind.parse((whole + end).decode("utf-8", "replace")):
            self.leases[lease.address] = lease

    def forget(self) -> None:
        """Know nothing, and read it from the start next time."""
        self.leases, self._seen, self._read_to, self._unfinished = {}, (), 0, b""


class Leases:
    """All lease files of the host; a newer file wins over those named before it."""

    def __init__(self, files: Sequence[tuple[str, Path]], now: Callable[[], float] = time.time) -> None:
        """``files``: the kind (a key of :data:`KINDS`) and the path of each."""
        self._files: list[tuple[_File, bool]] = []
        for kind, path in files:
            # Kea's clean-up moves the file away, and writes it anew beside: .2 is what the clean-up before made,
            # .1 what it is at work on, .completed what it made of both.
            aside = [path.with_name(path.name + suffix) for suffix in (".2", ".1", ".completed")]
            self._files += [(_File(name, KINDS[kind]), False) for name in aside if kind == "kea"]
            self._files.append((_File(path, KINDS[kind]), True))
        self._now = now
        self._looked_at = -_AGE_SECONDS
        self._told: set[Path] = set()

    def look_again(self) -> None:
        """Look at the files when next asked, however short the last look is ago."""
        self._looked_at = -_AGE_SECONDS

    def mac_of(self, address: str) -> str | None:
        """The MAC address (12 lower-case digits) an active lease gives that IP address to; None when there is none."""
        if not self._files:
            return None
        now = time.monotonic()
        if now - self._looked_at >= _AGE_SECONDS:
            self._looked_at = now
            self._refresh()
        known = [file.leases[address] for file, _needed in self._files if address in file.leases]
        if not known or known[-1].ends <= self._now():
            return None
        return known[-1].mac

    def _refresh(self) -> None:
        for file, needed in self._files:
            try:
                file.refresh()
            except OSError as error:
                file.forget()
                if needed and file.path not in self._told:
                    self._told.add(file.path)
                    reason = f"{error.strerror}; may the service's user read it?"
                    log.event("lease file not read, so leases prove nothing", 30, path=str(file.path), reason=reason)
            else:
                self._told.discard(file.path)


# -- the servers' own formats -----------------------------------------------------------------------------------------


def parse_kea(text: str) -> Iterator[Lease]:
    """Kea's memfile (CSV): a row for each change of a lease, the newest last.

    IPv6 rows are passed over: they name a DUID, and a MAC address only where the client told it.
    """
    for line in text.splitlines():
        # address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context…
        cells = line.split(",")
        if len(cells) < 10 or not cells[4].isdecimal() or not cells[3].isdecimal():
            continue
        mac = _mac(cells[1])
        # State 0 is assigned; 1 declined, 2 reclaimed, 3 released. A lifetime of 0 deletes the lease.
        active = cells[9] == "0" and cells[3] != "0"
        ends = _NEVER if cells[3] == "4294967295" else float(cells[4])
        if _is_ipv4(cells[0]):
            yield Lease(cells[0], mac if active else None, ends)


def parse_dnsmasq(text: str) -> Iterator[Lease]:
    """dnsmasq.leases: ``1767312000 00:04:13:96:d9:b4 192.0.2.20 name 01:00:04:13:96:d9:b4``, 0 for a lease for ever.

    IPv6 leases stand behind a line ``duid``, with an IAID where the MAC address is, and are passed over.
    """
    for line in text.splitlines():
        cells = line.split()
        if len(cells) >= 4 and cells[0].isdecimal() and _is_ipv4(cells[2]):
            yield Lease(cells[2], _mac(cells[1]), float(cells[0]) or _NEVER)


_DHCPD_LEASE = re.compile(r"^lease ([0-9.]+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_DHCPD_FIELD = re.compile(r"^\s+(ends|binding state|hardware ethernet) (.*?);", re.MULTILINE)


def parse_dhcpd(text: str) -> Iterator[Lease]:
    """ISC dhcpd.leases: a block for each change of a lease, the newest last."""
    for found in _DHCPD_LEASE.finditer(text):
        fields = dict(_DHCPD_FIELD.findall(found[2]))
        active = fields.get("binding state") == "active"
        mac = _mac(fields.get("hardware ethernet", ""))
        yield Lease(found[1], mac if active else None, _dhcpd_time(fields.get("ends", "")))


def _dhcpd_time(text: str) -> float:
    """``4 2026/01/01 12:00:00`` (UTC), ``epoch 1767268800; # …``, or ``never``; what is none of them has passed."""
    words = text.split()
    try:
        if words == ["never"]:
            return _NEVER
        if words[0] == "epoch":
            return float(words[1])
        return datetime.strptime(" ".join(words[1:3]), "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except (IndexError, ValueError):
        return 0.0


def _mac(text: str) -> str | None:
    digits = text.replace(":", "").lower()
    return digits if re.fullmatch("[0-9a-f]{12}", digits) else None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


KINDS = {
    "kea": Kind(parse_kea, b"\n", grows=True),
    "dnsmasq": Kind(parse_dnsmasq, b"\n", grows=False),
    "dhcpd": Kind(parse_dhcpd, b"\n}\n", grows=True),
}
"""The servers whose files are understood."""
