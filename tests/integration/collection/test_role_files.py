# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``provisioning`` writes for doors and leases: read back by the service's own reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoprovd import config
from tests.integration.collection.conftest import REPOSITORY

ROLE = REPOSITORY / "roles" / "provisioning"
KEA = {"kind": "kea", "path": "/var/lib/kea/kea-leases4.csv"}
DNSMASQ = {"kind": "dnsmasq", "path": "/var/lib/misc/dnsmasq.leases"}
FILES = ("autoprovd.toml", "autoprovd.service", "runit-run", "autoprovd-ban-set.service")


def written(folder: Path, **variables: Any) -> tuple[config.Config, str, str]:
    """The configuration, the unit and the runit script with these variables."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    given = {"provisioning_supervisor": "runit", "provisioning_public_host": "198.18.0.1", **variables}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": sys.executable,
            "__provisioning_credential": {"stat": {"exists": False}},
            **defaults,
            **given,
        },
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "tasks": [
            {
                "ansible.builtin.template": {
                    "src": str(ROLE / "templates") + "/{{ item }}.j2",
                    "dest": str(folder) + "/{{ item }}",
                },
                "loop": FILES,
            }
        ],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", folder / "play.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    unit, script = ((folder / name).read_text() for name in FILES[1:3])
    return config.load(folder / "autoprovd.toml"), unit, script


def test_without_more_no_door_is_open_and_no_file_is_read(tmp_path: Path) -> None:
    made, unit, script = written(tmp_path)
    assert made.listen.phones_mutual_tls == ()
    assert made.tls.client_ca_file is None
    assert made.identity.lease_files == ()
    assert "SupplementaryGroups" not in unit
    assert "chpst -u autoprov:autoprov -c 0" in script


def test_authorities_open_the_door_for_certificates(tmp_path: Path) -> None:
    made, _unit, _script = written(tmp_path, provisioning_client_ca="-----BEGIN CERTIFICATE-----")
    assert made.listen.phones_mutual_tls == ("0.0.0.0:50083",)
    assert made.tls.client_ca_file == Path("/etc/autoprov/tls/phones-ca.pem")


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        ([KEA], ["_kea"]),
        ([DNSMASQ], []),
        ([DNSMASQ, KEA, DNSMASQ | {"path": "/x", "group": "dhcp"}, KEA | {"path": "/y"}], ["dhcp", "_kea"]),
    ],
    ids=["Kea", "dnsmasq", "several"],
)
def test_the_service_may_read_leases(tmp_path: Path, files: list[dict[str, str]], groups: list[str]) -> None:
    made, unit, script = written(tmp_path, provisioning_lease_files=files)
    assert [(file.kind, str(file.path)) for file in made.identity.lease_files] == [
        (file["kind"], file["path"]) for file in files
    ]
    assert ("SupplementaryGroups=" + " ".join(groups) in unit) is bool(groups)
    assert f"chpst -u {':'.join(['autoprov', 'autoprov', *groups])} -c 0" in script


def test_nobody_is_banned_in_the_kernel_unless_asked_for(tmp_path: Path) -> None:
    made, _unit, _script = written(tmp_path)
    assert made.limits == config.Limits()


def test_limits_reach_the_service_and_the_helper_drops_at_all_ports_of_phones(tmp_path: Path) -> None:
    made, _unit, _script = written(
        tmp_path,
        provisioning_limits_guesses=7,
        provisioning_limits_forget_seconds=60,
        provisioning_limits_first_ban_seconds=10,
        provisioning_limits_longest_ban_seconds=20,
        provisioning_limits_allow=["198.18.5.0/24", "2001:db8::1"],
        provisioning_limits_in_kernel=True,
        provisioning_http_listen=["0.0.0.0:50080", "[::]:50080"],
        provisioning_client_ca="-----BEGIN CERTIFICATE-----",
    )
    assert made.limits == config.Limits(
        guesses=7, forget_seconds=60, first_ban_seconds=10, longest_ban_seconds=20,
        allow=("198.18.5.0/24", "2001:db8::1"), kernel_file=Path("/run/autoprov/bans"),
    )  # fmt: skip
    helper = (tmp_path / "autoprovd-ban-set.service").read_text()
    assert "autoprovd.ban_set --ports 50080,50081,50083\n" in helper
    assert "StandardInput=file:/run/autoprov/bans\n" in helper


def test_nobody_is_answered_by_pnp_unless_an_interface_is_named(tmp_path: Path) -> None:
    made, _unit, _script = written(tmp_path)
    assert made.pnp == config.Pnp()


@pytest.mark.parametrize(
    ("given", "accepts"), [("record", "record"), ("create", "create"), ("no", "no"), (False, "no")]
)
def test_pnp_reaches_the_service(tmp_path: Path, given: str | bool, accepts: str) -> None:
    made, _unit, _script = written(
        tmp_path,
        provisioning_pnp_interfaces=["voice0", "eth0.20"],
        provisioning_pnp_accept_unknown=given,
        provisioning_pnp_share_port=True,
    )
    assert made.pnp.interfaces == ("voice0", "eth0.20")
    assert (made.pnp.accept_unknown, made.pnp.share_port) == (accepts, True)
