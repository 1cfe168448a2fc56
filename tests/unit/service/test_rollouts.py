# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware on its way: what the database keeps, what phones get in their files, what the audit log tells."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from autoprovd import audit, documents
from autoprovd.directory import Request
from autoprovd.faults import Refused
from autoprovd.firmware.decide import LOOK_SECONDS
from autoprovd.site import Selection
from autoprovd.web import api

from .conftest import SNOM, SNOM_AGENT, SNOM_FILE, YEALINK, YEALINK_AGENT, YEALINK_FILE, Box, snom, yealink

pytestmark = pytest.mark.anyio
NEW, OLD = "10.1.184.15", "10.1.33.33"
HOUR = 3600.0
SITE_FOLDER = "http://appliance:50080/firmware"


def entry(version: str = NEW, **changes: Any) -> dict[str, Any]:
    vendor = changes.get("vendor", "snom")
    name = changes.pop("file_name", f"D785-{version}.bin")
    return {
        "path": f"{vendor}/{version}/{name}", "size": 5_000_000, "sha256": "0" * 64, "vendor": vendor,
        "kind": "firmware", "version": version, "models": ["D785"], **changes,
    }  # fmt: skip


def words(vendor: str, language: str, **changes: Any) -> dict[str, Any]:
    part = changes.get("interface", "phone")
    return entry(
        "1.0",
        vendor=vendor,
        kind="language",
        models=[],
        language=language,
        file_name=f"{part}_{language}.xml",
        **changes,
    )


@pytest.fixture
def site(box: Box) -> Box:
    """Two phones that have asked, and a mirror with a newer version for one of them."""
    box.site.apply_settings({"public_host": "appliance"}, False, "test")
    box.site.apply_phones([snom(), yealink()], False, False, "test")
    box.rollouts.tell_catalogue([entry()], False, "test")
    return box


def start(site: Box, **changes: Any) -> None:
    rollout = {"name": "new", "vendor": "snom", "version": NEW, "rings": [100], "pause_seconds": 0, **changes}
    assert site.rollouts.apply([rollout], False, False, "test")[0]


async def ask(site: Box, version: str = OLD, path: str = SNOM_FILE, **more: Any) -> str:
    """The phone asks for its settings; what it said is written down, and the rollouts are looked at."""
    site.clock.pass_time(10)
    answer = await site.get(path, agent=SNOM_AGENT.replace(OLD, version), **more)
    site.directory.save()
    site.clock.pass_time(10)
    site.rollouts.advance()
    return answer.text


def state(site: Box, mac: str = SNOM) -> tuple[str, str]:
    told = site.overview.phone(mac)["firmware"]
    return told.get("state", ""), told.get("reason", "")


def events(site: Box) -> list[tuple[str, str | None]]:
    with site.store.read() as connection:
        rows = audit.page(connection, 0, 1000)
    return [(row["event"], row["mac"]) for row in rows if row["event"] in ("catalogue", "rollout", "offered", "lost")]


async def test_from_the_mirror_to_the_phone(site: Box) -> None:
    start(site)
    assert state(site)[1] == "it has not asked yet, so nobody knows its version"
    assert "firmware" not in (await ask(site)).replace("/firmware", "")
    assert state(site) == ("offered", "it has not asked since")
    given = await ask(site)
    assert f'<firmware perm="">{SITE_FOLDER}/snom/{NEW}/D785-{NEW}.bin</firmware>' in given
    assert state(site) == ("taken", "it is expected back")
    await ask(site, NEW)
    assert state(site) == ("done", "")
    shown = site.overview.phone(SNOM)["firmware"]
    assert (shown["version"], shown["rollout"], shown["wanted"]) == (NEW, "new", NEW)
    assert events(site) == [("catalogue", None), ("rollout", None), ("rollout", None), ("offered", SNOM)]
    assert site.rollouts.status()[0]["counts"]["done"] == 1


async def test_the_file_of_another_phone_stays_as_it_is(site: Box) -> None:
    start(site)
    site.site.revoke([Selection(YEALINK)], False, "test")
    before = await site.get(YEALINK_FILE, agent=YEALINK_AGENT)
    await ask(site)
    after = await site.get(YEALINK_FILE, agent=YEALINK_AGENT)
    assert (before.text, before.headers["etag"]) == (after.text, after.headers["etag"])
    assert "firmware" not in after.text


async def test_a_stranger_cannot_say_that_a_phone_is_back(site: Box) -> None:
    start(site)
    await ask(site)
    await ask(site)
    site.neighbours.table["198.18.0.66"] = "020000000066"
    await ask(site, NEW, source="198.18.0.66")
    assert state(site)[0] == "taken"
    await ask(site, NEW)
    assert state(site)[0] == "done"


