# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Molecule scenario as one test, so that make test counts them. CONTRIBUTING.md says how to run one by hand."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SCENARIOS = sorted(path.parent.name for path in (REPOSITORY / "molecule").glob("*/molecule.yml"))
CONTAINERS_CONF = REPOSITORY / "molecule" / "shared" / "containers.conf"
LOCK = Path("/run/lock/autoprov-molecule.lock")
NEEDED = ["podman", "runc", "debootstrap", "iptables", "ssh"]


def why_no_container_runs() -> str:
    """Start a container as the scenarios do, out of this host's own /usr: empty, or podman's reason."""
    with tempfile.TemporaryDirectory(prefix="autoprov-probe-") as name:
        root = Path(name)
        (root / "usr").mkdir()
        for folder in ("lib", "lib64"):
            (root / folder).symlink_to(f"usr/{folder}")
        command = (
            "podman --runtime runc run --rm --systemd=always --privileged --network none --volume /usr:/usr:ro --rootfs"
        )
        done = subprocess.run(
            [*command.split(), root, "/usr/bin/true"],
            env={**os.environ, "CONTAINERS_CONF": str(CONTAINERS_CONF)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


@pytest.fixture(scope="module")
def container_host() -> Iterator[None]:
    """Skip where this host cannot run containers, saying what is missing; wait while another run has them."""
    if os.geteuid() != 0:
        pytest.skip("Molecule needs root: debootstrap makes the images, podman the hosts")
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"Molecule needs {', '.join(missing)}: make setup (as root)")
    if reason := why_no_container_runs():
        pytest.skip(f"Molecule needs containers, and podman cannot run any here: {reason}")
    # Containers and their network have names that are the machine's: two checkouts take turns.
    with LOCK.open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("container_host")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    """Check, converge, converge again with no change, verify."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "MOLECULE_GLOB": "molecule/*/molecule.yml",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(REPOSITORY / "build" / "molecule" / scenario),
        "ANSIBLE_HOME": str(REPOSITORY / ".cache" / "ansible-home"),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
    }
    command = ["molecule", "test", "--scenario-name", scenario]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-12000:]}\n{done.stderr[-12000:]}"
