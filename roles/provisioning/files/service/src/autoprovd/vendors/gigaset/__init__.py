# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gigaset: Maxwell desk phones and N610/N670/N870 DECT bases with XML of their own each; the P series is built by Snom.

Maxwell phones and DECT bases get their passwords each time they ask, and only when they answer the challenge with
their MAC-ID. So they need no credentials for later provisioning, and stay in the open folder, where they are
challenged too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from autoprovd.faults import Fault
from autoprovd.model import Phone, SecretClass, SecretKey, Settings
from autoprovd.render import Document
from autoprovd.vendors.base import SETTINGS, Agent, Model, Offer, Vendor, read_models
from autoprovd.vendors.gigaset import maxwell, nx70
from autoprovd.vendors.snom import settings as snom_settings

_ADMINISTRATOR: Final = "admin"
_OWN_FAMILIES = {"maxwell": maxwell, "nx70": nx70}

# "Gigaset N870 IP PRO/83.V2.11.0+build.a546b91;7C2F80E0D605", "N510 IP PRO/42.258.00.000.000;7C2F806257D7;Handset=5",
# "N720-DM-PRO/70.040.00.000.000"; sometimes in quotes.
_AGENT = re.compile(
    r'"?(?:Gigaset )?(?P<model>N\d{3}|Maxwell[ _-]?\w{1,12})[\w -]{0,20}/(?P<firmware>[\w.]+)'
    r'(?:\+[^;"]*)?(?:;(?P<mac>[0-9a-f]{12})\b)?',
    re.IGNORECASE,
)
# The P series has Snom's header; that it says Gigaset in the place of Snom is inferred.
_P_SERIES_AGENT = re.compile(
    r"\bGigaset[ _-]?(?P<model>P\d{3}W?)(?: PRO)?(?:-SIP)?[ /](?P<firmware>\d[\d.]*)(?:.*?\b(?P<mac>[0-9a-f]{12})\b)?",
    re.IGNORECASE,
)

_OWN_SECRETS = frozenset({SecretClass.SIP, SecretClass.WEB})


class Gigaset(Vendor):
    """The room of Gigaset."""

    name = "gigaset"
    title = "Gigaset"
    models = read_models(__package__)
    shared_files = re.compile(r"provisioning\.xml")
    label_proof = frozenset(_OWN_FAMILIES)
    # They need no restart for new settings, and take no order to from whom they do not know: teamwork.gigaset.com, "SIP
    # check-sync mechanism".
    no_restart = frozenset({"nx70"})
    pnp_families = frozenset({"maxwell", "nx70", "snom", "snom8"})

    def agent(self, user_agent: str) -> Agent | None:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        found = _AGENT.match(user_agent.strip()) or _P_SERIES_AGENT.search(user_agent)
        if not found:
            return None
        model = re.sub("[ _-]", "", found["model"])
        mac = found["mac"].lower() if found["mac"] else None
        return Agent(self.name, model, found["firmware"], mac)

    def agent_vendors(self, model: Model) -> frozenset[str]:
        """The P series may keep the name of its maker."""
        return frozenset({self.name} if model.family in _OWN_FAMILIES else {self.name, "snom"})

    def secret_classes(self, model: Model) -> frozenset[SecretClass]:
        """Maxwell and N series have no password for menus, and prove themselves with their label."""
        return _OWN_SECRETS if model.family in _OWN_FAMILIES else frozenset(SecretClass)

    def file_names(self, phone: Phone, model: Model) -> Mapping[str, str | None]:
        """``%MACD.xml`` where the address has that placeholder, else the MAC address or a name that is always the same.

        The P series wants an address that ends in ``{mac}.xml``: which name it adds to a folder is not known.
        """
        own = f"{phone.mac.upper()}.xml"
        if model.family not in _OWN_FAMILIES:
            return {own: SETTINGS}
        return {own: SETTINGS, "provisioning.xml": SETTINGS}

    def pnp_address(self, model: Model, site: Settings, mac: str) -> str:
        """Where its own file is: with the placeholder of its family, or with the MAC address as it asked."""
        return f"{site.folder_url()}{'%MACD' if model.family in _OWN_FAMILIES else mac}.xml"

    def version_key(self, version: str) -> tuple[int, ...]:
        """A DECT base says ``83.V2.11.0+build.a546b91`` of version 2.11.0."""
        return super().version_key(version.rpartition("V")[2])

    def language_files(self, model: Model) -> Mapping[str, str]:
        """Only the P series, which Snom builds, is known to take them."""
        return {} if model.family in _OWN_FAMILIES else snom_settings.LANGUAGES

    def documents(self, phone: Phone, model: Model, site: Settings, offer: Offer) -> list[Document]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        family = _OWN_FAMILIES.get(model.family)
        return [family.render(phone, site, offer) if family else snom_settings.render(phone, model, site, offer)]

    def faults(self, phone: Phone, model: Model) -> Iterator[Fault]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        family = _OWN_FAMILIES.get(model.family)
        if not family:
            yield from snom_settings.faults(phone, model, f"{self.title} {model.name} phones")
            return
        if phone.gigaset_id is None:
            what = f"is missing; a {self.title} {model.name} gets its passwords only with it as proof"
            yield Fault("gigaset_id", what, "it is the 4 characters behind the MAC address on the label")
        if phone.web_user != _ADMINISTRATOR:
            what = f"the administrator of a {self.title} {model.name} is always {_ADMINISTRATOR}"
            yield Fault("web_user", what, "leave it out")
        yield from family.faults(phone, model, f"{self.title} {model.name} phones")

    def secret_fault(self, key: SecretKey, secret: str) -> str | None:
        """None: UTF-8 XML carries every password that the model lets pass."""
        return None
