# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The models that may be registered with a vendor's service. Data only.

No vendor publishes a list for machines: a row says which models, and what shows that they ask that service.
"""

from __future__ import annotations

import re
import typing as t


class Release(t.NamedTuple):
    """A row. ``models`` is a regular expression for whole model names."""

    models: str
    source: str


_SNOM = (
    Release(
        r"D[1378]\d\d[CW]?",
        'service.snom.com, "provisioning_order": since 8.7.3 desk phones ask the redirection service first',
    ),
)
_GIGASET = (
    Release(
        r"N610|N670|N870|Maxwell([234]|Basic)",
        'teamwork.gigaset.com, "Gigaset Redirect server" and provisioning of Maxwell and the N family; the P series, '
        "which Snom builds, is not named there",
    ),
)
_YEALINK = (
    Release(
        r"T(19P_E2|2[1-9]P(_E2)?|2[379]G|4\d[PGSU]|5\d[SWVAC]?|53)|VP59|CP9\d\d|W(52P|56P|60B|70B|80B|80DM|90B|90DM)",
        'Yealink, "Auto Provisioning Guide": zero touch by RPS comes before PnP and DHCP',
    ),
)
_YEALINK_YMCS = (
    *_YEALINK,
    Release(
        r"T3\d[PGW]|T4\dW|T7\d[UW]|T8\d[VW]|AX8[36][HR]",
        'Yealink, "YMCS Administrator Guide", supported device models',
    ),
)

RELEASED: t.Mapping[str, t.Sequence[Release]] = {
    "snom_sraps": _SNOM,
    "snom_xmlrpc": _SNOM,
    "yealink_ymcs": _YEALINK_YMCS,
    "yealink_rps": _YEALINK,
    "gigaset_grape": _GIGASET,
    "gigaset_redirect": _GIGASET,
}


def is_released(provider: str, model: str) -> bool:
    """Whether a model may be registered with that service."""
    return any(re.fullmatch(row.models, model, re.IGNORECASE) for row in RELEASED[provider])
