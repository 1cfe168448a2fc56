# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person types into a telephone's web interface to have it configured, and where.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple


class _Place(NamedTuple):
    """Where one family of telephones takes the address. The first row whose vendor and model match counts."""

    vendor: str
    models: str
    """A regular expression for the whole model name."""
    menu: str
    field: str
    file: str
    """What follows the folder's address; ``%MACD`` is Gigaset's own word for the telephone's MAC address."""


_SNOM_MENU = ("Advanced > Update", "Setting URL", "")
_PLACES = (
    _Place("snom", ".*", *_SNOM_MENU),
    _Place("yealink", ".*", "Settings > Auto Provision", "Server URL", ""),
    # P710, P825 ...: made by Snom, with Snom's interface.
    _Place("gigaset", r"P[78]\d\d.*", *_SNOM_MENU),
    _Place(
        "gigaset",
        ".*",
        "Settings > System > Provisioning and configuration",
        "Provisioning server",
        "%MACD.xml",
    ),
)
_PORTS = {"http": 50080, "https": 50081}


def server_path(phone: Mapping[str, Any], host: str, scheme: str = "http", port: int | None = None) -> dict[str, str]:
    """What to type for a telephone with ``vendor`` and ``model``: ``url``, ``menu``, ``field`` and a ``sentence``.

    Raises ``ValueError`` with a sentence about what is missing.
    """
    if not isinstance(phone, Mapping) or not phone.get("vendor") or not phone.get("model"):
        raise ValueError("server_path needs a mapping with vendor and model, such as an entry of the list of phones")
    if scheme not in _PORTS:
        raise ValueError(f"{scheme!r} is not a scheme that phones use; choose http or https")
    if not isinstance(host, str) or not re.fullmatch(r"[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:.]+\]?", host):
        raise ValueError(f"{host!r} is not a host name or an address; give what phones reach the service by")
    vendor, model = str(phone["vendor"]).lower(), str(phone["model"])
    for place in _PLACES:
        if place.vendor == vendor and re.fullmatch(place.models, model, re.IGNORECASE):
            bare = host.strip("[]")
            url = f"{scheme}://{f'[{bare}]' if ':' in bare else bare}:{port or _PORTS[scheme]}/{place.file}"
            sentence = f"In the web interface of the phone, open {place.menu} and type {url} into {place.field}."
            return {"url": url, "menu": place.menu, "field": place.field, "sentence": sentence}
    known = sorted({place.vendor for place in _PLACES})
    raise ValueError(f"{vendor!r} is not a known vendor; known are {', '.join(known)}")
