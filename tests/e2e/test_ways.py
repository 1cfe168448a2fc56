# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From power-on to SIP 200 OK, whichever way a phone finds the appliance; and three hundred of them in one second."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from autoprovd.tls import generate_certificate
from demo import pbx
from demo.needs import missing
from demo.phone import Label, Phone
from demo.site import INTERFACE, Host, Site, SiteError
from tests.postgres import Cluster
from tests.proofs.appliance import REPOSITORY, Appliance
from tests.proofs.databases import make
from tests.redirect_services.hawk_service import HawkService
from tests.redirect_services.service import Authority as FakeAuthority
from tests.redirect_services.service import FakeService, running
from tests.redirect_services.xmlrpc_services import GigasetService
from tests.redirect_services.ymcs_service import YmcsService
from tests.unit.service import test_mutual_tls as factory

pytestmark = pytest.mark.root

APPLIANCE, REGISTRAR, DHCP = "198.18.0.1", "198.18.0.5", "198.18.0.3"
LABELS = {
    "snom": Label("snom", "D785", "000413922d24"),
    "yealink": Label("yealink", "T54W", "805e0c123456"),
    "gigaset": Label("gigaset", "N670", "7c2f80e0d605", label_id="A1B2"),
}
CLOUD = {
    "snom": Label("snom", "D785", "000413922dff"),
    "yealink": Label("yealink", "T54W", "805e0c1234ff"),
    "gigaset": Label("gigaset", "N670", "7c2f80e0d6ff", label_id="PL4N"),
}
MUTUAL_TLS, HTTPS = 50083, 50081
ROUTER = "198.18.0.9"
USERS = {"snom": "1001", "yealink": "1002", "gigaset": "1003"}
CROWD = 300
_KEA = """{"Dhcp4": {
  "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
  "lease-database": {"type": "memfile", "persist": true},
  "subnet4": [{"id": 1, "subnet": "198.18.0.0/22", "pools": [{"pool": "198.18.0.50 - 198.18.0.99"}],
    "option-data": [%s]}]}}"""


def _password(user: str) -> str:
    return f"sip-secret-of-{user}"


def _phone(label: Label, user: str) -> dict[str, Any]:
    account = {"line": 1, "user": user, "registrar": REGISTRAR, "password": _password(user)}
    identity = {"gigaset_id": label.label_id} if label.label_id else {}
    return {"mac": label.mac, "vendor": label.vendor, "model": label.model, "accounts": [account], **identity}


CROWD_MACS = [f"000413a0{number:04x}" for number in range(CROWD)]


def _no_cluster() -> Cluster:
    raise AssertionError("SQLite needs none")


