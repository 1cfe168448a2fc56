# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""XML-RPC as the older services speak it: texts go there, ``[success, text, ...]`` comes back."""

from __future__ import annotations

import typing as t
import xmlrpc.client
from xml.parsers.expat import ExpatError

from .authentication import Request, Scheme
from .errors import CallError
from .transport import Transport


class Answer(t.NamedTuple):
    """What a method answered."""

    success: bool
    texts: t.List[str]

    @property
    def text(self) -> str:
        """All it said."""
        return ", ".join(self.texts)


def call(transport: Transport, scheme: Scheme, safe: bool, method: str, *parameters: str) -> Answer:
    """Call a method. ``safe`` ones change nothing. Raises CallError."""
    body = xmlrpc.client.dumps(parameters, method).encode("utf-8")
    response = transport.call(Request("POST", transport.endpoint, body, "text/xml"), scheme, safe)
    try:
        # A document type could define entities without end; no answer of XML-RPC has one.
        if b"<!DOCTYPE" in response.body or b"<!ENTITY" in response.body:
            raise ValueError
        ((answer,), _method) = xmlrpc.client.loads(response.body, use_builtin_types=True)
    except xmlrpc.client.Fault as fault:
        said = transport.clean(f"{fault.faultCode} {fault.faultString}")
        raise CallError(f"{transport.title} refuses {method}: {said}; ask the vendor") from None
    except (ExpatError, ValueError, TypeError, AttributeError, LookupError, xmlrpc.client.ResponseError):
        raise _strange(transport, method) from None
    if not isinstance(answer, list) or not answer or not isinstance(answer[0], bool):
        raise _strange(transport, method)
    return Answer(answer[0], [transport.clean(str(item)) for item in answer[1:] if item is not None])


def _strange(transport: Transport, method: str) -> CallError:
    # It has been sent, so nobody knows what became of it.
    return CallError(
        f"{transport.title} answered {method} with something that is no XML-RPC of its kind; check endpoint",
        may_be_done=True,
    )
