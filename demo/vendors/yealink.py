# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Yealink desk phones: lines of name and value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin

from demo.sip import Account
from demo.vendors.base import Boot, Settings, UnreadableError, Vendor, folder
from demo.web import Response

_LINE = re.compile(r"([a-z0-9_.]+) *= *(.*)", re.ASCII | re.IGNORECASE)
_ROLES = frozenset({"static.security.user_password"})
_COMMON = {"T54W": 96}


def _boot(server: str, model: str, mac: str) -> Boot:
    base = folder(server)
    names = [f"y{_COMMON[model]:012d}.cfg", f"{mac}.cfg"]
    for boot_file in (f"{mac}.boot", "y000000000000.boot"):
        response = yield base + boot_file
        if response.status == 200:
            names = re.findall(r'^include:config +"([^"]+)"', response.body, re.MULTILINE)
            break
    settings: Settings = {}
    for name in names:
        response = yield urljoin(base, name)
        if response.status == 200:
            settings |= _settings(response)
    return settings


def _settings(response: Response) -> Settings:
    first, *lines = response.body.split("\n")
    if first != "#!version:1.0.0.1":
        raise UnreadableError(f"{response.url}: the first line is {first!r}, not #!version:1.0.0.1")
    settings: Settings = {}
    for number, line in enumerate(lines, 2):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:
            raise UnreadableError(f"{response.url}: line {number} is not NAME = VALUE")
        name, value = match.groups()
        if name in _ROLES:
            role, _, value = value.partition(":")
            name = f"{name}[{role}]"
        if name in settings:
            raise UnreadableError(f"{response.url}: line {number} sets {name} again")
        settings[name] = value
    return settings


def _account(flash: Mapping[str, str]) -> Account:
    server = "account.1.sip_server.1"
    return Account(
        user=flash["account.1.user_name"],
        auth_user=flash.get("account.1.auth_name") or flash["account.1.user_name"],
        password=flash["account.1.password"],
        registrar=flash[f"{server}.address"],
        port=int(flash.get(f"{server}.port", 5060)),
        transport={"0": "udp", "1": "tcp", "2": "tls"}[flash.get(f"{server}.transport_type", "0")],
        expires=int(flash.get(f"{server}.expires", 3600)),
    )


def _server(options: Mapping[int, str], flash: Mapping[str, str]) -> str:
    # DHCP comes before the address in flash, at every boot, unless a configuration has switched it off.
    if flash.get("static.auto_provision.dhcp_option.enable") == "0":
        return flash["static.auto_provision.server.url"]
    for code in (160, 161, 66):
        if code in options:
            return options[code] if "://" in options[code] else f"http://{options[code]}"
    return flash.get("static.auto_provision.server.url", "")


YEALINK = Vendor(
    vendor_class="yealink",
    options=(1, 3, 6, 12, 15, 28, 42, 43, 66, 132, 160, 161),
    user_agent="Yealink SIP-{model} 96.87.0.15 {mac_colons}",
    server=_server,
    own_server="static.auto_provision.server.url",
    boot=_boot,
    account=_account,
    secrets={
        "account.1.password": "sip",
        "features.xml_browser.pwd": "menu",
        "static.security.user_password[admin]": "web",
        "static.security.user_password[user]": "web",
        "static.auto_provision.server.password": "provisioning",
    },
    beside_secrets=frozenset(
        {
            "features.xml_browser.user_name",
            "static.security.user_name.admin",
            "static.security.user_name.user",
            "static.auto_provision.server.username",
            "static.auto_provision.server.url",
        }
    ),
    provisioning_user="static.auto_provision.server.username",
    function_keys=r"linekey\.\d+\.type",
    pnp_event='ua-profile;profile-type="device";vendor="Yealink";model="{model}";version="96.87.0.15"',
    words=lambda flash: flash.get("gui_lang.url"),
)
