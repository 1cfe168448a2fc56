# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``redirect_service`` and the playbook ``cloud.yml``: the real service, a vendor's one over TLS, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.autoprov.appliance.plugins.modules import redirect_service
from tests.integration.collection.conftest import REPOSITORY, Play, Service
from tests.redirect_services.hawk_service import HawkService
from tests.redirect_services.service import Authority, running
from tests.redirect_services.xmlrpc_services import GigasetService, XmlRpcService
from tests.redirect_services.ymcs_service import YmcsService

URL = "https://prov.example:50081/"
SNOM, BASE, YEALINK = "000413922d24", "7c2f80e0d605", "805e0c4d796d"
LABEL = "PL4N"
PHONES = [
    {"mac": SNOM, "vendor": "snom", "model": "D785"},
    {"mac": BASE, "vendor": "gigaset", "model": "N670", "gigaset_id": LABEL},
    {"mac": YEALINK, "vendor": "yealink", "model": "T54W"},
]
ACCOUNT = {"line": 1, "user": "1001", "registrar": "pbx.example"}
CALLBACK = """
import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "everything"

    def _write(self, result):
        with open(os.environ["EVERYTHING"], "a") as stream:
            text = json.dumps([dict(result._task.args), result._result], default=str)
            stream.write(text + "\\n")

    v2_runner_on_ok = v2_runner_item_on_ok = v2_runner_item_on_failed = v2_runner_on_skipped = _write

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result)
"""


@dataclass
class Site:
    """The provisioning service, and the services of three vendors."""

    service: Service
    authority: Authority
    sraps: HawkService
    gigaset: GigasetService
    ymcs: YmcsService

    def common(self, endpoint: str) -> dict[str, str]:
        return {"endpoint": endpoint, "endpoint_ca_path": str(self.authority.path)}

    def cloud_services(self) -> dict[str, dict[str, Any]]:
        """The variable of the playbook."""
        return {
            "snom_sraps": {
                "username": HawkService.IDENTIFIER,
                "password": HawkService.KEY,
                "phones": [{"mac": SNOM}],
                **self.common(self.sraps.endpoint),
            },
            "gigaset_redirect": {
                "username": XmlRpcService.USERNAME,
                "password": XmlRpcService.PASSWORD,
                "phones": [{"mac": BASE, "mac_id": LABEL}],
                "url": f"{URL}%MACD.xml",
                **self.common(self.gigaset.endpoint),
            },
            "yealink_ymcs": {
                "username": YmcsService.CLIENT_ID,
                "password": YmcsService.SECRET,
                "phones": [{"mac": YEALINK}],
                **self.common(self.ymcs.endpoint),
            },
        }

    def registered(self) -> dict[str, str]:
        """Where phones are sent, by all services."""
        return {**self.sraps.urls(), **self.gigaset.phones, **self.ymcs.devices}

    def demand(self, proof: str) -> None:
        """What the site demands of Snoms and Yealinks. What waits keeps its terms, so it is revoked and armed."""
        rules = [{"vendor": vendor, "proof": proof} for vendor in ("snom", "yealink")]
        self.service.api.put("/settings", {"settings": {"release": {"rules": rules}}})
        for verb in ("revoke", "arm"):
            self.service.api.post(f"/grants/{verb}", {"select": [{"mac": SNOM}, {"mac": YEALINK}]})


@pytest.fixture
def site(service: Service, tmp_path: Path) -> Iterator[Site]:
    authority = Authority(tmp_path)
    sraps, gigaset, ymcs = HawkService(), GigasetService(), YmcsService()
    gigaset.labels[BASE] = LABEL
    service.api.put("/phones", {"phones": [{**phone, "accounts": [ACCOUNT]} for phone in PHONES]})
    with running(sraps, authority), running(gigaset, authority), running(ymcs, authority):
        yield Site(service, authority, sraps, gigaset, ymcs)


