# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under each supported ansible-core, from checkout and tarball: every plugin is found, documented, and works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.integration.packaging.conftest import REPOSITORY, Ansible

Source = tuple[Path, dict[str, Path]]
FILES = Path(__file__).parent / "files"
# Folder of plugins → what ansible-doc calls them.
DOCUMENTED = {"modules": "module", "lookup": "lookup", "filter": "filter"}


def plugins_of(folder: str) -> list[str]:
    """Return the full names of the collection's plugins in a folder of plugins/."""
    names = {path.stem for path in (REPOSITORY / "plugins" / folder).iterdir() if path.suffix in (".py", ".yml")}
    return sorted(f"autoprov.appliance.{name}" for name in names if not name.startswith("_"))


@pytest.mark.parametrize("folder", DOCUMENTED)
def test_every_plugin_is_documented(ansible: Ansible, source: Source, folder: str) -> None:
    cwd, settings = source
    names = plugins_of(folder)
    done = ansible.run("ansible-doc", "--json", "--type", DOCUMENTED[folder], *names, cwd=cwd, **settings)
    assert done.returncode == 0, done.stderr
    documented = json.loads(done.stdout)
    assert sorted(documented) == names
    assert all(entry["doc"]["short_description"] for entry in documented.values())


def test_every_role_has_an_argument_specification(ansible: Ansible, source: Source) -> None:
    cwd, settings = source
    names = sorted(f"autoprov.appliance.{path.name}" for path in (REPOSITORY / "roles").iterdir() if path.is_dir())
    done = ansible.run("ansible-doc", "--json", "--type", "role", *names, cwd=cwd, **settings)
    assert done.returncode == 0, done.stderr
    roles = json.loads(done.stdout)
    assert sorted(roles) == names
    assert all("main" in role["entry_points"] for role in roles.values())


def test_filters_lookup_and_modules_work(ansible: Ansible, source: Source) -> None:
    cwd, settings = source
    done = ansible.run("ansible-playbook", "--check", "-i", "localhost,", FILES / "plugins.yml", cwd=cwd, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stderr, done.stderr
    assert "DEPRECATION" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (REPOSITORY / "playbooks").glob("*.yml")))
def test_playbooks_resolve_all_they_name(ansible: Ansible, source: Source, playbook: str) -> None:
    cwd, settings = source
    done = ansible.run(
        "ansible-playbook", "--syntax-check", "-i", "localhost,", f"autoprov.appliance.{playbook}", cwd=cwd, **settings
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_group_has_every_module_that_talks_to_the_service() -> None:
    runtime = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    modules = (REPOSITORY / "plugins" / "modules").glob("*.py")
    with_fragment = sorted(
        path.stem for path in modules if "- autoprov.appliance.api\n" in path.read_text(encoding="utf-8")
    )
    assert with_fragment == runtime["action_groups"]["api"]
