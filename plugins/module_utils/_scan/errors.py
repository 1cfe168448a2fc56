# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what was asked.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import typing as t


class ScanError(Exception):
    """Sentences, each naming the thing, the reason and the way out."""

    def __init__(self, faults: t.Sequence[str]) -> None:
        super().__init__(". ".join(faults))
        self.faults = list(faults)
