# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``redirect_service``: keeps label IDs and the password out of events and logs."""

from __future__ import annotations

from typing import Any

from ansible_collections.autoprov.appliance.plugins.plugin_utils._private_argument import PrivateArgumentAction


class ActionModule(PrivateArgumentAction):
    private = "phones"

    def module_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they are; what callbacks get of them has no password."""
        if arguments.get("password") is not None:
            self._task.args = {**self._task.args, "password": "********"}
        return arguments