class Town:
    """A site with a registrar, a DHCP server that can be told what to say, and the appliance's service."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.dhcp = site.add_machine("dhcp", address=f"{DHCP}/22")
        self.dhcp.write("/etc/service/kea/run", _RUN_KEA, 0o755)
        self.tell_by_dhcp({})
        self.registrar = site.add_machine("registrar", address=f"{REGISTRAR}/22")
        pbx.install(self.registrar)
        users = [*USERS.values(), *(f"2{number:03}" for number in range(CROWD))]
        rows = [f"{user}:{REGISTRAR}:{_ha1(user)}" for user in users]
        table = "\n".join(["username(string) domain(string) ha1(string)", *rows, ""])
        self.registrar.write("/etc/kamailio/subscribers/subscriber", table, 0o600)
        self.host = site.add_host("appliance", address=f"{APPLIANCE}/22")
        self.host.run(["ip", "link", "set", "lo", "up"])
        self.appliance = Appliance(folder / "node", make("sqlite", folder, _no_cluster), listen="0.0.0.0")
        with (self.appliance.folder / "autoprovd.toml").open("a") as stream:
            stream.write(f'[pnp]\ninterfaces = ["{INTERFACE}"]\n')
            stream.write(f'[tls]\ncertificate_file = "{folder}/server.crt"\nkey_file = "{folder}/server.key"\n')
            stream.write(f'client_ca_file = "{folder}/vendors.pem"\n')
        toml = self.appliance.folder / "autoprovd.toml"
        door = f'[listen]\nphones_mutual_tls = ["0.0.0.0:{MUTUAL_TLS}"]\nphones_https = ["0.0.0.0:{HTTPS}"]'
        toml.write_text(toml.read_text().replace("[listen]", door))
        generate_certificate([APPLIANCE], folder)
        self.vendors = factory.Authority("Vendors of phones")
        pem = self.vendors.certificate.public_bytes(serialization.Encoding.PEM)
        (folder / "vendors.pem").write_bytes(pem)
        self.appliance.start(within=self.host.command([]))
        self.appliance.api(
            "PUT", "/settings", {"settings": {"public_host": APPLIANCE, "http_port": self.appliance.port}}
        )
        phones = [_phone(label, USERS[vendor]) for vendor, label in LABELS.items()]
        phones += [
            _phone(label, USERS[vendor]) | ({} if label.label_id else {"release": [{"proof": "certificate"}]})
            for vendor, label in CLOUD.items()
        ]
        phones += [_phone(Label("snom", "D785", mac), f"2{number:03}") for number, mac in enumerate(CROWD_MACS)]
        self.appliance.api("PUT", "/phones", {"phones": phones})
        self.url = f"http://{APPLIANCE}:{self.appliance.port}/"
        self.phones = {
            vendor: Phone(site.add_host(vendor, mac=label.mac_colons), label) for vendor, label in LABELS.items()
        }

    def tell_by_dhcp(self, options: Mapping[str, str]) -> None:
        """From now on the DHCP server gives these options besides an address."""
        data = ", ".join(json.dumps({"name": name, "data": value}) for name, value in options.items())
        self.dhcp.write("/etc/kea/kea-dhcp4.conf", _KEA % data)
        self.dhcp.run(["sh", "-c", "pid=$(pidof kea-dhcp4) && kill $pid || true"])

    def fresh(self, vendor: str) -> Phone:
        """That phone as from its box, its passwords armed."""
        phone = self.phones[vendor]
        phone.factory_reset()
        self.appliance.api("POST", "/grants/arm", {"select": [{"mac": phone.label.mac}]})
        return phone

    def grants(self, mac: str) -> list[dict[str, Any]]:
        """The phone's own grants."""
        shown = self.appliance.api("GET", f"/phones/{mac}")
        return [grant for grant in shown["grants"] if grant["audience"] == "phone"]


_RUN_KEA = "#!/bin/sh\nmkdir -p /run/kea /var/lib/kea\nexec kea-dhcp4 -c /etc/kea/kea-dhcp4.conf\n"


def _ha1(user: str) -> str:
    return hashlib.md5(f"{user}:{REGISTRAR}:{_password(user)}".encode()).hexdigest()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    if lacking := missing():
        pytest.skip(f"the demo needs {'; '.join(lacking)}")
    folder = tmp_path_factory.mktemp("ways")
    with Site(folder / "run", "apways-") as site:
        made = Town(site, folder)
        try:
            yield made
        finally:
            made.appliance.stop()


