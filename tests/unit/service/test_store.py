# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the database is trusted with, and what happens when it is not the one it was."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from autoprovd import audit, backup
from autoprovd.clock import DatabaseClock
from autoprovd.config import Config
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.model import SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.sealing import Keyring
from autoprovd.site import Selection
from autoprovd.store import Store, set_fact
from autoprovd.store.schema import audit as audit_table
from autoprovd.store.schema import facts, grants
from autoprovd.store.witness import START, Head
from tests.postgres import Cluster
from tests.postgres import folder as postgres_folder
from tests.unit.service.conftest import SNOM, YEALINK, Box, snom, yealink

SIP = SecretKey(1, SecretClass.SIP)
PHONE = Claimant(f"neighbour:{SNOM}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")
STRANGER = Claimant("address:198.18.0.66", Proof.ADDRESS, "198.18.0.66")
RELEASED = {SIP: "sip-secret-of-1001"}


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[Box]:
    """A service with a phone whose passwords are armed, and a witness."""
    made = Box(tmp_path, witness=tmp_path / "witness")
    made.site.apply_phones([snom()], False, False, "test")
    yield made
    made.store.close()


# -- a database that came back ---


def test_a_database_that_goes_on_is_left_as_it_is(witnessed: Box, tmp_path: Path) -> None:
    witnessed.store.close()
    box = witnessed.another(witness=tmp_path / "witness")
    box.store.check_past()
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED


def test_a_host_that_never_saw_the_database_seals_it(witnessed: Box, tmp_path: Path) -> None:
    box = witnessed.another(witness=tmp_path / "another-host")
    box.store.check_past()
    assert box.release.claim(SNOM, {SIP}, PHONE) == {}
    assert set(box.states(SNOM).values()) == {"sealed"}
    assert "backup or a failover" in str(box.overview.why(SNOM)["grants"])
    box.site.arm([Selection(SNOM)], False, False, "test")
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED


def test_a_second_service_that_came_when_the_log_was_empty_seals_nothing(box: Box, tmp_path: Path) -> None:
    second = box.another(witness=tmp_path / "another-host")
    second.store.check_past()
    box.site.apply_phones([snom()], False, False, "test")
    assert second.release.claim(SNOM, {SIP}, PHONE) == RELEASED


def test_it_is_sealed_once_and_then_known(witnessed: Box, tmp_path: Path) -> None:
    box = witnessed.another(witness=tmp_path / "another-host")
    box.store.check_past()
    box.site.arm([Selection(SNOM)], False, False, "test")
    later = witnessed.another(witness=tmp_path / "another-host")
    later.store.check_past()
    assert later.events().count("sealed") == 1
    assert later.release.claim(SNOM, {SIP}, PHONE) == RELEASED


@pytest.mark.usefixtures("sqlite_only")
def test_an_older_copy_of_the_file_does_not_release_again(witnessed: Box, tmp_path: Path) -> None:
    files = [witnessed.database.with_name(witnessed.database.name + end) for end in ("", "-wal", "-shm")]
    (tmp_path / "older").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "older")
    assert witnessed.release.claim(SNOM, {SIP}, PHONE) == RELEASED
    witnessed.store.close()
    for file in files:
        shutil.copy(tmp_path / "older" / file.name, file)
    box = witnessed.another(witness=tmp_path / "witness")
    box.store.check_past()
    assert box.release.claim(SNOM, {SIP}, PHONE) == {}


def test_a_witness_that_cannot_be_written_is_said_at_once(witnessed: Box, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"database\.witness_file"):
        Store(witnessed.url, witness=tmp_path / "absent" / "witness")


def test_a_store_that_is_closed_twice_closes_nobody_elses_file(witnessed: Box, tmp_path: Path) -> None:
    witnessed.store.close()
    others = [(tmp_path / "other").open("wb") for _number in range(20)]
    witnessed.store.close()
    for other in others:
        other.close()


def test_a_person_can_seal_the_site(witnessed: Box) -> None:
    assert witnessed.site.seal("a person") == 4
    assert witnessed.release.claim(SNOM, {SIP}, PHONE) == {}
    assert witnessed.events().count("sealed") == 1
    assert witnessed.site.seal("a person") == 0


