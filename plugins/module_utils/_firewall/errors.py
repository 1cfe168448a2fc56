# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The one exception of the firewall engine."""

from __future__ import annotations

import typing as t


class FirewallError(Exception):
    """One or more faults, each a sentence that names the thing, the reason and the way out."""

    def __init__(self, *faults: str, details: t.Optional[t.Dict[str, t.Any]] = None) -> None:
        super().__init__("; ".join(faults))
        self.faults: t.List[str] = list(faults)
        #: Extra facts for the module's result.
        self.details: t.Dict[str, t.Any] = details or {}
