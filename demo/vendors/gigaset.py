# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gigaset N670 and N870: XML of named parameters, fetched with the ID of the label."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping

from demo.sip import Account
from demo.vendors.base import Boot, Settings, UnreadableError, Vendor, folder, names_a_file, xml
from demo.web import Response

_PRODUCTS = frozenset({"e2"})


def _boot(server: str, model: str, mac: str) -> Boot:
    url = server.replace("%MACD", mac)
    response = yield url if "%MACD" in server or names_a_file(url) else folder(url) + "provisioning.xml"
    return _settings(response) if response.status == 200 else {}


def _settings(response: Response) -> Settings:
    root = xml(response)
    if root.tag != "provisioning" or root.get("version") != "1.1" or root.get("productID") not in _PRODUCTS:
        raise UnreadableError(f'{response.url}: the root is not <provisioning version="1.1" productID="e2">')
    settings: Settings = {}
    for section in root:
        if section.tag not in ("nvm", "firmware"):
            raise UnreadableError(f"{response.url}: an N670 knows no section <{section.tag}>")
        for name, item in _parameters(section):
            if name in settings or set(item.attrib) != {"name", "value"}:
                raise UnreadableError(f"{response.url}: {name} is there twice, or is not name and value")
            settings[name] = item.attrib["value"]
    return settings


def _parameters(section: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for item in section if section.tag == "nvm" else ():
        if item.tag == "param":
            yield item.attrib["name"], item
        elif item.tag == "oper":
            yield from ((f"{item.attrib['name']}/{item.attrib['value']}/{part.attrib['name']}", part) for part in item)
        else:
            raise UnreadableError(f"an N670 knows no <{item.tag}> among its settings")


def _account(flash: Mapping[str, str]) -> Account:
    provider = f"SipProvider.{flash['SipAccount.00001.ProviderId']}"
    return Account(
        user=flash["SipAccount.00001.UserName"],
        auth_user=flash["SipAccount.00001.AuthName"],
        password=flash["SipAccount.00001.AuthPassword"],
        registrar=flash[f"{provider}.RegServerAddress"],
        port=int(flash[f"{provider}.RegServerPort"]),
        transport={"1": "udp", "2": "tcp", "3": "tls"}[flash[f"{provider}.TransportProtocol"]],
        expires=int(flash.get(f"{provider}.RegServerRefreshTimer", 3600)),
    )


def _server(options: Mapping[int, str], flash: Mapping[str, str]) -> str:
    server = options.get(114) or options.get(66) or flash.get("Provisioning.global.ProvisioningServer", "")
    return server if "://" in server or not server else f"http://{server}"


GIGASET = Vendor(
    vendor_class="{model}_IP_PRO",
    options=(1, 3, 6, 15, 42, 66, 114),
    user_agent="Gigaset {model} IP PRO/83.V2.49.1+build.a546b91;{MAC}",
    server=_server,
    own_server="Provisioning.global.ProvisioningServer",
    boot=_boot,
    account=_account,
    secrets={"SipAccount.00001.AuthPassword": "sip", "WebUIAccounts.1.Password": "web"},
    beside_secrets=frozenset(),
    provisioning_user="",
    function_keys="-",
)
