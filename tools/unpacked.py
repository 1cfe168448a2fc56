# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it ships: the built tarball, unpacked where ansible-test wants it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent


def tarball() -> Path:
    """Return the path of the tarball that make build writes."""
    metadata = yaml.safe_load((REPOSITORY / "galaxy.yml").read_text(encoding="utf-8"))
    return REPOSITORY / "build" / f"{metadata['namespace']}-{metadata['name']}-{metadata['version']}.tar.gz"


def unpack(into: Path) -> Path:
    """Unpack the tarball to INTO/ansible_collections/autoprov/appliance, as a git tree, and return that folder."""
    folder = into / "ansible_collections" / "autoprov" / "appliance"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(tarball()) as archive:
        archive.extractall(folder, filter="data")
    # ansible-test asks git which files there are, and would check its own output otherwise.
    (folder / ".gitignore").write_text("/tests/output/\n", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder
