# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a mirror keeps its files: by their SHA-256, and in releases that change places in one step.

::

    objects/ab/cdef…            the files, named by their SHA-256; never changed once they are there
    releases/0000012/           a release: release.json, and files/vendor/version/name as hard links to the objects;
                                files/manifest.json, from which other mirrors can be made
    current -> releases/0000012 what phones are served; a rename puts another release there
    parts/                      what is on its way
    pins.json                   the hash of what came first, for files whose maker tells none

Readers follow ``current`` and see the old release or the new one. A process that dies leaves at most something in
``parts`` or an unfinished release, which the next run goes on with or removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from autoprovd.faults import Refused
from autoprovd.mirror.manifest import Entry

MANIFEST = "manifest.json"
"""In each release, beside the vendors' folders."""
_SPARE_BYTES = 64 * 1024**2
"""What is left free on the disk."""
_PATH = re.compile(r"[a-z0-9]+/[0-9A-Za-z][0-9A-Za-z._+-]{0,63}/[0-9A-Za-z][0-9A-Za-z._+() -]{0,199}")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a release: what the manifest says of it, and what it is."""

    path: str
    """``vendor/version/name`` below ``files`` of the release."""
    sha256: str
    """Of the file itself; this names its object."""
    size: int
    entry: dict[str, Any]
    """The manifest's words for it, as they were taken."""

    @staticmethod
    def read(raw: Any) -> Stored:
        """One from JSON, whose path and hash lead nowhere else. Raises ``ValueError`` and ``TypeError``."""
        stored = Stored(**raw)
        if not (_PATH.fullmatch(stored.path) and _SHA256.fullmatch(stored.sha256) and stored.size > 0):
            raise ValueError(f"{stored.path!r} is no file of a mirror")
        unsaid = {name: field.default for name, field in Entry.model_fields.items() if not field.is_required()}
        return replace(stored, entry={**unsaid, "models": [], "revisions": [], **stored.entry})


@dataclass(frozen=True, slots=True)
class Release:
    """A state of the mirror that phones were, are or can be served."""

    number: int
    serial: int
    """Of the manifest it was made from."""
    files: tuple[Stored, ...]

    def by_path(self) -> dict[str, Stored]:
        """Its files by their paths."""
        return {stored.path: stored for stored in self.files}


