# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets at rest: AES-256-GCM under keys derived from sealing keys, and the file these stand in.

What is sealed is bound to its place: a row copied onto another account, another secret class or an older version of
the secret does not open. The sealing keys never leave the keyring; ``keys.py`` exchanges them.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from autoprovd.faults import Refused
from autoprovd.model import SecretKey

KEY_BYTES = 32
"""The length of every key here."""
_NONCE_BYTES = 12
CREDENTIAL_NAME = "autoprov-sealing-key"
"""The name under which systemd hands over the sealing keys."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as the database keeps it."""

    key_id: str
    box: bytes
    """Nonce, ciphertext and tag."""


class _Ring(NamedTuple):
    """Sealing keys as they are used, newest first."""

    boxes: dict[str, AESGCM]
    newest: str
    audit_keys: list[bytes]
    fingerprint_keys: list[bytes]


class Keyring:
    """Seals and opens with the newest key; opens with any key it was given.

    The audit log and the fingerprints have keys of their own, which outlive every sealing key: see
    :class:`autoprovd.keys.Keys`. Until those are adopted, they are derived from the newest sealing key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ring = _ring(keys)
        self.audit_key = self._ring.audit_keys[0]
        self._fingerprint_key = self._ring.fingerprint_keys[0]
        self.on_missing: Callable[[], None] | None = None
        """Called before a secret is refused because its key is not held; it may :meth:`replace` the keys."""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys held, newest first."""
        return tuple(self._ring.boxes)

    def replace(self, keys: Sequence[bytes]) -> None:
        """Hold these sealing keys instead, newest first. Requests are served meanwhile."""
        self._ring = _ring(keys)  # one assignment: nobody sees a half of it

    def adopt(self, audit_key: bytes, fingerprint_key: bytes) -> None:
        """Use these keys for the audit log and the fingerprints."""
        self.audit_key, self._fingerprint_key = audit_key, fingerprint_key

    def derived(self) -> list[tuple[bytes, bytes]]:
        """The keys for the audit log and the fingerprints that follow from each sealing key, newest first."""
        ring = self._ring
        return list(zip(ring.audit_keys, ring.fingerprint_keys, strict=True))

    def seal(self, secret: str, place: str) -> Sealed:
        """Seal a secret to its place (such as ``<mac>/1/sip/3``)."""
        ring = self._ring
        nonce = os.urandom(_NONCE_BYTES)
        box = ring.boxes[ring.newest].encrypt(nonce, secret.encode(), _bound(place, ring.newest))
        return Sealed(ring.newest, nonce + box)

    def open(self, sealed: Sealed, place: str) -> str:
        """The secret, if it was sealed for this place with a key of this ring; else ``Refused``."""
        if not sealed.box:
            raise Refused(
                "unavailable", f"the secret of {place} was destroyed after its release; give it a new password"
            )
        box = self._ring.boxes.get(sealed.key_id)
        if box is None and self.on_missing is not None:
            self.on_missing()
            box = self._ring.boxes.get(sealed.key_id)
        if box is None:
            raise Refused(
                "unavailable",
                f"a secret of {place} is sealed with key {sealed.key_id}, which this service does not hold; "
                "add that key to the sealing key file",
            )
        nonce, ciphertext = sealed.box[:_NONCE_BYTES], sealed.box[_NONCE_BYTES:]
        try:
            return box.decrypt(nonce, ciphertext, _bound(place, sealed.key_id)).decode()
        except InvalidTag:
            raise Refused(
                "unavailable",
                f"the sealed secret of {place} does not open: it was altered or moved from another place; "
                "give the phone a new password",
            ) from None

    def has(self, key_id: str) -> bool:
        """Whether what is sealed with that key can be opened."""
        return key_id in self._ring.boxes

    def fingerprint(self, secret: str) -> str:
        """A keyed digest by which equal secrets are known without being shown: 16 hexadecimal digits."""
        return hmac.digest(self._fingerprint_key, secret.encode(), "sha256").hex()[:16]


def key_id(key: bytes) -> str:
    """The name of a sealing key: 8 hexadecimal digits that tell nothing about it."""
    return _derive(key, "key id").hex()[:8]