def _boots(phone: Phone) -> Mapping[int, str]:
    """Power on, again until the DHCP server is back."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return phone.power_on().options
        except SiteError:
            if time.monotonic() > deadline:
                raise


def _registers(phone: Phone) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            return phone.register()
        except SiteError as failure:
            if "no answer" not in str(failure) or time.monotonic() > deadline:
                raise


def _assert_released_once(town: Town, vendor: str) -> None:
    mac = LABELS[vendor].mac
    sip = [grant for grant in town.grants(mac) if grant["secret_class"] == "sip"]
    if vendor != "gigaset":  # it gets its password each time, with the ID of its label
        assert [(grant["state"], grant["releases"]) for grant in sip] in ([("released", 1)], [("open", 1)])


@pytest.mark.parametrize("vendor", LABELS)
def test_without_any_option_a_phone_asks_the_network(town: Town, vendor: str) -> None:
    town.tell_by_dhcp({})
    phone = town.fresh(vendor)
    assert not {66, 67, 114, 160, 161} & set(_boots(phone))
    given = phone.provision_by_pnp()
    assert given.passwords["sip"] == _password(USERS[vendor])
    assert _registers(phone) == "200 OK"
    _assert_released_once(town, vendor)
    conditions = town.appliance.api("GET", f"/phones/{phone.label.mac}/why")["zero_touch"]
    assert [each["met"] for each in conditions] == [True] * 6


@pytest.mark.parametrize("vendor", LABELS)
def test_with_option_66_only(town: Town, vendor: str) -> None:
    town.tell_by_dhcp({"tftp-server-name": town.url})
    phone = town.fresh(vendor)
    assert _boots(phone)[66] == town.url
    given = phone.provision()
    assert given.passwords["sip"] == _password(USERS[vendor])
    assert _registers(phone) == "200 OK"
    _assert_released_once(town, vendor)


@pytest.mark.parametrize("vendor", LABELS)
def test_with_a_typed_path_only(town: Town, vendor: str) -> None:
    town.tell_by_dhcp({})
    phone = town.fresh(vendor)
    assert 66 not in _boots(phone)
    with pytest.raises(SiteError, match="no provisioning address"):
        phone.provision()
    phone.type_in(town.appliance.api("GET", f"/phones/{phone.label.mac}/path")["url"])
    given = phone.provision()
    assert given.passwords["sip"] == _password(USERS[vendor])
    assert _registers(phone) == "200 OK"
    _assert_released_once(town, vendor)


def _in_a_branch(town: Town, vendor: str) -> Phone:
    """A cloud phone behind a router, in a network of its own; it came with a factory certificate."""
    site, label = town.site, CLOUD[vendor]
    if "branch" not in site.hosts:
        site.add_host("branch", address=f"{ROUTER}/22").run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        for server in (town.host, town.registrar):
            server.run(["ip", "route", "add", "198.19.0.0/16", "via", ROUTER])
    branch, number = site.hosts["branch"], list(CLOUD).index(vendor)
    phone = site.add_host(f"cloud-{vendor}", mac=label.mac_colons)
    phone.run(["ip", "link", "delete", INTERFACE])
    phone.run(["ip", "link", "add", INTERFACE, "address", label.mac_colons, "type", "veth", "peer", "name", "out"])
    phone.run(["ip", "link", "set", "out", "netns", branch.namespace, "name", f"in{number}"])
    for host, name, address in ((branch, f"in{number}", "1"), (phone, INTERFACE, "2")):
        host.run(["ip", "address", "add", f"198.19.{number}.{address}/24", "dev", name])
        host.run(["ip", "link", "set", name, "up"])
    phone.run(["ip", "route", "add", "default", "via", f"198.19.{number}.1"])
    certificate = None if label.label_id else town.vendors.factory(phone.directory, label.mac.upper())
    return Phone(phone, label, certificate)


def _register_at_vendor(
    town: Town, provider: str, service: FakeService, authority: FakeAuthority, **options: Any
) -> None:
    """Run the module as an integrator does; it asks the appliance how strong the proof is."""
    arguments = {
        "provider": provider,
        "endpoint": service.endpoint,
        "endpoint_ca_path": str(authority.path),
        "api_url": f"unix://{town.appliance.folder}/admin.sock",
        **options,
    }
    command = [str(Path(sys.executable).parent / "ansible"), "localhost", "-m", "autoprov.appliance.redirect_service"]
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    done = subprocess.run(
        [*command, "-a", json.dumps(arguments)], env=os.environ | paths, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CHANGED" in done.stdout


def test_from_another_subnet_as_a_cloud_phone(town: Town, tmp_path: Path) -> None:
    authority = FakeAuthority(tmp_path)
    sraps, gigaset, ymcs = HawkService(), GigasetService(), YmcsService()
    gigaset.labels[CLOUD["gigaset"].mac] = "PL4N"
    mutual, label = f"https://{APPLIANCE}:{MUTUAL_TLS}/", f"https://{APPLIANCE}:{HTTPS}/%MACD.xml"
    with running(sraps, authority), running(gigaset, authority), running(ymcs, authority):
        xml_rpc = {"username": GigasetService.USERNAME, "password": GigasetService.PASSWORD}
        base = {"mac": CLOUD["gigaset"].mac, "mac_id": "PL4N"}
        hawk = {"username": HawkService.IDENTIFIER, "password": HawkService.KEY}
        signed = {"username": YmcsService.CLIENT_ID, "password": YmcsService.SECRET}
        _register_at_vendor(town, "gigaset_redirect", gigaset, authority, url=label, phones=[base], **xml_rpc)
        snom, yealink = ([{"mac": CLOUD[vendor].mac}] for vendor in ("snom", "yealink"))
        _register_at_vendor(town, "snom_sraps", sraps, authority, url=mutual, phones=snom, **hawk)
        _register_at_vendor(town, "yealink_ymcs", ymcs, authority, url=mutual, phones=yealink, **signed)
        told = {**sraps.urls(), **gigaset.phones, **ymcs.devices}
    for vendor in CLOUD:
        phone = _in_a_branch(town, vendor)
        phone.type_in(told[phone.label.mac])  # what the vendor's service tells it when it starts
        own, phone.certificate = phone.certificate, None
        if own is not None:
            phone.certificate = town.vendors.factory(phone.host.directory, "000413999999")
            assert not phone.provision().passwords, "another phone's certificate gets nothing"
            phone.certificate = own
        given = phone.provision()
        assert given.passwords["sip"] == _password(USERS[vendor]), vendor
        assert _registers(phone) == "200 OK"
        (request,) = town.appliance.api("GET", f"/phones/{phone.label.mac}/why")["requests"][-1:]
        assert request["proof"] == ("label" if vendor == "gigaset" else "certificate")


def _site_check(host: Host, **options: Any) -> dict[str, Any]:
    """The module's result, run on that host of the site."""
    environment = [
        f"ANSIBLE_COLLECTIONS_PATH={REPOSITORY / 'collections'}", f"ANSIBLE_PYTHON_INTERPRETER={sys.executable}",
        "ANSIBLE_STDOUT_CALLBACK=ansible.builtin.oneline",
    ]  # fmt: skip
    command = [str(Path(sys.executable).parent / "ansible"), "localhost", "-m", "autoprov.appliance.site_check"]
    done = host.run(["env", *environment, *command, "-a", json.dumps(options)], check=False, timeout=120)
    assert " => " in done.stdout, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.partition(" => ")[2])
    return result


