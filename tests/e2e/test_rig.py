# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts the story is told with: they must be able to say no, or the story proves nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from demo import pbx, sip
from demo.dhcp import DhcpClient
from demo.needs import missing
from demo.site import Host, Machine, Site, SiteError, left_behind, standing_machine, take_down
from demo.table import Action, Progress, State, Step, StepError, Watcher, play
from demo.web import Credentials, fetch

pytestmark = pytest.mark.root

KEA = """{"Dhcp4": {
  "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
  "lease-database": {"type": "memfile", "persist": false},
  "subnet4": [{"id": 1, "subnet": "198.18.0.0/24", "pools": [{"pool": "198.18.0.50 - 198.18.0.52"}],
    "option-data": [{"name": "tftp-server-name", "data": "http://198.18.0.1/"}]}]}}"""
ACCOUNT = sip.Account("1001", "1001", "right", "198.18.0.5", 5060, "udp", 3600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of its own, beside one that may stand."""
    if lacking := missing():
        pytest.skip(f"the demo needs {'; '.join(lacking)}")
    with Site(tmp_path_factory.mktemp("site") / "run", "ape2e-") as site:
        server = site.add_machine("server", address="198.18.0.1/24")
        server.write("/etc/kea/kea-dhcp4.conf", KEA)
        server.write(
            "/etc/service/kea/run", "#!/bin/sh\nmkdir -p /run/kea\nexec kea-dhcp4 -c /etc/kea/kea-dhcp4.conf\n", 0o755
        )
        registrar = site.add_machine("registrar", address="198.18.0.5/24")
        pbx.install(registrar)
        secret = hashlib.md5(b"1001:198.18.0.5:right").hexdigest()
        table = f"username(string) domain(string) ha1(string)\n1001:198.18.0.5:{secret}\n"
        registrar.write("/etc/kamailio/subscribers/subscriber", table, 0o600)
        site.add_host("phone", mac="00:04:13:00:00:01")
        site.add_host("notebook", address="198.18.0.9/24")
        yield site


def _until_it_answers(ask: Action) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask(lambda text: None)
        except SiteError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_machine_keeps_its_files_and_processes_to_itself(site: Site) -> None:
    server = site.hosts["server"]
    assert isinstance(server, Machine)
    server.write("/etc/only-here", "text\n", 0o640)
    assert server.run(["stat", "-c", "%a %U", "/etc/only-here"]).stdout == "640 root\n"
    assert not Path("/etc/only-here").exists()
    assert server.run(["hostname"]).stdout == "server\n"
    assert server.run(["cat", "/proc/1/comm"]).stdout == "runsvdir\n"


def test_a_program_that_fails_in_a_host_is_reported_with_its_words(site: Site) -> None:
    with pytest.raises(SiteError, match=r"status 7: oh no"):
        site.hosts["notebook"].run(["sh", "-c", "echo oh no >&2; exit 7"])


def test_a_phone_gets_an_address_and_only_the_options_it_asks_for(site: Site) -> None:
    client = DhcpClient(site.hosts["phone"], "snomD785", (1, 3, 66))
    answer = client.boot()
    assert answer.address.startswith("198.18.0.5")
    assert answer.options == {1: "255.255.255.0", 66: "http://198.18.0.1/"}
    assert answer.address in site.hosts["phone"].run(["ip", "-4", "address"]).stdout
    client.stop()
    assert answer.address not in site.hosts["phone"].run(["ip", "-4", "address"]).stdout


def test_the_registrar_refuses_a_wrong_password(site: Site) -> None:
    notebook = site.hosts["notebook"]
    assert _until_it_answers(lambda progress: sip.register(notebook, ACCOUNT)) == "200 OK"
    registrar = site.hosts["registrar"]
    assert isinstance(registrar, Machine)
    assert pbx.registered(registrar) == ["1001"]
    for wrong in (replace(ACCOUNT, password="wrong"), replace(ACCOUNT, user="1002", auth_user="1002")):
        with pytest.raises(SiteError, match="401 Unauthorized"):
            sip.register(notebook, wrong)
    assert sip.register(notebook, replace(ACCOUNT, transport="tcp")) == "200 OK"


def test_a_phone_answers_only_a_digest_challenge(site: Site, tmp_path: Path) -> None:
    notebook = site.hosts["notebook"]
    server = tmp_path / "server.py"
    server.write_text(
        "import http.server\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        given = self.headers.get('Authorization', '')\n"
        "        self.send_response(200 if given else 401)\n"
        "        scheme = 'Digest realm=\"r\", nonce=\"n\"' if self.path == '/digest' else 'Basic realm=\"r\"'\n"
        "        self.send_header('WWW-Authenticate', scheme)\n"
        "        self.send_header('Content-Length', str(len(given)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(given.encode())\n"
        "http.server.HTTPServer(('127.0.0.1', 8080), Handler).serve_forever()\n"
    )
    log = tmp_path / "log"
    notebook.run(["ip", "link", "set", "lo", "up"])
    notebook.start(["python3", server], log)
    who = Credentials("00aa", 'a"b\\c')
    _until_it_answers(lambda progress: fetch(notebook, "http://127.0.0.1:8080/basic", "phone").body)
    digest = fetch(notebook, "http://127.0.0.1:8080/digest", "phone", who)
    assert (digest.statuses, digest.challenges) == ((401, 200), ("digest", "digest"))
    assert digest.body.startswith('Digest username="00aa"')
    basic = fetch(notebook, "http://127.0.0.1:8080/basic", "phone", who)
    assert (basic.status, basic.body) == (401, "")


def test_a_site_in_another_directory_is_found_and_taken_down(tmp_path: Path) -> None:
    if lacking := missing():
        pytest.skip(f"the demo needs {'; '.join(lacking)}")
    directory = tmp_path / "run"
    site = Site(directory, "ape2x-")
    site.add_host("one", address="198.18.0.1/24")
    left = left_behind(directory, "ape2x-")
    assert {"namespace ape2x-switch", "namespace ape2x-one"} <= set(left)
    with pytest.raises(SiteError, match="another run"):
        Site(directory, "ape2x-")
    site.keep()
    site.close()
    with Site(directory, "ape2x-") as second:
        assert second.replaced
        assert list(second.hosts) == []
    assert left_behind(directory, "ape2x-") == []


def test_a_site_that_was_kept_can_be_entered_and_taken_down(tmp_path: Path) -> None:
    if lacking := missing():
        pytest.skip(f"the demo needs {'; '.join(lacking)}")
    directory = tmp_path / "run"
    with Site(directory, "ape2x-") as site:
        site.add_machine("one")
        site.keep()
    machine = standing_machine("one", directory)
    assert machine.run(["hostname"]).stdout == "one\n"
    with pytest.raises(SiteError, match="'two'"):
        standing_machine("two", directory)
    assert take_down(directory)
    assert not take_down(directory)
    assert left_behind(directory, "ape2x-") == []
    with pytest.raises(SiteError, match="no machine"):
        standing_machine("one", directory)


def _step(subject: str, error: Exception | None = None, *, essential: bool = False, always: bool = False) -> Step:
    def action(progress: Progress) -> str:
        if error:
            raise error
        return "as it should be"

    return Step(subject, "does", "that", action, essential=essential, always=always)


def _states(*steps: Step) -> tuple[list[str], str]:
    output = StringIO()
    play(steps, Watcher(Console(file=output, width=40)))
    return [step.state.name for step in steps], output.getvalue()


def test_a_failed_step_skips_what_follows_with_the_same_subject() -> None:
    states, output = _states(_step("a"), _step("b", StepError("something else")), _step("b"), _step("a"))
    assert states == ["PASSED", "FAILED", "SKIPPED", "PASSED"]
    assert "FAILED" in output
    assert "something else" in output
    assert len(output.splitlines()) == 4


def test_an_essential_step_skips_everything_but_the_end() -> None:
    states, _ = _states(_step("a", SiteError("no"), essential=True), _step("b"), _step("a", always=True))
    assert states == ["FAILED", "SKIPPED", "PASSED"]


def test_a_fault_of_the_demo_itself_fails_its_step_without_a_traceback() -> None:
    step = _step("a", KeyError("user_name"))
    states, output = _states(step, _step("b"))
    assert states == ["FAILED", "PASSED"]
    assert step.state is State.FAILED
    assert "KeyError" in output
    assert "Traceback" not in output


def test_what_the_hosts_are_called(site: Site) -> None:
    assert all(isinstance(host, Host) and host.namespace == f"ape2e-{name}" for name, host in site.hosts.items())
