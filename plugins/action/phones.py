# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``phones``: reads ``src``, and keeps the list out of events and logs."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError

from ansible_collections.autoprov.appliance.plugins.plugin_utils._private_argument import PrivateArgumentAction

_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ActionModule(PrivateArgumentAction):
    private = "phones"

    def module_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with the list, wherever it comes from, in as few bytes as it goes into.

        A large site's list is tens of megabytes of JSON, and as a structure ten times that in the module's process.
        """
        phones = arguments.get("phones")
        if arguments.get("src") and phones is None:
            phones = self._read(str(arguments["src"]))
        if not isinstance(phones, list) or ("src" in arguments and arguments.get("phones") is not None):
            return arguments  # Wrong in a way that the module itself tells best.
        others = {name: value for name, value in arguments.items() if name not in ("phones", "src")}
        # "default": what is neither text nor number is a vaulted value, or a date that YAML saw in a text.
        text = json.dumps(phones, default=str, separators=(",", ":"))
        return {**others, "packed": base64.b64encode(zlib.compress(text.encode(), 1)).decode()}

    def _read(self, src: str) -> list[Any]:
        """The list in a file on the controller, which may be encrypted with Ansible Vault."""
        path = real_path = None
        try:
            path = self._find_needle("files", src)
            real_path = self._loader.get_real_file(path)
            text = Path(real_path).read_text("utf-8")
        except (AnsibleError, OSError, ValueError) as error:
            raise AnsibleActionFail(f"src {src} is not readable: {error}") from None
        finally:
            if real_path and real_path != path:
                self._loader.cleanup_tmp_file(real_path)
        phones = _parse(text, src)
        if not isinstance(phones, list):
            raise AnsibleActionFail(f"src {src} does not hold a list of phones; write a JSON or YAML list of mappings")
        return phones


def _parse(text: str, src: str) -> Any:
    # The causes are cut off: a parser's message quotes the text around the fault, which may be a password.
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError as error:
            mark = error if isinstance(error, json.JSONDecodeError) else None
            where = f"line {mark.lineno}, column {mark.colno}" if mark else "an unknown place"
            raise AnsibleActionFail(f"src {src} is not JSON: there is a fault at {where}") from None
    try:
        return yaml.load(text, Loader=_YamlLoader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown place"
        raise AnsibleActionFail(f"src {src} is not YAML: there is a fault at {where}") from None
