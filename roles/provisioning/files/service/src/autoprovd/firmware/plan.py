# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as a person writes it: which version, for which phones, in which order, and when."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from autoprovd.faults import Fault
from autoprovd.model import Mac, faults_of
from autoprovd.vendors import VENDORS, model_fault

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _version(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{value!r} is a number; put it in quotes, or 10.10 becomes 10.1")
    return value


def _rings(percents: tuple[int, ...]) -> tuple[int, ...]:
    if list(percents) != sorted(set(percents)) or not percents or percents[-1] != 100:
        raise ValueError("grow from ring to ring, in percent of the phones, and the last one is 100")
    return percents


def _clock(value: object) -> object:
    if isinstance(value, time):
        return value
    found = (
        re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", value) if isinstance(value, str) else None
    )
    if found is None:
        # YAML reads 22:00 without quotes as 22 times 60, and Ansible hands it on as "1320".
        raise ValueError(
            f"{value!r} is not a time of day; write it in quotes, such as '22:00', in the site's time zone"
        )
    return time(int(found[1]), int(found[2]), int(found[3] or 0))


Clock = Annotated[time, BeforeValidator(_clock)]


class Window(BaseModel):
    """When phones may start with an update, in the site's time zone. One that ends before it starts spans midnight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Clock
    end: Clock
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = _DAYS
    """The days on which it starts."""

    @model_validator(mode="after")
    def _is_one(self) -> Window:
        if self.start == self.end:
            raise ValueError("start and end are the same; leave the window out for all day")
        return self

    def is_open(self, at: float, zone: str) -> bool:
        """Whether an update may start then: seconds since 1970."""
        now = datetime.fromtimestamp(at, ZoneInfo(zone))
        clock, today = now.time(), _DAYS[now.weekday()]
        if self.start < self.end:
            return self.start <= clock < self.end and today in self.days
        yesterday = _DAYS[(now - timedelta(days=1)).weekday()]
        return (clock >= self.start and today in self.days) or (clock < self.end and yesterday in self.days)

    def __str__(self) -> str:
        days = "" if self.days == _DAYS else f", {' '.join(self.days)}"
        return f"{self.start:%H:%M} to {self.end:%H:%M}{days}"


class Rollout(BaseModel):
    """A version on its way to the phones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]
    vendor: Literal["snom", "yealink", "gigaset"]
    version: Annotated[str, BeforeValidator(_version), Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._+-]{0,63}$")]
    models: tuple[str, ...] = ()
    """All for which the mirror has that version when there is none."""
    canaries: tuple[Mac, ...] = ()
    """The phones that go first; nobody else before all of them are back."""
    rings: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], AfterValidator(_rings)] = (5, 25, 100)
    """How much of the phones each ring reaches, in percent. A phone's place is always the same."""
    ring_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 24
    """How long a ring is watched before the next begins."""
    window: Window | None = None
    pause_seconds: Annotated[float, Field(ge=0, le=86400)] = 30
    """From one phone's offer to the next."""
    back_within_minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] = 60
    """A phone that has the new version's address and does not come back with that version by then is lost."""
    stop_after: Annotated[int, Field(ge=1)] = 2
    """So many lost phones stop the rollout."""
    allow_downgrade: bool = False
    """Offer the version to phones with a newer one as well."""

    @property
    def key(self) -> tuple[int, ...]:
        """The version, comparable with others of the vendor."""
        return VENDORS[self.vendor].version_key(self.version)

    def covers(self, vendor: str, model: str) -> bool:
        """Whether it is about phones of that model."""
        return vendor == self.vendor and (not self.models or model.lower() in {name.lower() for name in self.models})

    def ring_of(self, mac: str) -> int:
        """0 for a canary; else the number of the phone's ring, from 1."""
        if mac in self.canaries:
            return 0
        place = place_of(mac)
        return next(number for number, percent in enumerate(self.rings, 1) if place < percent)

    def ring_after(self, before: Rollout, ring: int) -> int:
        """Where the rollout stands that stood in that ring before it was edited: nobody more has been reached."""
        if set(self.canaries) - set(before.canaries):
            return 0
        reached = before.rings[ring - 1] if ring else 0
        return sum(percent <= reached for percent in self.rings)

    def ring_name(self, ring: int) -> str:
        """A ring as a person calls it."""
        return "the canaries" if ring == 0 else f"ring {ring} ({self.rings[ring - 1]} %)"


def place_of(mac: str) -> float:
    """A phone's place among all, from 0 to below 100: spread evenly, and the same in every rollout."""
    return int.from_bytes(hashlib.sha256(mac.encode()).digest()[:4]) * 100 / 2**32


def take_rollouts(raw: Sequence[Any]) -> tuple[list[Rollout], list[Fault]]:
    """The rollouts a person wrote, and everything that is wrong with them."""
    taken: list[Rollout] = []
    faults: list[Fault] = []
    for index, item in enumerate(raw):
        where = f"rollouts[{index}]"
        try:
            rollout = Rollout.model_validate(item)
        except ValidationError as error:
            faults += [fault.inside(where) for fault in faults_of(error)]
            continue
        faults += [fault.inside(where) for fault in _faults(rollout, taken)]
        taken.append(rollout)
    return taken, faults


def _faults(rollout: Rollout, before: Sequence[Rollout]) -> Iterator[Fault]:
    vendor = VENDORS[rollout.vendor]
    for place, name in enumerate(rollout.models):
        if vendor.model(name) is None:
            yield replace(model_fault(rollout.vendor, name), where=f"models[{place}]")
    if not re.search("[0-9]", rollout.version):
        yield Fault("version", f"{rollout.version!r} has no number in it", "write it as the phone shows it")
    for other in before:
        if other.name == rollout.name:
            yield Fault("name", f"{rollout.name} is given twice", "give each rollout a name of its own")
        elif overlap := _overlap(rollout, other):
            what = f"{rollout.name} and {other.name} are both for {overlap}; a phone cannot follow two"
            yield Fault("models", what, "name the models of each, or keep one of them")


def _overlap(one: Rollout, other: Rollout) -> str:
    if one.vendor != other.vendor:
        return ""
    if not one.models or not other.models:
        return f"{one.vendor} {', '.join(one.models or other.models)}".strip() or one.vendor
    common = {name.lower() for name in one.models} & {name.lower() for name in other.models}
    return f"{one.vendor} {', '.join(name for name in one.models if name.lower() in common)}" if common else ""
