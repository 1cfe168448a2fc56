# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: it only grows, whatever is done to it behind the service's back is named, and nothing is missing."""

from __future__ import annotations

import json
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient
from sqlalchemy import delete, insert, select, text, update

from autoprovd import audit, cli
from autoprovd.audit import Event
from autoprovd.faults import Refused
from autoprovd.grants import Claimant
from autoprovd.model import SecretClass, SecretKey
from autoprovd.policy import Proof
from autoprovd.site import Selection
from autoprovd.store.schema import audit as table
from autoprovd.store.witness import Head
from autoprovd.web import api

from .conftest import SNOM, SNOM_FILE, YEALINK, YEALINK_AGENT, YEALINK_FILE, Box, snom, yealink

PHONE = Claimant(f"neighbour:{SNOM}@198.18.0.20", Proof.NEIGHBOUR, "198.18.0.20")
ALL = {
    SecretKey(1, SecretClass.SIP),
    SecretKey(0, SecretClass.WEB),
    SecretKey(0, SecretClass.MENU),
    SecretKey(0, SecretClass.PROVISIONING),
}


@pytest.fixture
def told(box: Box) -> Box:
    """A log of some rows of every shape."""
    box.site.apply_phones([snom(), yealink()], False, False, "Jörg")
    box.release.claim(SNOM, ALL, PHONE)
    box.release.confirm(SNOM, PHONE)
    return box


def behind_its_back(box: Box, *statements: Any) -> None:
    """What somebody does who has the database, and not the key: the triggers do not stop him."""
    with box.store.write() as connection:
        box.without_triggers(connection)
        for statement in statements:
            if isinstance(statement, str):
                connection.exec_driver_sql(statement)
            else:
                connection.execute(statement)


def verdict(box: Box, noted: Head | None = None) -> audit.Verdict:
    with box.store.read() as connection:
        return audit.verify(connection, box.keyring.audit_key, noted)


def head(box: Box) -> Head:
    with box.store.read() as connection:
        return audit.head(connection)


# -- it only grows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        update(table).where(table.c.seq == 2).values(actor="nobody"),
        delete(table).where(table.c.seq == 2),
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT seq, at, event, mac, line, secret_class, audience, generation, 'nobody', "
        "detail, link FROM audit WHERE seq = 2",
    ],
)
def test_the_database_refuses_everything_but_new_rows(told: Box, statement: Any) -> None:
    with pytest.raises(Refused), told.store.write() as connection:
        connection.execute(text(statement) if isinstance(statement, str) else statement)
    assert verdict(told).ok


# -- what was done to it is named --------------------------------------------------------------------------------------

FLIPS: dict[str, Any] = {
    "at": 1.0,
    "event": "revoked",
    "mac": YEALINK,
    "line": 7,
    "secret_class": "web",
    "audience": "controller",
    "generation": 9,
    "actor": "somebody",
    "detail": '{"from": "198.18.0.66"}',
    "link": "0" * 64,
}


@pytest.mark.parametrize("column", FLIPS)
def test_a_changed_field_is_named(told: Box, column: str) -> None:
    behind_its_back(told, update(table).where(table.c.seq == 5).values({column: FLIPS[column]}))
    found = verdict(told)
    assert not found.ok
    assert found.first_bad is not None
    assert found.first_bad["seq"] == 5
    assert found.head.startswith("4:")


@pytest.mark.parametrize(
    "value",
    ["x'00ff'", "'{}'", "''", "'not json'", "'[1, 2]'", "CAST(x'ff' AS TEXT)", "' ' || detail"],
)
def test_a_detail_that_no_program_wrote_is_named_and_not_stumbled_over(told: Box, value: str) -> None:
    behind_its_back(told, f"UPDATE audit SET detail = {value} WHERE seq = 5")
    found = verdict(told)
    assert found.first_bad is not None
    assert found.first_bad["seq"] == 5
    local = TestClient(api.application(told.parts, on_socket=True), raise_server_exceptions=False)
    assert local.get("/api/v1/audit/verify").json()["first_bad"]["seq"] == 5


def _swap(first: int, second: int) -> list[str]:
    return [
        f"UPDATE audit SET seq = 99999 WHERE seq = {first}",
        f"UPDATE audit SET seq = {first} WHERE seq = {second}",
        f"UPDATE audit SET seq = {second} WHERE seq = 99999",
    ]


