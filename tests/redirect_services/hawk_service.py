# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SRAPS and GRAPE: a token names the company, the company its endpoints; settings by pages in a Link header."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.redirect_services.guards import HawkGuard
from tests.redirect_services.service import Answer, Asked, FakeService


class HawkService(FakeService):
    """A service of this kind."""

    path = "/api/v1/"
    IDENTIFIER = "ck_test"
    KEY = "planted-hawk-key"

    def __init__(self, setting: str = "setting_server") -> None:
        super().__init__()
        self.guard = HawkGuard(self.IDENTIFIER, self.KEY)
        self.phones: dict[str, dict[str, Any]] = {}
        self.foreign: set[str] = set()
        self.page_size = 1000
        self.company_host = ""
        """Another host, where the links are to lead there."""
        self.settings = [
            *({"uuid": f"0000-{number}", "param_name": f"other_{number}"} for number in range(5)),
            {"uuid": "5e77-1", "param_name": setting},
        ]

    def urls(self) -> dict[str, str]:
        """Where each phone is sent."""
        return {mac: phone["settings_manager"]["5e77-1"]["value"] for mac, phone in self.phones.items()}

    def add(self, mac: str, url: str, **settings: Any) -> None:
        """A phone that is there already."""
        held = {"5e77-1": {"value": url, "attrs": {"perm": "RW"}}, **settings}
        self.phones[mac] = {"mac": mac, "autoprovisioning_enabled": True, "settings_manager": held}

    def answer(self, asked: Asked) -> Answer:
        refusal = self.guard.check(asked, self.host, self.port)
        if refusal is not None:
            return Answer(401, b'{"message": "not you"}', headers=[("WWW-Authenticate", refusal)])
        if asked.headers.get("Accept", "").find("application/json") < 0:
            return self.violated("no Accept header")
        root = f"https://{self.company_host or f'{self.host}:{self.port}'}/api/v1/"
        if asked.method == "GET" and asked.path == "/api/v1/settings/":
            return self._page(asked, self.settings)
        if asked.method == "GET" and asked.path == f"/api/v1/tokens/{self.IDENTIFIER}":
            return _json(200, {"links": {"company": f"{root}companies/c1"}})
        if asked.method == "GET" and asked.path == "/api/v1/companies/c1":
            return _json(200, {"links": {"endpoints": f"{root}companies/c1/endpoints/"}})
        if asked.method == "GET" and asked.path == "/api/v1/companies/c1/endpoints/":
            return self._page(asked, [{"mac": mac} for mac in sorted(self.phones)])
        found = re.fullmatch("/api/v1/companies/c1/endpoints/([0-9a-f]{12})", asked.path)
        if found is None:
            return self.violated(f"unknown resource {asked.method} {asked.target}", 404)
        return self._endpoint(asked, found[1])

    def _endpoint(self, asked: Asked, mac: str) -> Answer:
        if mac in self.foreign:
            return _json(403, {"message": "endpoint belongs to another company"})
        if asked.method == "PUT":
            if asked.headers.get("Content-Type") != "application/json":
                return self.violated("PUT without application/json")
            wanted = json.loads(asked.body)
            ours = wanted.get("settings_manager", {}).get("5e77-1", {})
            if set(wanted) != {"mac", "autoprovisioning_enabled", "settings_manager"} or wanted["mac"] != mac:
                return self.violated(f"PUT of {sorted(wanted)}")
            if wanted["autoprovisioning_enabled"] is not True or ours.get("attrs") != {"perm": "RW"}:
                return self.violated("PUT of something that is not sent anywhere")
            if "refused" in ours["value"]:
                return _json(422, {"message": "not a valid URL"})
            created = mac not in self.phones
            self.phones[mac] = wanted
            return _json(201 if created else 200, wanted)
        if mac not in self.phones:
            return _json(404, {"message": "no such endpoint"})
        if asked.method == "DELETE":
            del self.phones[mac]
            return Answer(204)
        return _json(200, self.phones[mac])

    def _page(self, asked: Asked, rows: list[dict[str, Any]]) -> Answer:
        size = min(self.page_size, 1000)
        page = int((re.search(r"[?&]page=(\d+)", asked.target) or [0, "1"])[1])
        answer = _json(200, rows[(page - 1) * size : page * size])
        if page * size < len(rows):
            following = f'<{asked.path}?page={page + 1}>; rel="next", <{asked.path}>; rel="first"'
            answer.headers.append(("Link", following))
        return answer


def _json(status: int, content: Any) -> Answer:
    return Answer(status, json.dumps(content).encode())