def play_cloud(site: Site, folder: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run the playbook as people do; its status, what it printed, and everything that a callback gets."""
    (folder / "callbacks").mkdir(exist_ok=True)
    (folder / "callbacks" / "everything.py").write_text(CALLBACK)
    everything = folder / "everything.jsonl"
    everything.write_text("")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    variables = {"cloud_url": URL, "cloud_services": site.cloud_services()}
    inventory = {"autoprov_appliances": {"hosts": {"here": here}, "vars": variables}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    bin_folder = Path(sys.executable).parent
    settings = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "AUTOPROV_API_URL": site.service.url,
        "ANSIBLE_CALLBACK_PLUGINS": str(folder / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "everything",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1",
        "EVERYTHING": str(everything),
    }
    playbook = str(REPOSITORY / "playbooks" / "cloud.yml")
    done = subprocess.run(
        [str(bin_folder / "ansible-playbook"), "-vvv", "-i", str(folder / "hosts.yml"), playbook, *arguments],
        env=environment | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, everything.read_text()


def row(text: str, name: str) -> list[str]:
    """The row of a service in the table that is shown."""
    return (
        next(line for line in text.splitlines() if line.strip(' ",').startswith(f"{name}  ")).strip(' ",').split()[1:]
    )


def test_the_playbook_registers_the_cloud_phones_of_a_site(
    site: Site, tmp_path: Path, checkout_environment: dict[str, str]
) -> None:
    # As it comes, a Snom's passwords go to whoever shows its address: no vendor may hear of its URL.
    status, text, _events = play_cloud(site, tmp_path, checkout_environment)
    assert status != 0
    assert f"({SNOM}): its passwords (menu, provisioning, sip, web) would be released to whoever shows its MAC" in text
    assert f"({YEALINK}): its passwords" in text
    assert site.registered() == {BASE: f"{URL}%MACD.xml"}, "a Gigaset base always shows the ID of its label"
    assert row(text, "gigaset_redirect") == ["1", "0", "0", "0", "0"]
    assert site.sraps.asked == site.ymcs.asked == []

    site.demand("certificate")
    status, text, _events = play_cloud(site, tmp_path, checkout_environment, "--check", "--diff")
    assert status == 0, text
    assert f"+{SNOM} {URL}" in text
    assert set(site.registered()) == {BASE}, "check mode changes nothing"
    status, text, _events = play_cloud(site, tmp_path, checkout_environment)
    assert status == 0, text
    assert site.registered() == {BASE: f"{URL}%MACD.xml", SNOM: URL, YEALINK: URL}
    assert [row(text, name) for name in ("snom_sraps", "yealink_ymcs")] == [["1", "0", "0", "0", "0"]] * 2
    assert row(text, "gigaset_redirect") == ["0", "0", "0", "1", "0"]
    status, text, _events = play_cloud(site, tmp_path, checkout_environment)
    assert "changed=0" in text


@pytest.mark.parametrize("trouble", ["none", "refused", "broken", "list"])
def test_no_credential_is_printed_or_in_an_event(
    site: Site, tmp_path: Path, checkout_environment: dict[str, str], trouble: str
) -> None:
    if trouble != "list":
        site.demand("credentials")
    if trouble == "refused":
        site.gigaset.labels[BASE] = "0000"
        site.sraps.guard.key = "another"
        site.ymcs.foreign.add(YEALINK)
    if trouble == "broken":
        for vendor in (site.sraps, site.gigaset, site.ymcs):
            vendor.trouble("", f"{HawkService.KEY} {XmlRpcService.PASSWORD} {YmcsService.SECRET}".encode(), times=99)
    status, text, events = play_cloud(site, tmp_path, checkout_environment, "--diff")
    assert (status == 0) is (trouble == "none"), text
    assert "Register the phones" in text
    assert events.count("redirect_service") or "phones" in events
    for place in (text, events):
        assert "planted-" not in place
        assert LABEL not in place
    assert '"phones": "1 entries"' in events
    assert "Traceback" not in text


def test_the_examples_run(site: Site, play: Play) -> None:
    """As they stand; the services are those of this test."""
    site.demand("certificate")
    site.service.api.put("/phones", {"phones": [{**PHONES[0], "mac": "000413922d25", "accounts": [ACCOUNT]}]})
    site.sraps.add("000413922d25", URL)
    endpoints = {
        "snom_sraps": site.sraps.endpoint,
        "gigaset_redirect": site.gigaset.endpoint,
        "yealink_ymcs": site.ymcs.endpoint,
    }
    variables = {
        "sraps_key_id": HawkService.IDENTIFIER,
        "sraps_key": HawkService.KEY,
        "gigaset_username": XmlRpcService.USERNAME,
        "gigaset_password": XmlRpcService.PASSWORD,
        "gigaset_label_id": LABEL,
        "ymcs_client_id": YmcsService.CLIENT_ID,
        "ymcs_client_secret": YmcsService.SECRET,
    }
    tasks = []
    for task in yaml.safe_load(redirect_service.EXAMPLES):
        options = task["autoprov.appliance.redirect_service"]
        options.update(site.common(endpoints[options["provider"]]))
        tasks.append({**task, "become": False})
    done = play(tasks, url=site.service.url, variables=variables)
    assert done.status == 0, done.text
    results = list(done.results.values())
    assert [result["changed"] for result in results] == [True, True, True]
    assert results[0]["removed"] == ["000413922d25"]
    assert site.registered()[YEALINK] == "https://other.example/yealink/"
    assert "planted-" not in json.dumps(results)
