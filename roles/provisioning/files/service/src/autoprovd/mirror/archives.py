# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file out of an archive that came from the network.

Only the one file that was asked for is ever written, under a name of ours, so no path in the archive leads anywhere;
and no more than its due, however well a bomb is packed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

_CHUNK = 1024 * 1024
_MOST_MEMBERS = 20_000


class ArchiveError(Exception):
    """Why the file cannot be taken out of the archive."""


def take_out(archive: Path, member: str, target: Path, most: int) -> tuple[str, int]:
    """Write that member to ``target``, on the disk for good; its SHA-256 and size. Raises ``ArchiveError``.

    ``most`` bounds the bytes of the member, and of all that has to be unpacked before it is found.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _from_zip(archive, member, target, most)
        return _from_tar(archive, member, target, most)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"the archive is damaged, or packed in a way nobody here knows: {error}") from None


def _from_zip(archive: Path, member: str, target: Path, most: int) -> tuple[str, int]:
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        if len(names) > _MOST_MEMBERS:
            raise ArchiveError(f"the archive has {len(names):,} members; {_MOST_MEMBERS:,} are enough")
        try:
            info = packed.getinfo(member)
        except KeyError:
            raise _absent(member, names) from None
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            raise ArchiveError(f"{member} is no file in the archive")
        if info.flag_bits & 1:
            raise ArchiveError(f"{member} is encrypted in the archive")
        if info.file_size > most:
            raise ArchiveError(f"{member} is larger ({info.file_size:,} bytes) than any file may be ({most:,})")
        with packed.open(info) as stream:
            return _write(stream, target, most, member)


def _from_tar(archive: Path, member: str, target: Path, most: int) -> tuple[str, int]:
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as packed:
        names: list[str] = []
        for info in packed:  # as a stream: a bomb is unpacked no further than it is read
            names.append(info.name)
            if len(names) > _MOST_MEMBERS or packed.offset > 2 * most:
                raise ArchiveError(f"{member} is not among what the first {packed.offset:,} bytes unpack to")
            if info.name.removeprefix("./") != member:
                continue
            stream = packed.extractfile(info) if info.isreg() else None
            if stream is None:
                raise ArchiveError(f"{member} is no file in the archive")
            return _write(stream, target, most, member)
    raise _absent(member, names)


def _write(stream: IO[bytes], target: Path, most: int, member: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise ArchiveError(f"{member} unpacks to more than any file may have ({most:,} bytes)")
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def _absent(member: str, names: list[str]) -> ArchiveError:
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return ArchiveError(f"there is no {member} in the archive; there is {shown or 'nothing'}")
