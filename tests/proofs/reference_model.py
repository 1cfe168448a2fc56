# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release engine must do, written from its promises and not from its code, as simply as possible.

One phone, its four passwords, and for its SIP password the PBX as well. Time is held against three readings: the wall
clock, the time since the boot, and the latest wall time that any arming or claim has ever recorded. All must agree
that a window is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from autoprovd.grants import Claimant
from autoprovd.model import SecretClass, SecretKey
from autoprovd.policy import Proof

MOST_LENDINGS = 3
STARTS_AT_ARMING = {SecretClass.SIP, SecretClass.MENU}
WINDOW, LEASE = 600.0, 300.0


@dataclass
class Time:
    """What the clocks show, and what was recorded."""

    wall: float
    boot: float = 1000.0
    boots: int = 0
    recorded: float = 0.0

    def record(self) -> None:
        """Something was armed or claimed now."""
        self.recorded = max(self.recorded, self.wall)


@dataclass
class Window:
    """A span of time in which something may be released; not started while ``boots`` is negative."""

    seconds: float
    boots: int = -1
    ends_wall: float = 0.0
    ends_boot: float = 0.0

    def start(self, time: Time) -> None:
        """It starts now, unless it runs."""
        if self.boots < 0:
            self.boots = time.boots
            self.ends_wall = max(time.wall, time.recorded) + self.seconds
            self.ends_boot = time.boot + self.seconds

    def is_over(self, time: Time) -> bool:
        """Surely; where the clocks disagree it is neither open nor over."""
        if self.boots == time.boots:
            return time.boot >= self.ends_boot
        return time.wall >= max(time.recorded, self.ends_wall)

    def is_open(self, time: Time) -> bool:
        """By every clock there is."""
        if self.boots < 0:
            return True
        if max(time.wall, time.recorded) >= self.ends_wall:
            return False
        if self.boots == time.boots:
            return time.boot < self.ends_boot
        return time.wall >= time.recorded  # after a reboot, a clock that went back says nothing


@dataclass
class Grant:
    """The right to fetch one password."""

    password: str | None
    """None: generated, and nobody has seen it yet."""
    window: Window
    once: bool = False
    generation: int = 0
    state: str = "armed"
    bound: Claimant | None = None

    def waits(self, time: Time) -> bool:
        """Whether the first claim is still awaited."""
        return self.state == "armed" and self.window.is_open(time)

    def claim(self, claimant: Claimant, time: Time) -> bool:
        """Whether that claimant is answered; binds it, or becomes suspect."""
        if self.waits(time) and claimant.proof >= Proof.ADDRESS:
            self.state, self.bound = "open", claimant
            self.window.start(time)
            return True
        if self.state != "open" or not self.window.is_open(time):
            return False
        assert self.bound is not None
        if claimant.identity == self.bound.identity:
            return not self.once
        elsewhere = claimant.address != self.bound.address or claimant.proof is Proof.NONE
        if elsewhere and claimant.proof < Proof.LABEL:
            self.state = "suspect"
        return False


@dataclass
class Loan:
    """A generated SIP password, for the run that tells the PBX: handed out, or lent until the run reports back."""

    state: str = "armed"
    run: str | None = None
    lease: Window = field(default_factory=lambda: Window(LEASE))
    lendings: int = 0

    def claim(self, run: str, two_phase: bool, time: Time) -> bool:
        """Whether that run gets it."""
        if self.state in ("open", "lent") and run == self.run and self.lease.is_open(time):
            return True
        free = self.state == "armed" or (self.state == "lent" and self.lease.is_over(time))
        if not free or self.lendings >= MOST_LENDINGS:
            return False
        self.state, self.run, self.lease = "lent" if two_phase else "open", run, Window(LEASE)
        self.lendings += two_phase
        self.lease.start(time)
        return True

    def confirm(self, run: str) -> bool:
        """Whether that run may say that the PBX has it."""
        if run != self.run or self.state not in ("lent", "open", "released"):
            return False
        self.state = "released"
        return True

    def give_back(self, run: str) -> bool:
        """Whether that run may say that the PBX has it not."""
        if run != self.run or self.state not in ("lent", "armed", "sealed"):
            return False
        if self.state == "lent":
            self.state, self.lease = "sealed" if self.lendings >= MOST_LENDINGS else "armed", Window(LEASE)
        return True


