# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Factory certificates: real handshakes with the running service, certificates of an authority of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autoprovd.config import load
from autoprovd.faults import Refused
from autoprovd.sealing import generate_key
from autoprovd.tls import generate_certificate
from autoprovd.web.server import serve

from .conftest import SNOM, SNOM_AGENT, SNOM_FILE, YEALINK, YEALINK_AGENT, YEALINK_FILE, snom, yealink

SECRET = "sip-secret-of-1001"
YEALINK_SECRET = "sip-secret-of-1002"
CONFIGURATION = """
[database]
url = "sqlite:///{folder}/autoprov.sqlite"
[keys]
sealing_key_file = "{folder}/sealing.key"
[listen]
phones_http = ["127.0.0.1:{http}"]
phones_mutual_tls = ["127.0.0.1:{mutual}"]
admin_socket = "{folder}/admin.sock"
[tls]
certificate_file = "{folder}/server.crt"
key_file = "{folder}/server.key"
client_ca_file = "{folder}/vendors.pem"
[identity]
lease_files = [{{kind = "dnsmasq", path = "{folder}/dnsmasq.leases"}}]
"""


class Authority:
    """Signs certificates, as a vendor does in its factory."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self._name, self._key, 365, is_authority=True)

    def _sign(self, subject: x509.Name, key: Any, days: int, is_authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=30))
        builder = builder.not_valid_after(now + timedelta(days=days))
        basic = x509.BasicConstraints(ca=is_authority, path_length=None)
        return builder.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())

    def factory(self, folder: Path, *common_names: str, days: int = 365) -> Path:
        """A phone's certificate and key in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A vendor")]
        attributes += [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = folder / f"{x509.random_serial_number()}.pem"
        signed = self._sign(x509.Name(attributes), key, days, is_authority=False)
        file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
        return file


class Appliance:
    """The running service, and phones that ask it."""

    def __init__(self, folder: Path, http: int, mutual: int, authority: Authority) -> None:
        self.folder, self.http, self.mutual, self.authority = folder, http, mutual, authority

    def admin(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        transport = httpx.HTTPTransport(uds=str(self.folder / "admin.sock"))
        with httpx.Client(transport=transport, base_url="http://appliance/api/v1") as client:
            answer = client.request(method, path, **how)
        assert answer.is_success, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def phone(self, certificate: Path | None) -> httpx.Client:
        """A phone at the door for certificates, with this one or none."""
        context = ssl.create_default_context(cafile=str(self.folder / "server.crt"))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return httpx.Client(verify=context, base_url=f"https://127.0.0.1:{self.mutual}")

    def ask(self, *common_names: str, path: str = SNOM_FILE, agent: str = SNOM_AGENT, **how: Any) -> httpx.Response:
        with self.phone(self.authority.factory(self.folder, *common_names)) as client:
            return client.get(path, headers={"user-agent": agent}, **how)

    def last(self, mac: str = SNOM) -> tuple[str, str]:
        """Proof and reason of a phone's last request."""
        request = self.admin("GET", f"/phones/{mac}/why")["requests"][-1]
        return request["proof"], request["reason"]

    def arm(self) -> None:
        self.admin("POST", "/grants/arm", json={"select": [{"mac": SNOM}, {"mac": YEALINK}]})


def _start(folder: Path) -> subprocess.Popen[bytes]:
    source = Path(__file__).resolve().parents[3] / "service" / "src"
    command = [sys.executable, "-m", "autoprovd", "serve", "--config", str(folder / "autoprovd.toml")]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(source)}, stdout=log, stderr=log)