def _ring(keys: Sequence[bytes]) -> _Ring:
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
    return _Ring(
        {key_id(key): AESGCM(_derive(key, "secrets")) for key in keys},
        key_id(keys[0]),
        [_derive(key, "audit") for key in keys],
        [_derive(key, "fingerprints") for key in keys],
    )


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, f"autoprov {purpose} v1".encode()).derive(key)


def _bound(place: str, key_id: str) -> bytes:
    return f"autoprov:{place}:{key_id}".encode()


# -- the file of sealing keys: one key a line, base64, newest first --------------------------------------------------


def keys_file(file: Path) -> Path:
    """The file the keys are read from: systemd's credential where there is one, else the configured file."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(directory) / CREDENTIAL_NAME if directory else None
    return credential if credential is not None and credential.exists() else file


def read_keys(file: Path) -> list[bytes]:
    """The keys of a file, newest first. Raises ``Refused`` when it is absent or not such a file."""
    try:
        lines = file.read_text("ascii").split()
        keys = [base64.b64decode(line, validate=True) for line in lines]
        Keyring(keys)
    except FileNotFoundError:
        raise Refused(
            "unavailable", f"there is no sealing key at {file}; create one with: autoprovd generate-key {file}"
        ) from None
    except (OSError, UnicodeDecodeError, binascii.Error, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold 32 bytes in base64 a line"
        raise Refused("unavailable", f"the sealing key at {file} cannot be used: {reason}") from None
    return keys


def load_keyring(file: Path) -> Keyring:
    """The keyring from systemd's credentials when there are any, else from a file, or ``Refused``."""
    return Keyring(read_keys(keys_file(file)))


def generate_key(file: Path) -> None:
    """Write a new file with one key, readable by its owner alone. Never replaces a file."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        raise Refused(
            "conflict",
            f"{file} exists; a sealing key is never overwritten. To put a newer key before it: "
            f"autoprovd generate-key --add {file}",
        ) from None
    except OSError as error:
        raise Refused("unavailable", f"cannot write {file}: {error.strerror}") from None
    _write(descriptor, [os.urandom(KEY_BYTES)])


def add_key(file: Path) -> str:
    """Put a new key before those of a file; the ID of the new key."""
    with _changing(file) as keys:
        new = os.urandom(KEY_BYTES)
        _replace(file, [new, *keys])
    return key_id(new)


def remove_key(file: Path, wanted: str) -> None:
    """Take an older key out of a file. The newest, which seals, stays."""
    with _changing(file) as keys:
        if key_id(keys[0]) == wanted:
            raise Refused(
                "conflict",
                f"{wanted} is the newest key of {file}; add another first: autoprovd generate-key --add {file}",
            )
        left = [key for key in keys if key_id(key) != wanted]
        if len(left) == len(keys):
            held = ", ".join(key_id(key) for key in keys)
            raise Refused("not_found", f"{file} holds no key {wanted}; it holds {held}")
        _replace(file, left)


@contextmanager
def _changing(file: Path) -> Iterator[list[bytes]]:
    """The keys of a file, while nobody else changes it."""
    try:
        folder = os.open(file.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Refused("unavailable", f"cannot open the folder of {file}: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield read_keys(file)
    finally:
        os.close(folder)


def _replace(file: Path, keys: Sequence[bytes]) -> None:
    """Put these keys in the file's place at once; owner and mode stay."""
    file = file.resolve()
    new = file.with_name(f"{file.name}.new")
    try:
        old = file.stat()
        new.unlink(missing_ok=True)  # of an attempt that was broken off
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        if os.geteuid() == 0:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & 0o777)
        _write(descriptor, keys)
        new.replace(file)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Refused("unavailable", f"cannot replace {file}: {error.strerror}; it is as it was") from None


def _write(descriptor: int, keys: Sequence[bytes]) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        stream.writelines(base64.b64encode(key) + b"\n" for key in keys)
        stream.flush()
        os.fsync(stream.fileno())


def place(mac: str, key: SecretKey, version: int) -> str:
    """Where a secret is sealed to."""
    return f"{mac}/{key.line}/{key.secret_class}/{version}"


def label_place(mac: str) -> str:
    """Where the ID of a phone's label is sealed to."""
    return f"{mac}/label"
