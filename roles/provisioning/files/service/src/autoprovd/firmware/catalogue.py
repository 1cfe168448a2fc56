# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mirror holds, as the service knows it: told by whoever filled the mirror, and kept in the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, delete, insert, select

from autoprovd.faults import Fault
from autoprovd.model import Phone, Settings, faults_of
from autoprovd.store.schema import firmware
from autoprovd.vendors import VENDORS
from autoprovd.vendors.base import Offer

_COLUMNS = tuple(column for column in firmware.c)


class File(BaseModel):
    """A file of the mirror."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(pattern=r"^[a-z]+/[0-9A-Za-z._+-]+/[^/\x00-\x1f\x7f]+$", max_length=300)]
    """Below the mirror's folder: ``vendor/version/name``."""
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    vendor: Literal["snom", "yealink", "gigaset"]
    kind: Literal["firmware", "language", "ringtone", "background"]
    version: Annotated[str, Field(min_length=1, max_length=64)]
    models: tuple[str, ...] = ()
    """All of the vendor's when there is none."""
    revisions: tuple[str, ...] = ()
    """Hardware revisions; all when there is none."""
    min_from: str | None = None
    """The oldest version from which a phone may go to this one directly."""
    language: str | None = None
    interface: Literal["phone", "web"] | None = None

    @cached_property
    def key(self) -> tuple[int, ...]:
        """The version, comparable with others of the vendor."""
        return VENDORS[self.vendor].version_key(self.version)

    @cached_property
    def _models(self) -> frozenset[str]:
        return frozenset(model.lower() for model in self.models)

    def is_for(self, vendor: str, model: str) -> bool:
        """Whether it is for that model; of hardware revisions nothing is said."""
        return vendor == self.vendor and (not self._models or model.lower() in self._models)

    def fits(self, phone: Phone) -> bool:
        """Whether it is for that phone. For certain hardware revisions is for nobody whose revision is unknown."""
        if not self.is_for(phone.vendor, phone.model):
            return False
        return not self.revisions or (phone.revision or "").lower() in {name.lower() for name in self.revisions}

    def url(self, settings: Settings) -> str:
        """Where phones fetch it."""
        return settings.firmware_folder_url() + quote(self.path)


class Catalogue:
    """All files of the mirror."""

    def __init__(self, files: Iterable[File] = ()) -> None:
        self.files = {file.path: file for file in sorted(files, key=lambda file: file.path)}
        self._languages: dict[tuple[str, str, str], dict[str, File]] = {}

    @staticmethod
    def read(connection: Connection) -> Catalogue:
        """What the database holds."""
        return Catalogue(
            File(
                **dict(row._mapping) | {name: tuple(json.loads(getattr(row, name))) for name in ("models", "revisions")}
            )
            for row in connection.execute(select(*_COLUMNS))
        )

    def write(self, connection: Connection) -> None:
        """Put these files in the place of those the database holds."""
        connection.execute(delete(firmware))
        rows = [
            file.model_dump() | {"models": json.dumps(file.models), "revisions": json.dumps(file.revisions)}
            for file in self.files.values()
        ]
        if rows:
            connection.execute(insert(firmware), rows)

    def firmware_of(self, vendor: str, model: str) -> list[File]:
        """The firmware for a model, whatever its hardware revision, oldest first."""
        found = [file for file in self.files.values() if file.kind == "firmware" and file.is_for(vendor, model)]
        return sorted(found, key=lambda file: file.key)

    def offer(self, phone: Phone, settings: Settings, firmware_path: str | None) -> Offer:
        """What this phone is told to fetch; a firmware that the mirror has no longer is not offered."""
        file = self.files.get(firmware_path or "")
        if file is not None and not file.fits(phone):
            file = None
        languages = self._language_files(phone.vendor, phone.model, phone.language or settings.language)
        return Offer(
            firmware_url=phone.firmware_url or (file.url(settings) if file else None),
            firmware_version=file.version if file and not phone.firmware_url else "",
            language_url=languages["phone"].url(settings) if "phone" in languages else None,
            web_language_url=languages["web"].url(settings) if "web" in languages else None,
        )

    def _language_files(self, vendor: str, model: str, language: str) -> Mapping[str, File]:
        """By interface, the newest of each."""
        asked = (vendor, model, language)
        if asked not in self._languages:
            files = [f for f in self.files.values() if f.language == language and f.is_for(vendor, model)]
            self._languages[asked] = {f.interface or "phone": f for f in sorted(files, key=lambda file: file.key)}
        return self._languages[asked]

    def listed(self) -> list[dict[str, Any]]:
        """All files as plain data."""
        return [file.model_dump(mode="json") for file in self.files.values()]


def take_files(raw: Sequence[Any]) -> tuple[Catalogue, list[Fault]]:
    """The catalogue that somebody tells, and all that is wrong with it."""
    files, faults = [], []
    for index, item in enumerate(raw):
        try:
            files.append(File.model_validate(item))
        except ValidationError as error:
            faults += [fault.inside(f"files[{index}]") for fault in faults_of(error)]
    return Catalogue(files), faults
