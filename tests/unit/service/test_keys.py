# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: what is moved does not open, the sealing key is exchanged under way, and the log's own key outlives it."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from autoprovd import __main__ as program
from autoprovd import audit, sealing
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.keys import Keys, refuse_retirement
from autoprovd.model import SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.release import Release
from autoprovd.sealing import Keyring
from autoprovd.site import Site
from autoprovd.store import fact, set_fact
from autoprovd.store.schema import phones, secrets

from .conftest import SNOM, YEALINK, Box, snom, yealink

GIGASET = "7c2f80aabbcc"
SIP = SecretKey(1, SecretClass.SIP)
PHONE = Claimant(f"neighbour:{SNOM}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")


def gigaset(**changes: Any) -> dict[str, Any]:
    account = {"line": 1, "user": "1003", "registrar": "198.18.0.5"}
    return {"mac": GIGASET, "vendor": "gigaset", "model": "N670", "gigaset_id": "AB12", "accounts": [account]} | changes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sealing.key"
    sealing.generate_key(path)
    return path


@pytest.fixture
def box(box: Box, file: Path) -> Box:
    """The service in a box with a key file, and phones with every kind of sealed value."""
    box.keyring.replace(sealing.read_keys(file))
    box.keys = Keys(box.store, box.keyring, file)
    with box.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM facts")
    box.keys.settle()
    box.site.apply_phones([snom(), yealink(), gigaset()], False, False, "test")
    return box


def verified(box: Box, keyring: Keyring) -> bool:
    with box.store.read() as connection:
        return audit.verify(connection, keyring.audit_key).ok


# -- the keys of the audit log and the fingerprints --------------------------------------------------------------------


def test_own_keys_are_random_kept_sealed_and_found_again(box: Box, file: Path) -> None:
    again = Keyring(sealing.read_keys(file))
    assert again.audit_key != box.keyring.audit_key, "they do not follow from the sealing key"
    Keys(box.store, again).settle()
    assert again.audit_key == box.keyring.audit_key
    assert again.fingerprint("x") == box.keyring.fingerprint("x")
    stored = box.stored()
    assert box.keyring.audit_key not in stored
    assert base64.b64encode(box.keyring.audit_key)[:40] not in stored


def test_without_the_sealing_key_the_service_does_not_start(box: Box) -> None:
    with pytest.raises(Refused, match="needs sealing key"):
        Keys(box.store, Keyring([os.urandom(32)])).settle()


@pytest.mark.parametrize("exchanged", [False, True])
def test_a_database_from_before_keeps_its_keys(box: Box, file: Path, exchanged: bool) -> None:
    """Its log was chained with a key derived from the sealing key; even one that is the second of the file by now."""
    earlier = Keyring(sealing.read_keys(file))
    with box.store.write() as connection:
        box.without_triggers(connection)
        connection.exec_driver_sql("DELETE FROM audit")
        connection.exec_driver_sql("DELETE FROM facts WHERE name = 'own_keys'")
    box.store._seen = None  # as after a restart
    with box.store.write() as connection:
        audit.append(connection, earlier.audit_key, 1.0, [audit.Event("read", "earlier")] * 3)
    if exchanged:
        sealing.add_key(file)
    now = Keyring(sealing.read_keys(file))
    Keys(box.store, now).settle()
    assert now.audit_key == earlier.audit_key
    assert now.fingerprint("x") == earlier.fingerprint("x")
    assert verified(box, now)


# -- what is moved does not open ---------------------------------------------------------------------------------------


def test_a_sealed_value_opens_in_its_place_only(box: Box, file: Path) -> None:
    """Another account, class or version, another key's name, a label, and the keys of the log."""
    sealing.add_key(file)
    box.keys.reload()
    with box.store.read() as connection:
        kept = json.loads(str(fact(connection, "own_keys")))
    _newest, older = box.keyring.key_ids
    place = f"{SNOM}/1/sip/3"
    sealed = box.keyring.seal("secret", place)
    assert box.keyring.open(sealed, place) == "secret"
    moved = [
        (sealed, f"{YEALINK}/1/sip/3"),
        (sealed, f"{SNOM}/2/sip/3"),
        (sealed, f"{SNOM}/1/web/3"),
        (sealed, f"{SNOM}/1/sip/2"),
        (sealed, f"{SNOM}/label"),
        (sealed, "site/own keys"),
        (sealing.Sealed(older, sealed.box), place),
        (box.keyring.seal("AB12", f"{GIGASET}/label"), f"{SNOM}/label"),
        (sealing.Sealed(kept["key_id"], base64.b64decode(kept["box"])), f"{GIGASET}/label"),
    ]
    for value, elsewhere in moved:
        with pytest.raises(Refused, match="altered or moved"):
            box.keyring.open(value, elsewhere)


