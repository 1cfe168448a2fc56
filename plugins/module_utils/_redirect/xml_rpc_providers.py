# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""The older services, by XML-RPC: Snom's, Yealink's RPS, and Gigaset's redirect server."""

from __future__ import annotations

import typing as t

from . import refusals, xml_rpc
from .authentication import Basic, Challenged, Scheme
from .errors import PhoneFault
from .provider import REMOVE, UPDATE, Change, Provider, Registration


class XmlRpcProvider(Provider):
    """A service of this kind: calls, and a table of what it says."""

    refusals: t.ClassVar[t.Sequence[refusals.Refusal]]

    def make_scheme(self, username: str, password: str) -> Scheme:
        return Basic(username, password)

    def ask(self, method: str, *parameters: str) -> xml_rpc.Answer:
        """Call what changes nothing."""
        return xml_rpc.call(self.transport, self.scheme, True, method, *parameters)

    def change(self, method: str, *parameters: str) -> None:
        """Call what changes something. Raises PhoneFault unless it did."""
        answer = xml_rpc.call(self.transport, self.scheme, False, method, *parameters)
        if not answer.success:
            raise self.fault(answer.text)

    def change_to_absent(self, method: str, *parameters: str) -> None:
        """Call what removes something; that it is not there is no fault."""
        answer = xml_rpc.call(self.transport, self.scheme, False, method, *parameters)
        row = refusals.find(self.refusals, answer.text)
        if not answer.success and not (row and row.absent):
            raise self.fault(answer.text)

    def fault(self, said: str) -> PhoneFault:
        """Why it refuses a phone."""
        return PhoneFault(refusals.explain(self.refusals, said))


class SnomXmlRpc(XmlRpcProvider):
    """Snom's XML-RPC API. Source: service.snom.com, "XML-RPC API"; Snom's own command line reads three values."""

    name, title, vendor = "snom_xmlrpc", "Snom's XML-RPC service", "snom"
    # The slash at its end is needed.
    endpoints: t.ClassVar[t.Mapping[str, str]] = {"": "https://secure-provisioning.snom.com:8083/xmlrpc/"}
    refusals = refusals.SNOM_XMLRPC

    def read_one(self, mac: str) -> t.Optional[Registration]:
        answer = self.ask("redirect.getPhoneRedirection", mac.upper())
        if answer.success:
            # The company, and the URL: as two texts, or as one.
            return Registration(answer.text.rpartition(", ")[2].strip())
        if refusals.find(self.refusals, answer.text):
            raise self.fault(answer.text)
        return None

    def write_one(self, change: Change) -> None:
        if change.verb == REMOVE:
            self.change("redirect.deregisterPhone", change.mac.upper())
        else:
            self.change("redirect.registerPhone", change.mac.upper(), change.url)


class YealinkRps(XmlRpcProvider):
    """Yealink's RPS. Source: Yealink, "XML API for RPS"; the clients of falconieri and peoplefone/provisioning-rpc."""

    name, title, vendor = "yealink_rps", "Yealink RPS", "yealink"
    endpoints: t.ClassVar[t.Mapping[str, str]] = {"": "https://api-dm.yealink.com:8443/xmlrpc"}
    refusals = refusals.YEALINK_RPS
    tells_url = False

    def read_one(self, mac: str) -> t.Optional[Registration]:
        answer = self.ask("redirect.checkDevice", mac.upper())
        row = refusals.find(self.refusals, answer.text)
        if row and row.absent:
            return None
        if row is None and answer.text.lower().startswith("registered"):
            return Registration(None)
        raise self.fault(answer.text)

    def write_one(self, change: Change) -> None:
        if change.verb == REMOVE:
            self.change_to_absent("redirect.deRegisterDevice", change.mac.upper())
            return
        # "1" overrides what is registered. Only to update: a phone of somebody else is not to be taken over.
        override = "1" if change.verb == UPDATE else "0"
        self.change(
            "redirect.registerDeviceWithUniqueUrl", change.mac.upper(), self.provider_name, change.url, override
        )


class GigasetRedirect(XmlRpcProvider):
    """Gigaset's redirect server. Source: teamwork.gigaset.com, "Gigaset Redirect server"; the same two clients."""

    name, title, vendor = "gigaset_redirect", "Gigaset's redirect service", "gigaset"
    endpoints: t.ClassVar[t.Mapping[str, str]] = {"": "https://prov.gigaset.net/apxml/rpc.do"}
    refusals = refusals.GIGASET_REDIRECT
    tells_url = False
    needs_label_id = True

    def make_scheme(self, username: str, password: str) -> Scheme:
        # Public clients send Basic, its documentation speaks of Digest: whatever it asks for.
        return Challenged(username, password)

    def read_one(self, mac: str) -> t.Optional[Registration]:
        answer = self.ask("autoprov.checkDevice", mac.upper())
        if answer.success or answer.text.lower() == mac:
            return Registration(None)
        row = refusals.find(self.refusals, answer.text)
        if row and row.absent:
            return None
        raise self.fault(answer.text)

    def write_one(self, change: Change) -> None:
        # It has no call that changes a URL: what was removed is registered again.
        if change.verb in (REMOVE, UPDATE):
            self.change_to_absent("autoprov.deregisterDevice", change.mac.upper())
        if change.verb != REMOVE:
            named = f"{change.mac.upper()}-{change.label_id}"
            self.change("autoprov.registerDevice", named, change.url, self.provider_name)
