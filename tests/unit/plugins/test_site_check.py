# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check of ``site_check``: well, and each way in which it is not."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.autoprov.appliance.plugins.module_utils._site_check import clock, items, pnp, ways
from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.vendors import NEEDS
from tests.unit.plugins.conftest import Run

SNOM = {"mac": "000413922d24", "vendor": "snom", "model": "D785"}


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    """A web server with one file, and what it was asked."""
    asked: list[tuple[str, str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append((self.command, self.path, self.headers["User-Agent"]))
            label = self.path == "/7c2f80e0d605.xml"
            self.send_response(401 if label else 200 if self.path == "/snomD785-000413922D24.htm" else 404)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(folder: Path, start_days: int, days: int, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """An authority, and a chain and key it signed: two files."""
    now = datetime.now(UTC)

    def signed(
        name: str, issuer: str, own: Any, signer: Any, first: int, last: int, is_authority: bool
    ) -> x509.Certificate:
        subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer))
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(own.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + timedelta(days=first)).not_valid_after(now + timedelta(days=last))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        if not is_authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _each in range(2))
    authority = signed("An authority", "An authority", authority_key, authority_key, -400, 400, is_authority=True)
    own = signed("The appliance", "An authority", key, authority_key, start_days, days, is_authority=False)
    trusted, file = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + own.public_bytes(serialization.Encoding.PEM))
    return trusted, file


