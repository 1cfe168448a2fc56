# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every vendor's room offers: who is asking, what is wrong with a definition, and the files of a phone.

A room is a package beside this file with its data (``models.tsv``), its templates, and a class that says what a table
cannot. A new vendor touches its own room, and its line in :data:`autoprovd.vendors.VENDORS`.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

from autoprovd.faults import Fault
from autoprovd.model import Phone, SecretKey, Settings
from autoprovd.render import Document


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


class Vendor(ABC):
    """A vendor's room."""

    name: str
    title: str
    models: Mapping[str, Model]
    """By lower-case model name."""
    label_proof: frozenset[str] = frozenset()
    """Families whose phones get their secrets each time they ask, and only with the ID of their label as proof."""

    def model(self, name: str) -> Model | None:
        """The model of that name, however it is capitalised."""
        return self.models.get(name.lower())

    @abstractmethod
    def agent(self, user_agent: str) -> Agent | None:
        """Who sends this User-Agent, or None when it is not a phone of this vendor."""

    @abstractmethod
    def file_names(self, phone: Phone, model: Model) -> Mapping[str, str | None]:
        """The files this phone asks for, in its own order, to the document each is answered with.

        Names are as the phone writes them. None stands for a file the phone asks for and is rightly not given.
        """

    @abstractmethod
    def documents(self, phone: Phone, model: Model, site: Settings) -> list[Document]:
        """Render the phone's files. Dear; called when something was written, never when a phone asks."""

    @abstractmethod
    def faults(self, phone: Phone, model: Model) -> Iterator[Fault]:
        """What this vendor's phones cannot carry, beyond what :class:`~autoprovd.model.Phone` checks."""

    @abstractmethod
    def secret_fault(self, key: SecretKey, secret: str) -> str | None:
        """Why this vendor's phones cannot carry that secret, in words that do not quote it; None when they can."""


def read_models(package: str) -> Mapping[str, Model]:
    """The models of a room, from its ``models.tsv``; lines that start with ``#`` are comments."""
    text = files(package).joinpath("models.tsv").read_text("utf-8")
    rows = csv.reader((line for line in text.splitlines() if line and not line.startswith("#")), delimiter="\t")
    models = (Model(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), row[5], row[6]) for row in rows)
    return MappingProxyType({model.name.lower(): model for model in models})