async def test_lost_phones_stop_it_and_a_person_lets_it_go_on(site: Box) -> None:
    start(site, stop_after=1)
    await ask(site)
    await ask(site)
    site.clock.pass_time(2 * HOUR)
    site.rollouts.advance()
    assert state(site) == ("lost", "it has not come back")
    (told,) = site.rollouts.status()
    assert (told["state"], told["reason"]) == ("stopped", f"1 phone did not come back with {NEW}")
    assert events(site)[-2:] == [("lost", SNOM), ("rollout", None)]
    assert NEW not in await ask(site), "what it failed at is not offered again and again"
    assert state(site)[0] == "lost"
    assert site.rollouts.resume("new", "test")
    site.rollouts.advance()
    assert state(site)[0] == "offered"
    assert NEW in await ask(site)


async def test_pausing_takes_back_what_nobody_has_taken(site: Box) -> None:
    start(site)
    await ask(site)
    assert site.rollouts.pause("new", "Jo")
    assert not site.rollouts.pause("new", "Jo"), "it is paused already"
    assert NEW not in await ask(site)
    assert state(site) == ("waiting", "the rollout is paused")
    assert site.rollouts.status()[0]["reason"] == "paused by Jo"
    site.rollouts.resume("new", "Jo")
    site.rollouts.advance()
    assert NEW in await ask(site)


async def test_withdrawing_a_rollout(site: Box) -> None:
    start(site)
    await ask(site)
    assert site.rollouts.apply([], True, False, "test")[0]
    assert NEW not in await ask(site)
    assert site.rollouts.status() == []


async def test_another_version_in_its_place(site: Box) -> None:
    newer = "10.1.200.1"
    start(site)
    await ask(site)
    site.rollouts.tell_catalogue([entry(), entry(newer)], False, "test")
    start(site, version=newer)
    site.rollouts.advance()
    assert f"/{newer}/" in await ask(site)


async def test_a_file_that_leaves_the_mirror_is_offered_no_longer(site: Box) -> None:
    start(site)
    await ask(site)
    site.rollouts.tell_catalogue([], False, "test")
    assert NEW not in await ask(site)
    site.rollouts.tell_catalogue([entry()], False, "test")
    site.rollouts.advance()
    assert NEW in await ask(site)


async def test_a_phone_that_becomes_another_model_loses_its_offer(site: Box) -> None:
    start(site, models=["D785"])
    await ask(site)
    site.site.apply_phones([snom() | {"model": "D717"}], False, False, "test")
    answer = await site.get(f"/snomD717-{SNOM.upper()}.htm")
    assert answer.status_code == 200
    assert NEW not in answer.text


async def test_changed_again_in_the_phone_list_the_offer_stays(site: Box) -> None:
    start(site)
    await ask(site)
    site.site.apply_phones([snom() | {"name": "Reception"}], False, False, "test")
    assert NEW in await ask(site)


async def test_nothing_is_written_while_nothing_happens(site: Box) -> None:
    start(site)
    await ask(site)
    with site.store.read() as connection:
        head = audit.head(connection)
    for _ in range(3):
        site.clock.pass_time(30)
        site.rollouts.advance()
    with site.store.read() as connection:
        assert audit.head(connection) == head


async def test_two_services_on_one_database_offer_once(site: Box) -> None:
    start(site, pause_seconds=600)
    await ask(site)
    other = site.another()
    other.clock.now = site.clock.now
    for node in (other, site, other):
        node.rollouts.advance()
    assert events(site).count(("offered", SNOM)) == 1


def test_dry_runs_write_nothing(site: Box) -> None:
    rollout = {"name": "new", "vendor": "snom", "version": NEW}
    changed, difference = site.rollouts.apply([rollout], False, True, "test")
    assert (changed, site.rollouts.status()) == (True, [])
    assert f'"version": "{NEW}"' in difference.after
    changed, difference = site.rollouts.tell_catalogue([], True, "test")
    assert (changed, difference.after, len(site.rollouts.catalogue())) == (True, "", 1)
    assert not site.rollouts.tell_catalogue([entry()], False, "test")[0]


def test_canaries_by_name(site: Box) -> None:
    site.site.apply_phones([snom() | {"name": "Reception"}], False, False, "test")
    start(site, canaries=["Reception"])
    assert site.rollouts.status()[0]["canaries"] == [SNOM]
    rollout = {"name": "new", "vendor": "snom", "version": NEW, "rings": [100], "pause_seconds": 0}
    assert not site.rollouts.apply([{**rollout, "canaries": ["Reception"]}], False, False, "test")[0]
    with pytest.raises(Refused) as refused:
        site.rollouts.apply([{**rollout, "canaries": ["Nobody", SNOM]}], False, False, "test")
    (fault,) = refused.value.faults
    assert (fault.where, fault.what) == ("rollouts[0].canaries[0]", "this site has no phone 'Nobody'")


