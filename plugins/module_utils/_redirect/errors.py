# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What goes wrong: with a list, with a call, with one phone."""

from __future__ import annotations

import typing as t


class RedirectError(Exception):
    """One or more faults, each a sentence that names the thing, the reason and the way out."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults: t.List[str] = list(faults)


class CallError(Exception):
    """One call to a service failed. ``str()`` is a sentence without any credential."""

    def __init__(self, message: str, may_be_done: bool = False, retry_after: float = 0.0, status: int = 0) -> None:
        super().__init__(message)
        #: Whether the service may have done what it was asked for; it can only be asked again.
        self.may_be_done = may_be_done
        #: Seconds that the service wants to be left alone.
        self.retry_after = retry_after
        #: The HTTP status, 0 when there was no answer.
        self.status = status


class NotAccepted(CallError):
    """The service does not take the credentials: no other call will fare better."""


class PhoneFault(Exception):
    """The service refuses one phone. ``str()`` says why, and the way out."""
