# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as people get it: the checkout and the built tarball, under each supported ansible-core."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.ansible_matrix import PYTHONS, NoInterpreterError, environment

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Ansible:
    """The commands of one ansible-core, run where nothing but what they are told leads to the collection."""

    version: str
    bin: Path
    home: Path

    def run(self, *command: str | Path, cwd: Path, **settings: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of this ansible-core; settings are environment variables."""
        variables = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        variables |= {
            "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": str(self.home),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            **{name: str(value) for name, value in settings.items()},
        }
        variables.setdefault("LC_ALL", "C.UTF-8")
        program, *arguments = command
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session", params=list(PYTHONS))
def ansible(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ansible:
    """Each ansible-core of the matrix that this host can run."""
    try:
        folder = environment(request.param)
    except NoInterpreterError as error:
        pytest.skip(str(error))
    return Ansible(request.param, folder, tmp_path_factory.mktemp(f"home-{request.param}"))


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball, built from the checkout as make build does."""
    folder = tmp_path_factory.mktemp("tarball")
    galaxy = Path(sys.executable).parent / "ansible-galaxy"
    subprocess.run(
        [galaxy, "collection", "build", "--output-path", folder], cwd=REPOSITORY, check=True, capture_output=True
    )
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="session")
def installed(ansible: Ansible, tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of collections, elsewhere, into which that ansible-core has installed the tarball."""
    folder = tmp_path_factory.mktemp(f"installed-{ansible.version}")
    done = ansible.run(
        "ansible-galaxy", "collection", "install", "--offline", "--collections-path", folder, tarball, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(params=["checkout", "tarball"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    """Working directory and settings with which the collection is found: the checkout's, or the installed tarball's."""
    if request.param == "checkout":
        return REPOSITORY, {}
    return tmp_path, {"ANSIBLE_COLLECTIONS_PATH": request.getfixturevalue("installed")}
