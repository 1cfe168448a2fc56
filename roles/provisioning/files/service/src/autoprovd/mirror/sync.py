# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a manifest to a mirror: what has to come, several files at a time, and a release of all that is good.

What fails does not stop the others, and never takes the place of what is there: a file that cannot be had leaves its
predecessor in the release.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from autoprovd.faults import Refused
from autoprovd.mirror.archives import ArchiveError, take_out
from autoprovd.mirror.fetch import FetchError, Limits, Wanted, fetch, head
from autoprovd.mirror.manifest import Entry, Manifest
from autoprovd.mirror.signing import SignatureFault, check
from autoprovd.mirror.store import MirrorStore, Stored


@dataclass(frozen=True, slots=True)
class Settings:
    """How a mirror is brought up to date."""

    workers: int = 4
    keep: int = 3
    """Releases that are kept, the served one among them."""
    allow_downgrade: bool = False
    """Take a manifest with a lower serial than the one before."""
    trusted_keys: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file of the mirror: for a person, and for the diff."""

    path: str
    action: str
    """``fetch``, ``present``, ``kept`` (its successor failed), ``removed``."""
    size: int | None
    entry: dict[str, Any]
    instead_of: str | None = None
    """The version that was there in its place."""


@dataclass(slots=True)
class Outcome:
    """What a run found and did."""

    changed: bool = False
    release: int | None = None
    changes: list[Change] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by the file's path."""
    alarms: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fetched_bytes: int = 0
    bytes_to_fetch: int = 0
    """As far as anybody tells: the manifest, or in a dry run the server."""
    foreseen: list[Stored] = field(default_factory=list)
    """Of a dry run: the release there would be."""


class Listener:
    """Who wants to know how far it is. Called from several threads."""

    def begins(self, path: str, size: int | None) -> None:
        """A file is asked for."""

    def grows(self, path: str, there: int, size: int | None) -> None:
        """So many bytes of it are there."""

    def ends(self, path: str, size: int, failed: str | None) -> None:
        """It is there, or it is not, and why."""


def sync(
    store: MirrorStore,
    manifest: Manifest,
    settings: Settings,
    *,
    dry_run: bool = False,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    today: Callable[[], date] = date.today,
) -> Outcome:
    """Make the mirror what the manifest says. Raises ``Refused`` when nothing can be done at all."""
    with store.locked():
        return _Run(store, manifest, settings, listener or Listener(), stop or threading.Event()).run(dry_run, today())


@dataclass(slots=True)
class _Task:
    entry: Entry
    sha256: str | None
    """Of the file in the mirror, if it is here."""
    pinned: str | None = None
    """The hash of what the address gave the first time."""
    size: int | None = None
    """Of what the address gives, where it is known."""

    @property
    def download_sha256(self) -> str | None:
        return self.entry.sha256 or self.pinned


