# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A phone that had its passwords gets them once more: the playbook, by a real Kamailio, to a phone that fetches."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import pbx
from demo.needs import missing
from demo.phone import Label, Phone
from demo.site import Machine, Site
from tests.postgres import Cluster
from tests.proofs.appliance import REPOSITORY, Appliance
from tests.proofs.databases import make

pytestmark = pytest.mark.root

APPLIANCE, PBX, DESK = "198.18.0.1", "198.18.0.5", "198.18.0.20"
SNOM = Label("snom", "D785", "000413922d24")
USER, PASSWORD, OPERATOR, OPERATOR_PASSWORD = "1001", "sip-secret-of-1001", "provisioning", "resync-secret"

# The demo's registrar, which also passes on what somebody with a password has for a phone.
_ROUTE = """request_route {
    if (is_method("REGISTER")) {
        if (!auth_check("pbx", "subscriber", "1")) {
            auth_challenge("pbx", "1");
            exit;
        }
        consume_credentials();
        save("location");
        exit;
    }
    if (!is_method("NOTIFY")) {
        sl_send_reply("405", "Method Not Allowed");
        exit;
    }
    if (!proxy_authorize("pbx", "subscriber")) {
        proxy_challenge("pbx", "1");
        exit;
    }
    consume_credentials();
    if (!lookup("location")) {
        sl_send_reply("404", "Not registered");
        exit;
    }
    t_relay();
}
"""

# A phone that registers, and answers what it is told; a line for each.
_PHONE = """
import asyncio, socket, sys
from tests.e2e import crowd
address, user, password, registrar = sys.argv[1:]
own = crowd._socket("eth0", address, socket.SOCK_DGRAM, 5060)
print(asyncio.run(crowd._register(own, address, user, password, registrar)), flush=True)
own.setblocking(True)
while True:
    data, source = own.recvfrom(65535)
    lines = data.decode().split("\\r\\n")
    kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    own.sendto("\\r\\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode(), source)
    print(lines[0].split()[0], next(line for line in lines if line.startswith("Event:")), flush=True)
"""


def _no_cluster() -> Cluster:
    raise AssertionError("SQLite needs none")


def _ha1(user: str, password: str) -> str:
    return hashlib.md5(f"{user}:pbx:{password}".encode()).hexdigest()


class Desk:
    """An appliance, a PBX, and a Snom that was provisioned once."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.folder = folder
        self.pbx = site.add_machine("pbx", address=f"{PBX}/24")
        _install(self.pbx)
        host = site.add_host("appliance", address=f"{APPLIANCE}/24")
        host.run(["ip", "link", "set", "lo", "up"])
        self.appliance = Appliance(folder / "node", make("sqlite", folder, _no_cluster), listen="0.0.0.0")
        self.appliance.start(within=host.command([]))
        self.appliance.api(
            "PUT", "/settings", {"settings": {"public_host": APPLIANCE, "http_port": self.appliance.port}}
        )
        account = {"line": 1, "user": USER, "registrar": PBX, "password": PASSWORD}
        phone = {"mac": SNOM.mac, "vendor": SNOM.vendor, "model": SNOM.model, "accounts": [account]}
        self.appliance.api("PUT", "/phones", {"phones": [phone]})
        self.phone = Phone(site.add_host("desk", mac=SNOM.mac_colons, address=f"{DESK}/24"), SNOM)
        self.phone.type_in(f"http://{APPLIANCE}:{self.appliance.port}/")

    def releases(self) -> tuple[str, int]:
        """How its SIP password stands."""
        grants = self.appliance.api("GET", f"/phones/{SNOM.mac}")["grants"]
        (sip,) = (each for each in grants if (each["secret_class"], each["audience"]) == ("sip", "phone"))
        return sip["state"], sip["releases"]

    def play(self, *arguments: str, password: str = OPERATOR_PASSWORD) -> tuple[int, str]:
        """Run the playbook as people do; its status and what it printed."""
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        via = {"host": PBX, "user": OPERATOR, "password": password}
        variables = {"reprovision_phones": [SNOM.mac], "reprovision_via": via, "reprovision_wait": 15}
        inventory = {"autoprov_appliances": {"hosts": {"here": here}, "vars": variables}}
        (self.folder / "hosts.yml").write_text(json.dumps(inventory))
        settings = {
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
            "AUTOPROV_API_URL": f"unix://{self.appliance.folder}/admin.sock",
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(self.folder / "hosts.yml")]
        command += [str(REPOSITORY / "playbooks" / "reprovision.yml"), *arguments]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
        assert OPERATOR_PASSWORD not in text
        assert PASSWORD not in text
        return done.returncode, text


def _install(machine: Machine) -> None:
    pbx.install(machine)
    configuration = machine.run(["cat", "/etc/kamailio/kamailio.cfg"]).stdout
    machine.write("/etc/kamailio/kamailio.cfg", re.sub(r"(?s)request_route \{.*", _ROUTE, configuration))
    rows = [f"{user}:pbx:{_ha1(user, secret)}" for user, secret in ((USER, PASSWORD), (OPERATOR, OPERATOR_PASSWORD))]
    table = "\n".join(["username(string) domain(string) ha1(string)", *rows, ""])
    machine.write("/etc/kamailio/subscribers/subscriber", table, 0o600)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    if lacking := missing():
        pytest.skip(f"the demo needs {'; '.join(lacking)}")
    with Site(tmp_path / "run", "apdesk-") as site:
        made = Desk(site, tmp_path)
        try:
            yield made
        finally:
            made.appliance.stop()


@pytest.fixture
def registered(desk: Desk) -> Iterator[subprocess.Popen[str]]:
    """The phone at the PBX, listening."""
    deadline = time.monotonic() + 30
    while True:
        command = desk.phone.host.command([sys.executable, "-c", _PHONE, DESK, USER, PASSWORD, PBX])
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline() == "200\n":
            break
        process.kill()
        said = process.communicate()[1]
        assert time.monotonic() < deadline, said
    yield process
    process.kill()
    process.communicate()


def test_a_phone_is_told_by_the_pbx_and_fetches_its_passwords_once_more(
    desk: Desk, registered: subprocess.Popen[str]
) -> None:
    assert desk.phone.provision().passwords["sip"] == PASSWORD
    before = desk.releases()
    status, text = desk.play("--check")
    assert status == 0, text
    assert desk.releases() == before, "check mode releases nothing"
    fetched: list[Any] = []

    def told() -> None:
        assert registered.stdout is not None
        fetched.append(registered.stdout.readline())
        fetched.append(desk.phone.provision().passwords)

    thread = threading.Thread(target=told)
    thread.start()
    status, text = desk.play()
    thread.join(30)
    assert status == 0, text
    assert fetched[0] == "NOTIFY Event: check-sync;reboot=false\n"
    assert fetched[1]["sip"] == PASSWORD
    assert desk.releases()[1] == 1, "the new release, once"
    assert re.search(r"accepted\s+yes", text)
    desk.appliance.assert_audit_whole()


def test_who_is_not_registered_and_who_has_no_right_is_named(desk: Desk) -> None:
    deadline = time.monotonic() + 30
    while True:
        status, text = desk.play()
        assert status != 0
        if "404" in text or time.monotonic() > deadline:
            break
    assert "404" in text
    status, text = desk.play(password="wrong")
    assert status != 0
    assert "password" in text or "407" in text