_COPIED = "at, event, mac, line, secret_class, audience, generation, actor, detail, link FROM audit WHERE seq = 3"
HARM: dict[str, tuple[list[Any], int, str]] = {
    "a row removed": ([delete(table).where(table.c.seq == 3)], 4, "row 3 is missing"),
    "rows removed": ([delete(table).where(table.c.seq.in_([3, 4]))], 5, "rows 3 to 4 are missing"),
    "the first removed": ([delete(table).where(table.c.seq == 1)], 2, "row 1 is missing"),
    "removed and closed up": (
        [
            delete(table).where(table.c.seq == 3),
            "UPDATE audit SET seq = -seq",
            "UPDATE audit SET seq = -seq - CASE WHEN seq < -3 THEN 1 ELSE 0 END",
        ],
        3,
        "changed",
    ),
    "two rows swapped": (_swap(3, 6), 3, "changed"),
    "a row put in": (
        [
            "UPDATE audit SET seq = -seq - 1 WHERE seq > 3",
            "UPDATE audit SET seq = -seq WHERE seq < 0",
            f"INSERT INTO audit SELECT 4, {_COPIED}",
        ],
        4,
        "changed",
    ),
    "a row put behind": ([f"INSERT INTO audit SELECT (SELECT max(seq) + 1 FROM audit), {_COPIED}"], -1, "changed"),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_first_bad_row_is_named(told: Box, harm: str) -> None:
    statements, named, reason = HARM[harm]
    behind_its_back(told, *statements)
    found = verdict(told)
    assert not found.ok
    assert found.first_bad is not None
    assert found.first_bad["seq"] == (named if named > 0 else head(told).seq)
    assert reason in found.reason


def test_a_log_that_was_cut_off_shows_against_a_head_noted_elsewhere(told: Box) -> None:
    noted = head(told)
    assert verdict(told, noted).ok
    behind_its_back(told, delete(table).where(table.c.seq > noted.seq - 2))
    assert verdict(told).ok, "which is why a head is noted"
    found = verdict(told, noted)
    assert found.first_bad == {"seq": noted.seq - 1}
    assert "cut off" in found.reason


def test_a_log_that_was_cut_off_and_went_on_shows_too(told: Box) -> None:
    noted = head(told)
    behind_its_back(told, delete(table).where(table.c.seq > noted.seq - 2))
    told.site.arm([Selection(SNOM)], False, False, "somebody")
    assert verdict(told).ok
    found = verdict(told, noted)
    assert found.first_bad is not None
    assert found.first_bad["seq"] == noted.seq
    assert "not the row that was noted" in found.reason


def test_without_the_key_the_chain_cannot_be_forged(told: Box) -> None:
    rows = []
    with told.store.read() as connection:
        rows = [row._asdict() for row in connection.execute(select(table).order_by(table.c.seq))]
    rows[4]["actor"] = "nobody"
    for own_key in (b"\0" * 32, b"guess" * 6 + b"!!"):
        link = audit.START.link
        for row in rows:
            link = row["link"] = audit._link(own_key, link, row)
        behind_its_back(told, "DELETE FROM audit", insert(table).values(rows))
        found = verdict(told)
        assert found.first_bad is not None
        assert found.first_bad["seq"] == 1


# -- the export --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(told: Box) -> Iterator[Callable[..., Result]]:
    """The command line, with the service behind its socket."""
    with tempfile.TemporaryDirectory(prefix="autoprov-") as folder:  # a socket's path is short
        socket = f"{folder}/admin.sock"
        settings = uvicorn.Config(
            api.application(told.parts, on_socket=True), uds=socket, lifespan="off", log_config=None
        )
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield lambda *arguments: CliRunner().invoke(cli.commands, ["--socket", socket, *map(str, arguments)])
        server.should_exit = True
        thread.join()


def test_an_export_is_checked_by_the_service(told: Box, run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    assert run("audit", "export", file).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert isinstance(run("audit", "export", file).exception, Refused), "a file that is there is not written over"
    lines = file.read_text().splitlines()
    assert len(lines) == head(told).seq
    assert json.loads(lines[0])["actor"] == "Jörg"
    checked = run("audit", "verify", "--file", file)
    assert checked.exit_code == 0, checked.output
    assert f"whole: {len(lines)} rows" in checked.output
    assert run("audit", "verify", "--file", file, "--head", head(told)).exit_code == 0

    harmed = tmp_path / "harmed.jsonl"
    for change, named in (
        ([*lines[:3], lines[3].replace("Jörg", "Jorg").replace("J\\u00f6rg", "Jorg"), *lines[4:]], "at row 4"),
        ([*lines[:3], *lines[4:]], "at row 5"),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], "at row 4"),
        ([*lines[:3], lines[2], *lines[3:]], "at row 3"),
        ([*lines[:3], "{", *lines[3:]], "line 4 of the file"),
        ([*lines[:3], "[" * 70_000, *lines[3:]], "line 4 of the file"),
        ([*lines[:3], '{"seq": 4}', *lines[3:]], "line 4 of the file"),
        ([*lines[:3], "7", *lines[3:]], "line 4 of the file"),
    ):
        harmed.write_text("\n".join(change) + "\n")
        checked = run("audit", "verify", "--file", harmed)
        assert checked.exit_code == 1, checked.output
        assert named in checked.output, checked.output

    harmed.write_text("\n".join(lines[:-2]) + "\n")
    assert run("audit", "verify", "--file", harmed).exit_code == 0
    checked = run("audit", "verify", "--file", harmed, "--head", head(told))
    assert checked.exit_code == 1
    assert f"at row {len(lines) - 1}: the end was cut off" in checked.output


