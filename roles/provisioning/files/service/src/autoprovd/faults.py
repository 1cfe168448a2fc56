# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an input, told so that a person can mend it.

Every refusal of the service is a :class:`Refused`: a code for programs, a sentence for people, and the list of all
faults found, never only the first. No fault ever quotes a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where it stands, what it is, and the way out."""

    where: str
    what: str
    fix: str = ""

    def inside(self, prefix: str) -> Fault:
        """The same fault, seen from further out: ``phones[3]`` + ``keys[0].type``."""
        return Fault(f"{prefix}.{self.where}" if self.where else prefix, self.what, self.fix)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.fix}" if self.fix else text


class Refused(Exception):
    """An input or a request that the service does not carry out.

    ``code`` is one of ``invalid`` (422), ``unauthenticated`` (401), ``forbidden`` (403), ``not_found`` (404),
    ``conflict`` (409) and ``unavailable`` (503); the API maps it to the HTTP status.
    """

    def __init__(self, code: str, message: str, faults: Iterable[Fault] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.faults: Sequence[Fault] = tuple(faults)


def invalid(faults: Sequence[Fault], what: str) -> Refused:
    """The refusal of an input with these faults; ``what`` names the input (``the phone list``)."""
    count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    return Refused("invalid", f"{what} has {count}; nothing was changed", faults)
