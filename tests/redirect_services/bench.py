# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``redirect_service`` at a vendor's service that runs: accounts, phones, and what the service holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._redirect import transport
from tests.redirect_services.hawk_service import HawkService
from tests.redirect_services.service import Authority, FakeService, running
from tests.redirect_services.xmlrpc_services import GigasetService, SnomService, XmlRpcService, YealinkService
from tests.redirect_services.ymcs_service import YmcsService
from tests.unit.plugins.conftest import Run

URL = "https://prov.example:50081/"
OTHER = "https://prov.example:50081/other/"
PLANTED = "planted-"


@dataclass
class Case:
    """A service, and the account and phones that fit it."""

    provider: str
    make: Callable[[], Any]
    username: str
    password: str
    model: str
    mac: str
    register: str
    """What the service calls it when a phone is registered."""
    read: str
    tells_url: bool = True

    def macs(self, count: int) -> list[str]:
        """Phones of that vendor."""
        return [f"{self.mac}{number:06x}" for number in range(count)]


XML_RPC = (XmlRpcService.USERNAME, XmlRpcService.PASSWORD)
HAWK = (HawkService.IDENTIFIER, HawkService.KEY)
CASES = [
    Case("snom_sraps", HawkService, *HAWK, "D785", "000413", "PUT", "GET /api/v1/companies/c1/endpoints/0"),
    Case(
        "gigaset_grape",
        lambda: HawkService("ProvisioningServer"),
        *HAWK,
        "N670",
        "7c2f80",
        "PUT",
        "GET /api/v1/companies/c1/endpoints/7",
    ),
    Case("snom_xmlrpc", SnomService, *XML_RPC, "D785", "000413", "registerPhone", "getPhoneRedirection"),
    Case(
        "yealink_ymcs",
        YmcsService,
        YmcsService.CLIENT_ID,
        YmcsService.SECRET,
        "T54W",
        "805e0c",
        "addDevicesByMac",
        "listDevices",
    ),
    Case(
        "yealink_rps",
        YealinkService,
        *XML_RPC,
        "T54W",
        "805e0c",
        "redirect.registerDeviceWithUniqueUrl",
        "checkDevice",
        False,
    ),
    Case(
        "gigaset_redirect",
        GigasetService,
        *XML_RPC,
        "N670",
        "7c2f80",
        "autoprov.registerDevice",
        "checkDevice",
        False,
    ),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.provider)
TELLS = pytest.mark.parametrize("case", [case for case in CASES if case.tells_url], ids=lambda case: case.provider)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited: nobody waits in a test."""
    waited: list[float] = []
    monkeypatch.setattr(transport, "_sleep", waited.append)
    return waited


class Bench:
    """A service that runs, and the module at it."""

    def __init__(self, case: Case, service: Any, authority: Authority, run_module: Run) -> None:
        self.case = case
        self.service = service
        self._authority = authority
        self._run = run_module

    def phones(self, count: int, **values: Any) -> list[dict[str, Any]]:
        """Entries of a list."""
        labels = {} if self.case.provider != "gigaset_redirect" else {"mac_id": "PL4N"}
        for mac in self.case.macs(count):
            getattr(self.service, "labels", {}).setdefault(mac, "PL4N")
        return [{"mac": mac, "model": self.case.model, **labels, **values} for mac in self.case.macs(count)]

    def urls(self) -> dict[str, str]:
        """Where the service sends each phone."""
        if isinstance(self.service, HawkService):
            return self.service.urls()
        held: dict[str, str] = getattr(self.service, "phones", None) or getattr(self.service, "devices", {})
        return held

    def run(self, phones: list[dict[str, Any]], check: bool = False, **options: Any) -> dict[str, Any]:
        """The module's result; no credential is ever in it."""
        options = {
            "provider": self.case.provider,
            "username": self.case.username,
            "password": self.case.password,
            "endpoint": self.service.endpoint,
            "endpoint_ca_path": str(self._authority.path),
            "stated_proof": "certificate",
            "url": URL,
            "phones": phones,
            **options,
        }
        given = {name: value for name, value in options.items() if value is not None}
        result = self._run("redirect_service", given, check=check, diff=True)
        text = json.dumps(result)
        assert PLANTED not in text.replace("planted-url", ""), text
        assert "PL4N" not in text
        assert "Traceback" not in text
        return result


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def bench(case: Case, authority: Authority, run_module: Run, stack: ExitStack) -> Bench:
    service: FakeService = stack.enter_context(running(case.make(), authority))
    return Bench(case, service, authority, run_module)


def counts(result: dict[str, Any]) -> tuple[bool, int, int, int, int]:
    """Changed, and how many were created, updated, removed, and right."""
    lists = [len(result[name]) for name in ("created", "updated", "removed")]
    return (result["changed"], lists[0], lists[1], lists[2], result["unchanged"])