@pytest.mark.parametrize("change", ["account", "class", "version", "key id"])
def test_a_row_that_was_moved_is_not_released(box: Box, file: Path, change: str) -> None:
    sealing.add_key(file)
    box.keys.reload()
    here = (secrets.c.mac == SNOM, secrets.c.line == 1, secrets.c.secret_class == "sip")
    with box.store.write() as connection:
        row = connection.execute(select(secrets).where(*here)).one()
        if change == "account":
            other = connection.execute(select(secrets).where(secrets.c.mac == YEALINK, secrets.c.line == 1)).one()
            connection.execute(update(secrets).where(*here).values(box=other.box))
        elif change == "class":
            other = connection.execute(
                select(secrets).where(secrets.c.mac == SNOM, secrets.c.secret_class == "web")
            ).one()
            connection.execute(update(secrets).where(*here).values(box=other.box))
        elif change == "version":
            connection.execute(update(secrets).where(*here).values(version=row.version + 1))
        else:
            connection.execute(update(secrets).where(*here).values(key_id=box.keyring.key_ids[0]))
    with pytest.raises(Refused, match="altered or moved"):
        box.release.claim(SNOM, {SIP}, PHONE)


def test_a_label_and_the_keys_of_the_log_do_not_open_elsewhere(box: Box) -> None:
    with box.store.write() as connection:
        label = connection.execute(select(phones).where(phones.c.mac == GIGASET)).one()
        connection.execute(
            update(phones)
            .where(phones.c.mac == SNOM)
            .values(label_key_id=label.label_key_id, label_box=label.label_box)
        )
        forged = {"key_id": label.label_key_id, "box": base64.b64encode(label.label_box).decode()}
        set_fact(connection, "own_keys", json.dumps(forged))
    assert box.release.label(GIGASET) == "AB12"
    with pytest.raises(Refused, match="altered or moved"):
        box.release.label(SNOM)
    with pytest.raises(Refused, match="needs sealing key"):
        box.keys.settle()


# -- the exchange ------------------------------------------------------------------------------------------------------


def test_everything_is_sealed_anew_and_the_old_key_can_go(box: Box, file: Path) -> None:
    (old,) = box.keyring.key_ids
    sealed = {status.id: status for status in box.keys.status()}[old]
    assert (sealed.secrets, sealed.labels, sealed.own_keys) == (10, 1, 1)
    fingerprint = box.keyring.fingerprint("x")

    new = sealing.add_key(file)
    with pytest.raises(Refused, match="does not use key"):
        refuse_retirement(box.keys.status(), Keyring(sealing.read_keys(file)).key_ids, old)
    assert box.keys.reload()
    assert box.keys.reseal() == 12
    assert [(status.id, status.newest, status.seals) for status in box.keys.status()] == [
        (new, True, 12),
        (old, False, 0),
    ]
    with box.store.read() as connection:
        resealed = [row["detail"] for row in audit.page(connection, 0, 1000) if row["event"] == "resealed"]
    assert [(row["what"], row["count"]) for row in resealed] == [("own_keys", 1), ("secrets", 10), ("labels", 1)]
    assert all((row["from"], row["to"]) == ([old], new) for row in resealed)
    assert box.keys.reseal() == 0

    refuse_retirement(box.keys.status(), Keyring(sealing.read_keys(file)).key_ids, old)
    sealing.remove_key(file, old)
    alone = Keyring(sealing.read_keys(file))
    Keys(box.store, alone).settle()
    assert alone.key_ids == (new,)
    assert alone.fingerprint("x") == fingerprint
    assert verified(box, alone)
    release = Release(box.store, alone)
    assert release.label(GIGASET) == "AB12"
    result = Site(box.store, alone, release).apply_phones([snom(), yealink(), gigaset()], False, False, "test")
    assert not result.changed, "the list is the same one"
    assert release.claim(SNOM, {SIP}, PHONE) == {SIP: "sip-secret-of-1001"}


def test_what_was_sealed_with_the_old_key_meanwhile_is_found(box: Box, file: Path) -> None:
    old = Keyring(sealing.read_keys(file))
    sealing.add_key(file)
    box.keys.reload()
    box.keys.reseal()
    late = old.seal("late", f"{SNOM}/1/sip/1")
    with box.store.write() as connection:
        connection.execute(
            update(secrets)
            .where(secrets.c.mac == SNOM, secrets.c.secret_class == "sip")
            .values(key_id=late.key_id, box=late.box)
        )
    with pytest.raises(Refused, match="still seals 1"):
        refuse_retirement(box.keys.status(), box.keyring.key_ids, old.key_ids[0])
    assert box.keys.reseal() == 1
    assert box.release.claim(SNOM, {SIP}, PHONE) == {SIP: "late"}


