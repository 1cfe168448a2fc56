# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``firmware_mirror``: reads ``src``, and tells how far a long run is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc, unused-ignore]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        host = (task_vars or {}).get("inventory_hostname", "")
        arguments = self._with_manifest(dict(self._task.args))
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        told = ""
        while "running" in answer and not answer.get("failed"):
            if answer["running"] not in ("", told):
                told = answer["running"]
                display.display(f"  {host}: {told}")
            waiting = {**arguments, "job": answer["job"]}
            answer = self._execute_module(module_args=waiting, task_vars=task_vars)
        result.update(answer)
        result.setdefault("invocation", {})["module_args"] = dict(self._task.args)
        return result

    def _with_manifest(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The list as text, wherever it comes from: what it means is for the program on the host alone."""
        given = [name for name in ("files", "src", "url", "carried", "release") if arguments.get(name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise AnsibleActionFail(f"give one of files, src, url, carried and release; there is {found}")
        if given == ["files"]:
            files, serial = arguments.pop("files"), arguments.pop("serial", 0)
            arguments["manifest"] = json.dumps({"serial": int(serial), "files": files}, default=str)
        elif given == ["src"]:
            arguments["manifest"] = self._read(str(arguments.pop("src")))
        return arguments

    def _read(self, src: str) -> str:
        try:
            return Path(self._find_needle("files", src)).read_text("utf-8")
        except (AnsibleError, OSError, ValueError) as error:
            raise AnsibleActionFail(f"src {src} is not readable: {error}") from None
