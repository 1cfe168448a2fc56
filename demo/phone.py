# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A phone on the site: plugged in it asks DHCP, fetches its files, keeps what it was told in flash, and registers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo import pnp, sip
from demo.dhcp import Answer, DhcpClient
from demo.site import Host, SiteError
from demo.vendors import VENDORS, Settings
from demo.web import Credentials, Response, fetch


@dataclass(frozen=True)
class Label:
    """What is printed on a phone."""

    vendor: str
    model: str
    mac: str
    """12 lower-case hexadecimal digits."""
    label_id: str = ""
    """Gigaset: the 4 characters behind the MAC address."""

    @property
    def title(self) -> str:
        """Vendor and model, as people say it."""
        return f"{self.vendor.capitalize()} {self.model}"

    @property
    def mac_colons(self) -> str:
        """The MAC address as `ip` writes it."""
        return ":".join(re.findall("..", self.mac))


@dataclass(frozen=True)
class Configuration:
    """What one round of provisioning brought."""

    responses: tuple[Response, ...]
    settings: Mapping[str, str]
    passwords: Mapping[str, str]
    """The secrets among the settings, by class."""
    function_keys: int

    @property
    def body(self) -> str:
        """Everything the server sent, to be searched for what must not be there."""
        return "\n".join(response.body for response in self.responses)


class Phone:
    """A phone of one of the vendors, behaving as its vendor describes."""

    def __init__(self, host: Host, label: Label, certificate: Path | None = None) -> None:
        """``certificate`` is the one it left the factory with, and its key."""
        self.host = host
        self.certificate = certificate
        self.label = label
        self.flash: Settings = {}
        """The settings that survive a reboot."""
        self.answer: Answer | None = None
        self._vendor = VENDORS[label.vendor]
        names = {"model": label.model, "MAC": label.mac.upper(), "mac_colons": label.mac_colons}
        self.user_agent = self._vendor.user_agent.format(**names)
        self._dhcp = DhcpClient(host, self._vendor.vendor_class.format(**names), self._vendor.options)

    def power_on(self) -> Answer:
        """Get an address."""
        self.answer = self._dhcp.boot()
        return self.answer

    def factory_reset(self) -> None:
        """Forget everything but what is on the label."""
        self.flash = {}

    def provision(self) -> Configuration:
        """Fetch its files as at the end of a boot, read them, and keep the settings."""
        return self._provision(self._vendor.server(self.answer.options if self.answer else {}, self.flash))

    def provision_by_pnp(self) -> Configuration:
        """Ask the network where its files are (SIP PnP), as before DHCP's options, and fetch them there."""
        return self._provision(
            pnp.ask(self.host, self.label.mac, self._vendor.pnp_event.format(model=self.label.model))
        )

    def type_in(self, url: str) -> None:
        """A person typed that address into its web interface."""
        self.flash[self._vendor.own_server] = url

    def refresh(self) -> Configuration:
        """Fetch its files as it does from time to time, from the address that its configuration gave."""
        return self._provision(self.flash.get(self._vendor.own_server, ""))

    def _provision(self, address: str) -> Configuration:
        if not address:
            raise SiteError("the phone was told no provisioning address")
        boot = self._vendor.boot(address, self.label.model, self.label.mac)
        responses: list[Response] = []
        url = next(boot)
        while True:
            responses.append(self._fetch(url))
            try:
                url = boot.send(responses[-1])
            except StopIteration as end:
                settings: Settings = end.value
                break
        self.flash |= settings
        return Configuration(
            responses=tuple(responses),
            settings=settings,
            passwords={kind: settings[name] for name, kind in self._vendor.secrets.items() if settings.get(name)},
            function_keys=sum(1 for name in settings if re.fullmatch(self._vendor.function_keys, name)),
        )

    def words(self) -> str:
        """Fetch the words of its display, as when its language is set. Raises :class:`SiteError` without any."""
        url = self._vendor.words(self.flash)
        if url is None:
            raise SiteError("its configuration names no file of its language")
        response = self._fetch(url)
        if response.status != 200:
            raise SiteError(f"{url}: {response.status}")
        return response.body

    def register(self) -> str:
        """Register the first account: the registrar's answer. Raises :class:`SiteError` when it is refused."""
        try:
            account = self._vendor.account(self.flash)
        except KeyError as missing:
            raise SiteError(f"the configuration lacks {missing}") from None
        return sip.register(self.host, account)

    @property
    def released_settings(self) -> frozenset[str]:
        """The names of the settings that are only given while a secret is released."""
        return frozenset(self._vendor.secrets) | self._vendor.beside_secrets

    def _fetch(self, url: str) -> Response:
        for credentials in self._credentials():
            response = fetch(self.host, url, self.user_agent, credentials, self.certificate)
            if response.status != 401:
                break
        return response

    def _credentials(self) -> list[Credentials | None]:
        """What it answers a challenge with, in its order; the label comes before what was configured."""
        known: list[Credentials | None] = []
        if self.label.label_id:
            mac = self.label.mac.upper()
            known.append(Credentials(mac, f"{mac}-{self.label.label_id}"))
        by_class = {kind: name for name, kind in self._vendor.secrets.items()}
        user = self.flash.get(self._vendor.provisioning_user, "")
        password = self.flash.get(by_class.get("provisioning", ""), "")
        if user and password:
            known.append(Credentials(user, password))
        return known or [None]