def test_what_does_not_open_keeps_its_key_and_stops_nothing(box: Box, file: Path) -> None:
    (old,) = box.keyring.key_ids
    with box.store.write() as connection:
        connection.execute(
            update(secrets).where(secrets.c.mac == SNOM, secrets.c.secret_class == "sip").values(box=b"x" * 40)
        )
    sealing.add_key(file)
    box.keys.reload()
    assert box.keys.reseal() == 11
    assert [(status.secrets, status.labels) for status in box.keys.status()] == [(9, 1), (1, 0)]
    with pytest.raises(Refused, match="still seals 1"):
        refuse_retirement(box.keys.status(), box.keyring.key_ids, old)


def test_claims_and_changes_go_on_while_everything_is_sealed_anew(
    box: Box, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprovd.keys._BATCH", 3)
    macs = [f"00041390{number:04x}" for number in range(40)]
    box.site.apply_phones([snom(mac=mac) for mac in macs], False, False, "test")
    got: list[dict[SecretKey, str]] = []
    failures: list[BaseException] = []

    def claim() -> None:
        try:
            for mac in macs:
                claimant = Claimant(f"neighbour:{mac}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")
                got.append(box.release.claim(mac, {SIP}, claimant))
                box.site.apply_phones([snom(mac=mac, web_password="changed")], False, False, "test")
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=claim)
    thread.start()
    for _ in range(3):
        sealing.add_key(file)
        assert box.keys.reload()
        box.keys.reseal()
    thread.join()
    assert not failures
    assert got == [{SIP: "sip-secret-of-1001"}] * 40
    while box.keys.reseal():
        pass
    assert [status.seals > 0 for status in box.keys.status()] == [True, False, False, False]


@pytest.mark.parametrize("content", ["", "nonsense", base64.b64encode(b"short").decode()])
def test_a_bad_key_file_changes_nothing(box: Box, file: Path, content: str) -> None:
    held = box.keyring.key_ids
    file.chmod(0o600)
    file.write_text(content)
    assert not box.keys.reload()
    file.unlink()
    assert not box.keys.reload()
    assert box.keyring.key_ids == held
    assert box.release.claim(SNOM, {SIP}, PHONE)


def test_a_file_without_a_key_that_is_needed_is_not_taken(
    box: Box, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old,) = box.keyring.key_ids
    file.unlink()
    sealing.generate_key(file)
    assert not box.keys.reload()
    assert box.keyring.key_ids == (old,)


def test_a_key_that_another_service_uses_already_is_read_when_it_is_met(box: Box, file: Path) -> None:
    new = sealing.add_key(file)
    other = Keyring(sealing.read_keys(file))
    Keys(box.store, other, file).reseal()
    assert box.release.claim(SNOM, {SIP}, PHONE) == {SIP: "sip-secret-of-1001"}
    assert box.keyring.key_ids[0] == new


# -- the file and the commands -----------------------------------------------------------------------------------------


def test_a_new_key_stands_first_and_the_file_stays_what_it_was(file: Path) -> None:
    before = sealing.read_keys(file)
    file.chmod(0o440)
    file.with_name("sealing.key.new").write_text("of an attempt that was broken off")
    new = sealing.add_key(file)
    keys = sealing.read_keys(file)
    assert keys[1:] == before
    assert sealing.key_id(keys[0]) == new
    assert stat.S_IMODE(file.stat().st_mode) == 0o440
    assert [path.name for path in file.parent.glob("sealing*")] == ["sealing.key"]
    with pytest.raises(Refused, match="is the newest key"):
        sealing.remove_key(file, new)
    with pytest.raises(Refused, match="holds no key 00000000"):
        sealing.remove_key(file, "00000000")
    sealing.remove_key(file, sealing.key_id(before[0]))
    assert [sealing.key_id(key) for key in sealing.read_keys(file)] == [new]


def test_keys_added_at_once_are_all_kept(file: Path) -> None:
    threads = [threading.Thread(target=sealing.add_key, args=(file,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(sealing.read_keys(file))) == 9


def test_a_key_is_retired_by_the_database_where_no_service_runs(box: Box, file: Path, tmp_path: Path) -> None:
    config = tmp_path / "autoprovd.toml"
    config.write_text(
        f'[database]\nurl = "{box.url}"\n[keys]\nsealing_key_file = "{file}"\n'
        f'[listen]\nadmin_socket = "{tmp_path}/admin.sock"\n'
    )

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(program.commands, [str(argument) for argument in arguments])

    (old,) = box.keyring.key_ids
    added = run("generate-key", "--add", file)
    assert added.exit_code == 0
    new = added.output.strip()
    refused = run("retire-key", "--config", config, file, old).exception
    assert isinstance(refused, Refused)
    assert f"does not use key {new} yet" in refused.message
    box.keys.reload()
    box.keys.reseal()
    assert run("retire-key", "--config", config, file, old).exit_code == 0
    assert [sealing.key_id(key) for key in sealing.read_keys(file)] == [new]

    config.write_text(config.read_text().replace(box.url, f"sqlite:///{tmp_path}/absent.sqlite"))
    refused = run("retire-key", "--config", config, file, new).exception
    assert isinstance(refused, Refused)
    assert not (tmp_path / "absent.sqlite").exists()