def test_faults_are_told_all_at_once(site: Box) -> None:
    with pytest.raises(Refused) as refused:
        site.rollouts.tell_catalogue([entry(size=-1), entry(sha256="x"), entry(path="../../etc/passwd")], False, "test")
    assert [fault.where for fault in refused.value.faults] == ["files[0].size", "files[1].sha256", "files[2].path"]
    with pytest.raises(Refused) as refused:
        site.rollouts.apply(
            [{"name": "x y", "vendor": "snom", "version": NEW}, {"vendor": "nobody"}], False, False, "t"
        )
    assert len(refused.value.faults) == 4
    with pytest.raises(Refused, match="there is no rollout 'x'; there are: none"):
        site.rollouts.pause("x", "test")


# -- edited while it runs ---------------------------------------------------------------------------------------------


async def test_fewer_rings_than_it_has_come_to(site: Box) -> None:
    start(site, rings=[1, 2, 3, 100], ring_hours=0)
    await ask(site)
    assert site.rollouts.status()[0]["ring"] == "ring 4 (100 %)"
    start(site, rings=[50, 100], ring_hours=0)
    site.rollouts.advance()
    assert site.rollouts.status()[0]["ring"] == "ring 2 (100 %)"
    assert state(site)[0] == "offered"


async def test_a_canary_that_is_named_later(site: Box) -> None:
    other = "000413922d25"
    site.site.apply_phones([snom() | {"mac": other, "name": "Desk"}], False, False, "test")
    start(site)
    await ask(site)
    assert state(site)[0] == "offered"
    start(site, canaries=["Desk"])
    site.rollouts.advance()
    assert state(site) == ("waiting", "it is in ring 1 (100 %); now it is the turn of the canaries")
    assert NEW not in await ask(site)


async def test_models_it_is_not_for_any_more(site: Box) -> None:
    site.rollouts.tell_catalogue([entry(models=["D785", "D717"])], False, "test")
    start(site)
    await ask(site)
    assert state(site)[0] == "offered"
    start(site, models=["D717"])
    assert NEW not in await ask(site), "what was offered is taken back at once"
    assert "state" not in site.overview.phone(SNOM)["firmware"]


async def test_a_step_whose_end_leaves_the_mirror(site: Box) -> None:
    """The rollout is for nobody then, and the step is no end in itself."""
    step = entry("10.1.100.1")
    site.rollouts.tell_catalogue([step, entry(min_from="10.1.100.1")], False, "test")
    start(site)
    await ask(site)
    site.rollouts.tell_catalogue([step], False, "test")
    site.rollouts.advance()
    assert "10.1.100.1" not in await ask(site)


