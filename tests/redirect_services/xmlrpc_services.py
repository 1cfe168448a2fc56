# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services that speak XML-RPC: Snom's, Yealink's RPS, Gigaset's. They answer ``[success, text, ...]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.redirect_services.guards import BasicGuard, DigestGuard
from tests.redirect_services.service import Answer, Asked, FakeService

Reply = tuple[bool, Sequence[str]]


class XmlRpcService(FakeService):
    """A service of this kind."""

    USERNAME = "reseller"
    PASSWORD = "planted-xmlrpc-password"
    mac_form = "[0-9A-F]{12}"

    def __init__(self) -> None:
        super().__init__()
        self.guard: BasicGuard | DigestGuard = BasicGuard(self.USERNAME, self.PASSWORD)
        self.phones: dict[str, str] = {}
        self.foreign: set[str] = set()

    def kind_of(self, asked: Asked) -> str:
        return re.sub(rb"(?s).*<methodName>(.*)</methodName>.*", rb"\1", asked.body).decode()

    def answer(self, asked: Asked) -> Answer:
        if asked.method != "POST" or asked.target != self.path or asked.headers.get("Content-Type") != "text/xml":
            return self.violated(f"{asked.method} {asked.target} with {asked.headers.get('Content-Type')}")
        refusal = self.guard.check(asked)
        if refusal is not None:
            return Answer(401, b"not you", "text/plain", headers=[("WWW-Authenticate", refusal)])
        call = ElementTree.fromstring(asked.body)
        if call.tag != "methodCall" or any(len(value) != 1 for value in call.iter("value")):
            return self.violated("not a call with texts")
        parameters = [value[0].text or "" for value in call.findall("params/param/value")]
        reply = self.reply(call.findtext("methodName") or "", *parameters)
        return _fault() if reply is None else _reply(reply)

    def reply(self, method: str, *parameters: str) -> Reply | None:
        """What a method answers; None where there is no such method."""
        raise NotImplementedError

    def mac(self, text: str) -> str | None:
        """A MAC address as the service keeps it."""
        return text[:12].lower() if re.fullmatch(self.mac_form, text) else None


class SnomService(XmlRpcService):
    """Snom's: ``/xmlrpc/``, where the slash at the end is needed."""

    path = "/xmlrpc/"

    def reply(self, method: str, *parameters: str) -> Reply | None:
        mac = self.mac(parameters[0])
        if mac is None:
            return False, ["Error:malformed_mac"]
        if mac in self.foreign:
            return False, ["Error:owned_by_other_user"]
        if method == "redirect.registerPhone":
            if not re.match("https?://", parameters[1]) or "refused" in parameters[1]:
                return False, ["Error:malformed_url"]
            self.phones[mac] = parameters[1]
            return True, ["Ok"]
        if method == "redirect.deregisterPhone":
            self.phones.pop(mac, None)
            return True, ["Ok"]
        if method == "redirect.getPhoneRedirection":
            return (True, ["A company, of ours", self.phones[mac]]) if mac in self.phones else (False, ["Error:none"])
        return None


class YealinkService(XmlRpcService):
    """Yealink's RPS."""

    path = "/xmlrpc"

    def __init__(self) -> None:
        super().__init__()
        self.overridden = 0

    def reply(self, method: str, *parameters: str) -> Reply | None:
        mac = self.mac(parameters[0])
        if mac is None:
            return False, [f"Error:Invalid MAC(s):{parameters[0]}"]
        if method == "redirect.checkDevice":
            if mac in self.foreign:
                return False, ["Registered Elsewhere"]
            return (True, ["Registered"]) if mac in self.phones else (False, ["Unregistered"])
        if method == "redirect.registerDeviceWithUniqueUrl":
            _mac, name, url, override = parameters
            if not re.fullmatch("[A-Za-z0-9_. -]+", name):
                return False, ["Error:Invalid server"]
            if (mac in self.phones or mac in self.foreign) and override != "1":
                return False, ["Are you sure you want to override MAC addresses"]
            self.overridden += mac in self.foreign
            self.phones[mac] = url
            return True, ["OK"]
        if method == "redirect.deRegisterDevice":
            return (True, ["OK"]) if self.phones.pop(mac, None) else (False, [f"Error:Unregistered MAC(s):{mac}"])
        return None


class GigasetService(XmlRpcService):
    """Gigaset's redirect server: what is registered is named with the ID of its label."""

    path = "/apxml/rpc.do"
    mac_form = "[0-9A-F]{12}(-[A-Z0-9]{4})?"

    def __init__(self, algorithm: str | None = "MD5", uses: int = 100) -> None:
        super().__init__()
        if algorithm:
            self.guard = DigestGuard(self.USERNAME, self.PASSWORD, algorithm, uses)
        self.labels: dict[str, str] = {}

    def reply(self, method: str, *parameters: str) -> Reply | None:
        mac = self.mac(parameters[0])
        if mac is None:
            return False, [f"mac_invalid:{parameters[0]}"]
        if mac in self.foreign:
            return False, [f"mac_already_in_use:{parameters[0]}"]
        if method == "autoprov.checkDevice":
            return (True, [mac.upper()]) if mac in self.phones else (False, [f"mac_not_found:{mac.upper()}"])
        if method == "autoprov.deregisterDevice":
            return (True, ["OK"]) if self.phones.pop(mac, None) else (False, [f"mac_not_found:{mac.upper()}"])
        if method == "autoprov.registerDevice":
            named, url, _provider = parameters
            if "-" not in named:
                return False, ["missing_mac-id_crc"]
            if self.labels.get(mac) != named.partition("-")[2]:
                return False, [f"mac_not_exist:{named}"]
            if "refused" in url:
                return False, [f"url_invalid:{url}"]
            if mac in self.phones:
                return False, [f"mac_already_in_use:{named}"]
            self.phones[mac] = url
            return True, ["OK"]
        return None


def _reply(reply: Reply) -> Answer:
    success, texts = reply
    values = "".join(f"<value><string>{escape(text)}</string></value>" for text in texts)
    array = f"<array><data><value><boolean>{int(success)}</boolean></value>{values}</data></array>"
    text = (
        f"<?xml version='1.0'?><methodResponse><params><param><value>{array}</value></param></params></methodResponse>"
    )
    return Answer(200, text.encode(), "text/xml")


def _fault() -> Answer:
    members = (("faultCode", "<int>1</int>"), ("faultString", "<string>no such method</string>"))
    struct = "".join(f"<member><name>{name}</name><value>{value}</value></member>" for name, value in members)
    text = f"<methodResponse><fault><value><struct>{struct}</struct></value></fault></methodResponse>"
    return Answer(200, text.encode(), "text/xml")
