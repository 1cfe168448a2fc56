# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""SRAPS of Snom and GRAPE of Gigaset: REST, signed with Hawk; a token leads to the company, the company to its phones.

Sources: service.snom.com "REST API"; the clients in nethesis/falconieri (libs/sraps, libs/grape). Lists go on in a Link
header (RFC 8288). That DELETE removes, and GET reads, what PUT made, is how the services describe themselves.
"""

from __future__ import annotations

import json
import re
import typing as t
from urllib.parse import quote

from .authentication import Hawk, Request, Scheme
from .errors import CallError, PhoneFault
from .provider import REMOVE, Change, Provider, Registration
from .refusals import HAWK, explain
from .transport import Response

_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)
_PAGE = "page_size=1000"
_MOST_PAGES = 200
_OF_A_PHONE = (400, 403, 404, 409, 422)


class HawkRest(Provider):
    """A service of this kind; which setting holds the URL is all they differ in."""

    lists = True
    setting: t.ClassVar[str]

    _setting_id = ""
    _phones = ""

    def make_scheme(self, username: str, password: str) -> Scheme:
        return Hawk(username, password)

    def read_one(self, mac: str) -> t.Optional[Registration]:
        response = self._call("GET", self._phone(mac))
        if response.status == 404:
            return None
        self._check(response)
        found = self.transport.json(response)
        settings = found.get("settings_manager") if isinstance(found, dict) else None
        settings = settings if isinstance(settings, dict) else {}
        ours = settings.get(self._setting())
        url = ours.get("value") if isinstance(ours, dict) else None
        # Known there, but not sent anywhere, as after a change in the portal: to be updated, not created.
        enabled = bool(found.get("autoprovisioning_enabled", True)) if isinstance(found, dict) else True
        return Registration(str(url) if url and enabled else "", settings)

    def write_one(self, change: Change) -> None:
        if change.verb == REMOVE:
            response = self._call("DELETE", self._phone(change.mac), safe=False)
            if response.status == 404:
                return
        else:
            # Settings that somebody made in the portal stay.
            kept = dict(change.before.held or {}) if change.before else {}
            kept[self._setting()] = {"value": change.url, "attrs": {"perm": "RW"}}
            body = {"mac": change.mac, "autoprovisioning_enabled": True, "settings_manager": kept}
            response = self._call("PUT", self._phone(change.mac), json.dumps(body).encode(), safe=False)
        self._check(response)

    def list_registered(self) -> t.List[str]:
        rows = self._pages(f"{self._phones_url()}?{_PAGE}")
        return [str(row["mac"]).lower().replace(":", "") for row in rows if row.get("mac")]

    def _check(self, response: Response) -> None:
        if response.status < 300:
            return
        said = self.transport.clean(f"{response.status} {_message(response)}")
        raise PhoneFault(explain(HAWK, said))

    def _call(self, method: str, url: str, body: bytes = b"", safe: bool = True) -> Response:
        request = Request(method, url, body, "application/json" if body else "")
        return self.transport.call(request, self.scheme, safe, read=_OF_A_PHONE)

    def _get(self, url: str) -> t.Any:
        response = self.transport.call(Request("GET", url), self.scheme, safe=True)
        return self.transport.json(response)

    def _phone(self, mac: str) -> str:
        return self._phones_url() + mac

    def _phones_url(self) -> str:
        if not self._phones:
            token = self._get(self.transport.relative(f"tokens/{quote(self.username, safe='')}"))
            company = self._get(self._link(token, "company"))
            self._phones = self._link(company, "endpoints").rstrip("/") + "/"
        return self._phones

    def _link(self, found: t.Any, name: str) -> str:
        links = found.get("links") if isinstance(found, dict) else None
        link = links.get(name) if isinstance(links, dict) else None
        if not isinstance(link, str) or not link:
            raise CallError(f"{self.title} names no {name}; is the account complete? Ask the vendor")
        return self.transport.relative(link)

    def _setting(self) -> str:
        if not self._setting_id:
            rows = self._pages(self.transport.relative(f"settings/?{_PAGE}"))
            ours = next((row for row in rows if row.get("param_name") == self.setting and row.get("uuid")), None)
            if ours is None:
                raise CallError(f"{self.title} knows no setting {self.setting}; ask the vendor")
            self._setting_id = str(ours["uuid"])
        return self._setting_id

    def _pages(self, url: str) -> t.Iterator[t.Dict[str, t.Any]]:
        following: t.Optional[str] = url
        for _page in range(_MOST_PAGES):
            response = self.transport.call(Request("GET", following or ""), self.scheme, safe=True)
            rows = self.transport.json(response)
            if not isinstance(rows, list):
                raise CallError(f"{self.title} answered without a list; check endpoint")
            yield from (row for row in rows if isinstance(row, dict))
            found = _NEXT.search(", ".join(response.headers.get_all("Link") or ()))
            if found is None:
                return
            following = self.transport.relative(found.group(1))
        raise CallError(f"{self.title} has more than {_MOST_PAGES} pages of them; report this")


class SnomSraps(HawkRest):
    """Snom's Secure Redirection and Provisioning Service."""

    name, title, vendor = "snom_sraps", "Snom SRAPS", "snom"
    endpoints: t.ClassVar[t.Mapping[str, str]] = {"": "https://api.sraps.snom.com/api/v1/"}
    setting = "setting_server"


class GigasetGrape(HawkRest):
    """Gigaset's Redirect and Provisioning Environment."""

    name, title, vendor = "gigaset_grape", "Gigaset GRAPE", "gigaset"
    endpoints: t.ClassVar[t.Mapping[str, str]] = {"": "https://api.grape.gigaset.net/api/v1/"}
    setting = "ProvisioningServer"


def _message(response: Response) -> str:
    try:
        found = json.loads(response.body)
    except ValueError:
        return ""
    words = [found.get(name) for name in ("message", "detail", "error")] if isinstance(found, dict) else []
    return next((word for word in words if isinstance(word, str) and word), "")
