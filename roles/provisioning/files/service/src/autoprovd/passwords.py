# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords nobody has to think of."""

from __future__ import annotations

import os

from autoprovd.model import SecretClass

# Letters and digits only, which every vendor's file and every web form carries, without those that look alike.
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_DIGITS = "0123456789"

_SHAPE: dict[SecretClass, tuple[str, int]] = {
    SecretClass.SIP: (_LETTERS, 24),
    SecretClass.WEB: (_LETTERS, 16),
    SecretClass.MENU: (_DIGITS, 8),  # typed on a phone's keypad
    SecretClass.PROVISIONING: (_LETTERS, 20),  # some phones cut longer ones
}


def generate(secret_class: SecretClass) -> str:
    """A new random password, as long as its use allows: 26 bits for a keypad, 92 bits and more elsewhere."""
    alphabet, length = _SHAPE[secret_class]
    # Bytes beyond the last whole round of the alphabet are thrown away: every character is equally likely.
    limit = 256 - 256 % len(alphabet)
    password = ""
    while len(password) < length:
        password += "".join(alphabet[byte % len(alphabet)] for byte in os.urandom(2 * length) if byte < limit)
    return password[:length]
