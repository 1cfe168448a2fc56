# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror is to hold: a list of files with their models, versions, hashes. Validated once, at the door."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urljoin, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from autoprovd.faults import Fault, Refused, invalid
from autoprovd.model import Language, faults_of
from autoprovd.vendors import VENDORS, model_fault

MOST_BYTES = 2 * 1024**3
"""No phone's file is larger; whatever claims to be is refused."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+() -]{0,199}")
_MOST_FAULTS = 200


class Kind(StrEnum):
    """What a phone does with a file."""

    FIRMWARE = "firmware"
    LANGUAGE = "language"
    RINGTONE = "ringtone"
    BACKGROUND = "background"


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"{text!r} is not an https address")
    if parts.username or parts.password:
        raise ValueError("holds a user name or a password, which would be shown; use a mirror that needs none")
    return text


def _plain_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a file: letters, digits and . _ + ( ) - only, at most 200")
    return text


def _digest(text: object) -> object:
    if isinstance(text, str) and re.fullmatch("[0-9A-Fa-f]{64}", text.strip()):
        return text.strip().lower()
    raise ValueError("is not a SHA-256: 64 hexadecimal digits")


def _vendor(text: str) -> str:
    if text not in VENDORS:
        raise ValueError(f"{text!r} is not a vendor; known are {', '.join(VENDORS)}")
    return text


def _as_text(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{value!r} is a number; put it in quotes, or 10.10 becomes 10.1")
    return value


Name = Annotated[str, AfterValidator(_plain_name)]
Version = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._+-]{0,63}$")]
Digest = Annotated[str, BeforeValidator(_digest)]


class Entry(BaseModel):
    """A file of the mirror."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendor: Annotated[str, AfterValidator(_vendor)]
    kind: Kind = Kind.FIRMWARE
    version: Version
    url: Annotated[str, AfterValidator(_url)]
    models: tuple[str, ...] = ()
    """The models it is for; a firmware names at least one."""
    revisions: tuple[Annotated[str, BeforeValidator(_as_text)], ...] = ()
    """The hardware revisions it is for; all when there is none."""
    min_from: Version | None = None
    """The oldest version from which a phone may go to this one directly."""
    language: Language | None = None
    """Of a language file: its language, by the code that phones' definitions use."""
    interface: Literal["phone", "web"] | None = None
    """Of a language file: whether its words are for the display, or for the web interface."""
    name: Name | None = None
    """The file's name in the mirror; the last part of the address (or of ``member``) unless given."""
    member: str | None = None
    """The address is of a zip or tar archive; this is the path of the file inside it."""
    size: Annotated[int, Field(gt=0, le=MOST_BYTES)] | None = None
    """Bytes of what the address gives."""
    sha256: Digest | None = None
    """Of what the address gives: of the archive, where it is one."""
    signature: str | None = None
    """Ed25519 signature of the same bytes, base64."""
    pin: bool = False
    """Nobody has told the hash: whatever comes first is taken, and anything else later is an alarm."""
    insecure: bool = False
    """May be fetched by plain http."""
    source: Annotated[str, Field(max_length=300)] | None = None
    """Where this entry was read, and when: for people."""

    @property
    def file_name(self) -> str:
        """The name under which phones fetch it."""
        return self.name or PurePosixPath(self.member or unquote(urlsplit(self.url).path)).name

    @property
    def path(self) -> str:
        """Where it lies in a release: ``vendor/version/name``."""
        return f"{self.vendor}/{self.version}/{self.file_name}"

    @property
    def slot(self) -> tuple[object, ...]:
        """What it is a version of: another entry of the same slot takes its place."""
        return (self.vendor, self.kind, tuple(sorted(self.models)), tuple(sorted(self.revisions)), *self.words)

    @property
    def words(self) -> tuple[str | None, str | None]:
        """Of a language file: the language and the interface it is for."""
        return self.language, (self.interface or "phone") if self.language else None

    @model_validator(mode="after")
    def _is_whole(self) -> Entry:
        wrong = []
        if not _NAME.fullmatch(self.file_name):
            wrong.append("the address does not end in a file's name; say name")
        if urlsplit(self.url).scheme == "http" and not self.insecure:
            wrong.append(
                "the address is plain http, where anybody on the way can change the file; use https, or insecure"
            )
        if self.sha256 is None and self.signature is None and not self.pin:
            wrong.append("neither sha256 nor signature says which file is meant; add one, or pin the first that comes")
        if self.kind == Kind.FIRMWARE and not self.models:
            wrong.append("a firmware names the models it is for")
        if (self.kind == Kind.LANGUAGE) != (self.language is not None):
            wrong.append("a language file, and no other, names its language")
        if self.interface is not None and self.kind != Kind.LANGUAGE:
            wrong.append("only a language file is for an interface")
        if self.member is not None and (self.member.startswith("/") or ".." in PurePosixPath(self.member).parts):
            wrong.append("member is a path inside the archive")
        if wrong:
            raise ValueError(", and ".join(wrong))
        return self


