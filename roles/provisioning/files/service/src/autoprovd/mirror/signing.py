# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of minisign, by which whoever makes a manifest vouches for a file.

Source of the format: https://jedisct1.github.io/minisign/ (signatures of prehashed files, algorithm ``ED``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_ALGORITHM, _KEY_ALGORITHM = b"ED", b"Ed"


class SignatureFault(Exception):
    """Why a signature does not vouch for a file."""


def check(signature: str, digest: bytes, keys: Iterable[str]) -> None:
    """Raise ``SignatureFault`` unless one of the public keys has signed the file with that BLAKE2b-512 digest.

    ``signature`` is the second line of a ``.minisig`` file, a key the second line of a ``.pub`` file.
    """
    raw = _decode(signature, 74, "the signature")
    if raw[:2] != _ALGORITHM:
        raise SignatureFault("the signature is not of a prehashed file; sign with minisign -SH")
    for key in keys:
        public = _decode(key, 42, "a trusted key")
        if public[:2] == _KEY_ALGORITHM and public[2:10] == raw[2:10]:
            try:
                Ed25519PublicKey.from_public_bytes(public[10:]).verify(raw[10:], digest)
            except InvalidSignature:
                raise SignatureFault("the signature is of another file") from None
            return
    raise SignatureFault(f"it is signed by key {raw[9:1:-1].hex().upper()}, which is not among the trusted keys")


def _decode(text: str, length: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length:
        raise SignatureFault(f"{what} is not one of minisign: its second line, base64")
    return raw
