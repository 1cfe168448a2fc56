# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every vendor's room offers: who is asking, what is wrong with a definition, and the files of a phone.

A room is a package beside this file with its data (``models.tsv``), its templates, and a class that says what a table
cannot. A new vendor touches its own room, and its line in :data:`autoprovd.vendors.VENDORS`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

from autoprovd.faults import Fault
from autoprovd.model import Key, KeyType, Phone, SecretClass, SecretKey, Settings
from autoprovd.render import Document

SETTINGS: Final = "settings"
"""The name of the document with all settings of a phone."""


class Model(NamedTuple):
    """A model of telephone: a row of the room's ``models.tsv``."""

    name: str
    """As it stands in a phone's definition and in file names, such as ``D785``."""
    title: str
    keys: int
    """Function or line keys on the phone itself."""
    modules: int
    """Expansion modules it takes."""
    module_keys: int
    """Keys on each of them."""
    family: str
    """Which syntax it speaks, where the vendor has several."""
    common_file: str
    """The file all phones of the model ask for, where it is known."""


class Agent(NamedTuple):
    """What a User-Agent header says of its sender; a claim, not a proof."""

    vendor: str
    model: str
    firmware: str
    mac: str | None
    """12 lower-case hexadecimal digits, or None where the phone does not tell."""


class Offer(NamedTuple):
    """What a phone is told to fetch besides its own files; None where there is nothing."""

    firmware_url: str | None = None
    firmware_version: str = ""
    """Empty where nobody knows it."""
    language_url: str | None = None
    """The words of its display in its language."""
    web_language_url: str | None = None
    """The words of its web interface."""


NOTHING = Offer()


class Vendor(ABC):
    """A vendor's room."""

    name: str
    title: str
    models: Mapping[str, Model]
    """By lower-case model name."""
    label_proof: frozenset[str] = frozenset()
    """Families whose phones get their secrets each time they ask, and only with the ID of their label as proof."""
    shared_files: re.Pattern[str]
    """Names, in lower case, that all phones of the vendor or of a model ask for: they tell nothing of who asks."""
    no_restart: frozenset[str] = frozenset()
    """Families that do not restart when they are told so (``check-sync;reboot=true``)."""
    pnp_families: frozenset[str] = frozenset()
    """Families whose phones ask the network for their address (SIP PnP) when they start with factory settings."""
    factory_certificates: frozenset[str] = frozenset()
    """Families whose phones leave the factory with a certificate whose common name is their MAC address."""

    def model(self, name: str) -> Model | None:
        """The model of that name, however it is capitalised."""
        return self.models.get(name.lower())

    @abstractmethod
    def agent(self, user_agent: str) -> Agent | None:
        """Who sends this User-Agent, or None when it is not a phone of this vendor."""

    def agent_vendors(self, model: Model) -> frozenset[str]:
        """The vendors a phone of this model may name in its User-Agent."""
        return frozenset({self.name})

    def secret_classes(self, model: Model) -> frozenset[SecretClass]:
        """The secrets such a phone has a setting for; no others are kept or armed."""
        return frozenset(SecretClass)

    @abstractmethod
    def file_names(self, phone: Phone, model: Model) -> Mapping[str, str | None]:
        """The files this phone asks for, in its own order, to the document each is answered with.

        Names are as the phone writes them. None stands for a file the phone asks for and is rightly not given.
        """

    def version_key(self, version: str) -> tuple[int, ...]:
        """A firmware's version, comparable with others of the vendor; the same for each way to write it."""
        return tuple(int(number) for number in re.findall("[0-9]+", version.partition("+")[0]))

    def language_files(self, model: Model) -> Mapping[str, str]:
        """The languages such a phone takes a file for, by code, as the phone calls them; most take none."""
        return MappingProxyType({})

    def pnp_address(self, model: Model, site: Settings, mac: str) -> str:
        """Where such a phone is told its configuration is, when it asks the network: never anything secret in it.

        A folder with its slash at the end, to which phones add the names of their files.
        """
        return site.folder_url()

    @abstractmethod
    def documents(self, phone: Phone, model: Model, site: Settings, offer: Offer) -> list[Document]:
        """Render the phone's files. Dear; called when something was written, never when a phone asks."""

    @abstractmethod
    def faults(self, phone: Phone, model: Model) -> Iterator[Fault]:
        """What this vendor's phones cannot carry, beyond what :class:`~autoprovd.model.Phone` checks."""

    @abstractmethod
    def secret_fault(self, key: SecretKey, secret: str) -> str | None:
        """Why this vendor's phones cannot carry that secret, in words that do not quote it; None when they can."""


def read_rows(package: str, name: str) -> Iterator[list[str]]:
    """The rows of a room's table, cells separated by tabs; lines that start with ``#`` are comments."""
    for line in files(package).joinpath(name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def read_models(package: str) -> Mapping[str, Model]:
    """The models of a room, by lower-case name, from its ``models.tsv``."""
    models = (
        Model(name, title, int(keys), int(modules), int(module_keys), family, common_file)
        for name, title, keys, modules, module_keys, family, common_file in read_rows(package, "models.tsv")
    )
    return MappingProxyType({model.name.lower(): model for model in models})


def read_words(package: str, name: str, column: int = 1) -> Mapping[str, str]:
    """What a vendor calls things: the first cell of each row to that one; ``-`` stands for having no word."""
    return MappingProxyType({row[0]: row[column] for row in read_rows(package, name) if row[column] != "-"})


def choice_fault(field: str, value: str | None, known: Collection[str], phones: str) -> Iterator[Fault]:
    """The fault of a value these phones have no word for; None leaves the choice to the site."""
    if value is not None and value not in known:
        way_out = f"use one of {', '.join(sorted(known))}, or leave it out" if known else "leave it out"
        yield Fault(field, f"{phones} have no setting for {value!r}", way_out)


def key_type_fault(index: int, key: Key, known: Collection[KeyType], phones: str) -> Fault:
    """The fault of a function key whose type these phones do not have."""
    names = ", ".join(sorted(kind.value for kind in known))
    return Fault(f"keys[{index}].type", f"{phones} have no key of type {key.type.value}", f"use one of {names}")


def key_value_fault(index: int, key: Key, phones: str) -> Fault:
    """The fault of a function key without the value it needs on these phones."""
    what = f"a key of type {key.type.value} needs a value on {phones}"
    return Fault(f"keys[{index}].value", what, "give the number or code it dials")


def split_authority(text: str) -> tuple[str, int | None]:
    """``host``, ``host:port``, ``[IPv6]:port`` or an IPv6 address as host without brackets, and port."""
    host, separator, port = text.rpartition(":")
    if separator and (":" not in host or host.endswith("]")):
        return host.strip("[]"), int(port)
    return text.strip("[]"), None


def join_authority(host: str, port: int | None = None) -> str:
    """Host and port as they stand in an address; an IPv6 address gets its brackets."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"