@pytest.mark.parametrize(
    ("start", "days", "address", "trusts", "state", "says"),
    [
        (-10, 100, "127.0.0.1", True, "ok", "99 more days"),
        (-10, 20, "127.0.0.1", True, "warning", "19 more days only"),
        (-10, -1, "127.0.0.1", True, "error", "expired"),
        (10, 20, "127.0.0.1", True, "error", "not valid yet"),
        (-10, 100, "127.0.0.2", True, "error", "of another address"),
        (-10, 100, "127.0.0.1", False, "error", "its authority is not known"),
    ],
)
def test_a_certificate_as_a_phone_judges_it(
    tmp_path: Path, start: int, days: int, address: str, trusts: bool, state: str, says: str
) -> None:
    authority, file = certificate(tmp_path, start, days, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with serving(context) as (port, _asked):
        found = ways.certificate("127.0.0.1", port, str(authority) if trusts else None, "en", 5)
    assert (found.state, found.check) == (state, "certificate")
    assert says in found.finding
    assert bool(found.advice) is (state != "ok")


def test_a_door_without_tls_is_named() -> None:
    with serving() as (port, _asked):
        found = ways.certificate("127.0.0.1", port, None, "en", 2)
    assert found.state == "error"
    assert "HTTPS" in found.advice


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
    assert ways.reach("127.0.0.1", port, "en", 1)[2:4] == ("error", "nobody listens")
    assert ways.certificate("127.0.0.1", port, None, "en", 1).state == "error"
    with serving() as (port, _asked):
        assert ways.reach("127.0.0.1", port, "de", 1)[2:4] == ("ok", "antwortet")


@pytest.mark.parametrize(
    ("number", "says"), [(socket.EAI_NONAME, "does not exist"), (socket.EAI_AGAIN, "no DNS server")]
)
def test_names(monkeypatch: pytest.MonkeyPatch, number: int, says: str) -> None:
    def fails(*_arguments: object, **_how: object) -> None:
        raise socket.gaierror(number, "what the resolver says")

    assert ways.resolve("127.0.0.1", "en")[1] == ["127.0.0.1"]
    monkeypatch.setattr(socket, "getaddrinfo", fails)
    found, addresses = ways.resolve("prov.invalid", "en")
    assert (found.state, addresses) == ("error", [])
    assert found.finding.startswith(says)


@contextlib.contextmanager
def time_server(offset: float, change: Callable[[bytearray], None] = lambda answer: None) -> Iterator[int]:
    """One answer by SNTP, that much off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))

        def serve() -> None:
            data, source = own.recvfrom(512)
            answer = bytearray(48)
            answer[0], answer[1], answer[24:32] = 0x24, 2, data[40:48]
            now = time.time() + offset + 2_208_988_800
            answer[40:48] = struct.pack(">II", int(now), int(now % 1 * 2**32))
            change(answer)
            own.sendto(bytes(answer), source)

        thread = threading.Thread(target=serve)
        thread.start()
        yield own.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(("offset", "state"), [(0.0, "ok"), (-30.0, "ok"), (3600.0, "error"), (-86400.0, "error")])
def test_time(offset: float, state: str) -> None:
    with time_server(offset) as port:
        found = clock.ask("127.0.0.1", "en", 2, port)
    assert found.state == state
    assert f"{offset:+.0f}"[:3] in found.finding or offset == 0


@pytest.mark.parametrize(("place", "value"), [(24, 1), (1, 0), (1, 16), (0, 0xE4), (0, 0x23)])
def test_time_of_who_has_none_or_answers_another(place: int, value: int) -> None:
    def change(answer: bytearray) -> None:
        answer[place] = answer[place] ^ value if place == 24 else value

    with time_server(0, change) as port:
        assert "not in step" in clock.ask("127.0.0.1", "en", 2, port).finding


def test_time_of_nobody() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        assert clock.ask("127.0.0.1", "de", 0.1, own.getsockname()[1]).state == "error"


def test_pnp_on_an_interface_that_is_not_there() -> None:
    found = pnp.ask("nothere0", "http://198.18.0.1:50080/", "en", 0.1)
    assert (found.state, found.finding) == ("error", "nobody answers SIP PnP")
    assert "Name an interface" in found.advice


def test_the_module_lists_everything_and_fails_as_it_is_told(run_module: Run) -> None:
    with serving() as (port, asked):
        phones = [SNOM, {**SNOM, "mac": "000413922d25"}, {"mac": "7c2f80e0d605", "vendor": "gigaset", "model": "N670"}]
        options = {"url": f"http://127.0.0.1:{port}/", "phones": phones}
        failed = run_module("site_check", options)
        found = run_module("site_check", {**options, "fail_on": "never", "language": "de"})
        well = run_module("site_check", {**options, "phones": [SNOM]})
    assert failed["failed"]
    assert "1 of 5 checks are not well" in failed["msg"]
    assert [each["state"] for each in failed["items"]] == ["ok", "ok", "ok", "error", "ok"]
    assert failed["table"][0].startswith("error       phone")
    assert "autoprov phone why 000413922d25" in failed["table"][1]
    assert not found.get("failed")
    assert found["table"][0].startswith("Fehler      phone")
    assert well["counts"] == {"ok": 3, "warning": 0, "error": 0, "skipped": 0}
    assert {method for method, _path, _agent in asked} == {"HEAD"}, "a GET could use up a release"


def test_all_faults_of_a_question_are_told_at_once(run_module: Run) -> None:
    phones = [{**SNOM, "mac": "00:04:13:92:2D:24"}, {**SNOM, "model": "../etc"}]
    for url in ("198.18.0.1", "http://198.18.0.1:50080", "ftp://a/", "http://:80/", "http://a:99999/"):
        result = run_module("site_check", {"url": url, "phones": phones})
        assert len(result["faults"]) == 3, url


def test_a_check_that_breaks_stops_no_other(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_arguments: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(clock, "ask", breaks)
    with serving() as (port, _asked):
        options = {"url": f"http://127.0.0.1:{port}/", "ntp_servers": ["127.0.0.1"], "phones": [SNOM]}
        result = run_module("site_check", options)
    assert [each["state"] for each in result["items"]] == ["ok", "ok", "error", "ok"]
    assert "secret" not in str(result)


def test_every_finding_is_there_in_both_languages_with_the_same_gaps() -> None:
    for _state, english, german in items._FINDINGS.values():
        for texts in zip(english, german, strict=True):
            gaps = [
                {(name or "").removesuffix("_de") for _text, name, *_rest in Formatter().parse(text)} for text in texts
            ]
            assert gaps[0] == gaps[1]


def test_yealink_comes_first() -> None:
    assert next(iter(NEEDS)) == "yealink"
    assert set(NEEDS) == {"yealink", "snom", "gigaset"}
