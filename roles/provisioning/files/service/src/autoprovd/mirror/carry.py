# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of a mirror as one file, for sites without internet: on a disk, or sent by the controller.

The file is a tar archive: ``release.json``, then ``objects/<SHA-256>`` for each file of the release. Whoever imports it
believes none of it: only what the list names is taken, and every byte is hashed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import IO

from pydantic import ValidationError

from autoprovd.faults import Fault, Refused
from autoprovd.mirror.manifest import MOST_BYTES, Entry
from autoprovd.mirror.store import MirrorStore, Release, Stored
from autoprovd.model import faults_of

_LIST = "release.json"
_MOST_LIST_BYTES = 32 * 1024**2
_CHUNK = 1024**2


def export(store: MirrorStore, stream: IO[bytes]) -> Release:
    """Write what phones are served now, on the disk for good. Raises ``Refused`` and ``OSError``."""
    release = store.served()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        content = {"serial": release.serial, "files": [asdict(stored) for stored in release.files]}
        _add(archive, _LIST, json.dumps(content, ensure_ascii=False).encode())
        for sha256, size in sorted({stored.sha256: stored.size for stored in release.files}.items()):
            info = tarfile.TarInfo(f"objects/{sha256}")
            info.size = size
            with _opened(store, sha256) as source:
                archive.addfile(info, source)
    stream.flush()
    os.fsync(stream.fileno())
    return release


def carry_in(
    store: MirrorStore, stream: IO[bytes], *, allow_downgrade: bool = False, keep: int = 3, dry_run: bool = False
) -> tuple[bool, Release]:
    """Make the release in an exported file the one phones are served; whether anything changes, and the release.

    What is here already is not written again. Raises ``Refused``, and leaves what is served as it was.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            serial, files = _read_list(archive)
            before = store.current()
            _refuse_older(before, serial, allow_downgrade)
            if before and before.serial == serial and sorted(before.files, key=_path) == sorted(files, key=_path):
                return False, before
            missing = {stored.sha256: stored.size for stored in files if store.size_of(stored.sha256) is None}
            store.refuse_full_disk(sum(missing.values()), "are to be imported")
            if dry_run:
                return True, Release(max(store.numbers(), default=0) + 1, serial, tuple(files))
            with store.locked():
                _adopt_missing(store, archive, files, missing)
                release = store.publish(serial, files)
                store.prune(keep)
                return True, release
    except (tarfile.TarError, OverflowError) as error:
        raise Refused("invalid", f"the file is damaged, or no exported mirror: {error}; export it again") from None
    except OSError as error:
        raise Refused("unavailable", f"the exported file cannot be read: {error.strerror}") from None


def _refuse_older(before: Release | None, serial: int, allow_downgrade: bool) -> None:
    if before and serial < before.serial and not allow_downgrade:
        raise Refused(
            "conflict",
            f"the exported mirror has serial {serial}, the one here {before.serial}; "
            "an old list would bring back old faults. Export a newer one, or allow the downgrade",
        )


def _adopt_missing(
    store: MirrorStore, archive: tarfile.TarFile, files: Sequence[Stored], wanted: dict[str, int]
) -> None:
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile remembers every member; a file of a stranger may have any number of them
        sha256 = info.name.removeprefix("objects/")
        if sha256 in wanted:
            # A sparse file would be as large as it likes, out of nothing.
            stream = archive.extractfile(info) if info.isreg() and not info.issparse() else None
            if stream is None or info.size != wanted[sha256]:
                raise Refused("invalid", f"{info.name} is not the file the list means; export the mirror again")
            _adopt(store, stream, sha256)
            del wanted[sha256]
    if wanted:
        missing = ", ".join(sorted(stored.path for stored in files if stored.sha256 in wanted)[:10])
        raise Refused("invalid", f"the file ends before {missing}; copy it again")


def _read_list(archive: tarfile.TarFile) -> tuple[int, list[Stored]]:
    first = archive.next()
    stream = archive.extractfile(first) if first is not None and first.isreg() else None
    if first is None or stream is None or first.name != _LIST or first.size > _MOST_LIST_BYTES:
        raise Refused("invalid", "this is no exported mirror: it does not begin with its list; export it again")
    faults: list[Fault] = []
    files: list[Stored] = []
    taken: set[str] = set()
    try:
        content = json.loads(stream.read())
        serial = int(content["serial"])
        for index, raw in enumerate(content["files"]):
            stored = Stored.read(raw)
            try:
                entry = Entry.model_validate(stored.entry)
            except ValidationError as error:
                faults += (fault.inside(f"files[{index}]") for fault in faults_of(error))
                continue
            if entry.path != stored.path or not 0 < stored.size <= MOST_BYTES:
                faults.append(Fault(f"files[{index}]", "does not fit its own description"))
            if stored.path in taken:
                faults.append(Fault(f"files[{index}]", f"{stored.path} stands in the list twice"))
            taken.add(stored.path)
            files.append(replace(stored, entry=entry.model_dump(mode="json")))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Refused("invalid", f"the list of the exported mirror is damaged: {error}; export it again") from None
    if faults:
        raise Refused("invalid", "the list of the exported mirror has faults; export it again", faults)
    return serial, files


def _adopt(store: MirrorStore, stream: IO[bytes], sha256: str) -> None:
    part = store.parts / f"{sha256}.carried"
    digest = hashlib.sha256()
    try:
        with part.open("wb") as file:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise Refused("invalid", f"objects/{sha256} is damaged; copy the file again")
        store.adopt(part, sha256)
    finally:
        part.unlink(missing_ok=True)


def _opened(store: MirrorStore, sha256: str) -> IO[bytes]:
    try:
        return store.object(sha256).open("rb")
    except OSError as error:
        raise Refused(
            "unavailable",
            f"{store.object(sha256)} cannot be read: {error.strerror}; see what autoprov firmware verify says",
        ) from None


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _path(stored: Stored) -> str:
    return stored.path
