# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who restarts a server, and restarts that fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import supervision
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.processes import Process

PID, MAIN = 4711, 4700


def process(pid: int = PID) -> Process:
    return Process(pid, ("dhcpd", "-4"), 0, 0, "/", False)


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system that systemd runs, with its own /proc and systemctl, which writes down what it is asked."""
    for name in ("run", f"proc/{PID}", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "main").write_text("0")
    (tmp_path / f"proc/{PID}/stat").write_text(f"{PID} (dhc) pd) S 1 1 1")
    script(
        tmp_path / "bin",
        "systemctl",
        f'echo "$@" >>{tmp_path}/asked\n[ "$1" = show ] && cat {tmp_path}/main\nexit 0\n',
    )
    monkeypatch.setattr(supervision, "SYSTEMD_RUNS", str(tmp_path / "run"))
    monkeypatch.setattr(supervision, "PROC", str(tmp_path / "proc"))
    monkeypatch.setattr(supervision, "SEARCH_PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/isc-dhcp-server.service", "isc-dhcp-server.service"),
        ("12:pids:/x\n1:name=systemd:/system.slice/dnsmasq.service\n0::/", "dnsmasq.service"),
        ("0::/system.slice/system-dnsmasq.slice/dnsmasq@voice.service", "dnsmasq@voice.service"),
        ("0::/user.slice/user-0.slice/session-3.scope", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/dhcpd.service", None),
        ("0::/system.slice/containerd.service/kubepods/pod1/x", None),
        ("0::/system.slice/docker-0123.scope/system.slice/dhcpd.service", None),
        ("0::/", None),
    ],
)
def test_the_unit_is_found_by_the_control_group(systemd: Path, cgroup: str, unit: str | None) -> None:
    (systemd / f"proc/{PID}/cgroup").write_text(cgroup + "\n")
    if unit is not None:
        assert supervision.restart_command(process()) == ["systemctl", "restart", unit]
    else:
        with pytest.raises(DhcpError, match=r"nobody supervises process 4711 \(dhcpd\)"):
            supervision.restart_command(process())


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("1:name=systemd:/libpod_parent/0123/system.slice/dnsmasq.service", "dnsmasq.service"),
        ("1:name=systemd:/libpod_parent/0123/system.slice/docker-4.scope/system.slice/dnsmasq.service", None),
        ("1:name=systemd:/system.slice/dnsmasq.service", None),
    ],
)
def test_in_a_container_units_stand_below_the_containers_group(systemd: Path, cgroup: str, unit: str | None) -> None:
    (systemd / "proc/1").mkdir()
    (systemd / "proc/1/cgroup").write_text("8:pids:/x\n1:name=systemd:/libpod_parent/0123/init.scope\n0::/\n")
    test_the_unit_is_found_by_the_control_group(systemd, cgroup, unit)


@pytest.mark.parametrize(("main", "own"), [("0", True), (str(PID), True), ("1", True), (str(MAIN), False), ("", True)])
def test_a_server_in_the_unit_of_another_program(systemd: Path, main: str, own: bool) -> None:
    """Started by hand over ssh without a session of its own, it would be found in ssh.service."""
    (systemd / f"proc/{PID}/cgroup").write_text("0::/system.slice/ssh.service\n")
    (systemd / "main").write_text(main)
    if own:
        assert supervision.restart_command(process())[2] == "ssh.service"
    else:
        with pytest.raises(DhcpError, match="say with restart_command how it is restarted"):
            supervision.restart_command(process())


def test_what_is_given_goes_first(systemd: Path) -> None:
    (systemd / f"proc/{PID}/cgroup").write_text("0::/system.slice/dhcpd.service\n")
    assert supervision.restart_command(process(), ("rc-service", "dhcpd", "restart")) == [
        "rc-service",
        "dhcpd",
        "restart",
    ]


def test_a_unit_that_failed_often_is_restarted_all_the_same(systemd: Path) -> None:
    supervision.run(["systemctl", "restart", "dhcpd.service"])
    assert (systemd / "asked").read_text().splitlines() == ["reset-failed dhcpd.service", "restart dhcpd.service"]


@pytest.fixture
def runit(tmp_path: Path) -> Iterator[Path]:
    """A service under a real runsv."""
    if shutil.which("runsv") is None:
        pytest.skip("needs runsv: apt-get install runit")
    service = tmp_path / "dhcpd"
    service.mkdir()
    script(service, "run", f"echo $$ >{tmp_path}/pid\nexec sleep 1000\n")
    runsv = subprocess.Popen(["runsv", str(service)])
    try:
        yield service
    finally:
        subprocess.run(["sv", "-w", "5", "force-stop", str(service)], check=False, capture_output=True)
        runsv.terminate()
        runsv.wait(10)


def pid_of(service: Path, other_than: int = 0) -> int:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        text = (service.parent / "pid").read_text() if (service.parent / "pid").exists() else ""
        if text.strip() and int(text) != other_than:
            return int(text)
        time.sleep(0.02)
    raise AssertionError("no process")


def test_a_runit_service_is_found_and_restarted(runit: Path) -> None:
    first = pid_of(runit)
    command = supervision.restart_command(process(first))
    assert command == ["sv", "restart", str(runit)]
    supervision.run(command)
    assert pid_of(runit, other_than=first) != first


def test_nobody_supervises_a_process_of_ours() -> None:
    with pytest.raises(DhcpError, match="neither systemd nor runit"):
        supervision.restart_command(process(os.getpid()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo to stdout; echo 'no  bus' >&2; exit 3", "failed with status 3: to stdout no bus$"),
        ("exit 1", "failed with status 1: no reason given$"),
        ("kill -9 $$", "failed with status -9: no reason given$"),
        ("yes too much | head -c 100000; exit 1", "failed with status 1: .{400,500}$"),
    ],
)
def test_a_restart_that_fails(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DhcpError, match=told):
        supervision.run([script(tmp_path, "restart", text)])


def test_a_restart_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(DhcpError, match="/nowhere/restart now cannot be run: No such file or directory"):
        supervision.run(["/nowhere/restart", "now"])


def test_a_restart_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTART_TIMEOUT", 0.5)
    command = script(tmp_path, "restart", f"sleep 1000 & echo $! >{tmp_path}/child; wait")
    start = time.monotonic()
    with pytest.raises(DhcpError, match="was ended after 0 s without coming to an end; name a restart_command that"):
        supervision.run([command])
    assert time.monotonic() - start < 5
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{child}") and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < end, "what it has started is ended too"
        time.sleep(0.05)


def test_a_server_that_keeps_the_output_open_keeps_nobody_waiting(tmp_path: Path) -> None:
    """As a daemon does that does not close what it has inherited."""
    start = time.monotonic()
    supervision.run([script(tmp_path, "restart", f"setsid sleep 20 & echo $! >{tmp_path}/child")])
    try:
        assert time.monotonic() - start < 5
    finally:
        os.kill(int((tmp_path / "child").read_text()), 15)
