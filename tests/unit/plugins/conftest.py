# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of modules and plugins share: a fake API, and modules run as Ansible runs them."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.release import __version__

from tests.unit.plugins.fake_api import FakeApi, on_http, on_socket

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A fake on a Unix socket; at the end everything announced must have been asked for."""
    # Not tmp_path: the path of a socket may be 107 characters long.
    with tempfile.TemporaryDirectory(prefix="autoprov-") as folder, on_socket(Path(folder) / "admin.sock") as fake:
        yield fake
        fake.assert_done()


@pytest.fixture
def http_api() -> Iterator[FakeApi]:
    """A fake on a TCP port of this host."""
    with on_http() as fake:
        yield fake
        fake.assert_done()


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module by name with options; ``check`` and ``diff`` are Ansible's modes. The result as Ansible gets it."""

    def run(name: str, options: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
        modes = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_no_log": False}
        # From 2.21 on a result has its invocation only where that is configured; older versions always add it.
        if tuple(map(int, __version__.split(".")[:2])) >= (2, 21):
            modes["_ansible_inject_invocation"] = True
        arguments = {"ANSIBLE_MODULE_ARGS": {**options, **modes}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        module = importlib.import_module(f"ansible_collections.autoprov.appliance.plugins.modules.{name}")
        output = io.StringIO()
        with contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(output.getvalue())
        return result

    return run