class Manifest(BaseModel):
    """All files of a mirror."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serial: Annotated[int, Field(ge=0)] = 0
    """Grows with each issue of the list; an older one is refused. 0 where nobody counts."""
    expires: date | None = None
    """From this day on the list may be out of date: somebody may keep the newer one from us."""
    files: tuple[Entry, ...]


def _unknown_words(entry: Entry) -> Iterator[Fault]:
    """The fault of a language file that no phone it is for would fetch."""
    if entry.language is None:
        return
    vendor = VENDORS[entry.vendor]
    models = [vendor.model(name) for name in entry.models] or list(vendor.models.values())
    known = {code for model in models if model is not None for code in vendor.language_files(model)}
    if entry.language not in known:
        what = f"{vendor.title} phones take no file for the language {entry.language!r}"
        yield Fault("language", what, f"known are {', '.join(sorted(known))}" if known else "leave the file out")


def _unknown_models(entry: Entry) -> Iterator[Fault]:
    for place, name in enumerate(entry.models):
        if VENDORS[entry.vendor].model(name) is None:
            yield replace(model_fault(entry.vendor, name), where=f"models[{place}]")


def read(text: bytes, came_from: str, insecure: bool = False) -> Manifest:
    """A manifest as a file, YAML or JSON. Raises ``Refused`` with every fault.

    ``came_from`` is the file's name or the address it was fetched from; relative addresses in it mean its neighbours
    there, which may then come by plain http where it did so itself: ``insecure``.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise Refused("invalid", f"{came_from} is not YAML: {error}") from None
    if not isinstance(content, (Mapping, list)):
        raise Refused("invalid", f"{came_from} holds no list of files; see the example in docs/firmware.md")
    if urlsplit(came_from).scheme in ("https", "http"):
        content = dict(content) if isinstance(content, Mapping) else {"files": content}
        files = content.get("files")
        if isinstance(files, list):
            content["files"] = [_resolved(item, came_from, insecure) for item in files]
    return take(content)


def _resolved(item: Any, base: str, insecure: bool) -> Any:
    url = item.get("url") if isinstance(item, Mapping) else None
    if not isinstance(url, str) or urlsplit(url).scheme:
        return item
    return {**item, "url": urljoin(base, url)} | ({"insecure": True} if insecure else {})


def take(raw: Mapping[str, Any] | Sequence[Any]) -> Manifest:
    """A manifest from what a person wrote: the list of files, or a mapping that holds it.

    Raises ``Refused`` with every fault.
    """
    content = dict(raw) if isinstance(raw, Mapping) else {"files": raw}
    faults: list[Fault] = []
    entries: list[Entry] = []
    files = content.get("files")
    if not isinstance(files, Sequence) or isinstance(files, str):
        raise invalid([Fault("files", "is not a list of files", "see the example in docs/firmware.md")], "the manifest")
    taken: dict[str, int] = {}
    for index, item in enumerate(files):
        try:
            entry = Entry.model_validate(item)
        except ValidationError as error:
            faults += (fault.inside(f"files[{index}]") for fault in faults_of(error))
            continue
        faults += (fault.inside(f"files[{index}]") for fault in (*_unknown_models(entry), *_unknown_words(entry)))
        entries.append(entry)
        if entry.path in taken:
            what = f"{entry.path} stands in the list twice, first as files[{taken[entry.path]}]"
            faults.append(Fault(f"files[{index}]", what, "keep one of them, or give one another name"))
        taken.setdefault(entry.path, index)
    try:
        head = Manifest.model_validate({**content, "files": ()})
    except ValidationError as error:
        faults += faults_of(error)
    if len(faults) > _MOST_FAULTS:
        faults = [*faults[:_MOST_FAULTS], Fault("", f"and {len(faults) - _MOST_FAULTS} more faults like these")]
    if faults:
        raise invalid(faults, "the manifest")
    return head.model_copy(update={"files": tuple(entries)})