@dataclass
class Model:
    """The phone, or its absence."""

    time: Time
    given: dict[SecretKey, str]
    strict: bool = False
    window_starts: str = "arming"
    phone: dict[SecretKey, Grant] = field(default_factory=dict)
    pbx: Loan | None = None
    old: dict[SecretKey, set[str]] = field(default_factory=dict)
    """Passwords that hold no more."""
    newest: int = 0
    """The highest generation there has ever been."""

    def _armed(self, key: SecretKey, password: str | None, generation: int) -> Grant:
        window = Window(WINDOW)
        if key.secret_class in STARTS_AT_ARMING and self.window_starts == "arming":
            window.start(self.time)
        self.newest = max(self.newest, generation)
        return Grant(password, window, self.strict, generation)

    def add(self) -> None:
        """The phone is added to the site; counting goes on where it ended."""
        generation = self.newest + 1
        self.phone = {key: self._armed(key, password, generation) for key, password in self.given.items()}
        self.time.record()

    def remove(self) -> None:
        """The phone leaves the site."""
        self._retire(list(self.phone))
        self.phone, self.pbx = {}, None
        self.time.record()

    def arm(self, keys: list[SecretKey], new_password: bool) -> list[SecretKey]:
        """Arm these; which of them were armed."""
        wanted = [key for key in keys if new_password or not self.phone[key].waits(self.time)]
        if new_password:
            self._retire(wanted)
        for key in wanted:
            old = self.phone[key]
            self.phone[key] = self._armed(key, None if new_password else old.password, old.generation + 1)
            if new_password and key.secret_class is SecretClass.SIP:
                self.pbx = Loan()
        if wanted:
            self.time.record()
        return wanted

    def _retire(self, keys: list[SecretKey]) -> None:
        for key in keys:
            password = self.phone[key].password
            if password is not None and password != self.given[key]:
                self.old.setdefault(key, set()).add(password)

    def claim(self, keys: list[SecretKey], claimant: Claimant) -> list[SecretKey]:
        """Which of these the claimant gets."""
        answered = [key for key in keys if key in self.phone and self.phone[key].claim(claimant, self.time)]
        self.time.record()
        return answered

    def run_asks(self, what: str, run: str) -> bool:
        """Whether an Ansible run may claim, lend, confirm or return the SIP password."""
        if self.pbx is None:
            allowed = False
        elif what in ("claim", "lend"):
            allowed = self.pbx.claim(run, what == "lend", self.time)
        else:
            allowed = self.pbx.confirm(run) if what == "confirm" else self.pbx.give_back(run)
        self.time.record()  # a refusal is written down as well
        return allowed

    def tick(self) -> None:
        """The service writes the time down while a window runs, and closes what is surely over."""
        running = [grant.window for grant in self.phone.values() if grant.state in ("armed", "open")]
        running += [self.pbx.lease] if self.pbx is not None and self.pbx.state in ("open", "lent") else []
        if all(window.boots < 0 for window in running):
            return
        for grant in self.phone.values():
            if grant.state in ("armed", "open") and grant.window.boots >= 0 and grant.window.is_over(self.time):
                grant.state = {"armed": "expired", "open": "released"}[grant.state]
        self.time.record()

    def confirm(self) -> None:
        """The phone has come back with its credentials: nothing is repeated any more."""
        for grant in self.phone.values():
            if grant.state == "open":
                grant.state = "released"
        self.time.record()

    def revoke(self, keys: list[SecretKey]) -> None:
        """Withdraw these."""
        for key in keys:
            self.phone[key].state = "revoked"
        self.time.record()

    def learn(self, key: SecretKey, password: str) -> None:
        """A password was answered: it is the one that holds now, for the phone and for the PBX."""
        grant = self.phone[key]
        if grant.password is None:
            assert password not in self.old.get(key, set()) | {self.given[key]}, "an old password was released"
            grant.password = password
        assert grant.password == password, f"not the password of {key} that holds"

    def passwords(self) -> set[str]:
        """Every password anybody has ever been told."""
        now = {grant.password for grant in self.phone.values() if grant.password is not None}
        return now.union(self.given.values(), *self.old.values())