class _Run:
    def __init__(
        self, store: MirrorStore, manifest: Manifest, settings: Settings, listener: Listener, stop: threading.Event
    ) -> None:
        self._store, self._manifest, self._settings = store, manifest, settings
        self._listener, self._stop = listener, stop
        self._before = store.current()
        self._pins = store.pins()
        self._new_pins: dict[str, str] = {}
        self._outcome = Outcome(release=self._before.number if self._before else None)

    def run(self, dry_run: bool, today: date) -> Outcome:
        self._refuse_older()
        if self._manifest.expires is not None and self._manifest.expires <= today:
            self._outcome.warnings.append(
                f"the manifest expired on {self._manifest.expires}; get the newer one, which somebody may keep from you"
            )
        tasks = [self._task(entry) for entry in self._manifest.files]
        missing = [task for task in tasks if task.sha256 is None]
        if dry_run:
            self._ask_sizes([task for task in missing if task.size is None])
        self._outcome.bytes_to_fetch = sum(task.size or 0 for task in missing)
        if dry_run:
            self._tell_changes(tasks, [])
            self._outcome.foreseen = [self._stored(task) or _expected(task) for task in tasks]
            self._outcome.changed = bool(missing) or self._differs(self._outcome.foreseen)
            return self._outcome
        self._store.refuse_full_disk(self._outcome.bytes_to_fetch, "are to be fetched")
        self._look_at_pinned([task for task in tasks if task.pinned is not None and task.sha256 is not None])
        self._fetch(missing)
        if self._new_pins:
            self._store.pin(self._new_pins)
        self._publish(tasks)
        return self._outcome

    def _refuse_older(self) -> None:
        if self._before and self._manifest.serial < self._before.serial and not self._settings.allow_downgrade:
            raise Refused(
                "conflict",
                f"the manifest has serial {self._manifest.serial}, the mirror was made from {self._before.serial}; "
                "an old list would bring back old faults. Take the newer one, or allow the downgrade",
            )

    # -- what is here already -----------------------------------------------------------------------------------------

    def _task(self, entry: Entry) -> _Task:
        pinned = self._pins.get(entry.url) if entry.pin and entry.sha256 is None else None
        task = _Task(entry, None, pinned, entry.size)
        known = task.download_sha256 if entry.member is None else self._taken_out(entry)
        if known is None and entry.signature is not None:
            known = self._taken_out(entry)
        if known is not None:
            size = self._store.size_of(known)
            if size is not None and (entry.size in (None, size) or entry.member is not None):
                task.sha256 = known
        return task

    def _taken_out(self, entry: Entry) -> str | None:
        """The hash of what a kept release has for an entry whose own hash says nothing of the file in the mirror."""
        source = (entry.url, entry.sha256, entry.signature, entry.member)
        for number in reversed(self._store.numbers()):
            for stored in self._store.release(number).files:
                then = stored.entry
                if (then["url"], then["sha256"], then["signature"], then["member"]) == source:
                    return stored.sha256
        return None

    def _ask_sizes(self, tasks: Sequence[_Task]) -> None:
        def ask(task: _Task) -> None:
            with suppress(FetchError):  # it is told when it is to be fetched
                task.size = head(self._wanted(task), self._settings.limits)[0]

        with ThreadPoolExecutor(self._settings.workers) as pool:
            list(pool.map(ask, tasks))

    def _look_at_pinned(self, tasks: Sequence[_Task]) -> None:
        """Say so when what was pinned at first sight is another file by now. The pinned one stays."""

        def differs(task: _Task) -> str | None:
            try:
                size, _etag = head(self._wanted(task), self._settings.limits)
            except FetchError as error:
                self._outcome.warnings.append(f"{task.entry.path}: nobody knows whether it has changed: {error.reason}")
                return None
            here = self._store.size_of(task.pinned or "") if task.entry.member is None else None
            if size is not None and here is not None and size != here:
                return f"the address has {size:,} bytes now, pinned is a file of {here:,}"
            return None

        with ThreadPoolExecutor(self._settings.workers) as pool:
            for task, what in zip(tasks, pool.map(differs, tasks), strict=True):
                if what is not None:
                    self._alarm(task.entry, what)

    def _alarm(self, entry: Entry, what: str) -> None:
        self._outcome.alarms.append(
            f"{entry.path}: {what}. If its maker has replaced it, write the new SHA-256 into the manifest; "
            "the file here stays as it is"
        )

    # -- what has to come ---------------------------------------------------------------------------------------------

    def _wanted(self, task: _Task) -> Wanted:
        entry = task.entry
        return Wanted(entry.url, entry.size, task.download_sha256, entry.insecure, entry.signature is not None)

    def _fetch(self, tasks: Sequence[_Task]) -> None:
        largest_first = sorted(tasks, key=lambda task: -(task.entry.size or 0))
        by_address: dict[tuple[str, str | None], list[_Task]] = {}
        for task in largest_first:  # an archive with several files comes once
            by_address.setdefault((task.entry.url, task.entry.sha256), []).append(task)
        with ThreadPoolExecutor(self._settings.workers) as pool:
            pending = [pool.submit(self._fetch_one, group) for group in by_address.values()]
            try:
                for done in as_completed(pending):
                    done.result()
            except BaseException:
                self._stop.set()
                for future in pending:
                    future.cancel()
                raise

    def _fetch_one(self, tasks: Sequence[_Task]) -> None:
        """Bring what one address gives, and take out of it what the tasks want. What fails is noted."""
        first = tasks[0]
        path, size = first.entry.path, first.entry.size
        part = self._store.parts / hashlib.sha256(first.entry.url.encode()).hexdigest()[:32]
        self._listener.begins(path, size)
        try:
            got = fetch(
                self._wanted(first),
                part,
                self._settings.limits,
                lambda there, of: self._listener.grows(path, there, of),
                self._stop,
            )
            self._outcome.fetched_bytes += got.fetched
            if first.entry.signature is not None:
                check(first.entry.signature, got.signed_digest or b"", self._settings.trusted_keys)
            if first.entry.pin and first.pinned is None and first.entry.sha256 is None:
                self._new_pins[first.entry.url] = got.sha256
            for task in tasks:
                self._keep(task, part, got.sha256)
            part.unlink(missing_ok=True)
            self._listener.ends(path, got.size, None)
        except (FetchError, ArchiveError, SignatureFault, OSError) as error:
            if isinstance(error, SignatureFault | ArchiveError):
                part.unlink(missing_ok=True)
            reason = str(error)
            if isinstance(error, OSError):
                reason = f"{self._store.folder} cannot be written: {error.strerror}"
            for task in tasks:
                if task.sha256 is None:
                    self._outcome.failed[task.entry.path] = reason
            if first.pinned is not None and "SHA-256" in reason:
                self._alarm(first.entry, "what comes now is not what was pinned")
            self._listener.ends(path, 0, reason)

    def _keep(self, task: _Task, part: Path, sha256: str) -> None:
        if task.entry.member is None:
            self._store.adopt(part, sha256)
            task.sha256 = sha256
            return
        name = hashlib.sha256(f"{task.entry.url}\n{task.entry.member}".encode()).hexdigest()[:32]
        taken = self._store.parts / f"{name}.member"
        try:
            task.sha256, _size = take_out(part, task.entry.member, taken, self._settings.limits.most_bytes)
            self._store.adopt(taken, task.sha256)
        finally:
            taken.unlink(missing_ok=True)

    # -- the release --------------------------------------------------------------------------------------------------

    def _stored(self, task: _Task) -> Stored | None:
        if task.sha256 is None:
            return None
        size = self._store.size_of(task.sha256)
        return None if size is None else Stored(task.entry.path, task.sha256, size, task.entry.model_dump(mode="json"))

    def _publish(self, tasks: Sequence[_Task]) -> None:
        files = [stored for task in tasks if (stored := self._stored(task))]
        kept = list(self._predecessors([task.entry for task in tasks if task.sha256 is None], files))
        self._tell_changes(tasks, kept)
        files = sorted([*files, *kept], key=lambda stored: stored.path)
        if self._differs(files):
            release = self._store.publish(self._manifest.serial, files)
            self._outcome.changed, self._outcome.release = True, release.number
        self._store.prune(self._settings.keep)

    def _predecessors(self, failed: Iterable[Entry], files: Sequence[Stored]) -> Iterator[Stored]:
        taken = {stored.path for stored in files}
        slots = {entry.slot for entry in failed}
        for stored in self._before.files if self._before else ():
            if stored.path not in taken and Entry.model_construct(**_words(stored)).slot in slots:
                yield stored

    def _differs(self, files: Sequence[Stored]) -> bool:
        if self._before is None:
            return True
        same = sorted(self._before.files, key=lambda s: s.path) == sorted(files, key=lambda s: s.path)
        return not same or self._before.serial != self._manifest.serial

    def _tell_changes(self, tasks: Sequence[_Task], kept: Sequence[Stored]) -> None:
        before = self._before.files if self._before else ()
        versions = {Entry.model_construct(**_words(stored)).slot: stored for stored in before}
        paths = {stored.path for stored in before}
        changes = self._outcome.changes
        wanted = set()
        for task in tasks:
            entry = task.entry
            wanted.add(entry.path)
            was = versions.get(entry.slot)
            instead = was.entry["version"] if was and was.entry["version"] != entry.version else None
            action = (
                "present" if entry.path in paths else "fetch" if entry.path not in self._outcome.failed else "failed"
            )
            changes.append(Change(entry.path, action, task.size, entry.model_dump(mode="json"), instead))
        changes += [Change(stored.path, "kept", stored.size, stored.entry) for stored in kept]
        left = wanted | {stored.path for stored in kept}
        changes += [Change(s.path, "removed", s.size, s.entry) for s in before if s.path not in left]


def _expected(task: _Task) -> Stored:
    entry = task.entry
    sha256 = (entry.sha256 if entry.member is None else None) or "is told by what comes"
    return Stored(entry.path, sha256, task.size or 0, entry.model_dump(mode="json"))


def _words(stored: Stored) -> dict[str, Any]:
    return {**stored.entry, "models": tuple(stored.entry["models"]), "revisions": tuple(stored.entry["revisions"])}