def test_site_check_sees_what_phones_meet(town: Town) -> None:
    town.tell_by_dhcp({"tftp-server-name": town.url})
    phone = town.fresh("snom")
    _boots(phone)
    asked = {
        "dhcp_interfaces": [INTERFACE],
        "dhcp_vendors": ["snom", "yealink"],  # this server tells a Gigaset no address with its placeholder
        "pnp_interfaces": [INTERFACE],
        "phones": [{"mac": phone.label.mac, "vendor": "snom", "model": "D785"}],
        "timeout": 4,
    }
    well = _site_check(phone.host, url=town.url, **asked)
    assert well.get("counts") == {"ok": 6, "warning": 0, "error": 0, "skipped": 0}, well
    assert [each["check"] for each in well["items"]] == ["dns", "reach", "dhcp", "dhcp", "pnp", "phone"]
    states = {grant["secret_class"]: grant["releases"] for grant in town.grants(phone.label.mac)}
    assert states["sip"] == 0, "a check releases nothing"
    elsewhere = _site_check(phone.host, url="http://198.18.0.99:50080/", language="de", **asked)
    assert "checks are not well" in elsewhere["msg"]
    found = {each["check"]: each for each in elsewhere["items"]}
    assert {check for check, each in found.items() if each["state"] == "error"} == {"reach", "dhcp", "pnp", "phone"}
    assert found["pnp"]["finding"] == f"{APPLIANCE} nennt {town.url}"


