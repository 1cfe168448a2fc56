# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role ``provisioning`` through playbooks/site.yml, on a machine of its own that has neither systemd nor internet.

Molecule covers systemd. The machine is that of the demo: namespaces with a copy-on-write view of this host.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest

from demo.site import Machine, Site
from tests.integration.collection.conftest import REPOSITORY
from tests.integration.collection.test_phones import SNOM, assert_nothing_planted

WHEELHOUSE = REPOSITORY / "build" / "wheelhouse"
TEMPLATES = REPOSITORY / "roles" / "provisioning" / "templates"
TOKEN = "planted-" + "t" * 40
VARIABLES = {
    "ansible_connection": "machine",
    "ansible_python_interpreter": "/usr/bin/python3",
    "ansible_become": False,
    "site_dhcp": False,
    "site_firewall": False,
    "provisioning_public_host": "198.18.9.1",
    "provisioning_wheelhouse": str(WHEELHOUSE),
    "provisioning_phones": [SNOM],
    "provisioning_api_tokens": [{"name": "controller", "token": TOKEN, "scopes": ["claims"]}],
}


@dataclass(frozen=True)
class Appliance:
    """A machine, and how the site's playbook is run against it."""

    machine: Machine
    folder: Path
    environment: dict[str, str]

    def configure(self, *arguments: str, **variables: Any) -> tuple[int, str]:
        """Run playbooks/site.yml: exit status and output."""
        return self.play("site.yml", *arguments, **variables)

    def play(self, playbook: str, *arguments: str, **variables: Any) -> tuple[int, str]:
        """Run a playbook of the collection: exit status and output."""
        host = {**VARIABLES, "machine_pid": self.machine.pid, **variables}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"children": {"autoprov_appliances": {"hosts": {"box": host}}}}}))
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, f"playbooks/{playbook}", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def says(self, command: str) -> str:
        """What a shell command says on the machine."""
        return self.machine.run(["sh", "-c", command]).stdout


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """A fresh machine."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for namespaces")
    missing = [program for program in ("ip", "unshare", "runsvdir", "nsenter") if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (make setup as root installs them)")
    if not any(WHEELHOUSE.glob("*.whl")):
        pytest.skip("needs build/wheelhouse (make wheelhouse)")
    folder = tmp_path_factory.mktemp("role")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_CONNECTION_PLUGINS": str(REPOSITORY / "demo" / "connection_plugins"),
        "ANSIBLE_NOCOLOR": "1",
    }
    with Site(Path("/run/autoprov-role-test"), "aprole-") as site:
        yield Appliance(site.add_machine("box", address="198.18.9.1/24"), folder, environment)


def changed(output: str) -> int:
    """How many tasks of a run changed something."""
    found = re.search(r"^box +: .* changed=(\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])


@pytest.mark.root
@pytest.mark.timeout(900)
def test_from_a_fresh_host_to_a_running_service(appliance: Appliance) -> None:
    """Check mode first, then the run, then the same run again: a story, since each step needs the one before."""
    status, output = appliance.configure("--check", "--diff")
    assert status == 0, output
    assert "does not run here yet, so check mode cannot ask it" in output
    assert appliance.says("ls -d /opt/autoprov /etc/autoprov 2>/dev/null || true") == ""

    status, output = appliance.configure("-vvv", "--diff")
    assert status == 0, output
    assert_nothing_planted(output)
    phones = json.loads(appliance.says("autoprov phones --json"))
    assert "000413922d24" in json.dumps(phones).replace(":", "").lower()
    assert (
        appliance.says("stat -c '%U %a' /etc/autoprov/sealing.key /etc/autoprov/tls/server.key") == "autoprov 400\n" * 2
    )
    assert appliance.says("stat -c '%U %a' /var/lib/autoprov /run/autoprov") == "autoprov 700\n" * 2
    assert len(appliance.says("pgrep -u autoprov").split()) == 1
    assert appliance.says("grep -r planted /etc /opt/autoprov /var/log /tmp 2>/dev/null || true") == ""

    key = appliance.says("sha256sum /etc/autoprov/sealing.key /etc/autoprov/tls/*")
    process = appliance.says("pgrep -u autoprov")
    for arguments in ((), ("--check",)):
        status, output = appliance.configure(*arguments)
        assert status == 0, output
        assert changed(output) == 0, output
    assert appliance.says("sha256sum /etc/autoprov/sealing.key /etc/autoprov/tls/*") == key
    assert appliance.says("pgrep -u autoprov") == process

    status, output = appliance.configure("--check", "--diff", provisioning_language="de")
    assert changed(output) == 1, output
    assert '+  "language": "de"' in output

    status, output = appliance.configure(provisioning_phones=[{**SNOM, "mac": "00:04:13:92:2D"}])
    assert status == 2
    assert "is not a MAC address" in output
    assert_nothing_planted(output)

    # A given certificate is used, and the service that was restarted for it is the one that answers.
    certificate = appliance.says("cat /etc/autoprov/tls/server.crt")
    key_text = appliance.says("cat /etc/autoprov/tls/server.key")
    given = {"provisioning_tls_certificate": certificate.strip(), "provisioning_tls_key": key_text.strip()}
    status, output = appliance.configure("-vvv", **given)
    assert status == 0, output
    assert key_text.splitlines()[1] not in output
    status, output = appliance.configure(provisioning_tls_certificate=certificate)
    assert "together or neither" in output

    assert_the_key_is_exchanged(appliance)
    assert_a_credential_is_exchanged(appliance)

    status, output = appliance.configure(provisioning_http_listen=["203.0.113.1:50080"])
    assert status == 2
    assert "cannot listen on 203.0.113.1:50080" in output


@pytest.mark.root
def test_a_backup_comes_back_sealed(appliance: Appliance, tmp_path: Path) -> None:
    """backup.yml and restore.yml, on the service of the story above; the key opens on a new host too."""
    status, output = appliance.configure()
    assert status == 0, output
    appliance.says("autoprov phone arm 000413922d24")
    given = {"provisioning_backup_directory": str(tmp_path), "provisioning_backup_vault_secret": "vault-secret"}
    status, output = appliance.play("backup.yml", "--check", **given)
    assert status == 0, output
    assert not list(tmp_path.iterdir())
    status, output = appliance.play("backup.yml", "-vvv", "--diff", **given)
    assert status == 0, output
    (made,) = tmp_path.iterdir()
    key = appliance.says("cat /etc/autoprov/sealing.key").strip()
    assert key not in output
    assert (made / "sealing.key.vault").read_text().startswith("$ANSIBLE_VAULT;")
    assert appliance.says("ls -d /tmp/autoprov-* 2>/dev/null || true") == ""

    appliance.says("autoprov phone revoke 000413922d24")
    process = appliance.says("pgrep -u autoprov")
    restoring = {"provisioning_restore_from": str(made)}
    status, output = appliance.play("restore.yml", "--check", **restoring)
    assert status == 0, output
    assert appliance.says("pgrep -u autoprov") == process
    status, output = appliance.play("restore.yml", **restoring)
    assert status == 0, output
    assert "are sealed until armed again" in output
    (phone,) = json.loads(appliance.says("autoprov phones --json"))["phones"]
    assert {grant["state"] for grant in phone["grants"]} == {"sealed"}
    assert json.loads(appliance.says("autoprov audit verify --json"))["ok"]
    assert appliance.says("ls /var/lib/autoprov | grep -c before-restore") == "1\n"

    status, output = appliance.play("restore.yml", provisioning_restore_from=str(tmp_path / "absent"))
    assert status == 2
    assert "holds no database.backup" in output
    assert json.loads(appliance.says("autoprov phones --json"))


@pytest.mark.root
def test_firmware_goes_from_mirror_to_mirror(appliance: Appliance, tmp_path: Path) -> None:
    """The role ``firmware``, and what it mirrored carried to a site without internet, and fetched by another site."""
    status, output = appliance.configure()
    assert status == 0, output
    content = b"firmware" * 100_000
    name, digest = "snom/10.1.184.15/snomD785.bin", hashlib.sha256(content).hexdigest()
    appliance.says("mkdir -p /srv/vendor && yes firmware | tr -d '\\n' | head -c 800000 >/srv/vendor/snomD785.bin")
    appliance.says("cd /srv/vendor && setsid /usr/bin/python3 -m http.server --bind 127.0.0.1 8099 >/dev/null 2>&1 &")
    file = {"vendor": "snom", "version": "10.1.184.15", "models": ["D785"], "size": len(content), "sha256": digest}
    url = "http://127.0.0.1:8099/snomD785.bin"
    given = {"site_firmware": True, "firmware_files": [{**file, "url": url, "insecure": True}]}

    def served(folder: str) -> str:
        return appliance.says(f"cd {folder}/current/files && sha256sum {name} && stat -c %U {name}")

    whole = f"{digest}  {name}\nautoprov-firmware\n"
    status, output = appliance.configure("--check", **given)
    assert status == 0, output
    assert "All files would be new" in output
    status, output = appliance.configure(**given)
    assert status == 0, output
    assert served("/var/lib/autoprov-firmware") == whole
    fetched = f"curl -fsS http://127.0.0.1:50080/firmware/{name} | sha256sum"
    assert appliance.says(fetched) == f"{digest}  -\n"
    appliance.says("rm /srv/vendor/snomD785.bin")
    for arguments in ((), ("--check",)):
        status, output = appliance.configure(*arguments, **given)
        assert (status, changed(output)) == (0, 0), output

    status, output = appliance.play("firmware_export.yml", "--check", firmware_export_directory=str(tmp_path))
    assert (status, list(tmp_path.iterdir())) == (0, []), output
    status, output = appliance.play("firmware_export.yml", firmware_export_directory=str(tmp_path))
    assert status == 0, output
    assert appliance.says("ls -d /tmp/autoprov-firmware-* 2>/dev/null || true") == ""
    other = {"firmware_folder": "/var/lib/other-site", "firmware_tell": False}
    status, output = appliance.play("firmware_import.yml", **other)
    assert status == 2
    assert "with -e firmware_import_from=FILE" in output
    sent = ("-e", f"firmware_import_from={tmp_path / 'box.tar'}")
    status, output = appliance.play("firmware_import.yml", *sent, **other)
    assert status == 0, output
    assert served("/var/lib/other-site") == whole
    for arguments in ((), ("--check",)):
        status, output = appliance.play("firmware_import.yml", *sent, *arguments, **other)
        assert (status, changed(output)) == (0, 0), output
    assert appliance.says("ls -d /tmp/autoprov-firmware-* 2>/dev/null || true") == ""

    status, output = appliance.play("firmware_export.yml", "-e", "firmware_export_to=/srv/firmware.tar")
    assert status == 0, output
    disk = ("-e", "firmware_import_disk=/srv/firmware.tar")
    status, output = appliance.play("firmware_import.yml", *disk, **{**other, "firmware_folder": "/var/lib/third-site"})
    assert status == 0, output
    assert served("/var/lib/third-site") == whole
    appliance.says("truncate -s 300000 /srv/firmware.tar")
    status, output = appliance.play("firmware_import.yml", *disk, **{**other, "firmware_folder": "/var/lib/new-site"})
    assert status == 2
    assert "Traceback" not in output

    central = {"firmware_url": "http://127.0.0.1:50080/firmware/manifest.json", "firmware_insecure_url": True}
    branch = {"site_firmware": True, "firmware_folder": "/var/lib/branch", "firmware_tell": False}
    status, output = appliance.configure(**central, **branch)
    assert status == 0, output
    assert served("/var/lib/branch") == whole


def assert_the_key_is_exchanged(appliance: Appliance) -> None:
    """playbooks/rotate_key.yml: what check mode foretells, the run, and a run that finishes one that was broken off."""

    def keys() -> list[str]:
        return [key["id"] for key in json.loads(appliance.says("autoprov key status --json"))["keys"]]

    first, process = keys(), appliance.says("pgrep -u autoprov")
    status, output = appliance.play("rotate_key.yml", "--check")
    assert status == 0, output
    assert f"a new key before {first[0]}" in output
    assert keys() == first

    status, output = appliance.play("rotate_key.yml", "-vvv", "--diff")
    assert status == 0, output
    assert_nothing_planted(output)
    second = keys()
    assert len(second) == 1
    assert second != first
    assert appliance.says("cat /etc/autoprov/sealing.key").strip() not in output
    assert appliance.says("stat -c '%U %a' /etc/autoprov/sealing.key") == "autoprov 400\n"

    added = appliance.says("/opt/autoprov/venv/bin/autoprovd generate-key --add /etc/autoprov/sealing.key").strip()
    status, output = appliance.play("rotate_key.yml")
    assert status == 0, output
    assert keys() == [added], "the exchange that was begun"
    assert appliance.says("pgrep -u autoprov") == process, "it served phones all the time"
    assert "is whole" in appliance.says("autoprov audit verify")
    status, output = appliance.configure()
    assert "changed=0" in output, output


def assert_a_credential_is_exchanged(appliance: Appliance) -> None:
    """The script of the playbook with an encrypted credential, as systemd keeps it; here it only needs the program."""
    if not shutil.which("systemd-creds"):
        return
    script = base64.b64encode((TEMPLATES.parent / "files" / "exchange-key.sh").read_bytes()).decode()
    program, folder = "/opt/autoprov/venv/bin/autoprovd", "/root/keys"
    appliance.says(
        f"mkdir -m 700 {folder} && cd {folder} && umask 077 && {program} generate-key key"
        " && systemd-creds encrypt --name=autoprov-sealing-key key sealing.cred"
        f" && cp /etc/autoprov/autoprovd.toml . && echo {script} | base64 -d >exchange-key.sh"
    )

    def held() -> list[str]:
        return appliance.says(f"systemd-creds decrypt --name=autoprov-sealing-key {folder}/sealing.cred -").split()

    def exchange(action: str, *ids: str) -> str:
        return appliance.says(f"sh {folder}/exchange-key.sh {action} {program} {folder} {' '.join(ids)} 2>&1 || true")

    first = held()
    assert exchange("add") == "changed\n"
    second = held()
    assert len(second) == 2
    assert second[1:] == first
    assert exchange("add") == "", "an exchange was begun already"
    assert "does not use key" in exchange("retire", "00000000")
    assert held() == second, "the service did not say that it may go"
    left = appliance.says(f"ls {folder}; ls -d /run/autoprov-key.* 2>/dev/null || true").split()
    assert left == ["autoprovd.toml", "exchange-key.sh", "key", "sealing.cred"]


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    """The exposure that systemd computes, with the credential and without it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    template = jinja2.Template((TEMPLATES / "autoprovd.service.j2").read_text())
    for kept in (True, False):
        unit = tmp_path / "autoprovd.service"
        unit.write_text(
            template.render(
                ansible_managed="test",
                __provisioning_program="/bin/true",
                __provisioning_config="/etc/autoprov",
                __provisioning_user="autoprov",
                __provisioning_credential={"stat": {"exists": kept}},
            )
        )
        assert ("LoadCredentialEncrypted=autoprov-sealing-key:" in unit.read_text()) is kept
        for question in (["verify", str(unit)], ["security", "--offline=true", "--threshold=20", str(unit)]):
            done = subprocess.run(["systemd-analyze", *question], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
