# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small parts: MAC addresses, migrations, keys, certificates, configuration, the neighbour table, the log."""

from __future__ import annotations

import base64
import json
import logging
import os
import socket
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography import x509
from pydantic import ValidationError

from autoprovd import config, log, neighbours, sealing
from autoprovd.faults import Refused
from autoprovd.model import Phone, parse_mac
from autoprovd.store.schema import metadata
from autoprovd.tls import generate_certificate

from .conftest import Box


@pytest.mark.parametrize(
    "text", ["00:04:13:96:d9:b4", "00-04-13-96-D9-B4", "00041396D9B4", "0004.1396.d9b4", " 00:04:13:96:D9:b4 "]
)
def test_mac_spellings(text: str) -> None:
    assert parse_mac(text) == "00041396d9b4"


@pytest.mark.parametrize(
    "text", ["", "00:04:13:96:d9", "00:04-13:96:d9:b4", "0004.1396.d9b", "01:00:5e:00:00:01", "000000000000", 42, None]
)
def test_not_a_mac(text: object) -> None:
    with pytest.raises(ValueError, match=r"MAC address|group address"):
        parse_mac(text)


def test_the_migrations_make_the_tables_the_program_uses(box: Box) -> None:
    with box.store.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_does_nothing(box: Box) -> None:
    box.store.migrate()


@pytest.mark.usefixtures("sqlite_only")
def test_commits_are_flushed_to_disk(box: Box) -> None:
    with box.store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "FULL"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "sealing.key"
    sealing.generate_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert len(base64.b64decode(file.read_text())) == 32
    with pytest.raises(Refused, match="never overwritten"):
        sealing.generate_key(file)


@pytest.mark.parametrize("content", ["", "nonsense!", base64.b64encode(b"short").decode()])
def test_a_bad_key_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sealing.key"
    file.write_text(content)
    with pytest.raises(Refused, match=str(file)):
        sealing.load_keyring(file)


def test_a_key_from_the_service_manager_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealing.generate_key(tmp_path / sealing.CREDENTIAL_NAME)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert sealing.load_keyring(tmp_path / "absent").fingerprint("x")


def test_an_older_key_still_opens(tmp_path: Path) -> None:
    old, new = os.urandom(32), os.urandom(32)
    sealed = sealing.Keyring([old]).seal("secret", "here")
    assert sealing.Keyring([new, old]).open(sealed, "here") == "secret"
    with pytest.raises(Refused, match="does not hold"):
        sealing.Keyring([new]).open(sealed, "here")
    with pytest.raises(Refused, match="moved"):
        sealing.Keyring([old]).open(sealed, "there")


def test_a_self_made_certificate_names_its_hosts(tmp_path: Path) -> None:
    generate_certificate(["prov.example", "198.18.0.1"], tmp_path)
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["prov.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["198.18.0.1"]
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o400
    with pytest.raises(Refused, match="never overwritten"):
        generate_certificate(["other"], tmp_path)


def test_all_faults_of_a_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "autoprovd.toml"
    file.write_text('[listen]\nphones_http = ["50080"]\n[log]\nlevel = "loud"\n[colour]\n')
    with pytest.raises(Refused) as refusal:
        config.load(file)
    assert len(refusal.value.faults) == 3
    with pytest.raises(Refused, match="cannot read"):
        config.load(tmp_path / "absent.toml")
    file.write_text("[")
    with pytest.raises(Refused, match="not TOML"):
        config.load(file)


def test_the_neighbour_table_is_read_from_the_kernel() -> None:
    table = neighbours.Neighbours()
    assert table.mac_of("198.51.100.7") is None
    for own in ("127.0.0.1", "::1"):
        assert table.look(own) == (None, False), "this host itself"
    assert all(len(mac) == 12 for mac in table._table.values())


def test_a_neighbour_message_is_understood() -> None:
    def attribute(kind: int, value: bytes) -> bytes:
        return (len(value) + 4).to_bytes(2, "little") + kind.to_bytes(2, "little") + value + bytes(-len(value) % 4)

    def entry(state: int, address: bytes) -> bytes:
        head = bytes([2, 0, 0, 0]) + (3).to_bytes(4, "little") + state.to_bytes(2, "little") + bytes(2)
        return head + attribute(1, address) + attribute(2, bytes.fromhex("00041396d9b4"))

    four, six = socket.inet_aton("198.18.0.20"), socket.inet_pton(socket.AF_INET6, "fd00::20")
    assert neighbours._entry(entry(0x02, four)) == ("198.18.0.20", "00041396d9b4")
    assert neighbours._entry(entry(0x04, six)) == ("fd00::20", "00041396d9b4")
    assert neighbours._entry(entry(0x20, four)) is None, "a failed entry proves nothing"


def test_the_log_has_no_field_for_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match="password"):
        log.event("released", password="secret")
    log.configure("info")
    try:
        raise ValueError("secret")
    except ValueError as failure:
        log.event("failed", logging.ERROR, failure=failure, mac="00041396d9b4")
    line = json.loads(capsys.readouterr().out)
    assert line["event"] == "failed"
    assert line["error"] == "ValueError"
    assert "secret" not in str(line)


def test_a_fixed_address_is_told_apart_from_anything_else() -> None:
    phone = {"mac": "00:04:13:92:2D:24", "vendor": "snom", "model": "D785"}
    assert "address" not in Phone.model_validate(phone).public(), "a list without it means what it meant"
    assert Phone.model_validate({**phone, "address": "198.18.0.20"}).public()["address"] == "198.18.0.20"
    with pytest.raises(ValidationError):
        Phone.model_validate({**phone, "address": "198.18.0.256"})