def _free_ports(count: int) -> Sequence[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def running() -> Iterator[Appliance]:
    # Not tmp_path: the path of a socket may be 107 characters long.
    with tempfile.TemporaryDirectory(prefix="autoprov-") as name:
        folder = Path(name)
        http, mutual = _free_ports(2)
        appliance = Appliance(folder, http, mutual, Authority("A vendor's factory"))
        generate_key(folder / "sealing.key")
        generate_certificate(["127.0.0.1"], folder)
        (folder / "vendors.pem").write_bytes(
            Authority("Another vendor").certificate.public_bytes(serialization.Encoding.PEM)
            + appliance.authority.certificate.public_bytes(serialization.Encoding.PEM)
        )
        (folder / "dnsmasq.leases").write_text("")
        (folder / "autoprovd.toml").write_text(CONFIGURATION.format(folder=folder, http=http, mutual=mutual))
        process = _start(folder)
        try:
            deadline = time.monotonic() + 30
            while not (folder / "admin.sock").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"autoprovd does not start: {(folder / 'log').read_text()}")
                time.sleep(0.05)
            rules = [{"vendor": "snom", "proof": "certificate"}, {"vendor": "yealink", "proof": "neighbour"}]
            appliance.admin("PUT", "/settings", json={"settings": {"release": {"rules": rules}}})
            account = {"line": 1, "user": "1002", "registrar": "198.18.0.5", "password": YEALINK_SECRET}
            phones = {"phones": [snom(), yealink(accounts=[account])]}
            appliance.admin("PUT", "/phones", json=phones)
            yield appliance
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@pytest.fixture
def appliance(running: Appliance) -> Appliance:
    """Everything is armed, and no lease is known."""
    running.admin("POST", "/grants/revoke", json={"select": [{"mac": SNOM}, {"mac": YEALINK}]})
    running.arm()
    leases = running.folder / "dnsmasq.leases"
    if leases.read_text():
        leases.write_text("")
        time.sleep(1.1)  # a lease that was seen is believed for a second
    return running


@pytest.mark.parametrize("name", ["00041396D9B4", "00:04:13:96:d9:b4", "00-04-13-96-D9-B4"])
def test_the_phone_whose_certificate_it_is_gets_its_passwords(appliance: Appliance, name: str) -> None:
    with appliance.phone(appliance.authority.factory(appliance.folder, name)) as phone:
        first = phone.get(SNOM_FILE, headers={"user-agent": SNOM_AGENT})
        again = phone.get(SNOM_FILE, headers={"user-agent": SNOM_AGENT})
    assert SECRET in first.text
    assert SECRET in again.text, "the same claimant, on the same connection"
    assert appliance.last()[0] == "certificate"


def test_without_it_the_other_doors_release_nothing(appliance: Appliance) -> None:
    plain = httpx.get(f"http://127.0.0.1:{appliance.http}{SNOM_FILE}", headers={"user-agent": SNOM_AGENT})
    assert plain.status_code == 200
    assert SECRET not in plain.text
    assert appliance.last() == ("address", "its policy wants the proof certificate, and there was only address")
    assert SECRET in appliance.ask("00041396D9B4").text, "nothing was used up"


def test_a_certificate_of_another_phone_proves_that_it_is_another(appliance: Appliance) -> None:
    (appliance.folder / "dnsmasq.leases").write_text("0 00:04:13:96:d9:b4 127.0.0.1 * *\n")
    assert SECRET not in appliance.ask("00041396D9B5").text
    assert appliance.last() == ("none", "its certificate is that of another phone")
    right = httpx.DigestAuth(SNOM, "provisioning-secret")
    assert SECRET not in appliance.ask("00041396D9B5", path="/a" + SNOM_FILE, auth=right).text
    assert appliance.last()[0] == "none", "nor do the right credentials help it"


def test_credentials_with_the_wrong_certificate_confirm_nothing(appliance: Appliance) -> None:
    assert SECRET in appliance.ask("00041396D9B4").text
    right = httpx.DigestAuth(SNOM, "provisioning-secret")
    appliance.ask("00041396D9B5", path="/a" + SNOM_FILE, auth=right)
    (phone,) = appliance.admin("GET", "/phones", params={"mac": SNOM})["phones"]
    assert {(grant["state"], grant["confirmed_at"]) for grant in phone["grants"]} == {("suspect", None)}


