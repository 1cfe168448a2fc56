# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person types into a telephone's web interface to have it configured, and where.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path
from typing import Any, Mapping

# One table for this filter, the program on the appliance and the documentation; it lies with the program.
_TABLE = Path(__file__).resolve().parents[2] / "roles/provisioning/files/service/src/autoprovd/vendors/server_paths.tsv"
_SENTENCES = {
    "en": "In the web interface of the phone, open {menu} and type {url} into {field}.",
    "de": "In der Weboberfläche des Telefons {menu} öffnen und bei {field} eintragen: {url}",
}
_PORTS = {"http": 50080, "https": 50081}


def server_path(phone: Mapping[str, Any], host: str, scheme: str = "http", port: int | None = None) -> dict[str, Any]:
    """What to type for a telephone with ``vendor`` and ``model``: ``url``, ``menu``, ``field`` and a ``sentence``.

    ``en`` and ``de`` hold the last three in either language, and whether the vendor's own page has those words.

    Raises ``ValueError`` with a sentence about what is missing.
    """
    if not isinstance(phone, Mapping) or not phone.get("vendor") or not phone.get("model"):
        raise ValueError("server_path needs a mapping with vendor and model, such as an entry of the list of phones")
    if scheme not in _PORTS:
        raise ValueError(f"{scheme!r} is not a scheme that phones use; choose http or https")
    if not isinstance(host, str) or not re.fullmatch(r"[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:.]+\]?", host):
        raise ValueError(f"{host!r} is not a host name or an address; give what phones reach the service by")
    vendor, model = str(phone["vendor"]).lower(), str(phone["model"])
    for place in _places():
        if place["vendor"] == vendor and re.fullmatch(place["models"], model, re.IGNORECASE):
            bare = host.strip("[]")
            url = f"{scheme}://{f'[{bare}]' if ':' in bare else bare}:{port or _PORTS[scheme]}/{place['file']}"
            return _told(place, url)
    known = sorted({place["vendor"] for place in _places()})
    raise ValueError(f"{vendor!r} is not a known vendor; known are {', '.join(known)}")


def _told(place: Mapping[str, str], url: str) -> dict[str, Any]:
    words = {}
    for language, sentence in _SENTENCES.items():
        menu, field = place[f"menu_{language}"], place[f"field_{language}"]
        confirmed = place["confirmed"] in (language, "both")
        said = sentence.format(menu=menu, field=field, url=url)
        words[language] = {"menu": menu, "field": field, "sentence": said, "confirmed": confirmed}
    english = {name: words["en"][name] for name in ("menu", "field", "sentence")}
    return {"url": url, **english, **words}


@functools.cache
def _places() -> list[dict[str, str]]:
    lines = [line for line in _TABLE.read_text("utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
