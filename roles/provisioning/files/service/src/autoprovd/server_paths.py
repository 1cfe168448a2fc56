# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person types where in the web interface of a phone (one-touch), in the English and German words of it."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from autoprovd.vendors.base import read_rows

_SENTENCES = {
    "en": "In the web interface of the phone, open {menu} and type {url} into {field}.",
    "de": "In der Weboberfläche des Telefons {menu} öffnen und bei {field} eintragen: {url}",
}
_UNCONFIRMED = {
    "en": "The words of that menu are not confirmed for this model; they may differ a little.",
    "de": "Die Wörter dieses Menüs sind für dieses Modell nicht bestätigt und können etwas abweichen.",
}


class Place(NamedTuple):
    """A row of ``vendors/server_paths.tsv``, which says what the columns mean."""

    vendor: str
    models: str
    menu_en: str
    field_en: str
    menu_de: str
    field_de: str
    file: str
    confirmed: str
    source: str

    def is_confirmed(self, language: str) -> bool:
        """Whether the vendor's own page has these words, in ``en`` or ``de``."""
        return self.confirmed in (language, "both")

    def told(self, folder_url: str) -> dict[str, object]:
        """What to type, and where, in both languages; ``folder_url`` is the appliance's address for phones."""
        url = folder_url + self.file
        told: dict[str, object] = {"url": url}
        for language, menu, field in (("en", self.menu_en, self.field_en), ("de", self.menu_de, self.field_de)):
            sentence = _SENTENCES[language].format(menu=menu, field=field, url=url)
            if not self.is_confirmed(language):
                sentence += f" {_UNCONFIRMED[language]}" if language == "en" else f". {_UNCONFIRMED[language]}"
            confirmed = self.is_confirmed(language)
            told[language] = {"menu": menu, "field": field, "sentence": sentence, "confirmed": confirmed}
        return told


@functools.cache
def places() -> tuple[Place, ...]:
    """All rows, in their order."""
    _names, *rows = read_rows("autoprovd.vendors", "server_paths.tsv")
    return tuple(Place(*row) for row in rows)


def place_of(vendor: str, model: str) -> Place | None:
    """Where a phone of that vendor and model takes the address; None when nobody knows the vendor."""
    for place in places():
        if place.vendor == vendor and re.fullmatch(place.models, model, re.IGNORECASE):
            return place
    return None
