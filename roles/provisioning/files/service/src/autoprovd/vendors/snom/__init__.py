# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snom: desk phones of the D and SP series. XML settings, fetched by name of model and MAC address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from autoprovd.faults import Fault
from autoprovd.model import Phone, SecretKey, Settings
from autoprovd.render import Document
from autoprovd.vendors.base import SETTINGS, Agent, Model, Offer, Vendor, read_models
from autoprovd.vendors.snom import settings

# "Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 000413922D24 SXM:0 UXM:0)": what stands
# between firmware and MAC address, and whether the MAC address stands there at all, differs by age. DECT bases say
# "Snom M900 05.20.0001 000413b60680"; SIP messages say "snomD120/10.1.39.11".
_AGENT = re.compile(
    r"\bsnom(?P<model>\w+)(?:-SIP |/)(?P<firmware>\d[\d.]*)|\bsnom (?P<dect>M\w+) (?P<dect_firmware>\d[\d.]*)",
    re.IGNORECASE,
)
_MAC = re.compile(r"\b[0-9a-f]{12}\b", re.IGNORECASE)


class Snom(Vendor):
    """The room of Snom."""

    name = "snom"
    title = "Snom"
    models = read_models(__package__)
    shared_files = re.compile(r"snom[a-z]{0,2}\d{2,4}[a-z]{0,3}\.htm")
    # service.snom.com, "TLS Support": every model but the old 3xx, which are not in the table.
    pnp_families = frozenset({"snom", "snom8"})
    factory_certificates = frozenset({"snom", "snom8"})

    def agent(self, user_agent: str) -> Agent | None:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        found = _AGENT.search(user_agent)
        if not found:
            return None
        mac = _MAC.search(user_agent, found.end())
        return Agent(
            vendor=self.name,
            model=found["model"] or found["dect"],
            firmware=(found["firmware"] or found["dect_firmware"]).rstrip("."),
            mac=mac.group().lower() if mac else None,
        )

    def file_names(self, phone: Phone, model: Model) -> Mapping[str, str | None]:
        """A folder makes the phone ask for the first two; ``setting_server`` and ``{mac}.xml`` name the third."""
        # The file of the model is the same for all phones and never holds anything. It is answered all the same:
        # nobody documents that a phone which finds it missing goes on to its own.
        return {
            f"snom{model.name}.htm": settings.EMPTY,
            f"snom{model.name}-{phone.mac.upper()}.htm": SETTINGS,
            f"{phone.mac.upper()}.xml": SETTINGS,
        }

    def language_files(self, model: Model) -> Mapping[str, str]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        return settings.LANGUAGES

    def documents(self, phone: Phone, model: Model, site: Settings, offer: Offer) -> list[Document]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        return [settings.render_empty(), settings.render(phone, model, site, offer)]

    def faults(self, phone: Phone, model: Model) -> Iterator[Fault]:
        """See :class:`~autoprovd.vendors.base.Vendor`."""
        yield from settings.faults(phone, model, f"{self.title} phones")

    def secret_fault(self, key: SecretKey, secret: str) -> str | None:
        """None: UTF-8 XML carries every password that the model lets pass."""
        return None
