# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``service_package``: sends source and wheels as one file, if they are needed."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

_NOT_SOURCE = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "build", "dist")


class ActionModule(ActionBase):  # type: ignore[misc, unused-ignore]
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source = self._folder(arguments, "src")
        wheelhouse = self._folder(arguments, "wheelhouse") if arguments.get("wheelhouse") else None
        files = {f"src/{name}": file for name, file in _files(source)}
        if "src/pyproject.toml" not in files or "src/requirements.txt" not in files:
            raise AnsibleActionFail(f"src {source} is not the service: pyproject.toml or requirements.txt is missing")
        arguments["fingerprint"] = _fingerprint(files)
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        if answer.get("changed") and not self._task.check_mode and not answer.get("failed"):
            if wheelhouse:
                files.update({f"wheels/{file.name}": file for file in sorted(wheelhouse.glob("*.whl"))})
            arguments["bundle"] = self._send(files)
            answer = self._execute_module(module_args=arguments, task_vars=task_vars)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.update(answer)
        return result

    def _folder(self, arguments: dict[str, Any], name: str) -> Path:
        text = str(arguments.get(name) or "")
        folder = Path(os.path.expanduser(text)).resolve()
        if not text or not folder.is_dir():
            raise AnsibleActionFail(f"{name} {text!r} is not a folder on the controller")
        return folder

    def _send(self, files: dict[str, Path]) -> str:
        self._make_tmp_path() if not self._connection._shell.tmpdir else None
        remote: str = self._connection._shell.join_path(self._connection._shell.tmpdir, "bundle.tar")
        with tempfile.NamedTemporaryFile(dir=constants.DEFAULT_LOCAL_TMP, suffix=".tar") as bundle:
            with tarfile.open(fileobj=bundle, mode="w") as archive:
                for name, file in files.items():
                    archive.add(file, name, recursive=False)
            bundle.flush()
            self._transfer_file(bundle.name, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return remote


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The source files below a folder by their names in it, in order."""
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        ours = not any(part in _NOT_SOURCE or part.endswith(".egg-info") for part in relative.parts)
        if ours and file.is_file() and file.suffix != ".pyc":
            yield relative.as_posix(), file


def _fingerprint(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, file in files.items():
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
