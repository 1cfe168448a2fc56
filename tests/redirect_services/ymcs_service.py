# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""YMCS, v2: a token for an hour or less, a time and a nonce with each request, up to 100 phones in one call."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

from tests.redirect_services.service import Answer, Asked, FakeService

_MESSAGES = {
    "800003": "Resource already exists",
    "800004": "Device already managed by another organization",
    "800006": "Batch size exceeds limit",
    "900400": "Request parameters are incorrect or missing",
    "900401": "Not logged in or session expired",
    "900403": "Request forbidden",
    "900404": "Resource not found",
}


class YmcsService(FakeService):
    """Yealink's Management Cloud Service."""

    path = ""
    CLIENT_ID = "client-1"
    SECRET = "planted-client-secret"

    def __init__(self) -> None:
        super().__init__()
        self.devices: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.by_mac_enabled = True
        self.ahead = 0.0
        self.calls_per_token = 1_000_000
        self.done_of_a_bulk = 1_000_000
        """How many phones of a call are done, when there is trouble with it."""
        self.tokens = 0
        self._uses = 0
        self._nonces: set[str] = set()

    def kind_of(self, asked: Asked) -> str:
        return asked.path.removeprefix("/v2/").removeprefix("rps/")

    def answer(self, asked: Asked) -> Answer:
        stamp, nonce = asked.headers.get("timestamp") or "", asked.headers.get("nonce") or ""
        if asked.method != "POST" or asked.headers.get("Content-Type") != "application/json":
            return self.violated(f"{asked.method} without JSON")
        if not re.fullmatch(r"\d{13}", stamp) or not re.fullmatch("[0-9a-f]{32}", nonce) or nonce in self._nonces:
            return self.violated("timestamp in milliseconds and a nonce of its own are needed")
        self._nonces.add(nonce)
        if abs(int(stamp) / 1000 - time.time() - self.ahead) > 300:
            return self._error(401, "900401")
        body = json.loads(asked.body)
        if asked.path == "/v2/token":
            return self._token(asked, body)
        self._uses += 1
        if asked.headers.get("Authorization") != f"Bearer {self._bearer()}" or self._uses > self.calls_per_token:
            return self._error(401, "900401")
        calls = {"listDevices": self._list, "addDevicesByMac": self._add, "delDevices": self._delete}
        call = calls.get(self.kind_of(asked))
        return call(body) if call else self.violated(f"unknown call {asked.path}", 404)

    def _bearer(self) -> str:
        return f"planted-token-{self.tokens}"

    def _token(self, asked: Asked, body: Any) -> Answer:
        expected = base64.b64encode(f"{self.CLIENT_ID}:{self.SECRET}".encode()).decode()
        if body != {"grant_type": "client_credentials"}:
            return self._error(400, "70011")
        if asked.headers.get("Authorization") != f"Basic {expected}":
            return Answer(401, json.dumps({"error": "invalid_client", "message": f"bad {expected}"}).encode())
        self.tokens += 1
        self._uses = 0
        return _json({"access_token": self._bearer(), "token_type": "Bearer", "expires_in": 3600})

    def _list(self, body: Any) -> Answer:
        if not (isinstance(body.get("skip"), int) and 1 <= body.get("limit", 0) <= 100):
            return self._error(400, "900400")
        wanted = body.get("filter", {}).get("mac", "")
        found = [mac for mac in sorted(self.devices) if wanted in mac]
        page = found[body["skip"] : body["skip"] + body["limit"]]
        rows = [{"id": f"id-{mac}", "mac": mac, "sn": None, "uniqueServerUrl": self.devices[mac]} for mac in page]
        return _json({"skip": body["skip"], "limit": body["limit"], "total": len(found), "data": rows})

    def _add(self, body: Any) -> Answer:
        if not self.by_mac_enabled:
            return self._error(403, "900403")
        if len(body) > 100:
            return self._error(400, "800006")
        errors = []
        for entry in body[: self.done_of_a_bulk]:
            if set(entry) != {"mac", "uniqueServerUrl"} or not re.fullmatch("[0-9a-f]{12}", entry["mac"]):
                return self.violated(f"addDevicesByMac of {entry}")
            mac = entry["mac"]
            code = "800004" if mac in self.foreign else "800003" if mac in self.devices else ""
            if code:
                errors.append({"mac": mac, "sn": "", "errorInfo": f"{code} {_MESSAGES[code]}"})
            else:
                self.devices[mac] = entry["uniqueServerUrl"]
        return self._counted(body, errors)

    def _delete(self, body: Any) -> Answer:
        if set(body) != {"deviceIdType", "deviceIds"} or body["deviceIdType"] != "mac" or not body["deviceIds"]:
            return self.violated(f"delDevices of {body}")
        errors = [
            {"field": mac, "msg": f"900404 {_MESSAGES['900404']}"}
            for mac in body["deviceIds"]
            if self.devices.pop(mac, None) is None
        ]
        return self._counted(body["deviceIds"], errors)

    @staticmethod
    def _counted(wanted: list[Any], errors: list[dict[str, str]]) -> Answer:
        done = len(wanted) - len(errors)
        counts = {"total": len(wanted), "successCount": done, "failureCount": len(errors)}
        return _json({**counts, "errors": errors})

    @staticmethod
    def _error(status: int, code: str) -> Answer:
        content = {"code": code, "requestId": "r-1", "message": _MESSAGES.get(code, ""), "details": []}
        return Answer(status, json.dumps(content).encode())


def _json(content: Any) -> Answer:
    return Answer(200, json.dumps(content).encode())
