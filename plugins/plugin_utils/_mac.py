# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""MAC addresses as people write them.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import re

# The spellings that the service accepts: 12 digits bare, or in pairs with one separator throughout, or Cisco's fours.
_SPELLING = re.compile(r"[0-9a-f]{2}([:-]?)[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}")
_GROUPS = {"colon": (2, ":"), "hyphen": (2, "-"), "dot": (4, "."), "bare": (12, "")}
STYLES = tuple(_GROUPS)


def parse_mac(text: object) -> str:
    """A MAC address in any usual spelling as 12 lower-case hexadecimal digits.

    Raises ``ValueError`` with a sentence that says what is wrong.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not text; put MAC addresses in quotes, or YAML may read them as numbers")
    spelled = text.strip().lower()
    if not _SPELLING.fullmatch(spelled):
        raise ValueError(f"{str(text)!r} is not a MAC address; write 12 hexadecimal digits, such as 00:04:13:92:2D:24")
    return re.sub("[^0-9a-f]", "", spelled)


def spell_mac(text: object, style: str = "colon", upper: bool = False) -> str:
    """A MAC address in one of :data:`STYLES`; ``ValueError`` with a sentence if it or the style is none."""
    if style not in _GROUPS:
        raise ValueError(f"{style!r} is not a style of MAC addresses; use one of {', '.join(STYLES)}")
    size, separator = _GROUPS[style]
    digits = parse_mac(text)
    spelled = separator.join(digits[start : start + size] for start in range(0, 12, size))
    return spelled.upper() if upper else spelled
