# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the phones as they are kept: rendered when something is written, found when a phone asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from autoprovd.firmware.catalogue import Catalogue
from autoprovd.model import Phone, Settings
from autoprovd.render import Document
from autoprovd.store.schema import documents, offers, phones
from autoprovd.vendors import render
from autoprovd.vendors.base import Offer


class Renderer:
    """Renders phones as the site stands: its settings, what its mirror holds, and what each phone is offered."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._settings = settings
        self._catalogue = Catalogue.read(connection)
        # Who was lost is not told again what it failed at.
        query = select(offers.c.mac, offers.c.path).where(offers.c.lost_at.is_(None))
        self._firmware = {row.mac: row.path for row in connection.execute(query)}

    def offer(self, phone: Phone) -> Offer:
        """What the phone is told to fetch besides its own files."""
        return self._catalogue.offer(phone, self._settings, self._firmware.get(phone.mac))

    def documents(self, phone: Phone) -> list[Document]:
        """The phone's files."""
        return render(phone, self._settings, self.offer(phone))


def render_phones(
    connection: Connection, renderer: Renderer, macs: Collection[str] | None
) -> dict[str, list[Document]]:
    """The files of these phones, or of all, as they stand in the database."""
    return {phone.mac: renderer.documents(phone) for phone in phones_of(connection, macs)}


def phones_of(connection: Connection, macs: Collection[str] | None) -> list[Phone]:
    """These phones, or all; those that the site does not have are left out."""
    query = select(phones.c.mac, phones.c.definition)
    if macs is not None and len(macs) <= 500:
        query = query.where(phones.c.mac.in_(list(macs)))
    return [
        Phone.model_validate_json(row.definition)
        for row in connection.execute(query)
        if macs is None or row.mac in macs
    ]


def write(connection: Connection, rendered: Mapping[str, Sequence[Document]]) -> None:
    """Put files in the place of those these phones had."""
    if not rendered:
        return
    connection.execute(
        delete(documents).where(documents.c.mac == bindparam("phone")), [{"phone": mac} for mac in rendered]
    )
    rows = [
        {
            "mac": mac,
            "name": document.name,
            "media_type": document.media_type,
            "syntax": document.syntax.value,
            "encoding": document.encoding,
            "text": document.text,
        }
        for mac, files in rendered.items()
        for document in files
    ]
    connection.execute(insert(documents), rows)