def test_the_certificate_counts_more_than_the_network(appliance: Appliance) -> None:
    (appliance.folder / "dnsmasq.leases").write_text("0 80:5e:0c:4d:79:6d 127.0.0.1 * *\n")
    assert SECRET in appliance.ask("00041396D9B4").text


@pytest.mark.parametrize("names", [["Yealink Equipment"], ["805E0C4D796D", "00041396D9B4"], []], ids=str)
def test_a_certificate_without_one_mac_address_proves_nothing(appliance: Appliance, names: list[str]) -> None:
    """Another proof may do: here the DHCP server's lease, for the phone whose policy is content with it."""
    yealink_asks = {"path": YEALINK_FILE, "agent": YEALINK_AGENT}
    assert YEALINK_SECRET not in appliance.ask(*names, **yealink_asks).text  # type: ignore[arg-type]
    assert appliance.last(YEALINK) == (
        "address", "its policy wants the proof neighbour, and there was only address",
    )  # fmt: skip
    (appliance.folder / "dnsmasq.leases").write_text("0 80:5e:0c:4d:79:6d 127.0.0.1 * *\n")
    assert YEALINK_SECRET in appliance.ask(*names, **yealink_asks).text  # type: ignore[arg-type]
    assert SECRET not in appliance.ask(*names).text


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("none", "peer did not return a certificate"),
        ("of an unknown authority", "certificate signature failure"),
        ("of a stranger's authority", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
def test_who_has_no_good_certificate_cannot_connect(appliance: Appliance, which: str, reason: str) -> None:
    certificate = {
        "none": lambda: None,
        "of an unknown authority": lambda: Authority("A vendor's factory").factory(appliance.folder, "00041396D9B4"),
        "of a stranger's authority": lambda: Authority("A stranger").factory(appliance.folder, "00041396D9B4"),
        "expired": lambda: appliance.authority.factory(appliance.folder, "00041396D9B4", days=-1),
    }[which]()
    with appliance.phone(certificate) as phone, pytest.raises(httpx.TransportError):
        phone.get(SNOM_FILE, headers={"user-agent": SNOM_AGENT})
    assert f'"reason": "{reason}"' in (appliance.folder / "log").read_text(), "a person can see why"
    assert SECRET in appliance.ask("00041396D9B4").text


def test_a_header_is_no_certificate(appliance: Appliance) -> None:
    for name in ("x-ssl-client-cn", "x-client-certificate", "ssl-client-subject-dn"):
        headers = {"user-agent": SNOM_AGENT, name: "00041396D9B4"}
        answer = httpx.get(f"http://127.0.0.1:{appliance.http}{SNOM_FILE}", headers=headers)
        assert SECRET not in answer.text


def test_the_door_needs_the_authorities(tmp_path: Path) -> None:
    text = CONFIGURATION.format(folder=tmp_path, http=0, mutual=0)
    file = tmp_path / "autoprovd.toml"
    file.write_text(text.replace("client_ca_file", "# client_ca_file"))
    with pytest.raises(Refused) as refusal:
        load(file)
    assert "tls.client_ca_file" in str(refusal.value.faults[0])


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("nothing", "no certificates in PEM")])
def test_authorities_that_cannot_be_used_are_named(tmp_path: Path, content: str | None, reason: str) -> None:
    generate_key(tmp_path / "sealing.key")
    generate_certificate(["127.0.0.1"], tmp_path)
    file = tmp_path / "autoprovd.toml"
    file.write_text(CONFIGURATION.format(folder=tmp_path, http=0, mutual=0).replace("admin_socket", "# admin_socket"))
    if content is not None:
        (tmp_path / "vendors.pem").write_text(content)
    with tempfile.TemporaryDirectory(prefix="autoprov-") as name:
        file.write_text(file.read_text().replace("# admin_socket = ", f'admin_socket = "{name}/admin.sock"  # '))
        with pytest.raises(Refused, match=f"vendors.pem.*{reason}"):
            serve(load(file))
