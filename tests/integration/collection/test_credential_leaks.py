# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password that a run was given is nowhere else: the documented playbooks, run, and everything they left searched.

The PBX of these tests receives the passwords, so that what to search for is what was really delivered.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml

from tests.integration.collection.conftest import REPOSITORY, Service, running_service
from tests.integration.collection.playbooks import EACH_CORE, HERE, Core, core_of, events, new_phone

CLAIM, LOOKUP = (
    yaml.safe_load(text)
    for text in re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs" / "tell-the-pbx.md").read_text("utf-8"), re.S)
)
"""The playbooks of docs/tell-the-pbx.md, word for word."""


# -- the PBX ----------------------------------------------------------------------------------------------------------


@dataclass
class Pbx:
    """A PBX that takes accounts over HTTP; when it fails, it quotes what it was sent, as careless servers do."""

    url: str = ""
    fails: bool = False
    received: list[str] = field(default_factory=list)


@contextmanager
def running_pbx() -> Iterator[Pbx]:
    """The PBX on a port of the loopback address."""
    pbx = Pbx()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pbx.received.append(json.loads(body)["password"])
            answer = b"cannot create " + body if pbx.fails else b"{}"
            self.send_response(500 if pbx.fails else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pbx.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield pbx
        finally:
            server.shutdown()
            thread.join()


# -- the search -------------------------------------------------------------------------------------------------------


def spellings(secret: str) -> list[bytes]:
    """How a text may stand in a file: as it is, in base64 at each offset, in hexadecimal digits, in UTF-16."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"\0" * offset + raw)[4 * (offset > 0) : -4] for offset in range(3)]
    # Each other offset shares its first and last group with its neighbours.
    return [raw, *encoded, raw.hex().encode(), secret.encode("utf-16-le")]


def found_in(folder: Path, secrets: list[str]) -> set[str]:
    """The files below a folder that hold one of the secrets."""
    needles = [spelled for secret in secrets for spelled in spellings(secret)]
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if any(needle in content for needle in needles):
                found.add(str(path.relative_to(folder)))
    return found


def everything_of(service: Service) -> dict[str, str]:
    """What the service shows of itself, by where."""
    rows: list[dict[str, Any]] = []
    while page := service.api.get("/audit", [("after", str(rows[-1]["seq"] if rows else 0))])["rows"]:
        rows += page
    return {
        "audit": json.dumps(rows),
        "phones": json.dumps(service.api.get("/phones")),
        "cmdline": Path(f"/proc/{service.pid}/cmdline").read_text("utf-8"),
        "environ": Path(f"/proc/{service.pid}/environ").read_text("utf-8"),
    }


# -- runs as AWX makes them -------------------------------------------------------------------------------------------


@dataclass
class Controller:
    """A controller of its own: home, temporary files, fact cache and the artifacts of ansible-runner in one folder."""

    folder: Path
    core: Core
    service: Service
    count: int = 0

    def run(self, plays: list[dict[str, Any]], env: dict[str, str] | None = None, **variables: Any) -> Any:
        """Run plays at -vvv with differences shown; the host is called pbx."""
        self.count += 1
        for name in ("home", "tmp", "inventory"):
            (self.folder / name).mkdir(exist_ok=True)
        inventory = {"all": {"hosts": {"pbx": HERE}}}
        (self.folder / "inventory" / "hosts.json").write_text(json.dumps(inventory))
        return ansible_runner.run(
            private_data_dir=str(self.folder),
            ident=f"run-{self.count}",
            playbook=plays,
            extravars={"autoprov_api_url": self.service.url, **variables},
            cmdline="-vvv --diff",
            fact_cache="fact_cache",
            quiet=True,
            envvars={
                "PATH": f"{self.core.bin}:/usr/bin:/bin",
                "HOME": str(self.folder / "home"),
                "ANSIBLE_REMOTE_TMP": str(self.folder / "remote"),
                "TMPDIR": str(self.folder / "tmp"),
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
                "ANSIBLE_LOG_PATH": str(self.folder / "ansible.log"),
                "LC_ALL": "C.UTF-8",
                **(env or {}),
            },
        )


@pytest.fixture(params=EACH_CORE)
def core(request: pytest.FixtureRequest) -> Core:
    """Each ansible-core that this host can run."""
    return core_of(request.param)


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One service for all tests; each has phones of its own."""
    with running_service() as running:
        yield running


@pytest.fixture
def controller(core: Core, shared: Service) -> Iterator[Controller]:
    # Not in pytest's folder: below TMPDIR ansible-core 2.21 puts a socket, whose path must not exceed 107 bytes.
    with tempfile.TemporaryDirectory(prefix="autoprov-") as name:
        yield Controller(Path(name), core, shared)


def in_loop(plays: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first play with its claim in a loop, account by account, as nobody should write it."""
    text = json.dumps(plays)
    play: list[dict[str, Any]] = json.loads(text)
    claim = play[0]["tasks"][0]["block"][0]
    claim["autoprov.appliance.credential_claim"]["accounts"] = ["{{ item }}"]
    claim["loop"] = "{{ accounts }}"
    play[0]["tasks"][0]["block"] = [claim]
    return play


def test_the_documented_playbooks_leave_no_password(controller: Controller, shared: Service) -> None:
    """Success, failure with a PBX that quotes the password, refusal, and a claim in a loop."""
    phones = [new_phone(shared, 2) for _ in range(5)]
    accounts = [[f"{mac}/{line}" for line in (1, 2)] for mac in phones]
    with running_pbx() as pbx:
        runs = {
            "claim": controller.run(CLAIM, accounts=accounts[0], pbx_url=pbx.url),
            "lookup": controller.run(LOOKUP, account=accounts[1][0], pbx_url=pbx.url),
            "claim refused": controller.run(CLAIM, accounts=accounts[0], pbx_url=pbx.url),
            "lookup refused": controller.run(LOOKUP, account=accounts[1][0], pbx_url=pbx.url),
        }
        delivered = list(pbx.received)
        pbx.fails = True
        runs["claim failed"] = controller.run(CLAIM, accounts=accounts[2], pbx_url=pbx.url)
        runs["lookup failed"] = controller.run(LOOKUP, account=accounts[3][0], pbx_url=pbx.url)
        runs["loop"] = controller.run(in_loop(CLAIM), accounts=accounts[4], pbx_url=pbx.url)
        quoted = pbx.received[len(delivered) :]
    statuses = {name: run.status for name, run in runs.items()}
    wanted = dict.fromkeys(runs, "failed") | dict.fromkeys(("claim", "lookup", "loop"), "successful")
    assert statuses == wanted, {name: run.stdout.read()[-3000:] for name, run in runs.items()}
    assert len(delivered) == 3, "two accounts claimed, one by the lookup"
    assert len(quoted) == 3, "and as many that the PBX refused"
    assert events(shared, phones[0]) == ["lent", "released"]
    assert events(shared, phones[2]) == ["lent", "returned"]
    assert events(shared, phones[3]) == ["released"]
    # What the loop claimed no PBX received; the service tells it to the run that has it.
    secrets = [*delivered, *quoted, *claimed_anew(shared, phones[4])]
    assert min(map(len, secrets)) == 24
    assert found_in(controller.folder, secrets) == set()
    assert found_in(shared.folder, secrets) == set(), "log, database and its WAL"
    for where, text in everything_of(shared).items():
        assert not any(secret in text for secret in secrets), where


def claimed_anew(service: Service, mac: str) -> list[str]:
    """The passwords of a phone, which stay the same when they are armed again."""
    service.api.post("/grants/arm", {"select": [{"mac": mac, "audience": "controller", "secret_classes": ["sip"]}]})
    body = {"run_key": "the-test-itself", "accounts": [f"{mac}/1", f"{mac}/2"]}
    return list(service.api.post("/claims", body)["secrets"].values())


def test_the_search_finds_what_is_shown(controller: Controller, shared: Service) -> None:
    """The same search, in a run that does all that the documentation forbids."""
    mac = new_phone(shared)
    s = f"{{{{ lookup('autoprov.appliance.credential', '{mac}/1') }}}}"
    open_play = {
        "hosts": "pbx", "gather_facts": False, "vars": {"autoprov_claim_id": f"run-of-{mac}"},
        "tasks": [
            {"ansible.builtin.debug": {"msg": s}},
            {"ansible.builtin.set_fact": {"kept": s, "cacheable": True}},
            {"ansible.builtin.command": {"argv": ["true", s]}},
            {"ansible.builtin.copy": {"content": s, "dest": str(controller.folder / "tmp" / "b"), "mode": "0600"}},
        ],
    }  # fmt: skip
    run = controller.run([open_play], env={"ANSIBLE_KEEP_REMOTE_FILES": "1"})
    assert run.status == "successful", run.stdout.read()
    body = {"run_key": f"claim/run-of-{mac}", "accounts": [f"{mac}/1"]}
    (secret,) = shared.api.post("/claims", body)["secrets"].values()
    found = found_in(controller.folder, [secret])
    for part in ("artifacts/run-1/stdout", "artifacts/run-1/job_events/", "fact_cache/", "remote/", "tmp/b"):
        assert any(part in name for name in found), (part, found)
    assert "ansible.log" in found
    # The name of a phone is no secret, and stands in the database as it is.
    (phone,) = shared.api.get("/phones", [("mac", mac)])["phones"]
    entry = {"mac": mac, "vendor": "snom", "model": "D785", "name": secret, "accounts": phone["accounts"]}
    shared.api.put("/phones", {"phones": [entry]})
    assert any(name.startswith("autoprov.sqlite") for name in found_in(shared.folder, [secret]))
    assert secret in everything_of(shared)["phones"]
    shared.api.put("/phones", {"phones": [{**entry, "name": ""}]})


@pytest.mark.parametrize("offset", range(3))
def test_the_search_knows_base64(tmp_path: Path, offset: int) -> None:
    (tmp_path / "file").write_bytes(base64.b64encode(b"x" * offset + b"a-planted-password" + b"y" * 5))
    assert found_in(tmp_path, ["a-planted-password"]) == {"file"}


# -- the service's memory ---------------------------------------------------------------------------------------------


@contextmanager
def _core_files_allowed() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


NO_RIGHTS = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"] if os.geteuid() == 0 else []
"""Without the rights of root, a process of the user root is one of an ordinary user."""


def _read_as_its_own_user(pid: int, name: str) -> int:
    """The exit status of a process of the same user that reads a file of /proc/<pid>."""
    command = [*NO_RIGHTS, "cat", f"/proc/{pid}/{name}"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def test_nobody_reads_the_memory_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No core file when it crashes, even where core files are allowed; no look at it for its own user."""
    monkeypatch.chdir(tmp_path)
    sleeper = [*NO_RIGHTS, sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with _core_files_allowed(), running_service(*NO_RIGHTS) as service:
        mac = new_phone(service)
        claimed = service.api.post("/claims", {"run_key": "claim/a-run", "accounts": [f"{mac}/1"]})["secrets"]
        assert claimed, "the service held a password in its memory"
        other = subprocess.Popen(sleeper, stdout=subprocess.PIPE)
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"up\n"
            assert _read_as_its_own_user(other.pid, "environ") == 0, "that is how one looks at a process"
            assert _read_as_its_own_user(service.pid, "environ") != 0
            assert _read_as_its_own_user(service.pid, "maps") != 0
            other.send_signal(signal.SIGABRT)
            assert other.wait(20) == -signal.SIGABRT
        finally:
            other.kill()
            other.wait(20)
            other.stdout.close()
        cores = set(tmp_path.glob("core*"))
        if not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
            assert cores, "that is how one leaves a core file"
        os.kill(service.pid, signal.SIGABRT)
        deadline = time.monotonic() + 20
        while _lives(service.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _lives(service.pid)
        assert set(tmp_path.glob("core*")) == cores
        assert not list(service.folder.glob("core*"))
        assert found_in(service.folder, list(claimed.values())) == set()


def _lives(pid: int) -> bool:
    return " Z " not in Path(f"/proc/{pid}/stat").read_text()