def test_a_partial_export_is_chained_to_the_log_or_to_what_was_noted(
    told: Box, run: Callable[..., Result], tmp_path: Path
) -> None:
    with told.store.read() as connection:
        fourth = audit.link_of(connection, 4)
    part = tmp_path / "part.jsonl"
    run("audit", "export", "--after", 4, part)
    assert json.loads(part.read_text().splitlines()[0])["seq"] == 5
    assert run("audit", "verify", "--file", part).exit_code == 0
    behind_its_back(told, delete(table).where(table.c.seq == 4))
    checked = run("audit", "verify", "--file", part)
    assert isinstance(checked.exception, Refused)
    assert "--after SEQ:LINK" in checked.exception.message
    assert run("audit", "verify", "--file", part, "--after", fourth).exit_code == 0
    assert run("audit", "verify", "--file", part, "--after", "4:" + "0" * 64).exit_code == 1


def test_a_long_log_is_exported_page_by_page(told: Box, run: Callable[..., Result], tmp_path: Path) -> None:
    with told.store.write() as connection:
        audit.append(
            connection, told.keyring.audit_key, 1.0, [Event("read", "x", detail={"n": n}) for n in range(2500)]
        )
    seen = head(told)
    file = tmp_path / "log.jsonl"
    assert run("audit", "export", file).exit_code == 0
    assert len(file.read_text().splitlines()) == seen.seq
    assert run("audit", "verify", "--file", file, "--head", seen).exit_code == 0
    assert run("audit", "verify", "--head", seen).exit_code == 0


def test_what_is_not_a_head_is_refused_with_the_way_out(run: Callable[..., Result]) -> None:
    for given in ("", "7", "x:" + "0" * 64, "7:" + "0" * 63, f"{'9' * 40}:{'0' * 64}"):
        failure = run("audit", "verify", "--head", given).exception
        assert isinstance(failure, Refused)
        assert "autoprov audit head" in failure.message
    assert run("audit", "verify", "--head", run("audit", "head").output.strip()).exit_code == 0


# -- nothing is missing ------------------------------------------------------------------------------------------------


def rows(box: Box, name: str) -> list[dict[str, Any]]:
    with box.store.read() as connection:
        return [row for row in audit.page(connection, 0, 10_000) if row["event"] == name]


@pytest.mark.anyio
async def test_a_locked_phone_costs_no_write_and_is_counted(told: Box) -> None:
    told.neighbours.table["198.18.0.20"] = SNOM
    before = head(told)
    for _ in range(40):
        answer = await told.get(SNOM_FILE)
        assert "sip-secret" not in answer.text
    assert head(told) == before
    assert told.release.tally.flush() == 1
    (row,) = rows(told, "refused")
    assert (row["mac"], row["actor"]) == (SNOM, PHONE.identity)
    assert row["detail"] == {"from": "198.18.0.20", "what": "nothing is armed for this claimant", "times": 40}
    await told.get(SNOM_FILE)
    assert told.release.tally.flush() == 0, "one row an hour"
    assert told.release.tally.flush(everything=True) == 1, "and the rest at the end"


@pytest.mark.anyio
async def test_each_way_to_be_refused_is_written_down(told: Box) -> None:
    told.neighbours.table["198.18.0.66"] = "aabbccddeeff"
    told.site.arm([Selection(YEALINK)], False, False, "test")
    await told.get(YEALINK_FILE, source="198.18.0.66", agent=YEALINK_AGENT)
    await told.get(YEALINK_FILE, agent="curl/8")
    await told.get(YEALINK_FILE, agent=YEALINK_AGENT, method="HEAD")
    await told.get(YEALINK_FILE, agent=YEALINK_AGENT, range="bytes=0-1")
    for _ in range(12):
        await told.get(f"/a{YEALINK_FILE}", agent=YEALINK_AGENT, scheme="https", auth=(YEALINK, "wrong"))
    await told.get(YEALINK_FILE, agent="Yealink SIP-T54W 96.87.0.15 80:5e:0c:4d:79:6e")
    await told.get("/000413000000.cfg", agent="x")
    told.release.tally.flush()
    found = {row["detail"]["what"]: row["detail"]["times"] for row in rows(told, "refused")}
    assert found == {
        "the neighbour table knows the source address with another MAC address": 1,
        "the User-Agent is not one of this vendor's phones": 1,
        "only GET releases": 1,
        "a conditional or partial request releases nothing": 1,
        "its user name or password is wrong": 10,
        "too many wrong passwords": 2,
    }, "and a device that this site does not know is none of them"


@pytest.mark.anyio
async def test_who_shows_the_credentials_is_refused_nothing(told: Box) -> None:
    await told.get(f"/a{SNOM_FILE}", scheme="https", auth=(SNOM, "provisioning-secret"))
    told.release.tally.flush()
    assert rows(told, "refused") == []


def test_every_reading_by_a_person_is_a_row(told: Box) -> None:
    local = TestClient(api.application(told.parts, on_socket=True))
    for _ in range(3):
        assert local.get("/api/v1/phones").status_code == 200
    local.get(f"/api/v1/phones/{SNOM}")
    local.get(f"/api/v1/phones/{SNOM}/why")
    name = local.get(f"/api/v1/phones/{SNOM}/files").json()["files"][0]
    local.get(f"/api/v1/phones/{SNOM}/files/{name}")
    local.get("/api/v1/audit")
    told.release.tally.flush()
    read = [(row["mac"], row["detail"].get("what", row["detail"].get("file"))) for row in rows(told, "read")]
    assert read == [
        (SNOM, "why it got what it got"),
        (SNOM, name),
        (None, "the list of phones"),
        (SNOM, "the state of its passwords"),
        (None, "the audit log"),
    ]
    assert {row["actor"] for row in rows(told, "read")} == {"local administrator"}


def test_a_wrong_token_is_a_refusal(told: Box) -> None:
    remote = TestClient(api.application(told.parts, on_socket=False))
    for _ in range(5):
        assert remote.get("/api/v1/audit", headers={"authorization": "Bearer " + "x" * 40}).status_code == 401
    told.release.tally.flush()
    (row,) = rows(told, "refused")
    assert (row["actor"], row["detail"]["times"]) == ("unknown token", 5)


def test_no_secret_is_in_the_log(told: Box) -> None:
    told.site.arm([Selection(SNOM)], True, False, "test")
    given = told.release.claim(SNOM, ALL, PHONE)
    with told.store.read() as connection:
        log = json.dumps(audit.page(connection, 0, 10_000))
    for secret in [*given.values(), "sip-secret-of-1001", "web-secret", "47114711", "provisioning-secret"]:
        assert secret not in log


@pytest.mark.usefixtures("sqlite_only")
def test_the_triggers_of_a_file_hold_for_any_program(told: Box) -> None:
    with sqlite3.connect(told.database) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute("DELETE FROM audit WHERE seq = 1")