def _plug_in_crowd(host: Host, servers: Mapping[str, Host]) -> None:
    """Three hundred interfaces with a MAC address and an address each, that answer for nobody else."""
    lines = ["link set lo up", "link set eth0 up promisc on"]
    for number, mac in enumerate(CROWD_MACS):
        spelled = ":".join(mac[index : index + 2] for index in range(0, 12, 2))
        address = f"198.18.{1 + number // 250}.{1 + number % 250}"
        lines += [
            f"link add p{number} link eth0 address {spelled} type macvlan mode bridge",
            f"addr add {address}/22 dev p{number} noprefixroute",
        ]
    host.run(["ip", "-batch", "-"], text="\n".join(lines) + "\n")
    script = "for i in all default; do for s in arp_ignore=1 arp_announce=2 rp_filter=0 arp_filter=0; do "
    script += 'echo "${s#*=}" > /proc/sys/net/ipv4/conf/$i/${s%=*}; done; done'
    host.run(["sh", "-ec", script])
    ups = [f"link set p{number} up" for number in range(CROWD)]
    routes = [f"route add 198.18.0.0/22 dev p{number} table {1000 + number}" for number in range(CROWD)]
    rules = [f"rule add oif p{number} lookup {1000 + number}" for number in range(CROWD)]
    # All namespaces of a machine share the room of one neighbour table. What 300 real phones would keep in tables of
    # their own is written down here, so that the appliance and the registrar have to learn theirs as ever.
    known = [
        f"neigh add {address} lladdr {_mac_of(server)} dev p{number} nud permanent"
        for address, server in servers.items()
        for number in range(CROWD)
    ]
    host.run(["ip", "-batch", "-"], text="\n".join([*ups, *routes, *rules, *known]) + "\n")


def _mac_of(host: Host) -> str:
    return host.run(["cat", f"/sys/class/net/{INTERFACE}/address"]).stdout.strip()


def test_three_hundred_phones_power_on_in_the_same_second(town: Town) -> None:
    host = town.site.add_host("crowd")
    _plug_in_crowd(host, {APPLIANCE: town.host, REGISTRAR: town.registrar})
    phones = [
        [f"p{number}", f"198.18.{1 + number // 250}.{1 + number % 250}", mac, f"2{number:03}"]
        for number, mac in enumerate(CROWD_MACS)
    ]
    command = host.command([sys.executable, str(Path(__file__).with_name("crowd.py")), REGISTRAR])
    started = time.monotonic()
    done = subprocess.run(command, input=json.dumps(phones), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    print(f"{CROWD} phones registered within {time.monotonic() - started:.1f} s")
    outcomes = json.loads(done.stdout)
    failed = {mac: outcome for mac, outcome in outcomes.items() if outcome != "200"}
    assert failed == {}
    assert set(pbx.registered(town.registrar)) >= {f"2{number:03}" for number in range(CROWD)}
    releases = {
        (phone["mac"], grant["secret_class"]): grant["releases"]
        for phone in town.appliance.api("GET", "/phones")["phones"]
        if phone["mac"] in CROWD_MACS
        for grant in phone["grants"]
        if grant["audience"] == "phone"
    }
    assert {releases[mac, "sip"] for mac in CROWD_MACS} == {1}
    town.appliance.assert_audit_whole()