# -- backup and restore ---


def _config(box: Box, witness: Path) -> Config:
    return Config.model_validate({"database": {"url": box.url, "witness_file": str(witness)}})


def test_a_restored_database_comes_back_sealed(witnessed: Box, tmp_path: Path) -> None:
    config, keyring = _config(witnessed, tmp_path / "witness"), Keyring([witnessed.key])
    file = tmp_path / "copy.backup"
    backup.backup(config, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert witnessed.release.claim(SNOM, {SIP}, PHONE) == RELEASED
    witnessed.site.apply_phones([yealink()], False, False, "test")
    witnessed.store.close()
    assert backup.restore(config, keyring, file) == {"phones": 1, "sealed": 4}
    box = witnessed.another(witness=tmp_path / "witness")
    box.store.check_past()
    assert box.events().count("sealed") == 1
    assert [phone["mac"] for phone in box.overview.phones()] == [SNOM]
    assert box.release.claim(SNOM, {SIP}, PHONE) == {}
    box.site.arm([Selection(SNOM)], False, False, "test")
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED


@pytest.mark.usefixtures("sqlite_only")
def test_a_copy_put_in_place_by_hand_is_sealed_as_well(witnessed: Box, tmp_path: Path) -> None:
    file = tmp_path / "copy.backup"
    backup.backup(_config(witnessed, tmp_path / "witness"), file)
    box = Box(tmp_path, f"sqlite:///{file}", witnessed.key, witness=tmp_path / "witness")
    box.store.check_past()
    assert box.release.claim(SNOM, {SIP}, PHONE) == {}
    with box.store.read() as connection:
        assert "copied_at" not in connection.execute(select(facts.c.name)).scalars().all()


@pytest.mark.usefixtures("sqlite_only")
def test_a_restore_keeps_what_was_there(witnessed: Box, tmp_path: Path) -> None:
    config, keyring = _config(witnessed, tmp_path / "witness"), Keyring([witnessed.key])
    backup.backup(config, tmp_path / "copy")
    witnessed.site.apply_phones([yealink()], False, False, "test")
    witnessed.store.close()
    backup.restore(config, keyring, tmp_path / "copy")
    (aside,) = tmp_path.glob("autoprov.sqlite.before-restore-*")
    kept = Store(f"sqlite:///{aside}")
    with kept.read() as connection:
        macs = connection.exec_driver_sql("SELECT mac FROM phones").scalars().all()
    kept.close()
    assert set(macs) == {SNOM, YEALINK}


@pytest.mark.usefixtures("sqlite_only")
def test_what_cannot_be_restored_changes_nothing(witnessed: Box, tmp_path: Path) -> None:
    config, keyring = _config(witnessed, tmp_path / "witness"), Keyring([witnessed.key])
    file = tmp_path / "copy"
    backup.backup(config, file)
    with pytest.raises(Refused, match="File exists"):
        backup.backup(config, file)
    with pytest.raises(Refused, match="keys that are not here") as refused:
        backup.restore(config, Keyring([b"x" * 32]), file)
    assert refused.value.faults
    (tmp_path / "text").write_text("not a database at all")
    with pytest.raises(Refused, match="not a copy of an SQLite database"):
        backup.restore(config, keyring, tmp_path / "text")
    with pytest.raises(Refused, match="cannot read"):
        backup.restore(config, keyring, tmp_path / "absent")
    damaged = bytearray(file.read_bytes())
    damaged[4096:8192] = bytes(4096)
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(Refused, match=r"damaged|not a copy"):
        backup.restore(config, keyring, tmp_path / "damaged")
    with witnessed.store.read(), pytest.raises(Refused, match="stop the service first"):
        backup.restore(config, keyring, file)
    assert witnessed.release.claim(SNOM, {SIP}, PHONE) == RELEASED


# -- several nodes ---


def test_a_database_that_goes_back_under_a_running_service_is_sealed(box: Box) -> None:
    """As a data directory, or a dump, that somebody puts back by hand: the same cluster, the same timeline."""
    box.site.apply_phones([snom(), yealink()], False, False, "test")
    box.site.arm([Selection(YEALINK)], True, False, "test")
    with box.store.read() as connection:
        before = {table: connection.execute(select(table)).mappings().all() for table in (grants, audit_table)}
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED
    with box.store._backend.writer.connect() as connection, connection.begin():
        box.without_triggers(connection)
        for table, rows in before.items():
            connection.execute(table.delete())
            connection.execute(table.insert(), [dict(row) for row in rows])
        connection.commit()
    assert box.release.claim(SNOM, {SIP}, STRANGER) == {}
    assert "sealed" in box.events()
    assert set(box.states(SNOM).values()) | set(box.states(YEALINK).values()) == {"sealed"}
    box.site.arm([Selection(SNOM)], False, False, "test")
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED, "from here on it is known"


@pytest.mark.usefixtures("postgresql_only")
def test_a_trusted_failover_wants_a_standby_even_alone(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    node = box.another(trust_failover=True)
    with pytest.raises(Refused, match="a failover of this database is trusted and it has no synchronous standby"):
        node.store.attend()
    node.store.close()
    told = box.another(trust_failover=True, require_synchronous_standby=False)
    told.store.attend()
    told.store.close()


@pytest.mark.usefixtures("postgresql_only")
def test_nothing_is_restored_under_a_running_service(box: Box, tmp_path: Path) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    config = Config.model_validate({"database": {"url": box.url, "witness_file": str(tmp_path / "witness")}})
    backup.backup(config, tmp_path / "copy")
    box.store.attend()
    with pytest.raises(Refused, match="1 services work on this database; stop them first, nothing was changed"):
        backup.restore(config, box.keyring, tmp_path / "copy")


@pytest.mark.usefixtures("postgresql_only")
def test_another_cluster_or_timeline_seals_what_waits(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    with box.store.write() as connection:
        set_fact(connection, "database", "7000000000000000000/16384/00000001")
    assert box.release.claim(SNOM, {SIP}, PHONE) == {}
    assert box.events().count("sealed") == 1
    box.site.arm([Selection(SNOM)], False, False, "test")
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED, "it is known now"


@pytest.mark.usefixtures("postgresql_only")
def test_a_trusted_failover_seals_nothing(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    with box.store.write() as connection:
        set_fact(connection, "database", "7000000000000000000/16384/00000001")
    node = box.another(trust_failover=True)
    assert node.release.claim(SNOM, {SIP}, PHONE) == RELEASED


@pytest.mark.usefixtures("postgresql_only")
def test_several_nodes_want_a_synchronous_standby(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    box.store.attend()
    node = box.another()
    with pytest.raises(Refused, match="no synchronous standby"):
        node.store.attend()
    with pytest.raises(Refused, match="no synchronous standby"):
        node.release.claim(SNOM, {SIP}, PHONE)
    assert set(box.states(SNOM).values()) == {"armed"}
    told = box.another(require_synchronous_standby=False)
    told.store.attend()
    assert told.release.claim(SNOM, {SIP}, PHONE) == RELEASED
    node.store.close()
    told.store.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # the server forgets a node when it has noticed that its connection ended
        with suppress(Refused):
            box.store.attend()
            break
    box.store.attend()


@pytest.mark.usefixtures("postgresql_only")
def test_a_node_sees_at_once_what_another_wrote(box: Box) -> None:
    node = box.another()
    box.site.apply_phones([snom()], False, False, "test")
    node.directory.catch_up()
    assert node.directory.knows(SNOM)
    entry = node.directory.load(SNOM)
    assert entry is not None
    assert entry.waiting
    box.release.claim(SNOM, set(entry.files["snomd785-00041396d9b4.htm"].gaps), PHONE)  # type: ignore[union-attr]
    box.release.confirm(SNOM, PHONE)
    node.directory.catch_up()
    assert node.directory.entry(SNOM) is None, "it is read anew"
    later = node.directory.load(SNOM)
    assert later is not None
    assert not later.waiting
    box.site.remove_phone(SNOM, "test")
    node.directory.catch_up()
    assert not node.directory.knows(SNOM)


@pytest.mark.usefixtures("postgresql_only")
def test_more_news_than_are_read_at_once_mean_everything(box: Box) -> None:
    box.site.apply_phones([snom(), yealink()], False, False, "test")
    with box.store.read() as connection:
        last = audit.head(connection)
    assert box.store.news(START, most=3) == (last, None)
    assert box.store.news(last) == (last, set())
    lost = Head(last.seq, "f" * 64)
    assert box.store.news(lost) == (last, None), "that row is not what it was"
    assert box.store.news(Head(last.seq + 5, "f" * 64)) == (last, None), "that row is gone"


@pytest.mark.usefixtures("postgresql_only")
def test_the_clock_of_the_database_set_back_opens_no_window(tmp_path: Path) -> None:
    with postgres_folder() as folder:
        times = folder / "time"
        times.write_text("+0")
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        cluster = Cluster(
            folder / "c",
            durable=False,
            environment={
                "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(times), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
        )  # fmt: skip
        cluster.create()
        try:
            store = Store(cluster.url)
            store.migrate()
            store.close()
            box = Box(tmp_path, cluster.url)
            box.store.clock = DatabaseClock()
            box.site.apply_phones([snom()], False, False, "test")
            times.write_text("-3600")
            own, box.store.clock.boot_id = box.store.clock.boot_id, "that of another node"
            assert box.release.claim(SNOM, {SIP}, PHONE) == {}, "another node does not know when the window was opened"
            box.store.clock.boot_id = own
            assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED, "this node has counted the seconds itself"
            times.write_text("+100")
            box.store.attend()
            times.write_text("+50")
            own, box.store.clock.boot_id = box.store.clock.boot_id, "that of another node"
            assert box.release.claim(SNOM, {SIP}, PHONE) == {}, "set back, though not to before it was armed"
            box.store.clock.boot_id = own
            times.write_text("+110")
            assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED
            times.write_text("+700")
            assert box.release.claim(SNOM, {SIP}, PHONE) == {}
            times.write_text("+0")
            assert box.release.claim(SNOM, {SIP}, PHONE) == {}, "the high water remembers"
            box.store.close()
        finally:
            cluster.kill()


@pytest.mark.usefixtures("postgresql_only")
def test_a_commit_that_the_standby_did_not_confirm_is_no_release(tmp_path: Path) -> None:
    with postgres_folder() as folder:
        primary, standby = Cluster(folder / "a"), Cluster(folder / "b")
        primary.create()
        standby.create_standby_of(primary, "s1")
        try:
            primary.configure(synchronous_standby_names="'s1'")
            primary.reload()
            store = Store(primary.url)
            store.migrate()
            store.close()
            box = Box(tmp_path, primary.url)
            box.site.apply_phones([snom()], False, False, "test")
            while not primary.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
                time.sleep(0.05)
            standby.freeze()
            started = time.monotonic()
            with pytest.raises(Refused, match="nothing was released"):
                box.release.claim(SNOM, {SIP}, PHONE)
            assert time.monotonic() - started < 9
            primary.kill()
            standby.thaw()
            standby.promote()
            node = Box(tmp_path, standby.url, box.key)
            assert node.release.claim(SNOM, {SIP}, PHONE) == {}, "sealed, with the failover"
            node.store.close()
            box.store.close()
        finally:
            primary.kill()
            standby.thaw()
            standby.kill()


def test_a_restarted_server_is_met_again(box: Box) -> None:
    """Only one phone of many may meet the moment; nobody has to restart the service."""
    box.site.apply_phones([snom()], False, False, "test")
    if box.store.shared:
        with box.store.read() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert box.release.claim(SNOM, {SIP}, PHONE) == RELEASED


def test_many_readers_share_one_look_at_the_news(box: Box) -> None:
    box.site.apply_phones([snom()], False, False, "test")
    threads = [threading.Thread(target=box.directory.catch_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert box.directory.knows(SNOM)
