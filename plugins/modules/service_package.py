#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_package
version_added: 0.1.0
short_description: Install a Python service from its source, with or without internet on the host
description:
  - Installs a Python package with its locked requirements into a virtual environment of its own. The source, and with
    O(wheelhouse) everything it needs, is sent from the controller as one file.
  - Every requirement is verified against the hashes in the lock file.
  - Each version is installed beside the one before, and O(dest)C(/venv) is switched to it when it is complete. If
    anything fails, the version before stays in use.
  - Used by the role P(autoprov.appliance.provisioning#role) to install the provisioning service.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes
attributes:
  diff_mode:
    support: none
options:
  src:
    description:
      - The folder of the package on the controller, with C(pyproject.toml) and C(requirements.txt). The latter is the
        lock file with hashes, and contains the build backend.
    type: path
    required: true
  wheelhouse:
    description:
      - A folder of wheels on the controller. They are sent to the host, and no index is asked.
      - When not given, the host installs from the index that its C(pip) is configured for.
    type: path
  dest:
    description:
      - The folder to install into. The virtual environment is O(dest)C(/venv).
    type: path
    required: true
  python:
    description:
      - The interpreter to use, with its module C(venv).
    type: str
    default: python3
  fingerprint:
    description:
      - What is to be installed. Set by the action plugin of the same name.
    type: str
  bundle:
    description:
      - The sent file. Set by the action plugin of the same name.
    type: path
"""

EXAMPLES = r"""
- name: Install the provisioning service
  autoprov.appliance.service_package:
    src: "{{ role_path }}/files/service"
    dest: /opt/autoprov
  become: true

- name: Install it on a host without internet
  autoprov.appliance.service_package:
    src: "{{ role_path }}/files/service"
    wheelhouse: build/wheelhouse
    dest: /opt/autoprov
  become: true
"""

RETURN = r"""
venv:
  description: The virtual environment.
  type: str
  returned: success
  sample: /opt/autoprov/venv
"""

import os
import shutil
import tarfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

STAMP = ".autoprov-installed"


class Installation:
    """The versions below ``dest``, and the one that is wanted."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.dest: str = module.params["dest"]
        self.python: str = module.get_bin_path(module.params["python"], required=True)
        self.link = os.path.join(self.dest, "venv")
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        self.version = self.run([self.python, "-c", code], "asking the Python for its version").strip()
        name = f"{module.params['fingerprint'][:16]}-py{self.version}"
        self.wanted = os.path.join(self.dest, "versions", name)

    def run(self, command: list[str], doing: str) -> str:
        """The output of a command, which must not fail."""
        environment = {"LANGUAGE": "C", "LC_ALL": "C", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        code, out, err = self.module.run_command(command, environ_update=environment)
        if code:
            lines = (err or out).strip().splitlines()[-12:]
            self.module.fail_json(msg="{} failed: {}".format(doing, "\n".join(lines) or f"exit status {code}"))
        return t.cast("str", out)

    def is_current(self) -> bool:
        """Whether the wanted version is complete and in use."""
        return os.path.exists(os.path.join(self.wanted, STAMP)) and os.path.realpath(self.link) == self.wanted

    def install(self, bundle: str) -> None:
        """Make the wanted version beside the others, and switch to it."""
        os.makedirs(os.path.dirname(self.wanted), exist_ok=True)
        shutil.rmtree(self.wanted, ignore_errors=True)
        unpacked = os.path.join(self.module.tmpdir, "bundle")
        with tarfile.open(bundle) as archive:
            if hasattr(tarfile, "data_filter"):  # Pythons before 3.11.4 may not have it; the file is our own.
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(unpacked)  # noqa: S202
        source, wheels = os.path.join(unpacked, "src"), os.path.join(unpacked, "wheels")
        self.run(
            [self.python, "-m", "venv", self.wanted],
            "making the virtual environment (on Debian it needs the package python3-venv)",
        )
        pip = [os.path.join(self.wanted, "bin", "python"), "-m", "pip", "install", "--quiet"]
        offline = ["--no-index", "--find-links", wheels] if self.module.params["wheelhouse"] else []
        lock = ["--require-hashes", "--only-binary", ":all:", "-r", os.path.join(source, "requirements.txt")]
        origin = "the wheelhouse" if offline else "the host's package index"
        self.run([*pip, *offline, *lock], f"installing the requirements from {origin}")
        self.run([*pip, "--no-index", "--no-deps", "--no-build-isolation", source], "installing the service")
        with open(os.path.join(self.wanted, STAMP), "w", encoding="utf-8") as stamp:
            stamp.write(f"{self.module.params['fingerprint']}\n")
        self.switch()

    def switch(self) -> None:
        """Point the link at the wanted version, and remove all but it and the one before, which may still run."""
        before = os.path.realpath(self.link)
        fresh = f"{self.link}.new"
        if os.path.lexists(fresh):
            os.unlink(fresh)
        os.symlink(os.path.relpath(self.wanted, self.dest), fresh)
        os.replace(fresh, self.link)
        for name in os.listdir(os.path.dirname(self.wanted)):
            version = os.path.join(os.path.dirname(self.wanted), name)
            if version not in (self.wanted, before):
                shutil.rmtree(version, ignore_errors=True)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "wheelhouse": {"type": "path"},
            "dest": {"type": "path", "required": True},
            "python": {"type": "str", "default": "python3"},
            "fingerprint": {"type": "str"},
            "bundle": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if not module.params["fingerprint"]:
        module.fail_json(msg="this module needs its action plugin; call it as autoprov.appliance.service_package")
    installation = Installation(module)
    changed = not installation.is_current()
    if changed and module.params["bundle"] and not module.check_mode:
        try:
            installation.install(module.params["bundle"])
        except (OSError, tarfile.TarError) as error:
            module.fail_json(msg=f"installing into {module.params['dest']} failed: {error}")
    module.exit_json(changed=changed, venv=installation.link)


if __name__ == "__main__":
    main()