class MirrorStore:
    """The folder of a mirror. All that writes holds :meth:`locked`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = folder / "objects"
        self.parts = folder / "parts"
        self._releases = folder / "releases"
        self._current = folder / "current"
        self._pins = folder / "pins.json"

    # -- one writer ---------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folders, and keep every other writer out. Raises ``Refused`` when one is at work."""
        try:
            for folder in (self.objects, self.parts, self._releases):
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise Refused("unavailable", f"the mirror {self.folder} cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    "conflict", f"another run works on the mirror {self.folder}; wait for it, and try again"
                ) from None
            try:
                self._sweep()
                yield
            except OSError as error:
                with suppress(OSError):
                    self._sweep()
                raise Refused(
                    "unavailable",
                    f"the mirror {self.folder} cannot be written: {error.strerror or error}. What phones are served is "
                    "as it was; see to it, and run it again",
                ) from None
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what a run that died has left half made; parts stay, they are gone on with."""
        for left in self._releases.glob(".new-*"):
            shutil.rmtree(left)
        for left in self.folder.glob(".new-*"):
            left.unlink()

    # -- objects ------------------------------------------------------------------------------------------------------

    def object(self, sha256: str) -> Path:
        """Where the file with that hash is, or would be."""
        return self.objects / sha256[:2] / sha256[2:]

    def size_of(self, sha256: str) -> int | None:
        """The size of the file with that hash; None when it is not here."""
        try:
            return self.object(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def adopt(self, file: Path, sha256: str) -> None:
        """Make a finished file, which is on the disk for good, the object of that hash."""
        target = self.object(sha256)
        target.parent.mkdir(exist_ok=True)
        file.chmod(0o444)
        file.replace(target)
        _sync_folder(target.parent)

    def refuse_full_disk(self, count: int, what: str) -> None:
        """Raise ``Refused`` unless there is room for so many bytes more."""
        existing = next(folder for folder in (self.folder, *self.folder.absolute().parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        if count + _SPARE_BYTES > free:
            raise Refused(
                "unavailable",
                f"{count / 1e6:,.0f} MB {what} and {free / 1e6:,.0f} MB are free in {self.folder}; "
                "make room, or keep fewer releases",
            )

    # -- releases -----------------------------------------------------------------------------------------------------

    def numbers(self) -> list[int]:
        """The releases that are kept, oldest first."""
        try:
            return sorted(int(entry.name) for entry in self._releases.iterdir() if entry.name.isdecimal())
        except FileNotFoundError:
            return []

    def current(self) -> Release | None:
        """What phones are served; None when nothing was ever published."""
        number = self.current_number()
        return None if number is None else self.release(number)

    def current_number(self) -> int | None:
        """The release phones are served, which may be damaged; None when nothing was ever published."""
        try:
            return int(self._current.readlink().name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise Refused(
                "unavailable", f"{self._current} is no link to a release; go back to one: autoprov firmware rollback"
            ) from None

    def served(self) -> Release:
        """What phones are served; ``Refused`` when nothing was ever published."""
        release = self.current()
        if release is None:
            raise Refused("not_found", f"the mirror {self.folder} holds nothing yet; fill it: autoprov firmware sync")
        return release

    def release(self, number: int) -> Release:
        """A release that is kept. Raises ``Refused`` when there is none of that number, or it cannot be read."""
        file = self._releases / f"{number:07d}" / "release.json"
        try:
            content = json.loads(file.read_bytes())
            return Release(number, int(content["serial"]), tuple(Stored.read(raw) for raw in content["files"]))
        except FileNotFoundError:
            kept = ", ".join(map(str, self.numbers())) or "none"
            raise Refused("not_found", f"there is no release {number}; kept are {kept}") from None
        except OSError as error:
            raise Refused("unavailable", f"{file} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(
                "unavailable", f"{file} is damaged: {error}; go back to another release: autoprov firmware rollback"
            ) from None

    def publish(self, serial: int, files: Sequence[Stored]) -> Release:
        """Make a release of files whose objects are here, and let phones see it, all at once."""
        number = max(self.numbers(), default=0) + 1
        new = self._releases / f".new-{number:07d}"
        for stored in files:
            link = new / "files" / stored.path
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.object(stored.sha256), link)
        (new / "files").mkdir(parents=True, exist_ok=True)
        _write_durably(new / "files" / MANIFEST, manifest_of(serial, files))
        content = {"serial": serial, "files": [asdict(stored) for stored in files]}
        _write_durably(new / "release.json", content)
        for folder in {new, *(path for path in new.rglob("*") if path.is_dir())}:
            _sync_folder(folder)
        new.rename(self._releases / f"{number:07d}")
        _sync_folder(self._releases)
        self.serve(number)
        return Release(number, serial, tuple(files))

    def serve(self, number: int) -> None:
        """Let phones see that release from now on."""
        new = self.folder / f".new-current-{os.getpid()}"
        new.symlink_to(f"releases/{number:07d}")
        new.replace(self._current)
        _sync_folder(self.folder)

    def prune(self, keep: int) -> list[str]:
        """Forget all but the newest ``keep`` releases and the one that is served, and the files nobody needs any more.

        The hashes of the files that are gone.
        """
        current = self.current()
        numbers = self.numbers()
        kept = set(numbers[max(len(numbers) - keep, 0) :]) | ({current.number} if current else set())
        for number in numbers:
            if number not in kept:
                shutil.rmtree(self._releases / f"{number:07d}")
        needed = {stored.sha256 for number in kept for stored in self._files_of(number)}
        gone = []
        for path in self.objects.glob("*/*"):
            sha256 = path.parent.name + path.name
            if sha256 not in needed:
                path.unlink()
                gone.append(sha256)
        return gone

    def _files_of(self, number: int) -> Iterator[Stored]:
        """The files of a kept release; one that nobody can read any more is forgotten, unless phones are served it."""
        try:
            yield from self.release(number).files
        except Refused:
            if number == self.current_number():
                raise
            shutil.rmtree(self._releases / f"{number:07d}")

    # -- what is what -------------------------------------------------------------------------------------------------

    def pins(self) -> dict[str, str]:
        """The SHA-256 of what came first, by address."""
        try:
            content = json.loads(self._pins.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise Refused(
                "unavailable",
                f"{self._pins} is damaged, and with it what is known of files without a hash; restore it from a backup",
            ) from None
        return dict(content)

    def pin(self, pins: Mapping[str, str]) -> None:
        """Remember hashes, for good."""
        _write_durably(self._pins, {**self.pins(), **pins})

    def damaged(self) -> Iterator[Stored]:
        """The files of the served release that are not what they were, or not there. Reads every byte."""
        current = self.current()
        for stored in current.files if current else ():
            try:
                with self.object(stored.sha256).open("rb") as stream:
                    if hashlib.file_digest(stream, "sha256").hexdigest() == stored.sha256:
                        continue
            except OSError:
                pass
            yield stored


def manifest_of(serial: int, files: Iterable[Stored]) -> dict[str, Any]:
    """A manifest from which another mirror gets these files from this one; addresses are relative to its own."""
    entries = []
    for stored in files:
        entry = {name: value for name, value in stored.entry.items() if value not in (None, [], False)}
        for of_the_source in ("member", "signature", "pin", "insecure"):
            entry.pop(of_the_source, None)
        name = PurePosixPath(stored.path).name
        entries.append(entry | {"url": quote(stored.path), "name": name, "size": stored.size, "sha256": stored.sha256})
    return {"serial": serial, "files": entries}


def _write_durably(file: Path, content: object) -> None:
    new = file.with_name(f".new-{file.name}")
    with new.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1, ensure_ascii=False)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
