# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snom desk phones: settings in XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin

from demo.sip import Account
from demo.vendors.base import Boot, Settings, UnreadableError, Vendor, folder, names_a_file, xml

_PERMISSIONS = re.compile(r"(?:RW|R|\$|&| |!|)V?")
_KEYS = {
    *("blf", "button", "conference", "dest", "dtmf", "icom", "keyevent", "line", "multicast", "none", "orbit"),
    *("presence", "record", "redirect", "speed", "transfer", "url"),
}
_LANGUAGES = frozenset({"gui-languages", "web-languages"})
_SECTIONS = frozenset({"tbook", "firmware-settings"})


def _boot(server: str, model: str, mac: str) -> Boot:
    names = ["snom{model}.htm", "snom{model}-{MAC}.htm"]
    if "{mac}" in server or names_a_file(server):
        urls = [server.replace("{mac}", mac)]
    else:
        urls = [folder(server) + name.format(model=model, MAC=mac.upper()) for name in names]
    settings: Settings = {}
    for url in urls:
        response = yield url
        if response.status != 200:
            continue
        root = xml(response)
        if root.tag == "setting-files":
            for file in root:
                part = yield urljoin(url, file.attrib["url"])
                if part.status == 200:
                    settings |= _settings(xml(part), part.url)
        else:
            settings |= _settings(root, url)
    return settings


def _settings(root: ElementTree.Element, url: str) -> Settings:
    if root.tag != "settings":
        raise UnreadableError(f"{url}: the root is <{root.tag}>, not <settings>")
    settings: Settings = {}
    for section in root:
        if section.tag == "phone-settings":
            _add_all(settings, ((_name(item), item) for item in section), url)
        elif section.tag == "functionKeys":
            _add_all(settings, ((f"fkey[{item.attrib['idx']}]", item) for item in section), url)
            for item in section:
                kind = (item.text or "").split(" ", 1)[0]
                if kind not in _KEYS:
                    raise UnreadableError(f"{url}: a Snom knows no function key of type {kind!r}")
        elif section.tag in _LANGUAGES:
            files = {f"{section.tag}[{item.attrib['name']}]": item.attrib["url"] for item in section.iter("language")}
            if len(files) != len(section):
                raise UnreadableError(f"{url}: <{section.tag}> holds <language> elements, each name once")
            settings |= files
        elif section.tag not in _SECTIONS:
            raise UnreadableError(f"{url}: a Snom knows no section <{section.tag}>")
    return settings


def _name(item: ElementTree.Element) -> str:
    return f"{item.tag}[{item.attrib['idx']}]" if "idx" in item.attrib else item.tag


def _add_all(settings: Settings, items: Iterator[tuple[str, ElementTree.Element]], url: str) -> None:
    for name, item in items:
        if name in settings or len(item) or not _PERMISSIONS.fullmatch(item.attrib.get("perm", "")):
            raise UnreadableError(f"{url}: {name} is there twice, has a child, or an unknown perm")
        settings[name] = item.text or ""


def _account(flash: Mapping[str, str]) -> Account:
    proxy, _, parameters = flash.get("user_outbound[1]", "").partition(";")
    host, _, port = (proxy or flash["user_host[1]"]).partition(":")
    transport = dict(part.partition("=")[::2] for part in parameters.split(";")).get("transport", "udp")
    return Account(
        user=flash["user_name[1]"],
        auth_user=flash.get("user_pname[1]") or flash["user_name[1]"],
        password=flash["user_pass[1]"],
        registrar=host,
        port=int(port or (5061 if transport == "tls" else 5060)),
        transport=transport,
        expires=int(flash.get("user_expiry[1]", 3600)),
    )


def _server(options: Mapping[int, str], flash: Mapping[str, str]) -> str:
    # provisioning_order: what DHCP says comes before setting_server, at every boot, and is not stored there.
    server = options.get(66, "")
    if not server:
        return flash.get("setting_server", "")
    server = server if "://" in server else f"http://{server}"
    return urljoin(folder(server), options[67]) if 67 in options and not names_a_file(server) else server


SNOM = Vendor(
    vendor_class="snom{model}",
    options=(1, 3, 4, 6, 12, 15, 42, 43, 51, 66, 67, 120, 125, 133),
    user_agent="Mozilla/4.0 (compatible; snom{model}-SIP 10.1.33.33 2010.12-00004-g9ba52f5 {MAC} SXM:0 UXM:0)",
    server=_server,
    own_server="setting_server",
    boot=_boot,
    account=_account,
    secrets={
        "user_pass[1]": "sip",
        "admin_mode_password": "menu",
        "admin_mode_password_confirm": "menu",
        "http_pass": "web",
        "http_client_pass": "provisioning",
    },
    beside_secrets=frozenset({"admin_mode", "http_user", "http_client_user", "setting_server"}),
    provisioning_user="http_client_user",
    function_keys=r"fkey\[\d+\]",
    pnp_event='ua-profile;profile-type="device";vendor="snom";model="snom{model}";version="10.1.33.33"',
    words=lambda flash: flash.get(f"gui-languages[{flash.get('language')}]"),
)