async def test_who_asks_while_files_are_made_anew_has_not_taken_it(site: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site with many phones is at it for a while; its phones get the files before until then."""
    start(site)
    await ask(site, path=f"/snomD785-{SNOM.upper()}.htm")
    render = documents.render_phones
    start(site, version="10.1.100.1")
    site.rollouts.tell_catalogue([entry("10.1.100.1")], False, "test")

    def slow(*arguments: Any) -> Any:
        site.clock.pass_time(5)
        note = Request(site.clock.wall() - 2, "198.18.0.9", SNOM_FILE[1:], SNOM_AGENT, "address", "unchanged", "")
        site.directory.note(SNOM, note)
        return render(*arguments)

    monkeypatch.setattr(documents, "render_phones", slow)
    site.rollouts.advance()
    monkeypatch.undo()
    site.directory.save()
    assert state(site) == ("offered", "it has not asked since")


async def test_an_idle_night_and_then_one_by_one(site: Box) -> None:
    macs = [f"0004139300{number:02x}" for number in range(6)]
    site.site.apply_phones([snom() | {"mac": mac} for mac in macs], False, False, "test")
    start(site, pause_seconds=30)
    site.clock.pass_time(9 * HOUR)
    for mac in macs:
        agent = SNOM_AGENT.replace("000413922D24", mac.upper())
        note = Request(site.clock.wall(), "198.18.0.9", f"{mac}.xml", agent, "address", "unchanged", "")
        site.directory.note(mac, note)
    site.directory.save()
    offered = []
    for _ in range(3):
        site.clock.pass_time(LOOK_SECONDS)
        site.rollouts.advance()
        offered.append(site.rollouts.status()[0]["counts"]["offered"])
        site.clock.pass_time(9 * HOUR if len(offered) == 1 else 0)
    assert offered == [1, 2, 3]


def test_a_canary_the_rollout_is_not_for(site: Box) -> None:
    rollout = {"name": "new", "vendor": "snom", "version": NEW, "canaries": [YEALINK]}
    with pytest.raises(Refused) as refused:
        site.rollouts.apply([rollout], False, True, "test")
    (fault,) = refused.value.faults
    assert str(fault).startswith(f"rollouts[0].canaries[0]: {YEALINK} is a yealink ")


# -- language files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "name"), [("de", "Deutsch"), ("fr", "Français"), ("es", "Español")])
async def test_words_for_a_snom(box: Box, language: str, name: str) -> None:
    box.site.apply_settings({"public_host": "appliance", "language": language}, False, "test")
    box.site.apply_phones([snom()], False, False, "test")
    assert "gui-languages" not in (await box.get(SNOM_FILE)).text
    told = [words("snom", each, interface=part) for each in ("de", "fr", "es") for part in ("phone", "web")]
    box.rollouts.tell_catalogue(told, False, "test")
    text = (await box.get(SNOM_FILE)).text
    for part, element in (("phone", "gui"), ("web", "web")):
        url = f"{SITE_FOLDER}/snom/1.0/{part}_{language}.xml"
        assert f'<{element}-languages>\n  <language url="{url}" name="{name}"/>\n </{element}-languages>' in text


async def test_words_for_a_yealink_by_its_own_setting(box: Box) -> None:
    box.site.apply_settings({"public_host": "appliance", "language": "de"}, False, "test")
    box.site.apply_phones([yealink() | {"language": "it"}], False, False, "test")
    box.rollouts.tell_catalogue([words("yealink", each) for each in ("de", "it")], False, "test")
    lines = (await box.get(YEALINK_FILE, agent=YEALINK_AGENT)).text.splitlines()
    assert "lang.gui = Italian" in lines
    assert f"gui_lang.url = {SITE_FOLDER}/yealink/1.0/phone_it.xml" in lines


async def test_another_server_holds_the_mirror(site: Box) -> None:
    site.site.apply_settings({"firmware_base_url": "http://mirror.example/files"}, False, "test")
    start(site)
    await ask(site)
    assert f">http://mirror.example/files/snom/{NEW}/D785-{NEW}.bin<" in await ask(site)


# -- the API ----------------------------------------------------------------------------------------------------------


def test_over_the_api(site: Box) -> None:
    client = TestClient(api.application(site.parts, on_socket=True), raise_server_exceptions=False)
    rollout = {"name": "new", "vendor": "snom", "version": NEW}
    for _ in range(2):
        answer = client.put("/api/v1/firmware/rollouts", json={"rollouts": [rollout]})
        assert answer.status_code == 200, answer.text
    assert answer.json()["changed"] is False
    (told,) = client.get("/api/v1/firmware/rollouts").json()["rollouts"]
    assert (told["name"], told["state"], told["ring"]) == ("new", "running", "ring 3 (100 %)")
    assert client.post("/api/v1/firmware/rollouts/new/pause").json() == {"changed": True}
    assert client.post("/api/v1/firmware/rollouts/old/resume").status_code == 404
    refused = client.put("/api/v1/firmware/rollouts", json={"rollouts": [{**rollout, "version": 10.1}]})
    assert refused.status_code == 422
    assert "put it in quotes" in refused.text
    assert client.get("/api/v1/firmware/catalogue").json()["files"][0]["path"] == entry()["path"]
    assert client.get(f"/api/v1/phones/{YEALINK}").json()["firmware"] == {"version": None, "seen_at": None}


async def test_the_list_pauses_and_resumes(site: Box) -> None:
    start(site, paused=True)
    await ask(site)
    assert state(site) == ("waiting", "the rollout is paused")
    rollout = {"name": "new", "vendor": "snom", "version": NEW, "rings": [100], "pause_seconds": 0}
    changed, difference = site.rollouts.apply([rollout], False, False, "test")
    assert (changed, difference.before) == (False, difference.after), "left out, it stays paused"
    changed, difference = site.rollouts.apply([{**rollout, "paused": False}], False, True, "test")
    assert changed
    assert ('"state": "paused"' in difference.before, '"state": "running"' in difference.after) == (True, True)
    assert site.rollouts.apply([{**rollout, "paused": False}], False, False, "test")[0]
    site.rollouts.advance()
    assert state(site)[0] == "offered"


async def test_what_stopped_by_itself_goes_on_only_by_resume(site: Box) -> None:
    rollout = {"name": "new", "vendor": "snom", "version": NEW, "rings": [100], "pause_seconds": 0, "stop_after": 1}
    start(site, stop_after=1)
    await ask(site)
    await ask(site)
    site.clock.pass_time(2 * HOUR)
    site.rollouts.advance()
    assert not site.rollouts.apply([{**rollout, "paused": False}], False, False, "test")[0]
    assert site.rollouts.status()[0]["state"] == "stopped"
    assert site.rollouts.apply([], False, False, "test", ["new"])[0]
    assert site.rollouts.status()[0]["state"] == "running"
    with pytest.raises(Refused, match="there is no rollout 'old'; there are: new"):
        site.rollouts.apply([], False, False, "test", ["old"])
