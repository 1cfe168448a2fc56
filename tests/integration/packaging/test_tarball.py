# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the tarball, what is not, and that the role still finds the service after an installation elsewhere."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.integration.packaging.conftest import REPOSITORY

EXPECTED = set(
    "CHANGELOG.rst CODE_OF_CONDUCT.md CONTRIBUTING.md FILES.json LICENSES MANIFEST.json README.md REUSE.toml "
    "changelogs docs meta playbooks plugins roles".split()
)
ALLOWED = EXPECTED | {"tests"}


def test_only_what_belongs_in_it_is_in_it(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        members = archive.getmembers()
    top = {member.name.split("/")[0] for member in members}
    assert EXPECTED - top == set(), "missing"
    assert top - ALLOWED == set(), "unexpected"
    unwanted = ("__pycache__", ".pyc", ".egg-info", "/.")
    assert [member.name for member in members if any(mark in member.name for mark in unwanted)] == []


def test_it_holds_no_links(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        assert [member.name for member in archive.getmembers() if member.issym() or member.islnk()] == []


def test_the_role_finds_the_service_after_installation(installed: Path) -> None:
    collection = installed / "ansible_collections" / "autoprov" / "appliance"
    shipped = collection / "roles" / "provisioning" / "files" / "service"
    for name in ("pyproject.toml", "requirements.txt", "src/autoprovd/__init__.py"):
        assert (shipped / name).read_bytes() == (REPOSITORY / "service" / name).read_bytes()


@pytest.mark.parametrize("name", ["galaxy.yml", "README.md", "meta", "playbooks", "plugins", "roles"])
def test_the_checkout_is_an_installed_collection(name: str) -> None:
    link = REPOSITORY / "collections" / "ansible_collections" / "autoprov" / "appliance" / name
    assert not Path(link.readlink()).is_absolute()
    assert link.resolve() == REPOSITORY / name
