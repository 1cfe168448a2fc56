# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets at rest: AES-256-GCM under keys derived from one sealing key.

What is sealed is bound to its place: a row copied onto another account, another secret class or an older version of
the secret does not open. The sealing key itself never leaves this object; the audit chain and the fingerprints have
derived keys of their own.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from autoprovd.faults import Refused

_KEY_BYTES = 32
_NONCE_BYTES = 12
CREDENTIAL_NAME = "autoprov-sealing-key"
"""The name under which systemd hands over the sealing key."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as the database keeps it."""

    key_id: str
    box: bytes
    """Nonce, ciphertext and tag."""


class Keyring:
    """Seals and opens with the newest key; opens with any key it was given."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise ValueError(f"a sealing key has {_KEY_BYTES} bytes")
        self._boxes = {_derive(key, "key id").hex()[:8]: AESGCM(_derive(key, "secrets")) for key in keys}
        self._current = next(iter(self._boxes))
        self.audit_key = _derive(keys[0], "audit")
        self._fingerprint_key = _derive(keys[0], "fingerprints")

    def seal(self, secret: str, place: str) -> Sealed:
        """Seal a secret to its place (such as ``<mac>/1/sip/3``)."""
        nonce = os.urandom(_NONCE_BYTES)
        box = self._boxes[self._current].encrypt(nonce, secret.encode(), _bound(place, self._current))
        return Sealed(self._current, nonce + box)

    def open(self, sealed: Sealed, place: str) -> str:
        """The secret, if it was sealed for this place with a key of this ring; else ``Refused``."""
        box = self._boxes.get(sealed.key_id)
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
        return key_id in self._boxes

    def fingerprint(self, secret: str) -> str:
        """A keyed digest by which equal secrets are known without being shown: 16 hexadecimal digits."""
        return hmac.digest(self._fingerprint_key, secret.encode(), "sha256").hex()[:16]


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDFExpand(SHA256(), _KEY_BYTES, f"autoprov {purpose} v1".encode()).derive(key)


def _bound(place: str, key_id: str) -> bytes:
    return f"autoprov:{place}:{key_id}".encode()


def load_keyring(file: Path) -> Keyring:
    """The keyring from systemd's credentials when there are any, else from a file.

    One key a line, base64, newest first. Raises ``Refused`` when the file is absent or not such a file.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and (Path(directory) / CREDENTIAL_NAME).exists():
        file = Path(directory) / CREDENTIAL_NAME
    try:
        lines = file.read_text("ascii").split()
        return Keyring([base64.b64decode(line, validate=True) for line in lines])
    except FileNotFoundError:
        raise Refused(
            "unavailable", f"there is no sealing key at {file}; create one with: autoprovd generate-key {file}"
        ) from None
    except (OSError, UnicodeDecodeError, binascii.Error, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold 32 bytes in base64 a line"
        raise Refused("unavailable", f"the sealing key at {file} cannot be used: {reason}") from None


def generate_key(file: Path) -> None:
    """Write a new sealing key, readable by its owner alone. Never replaces a file."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        raise Refused("conflict", f"{file} exists; a sealing key is never overwritten, move it away first") from None
    except OSError as error:
        raise Refused("unavailable", f"cannot write {file}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
