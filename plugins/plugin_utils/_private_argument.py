# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action that passes a list with passwords to its module, and keeps it out of events and logs.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.

Ansible hands a task's arguments to every callback together with its result. For a list of phones that means each
password in the events of AWX where arguments are displayed, and on a large site more time than the module itself
takes. So the list goes to the module and is taken out of the task.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class PrivateArgumentAction(ActionBase):  # type: ignore[misc, unused-ignore]
    """Runs the module of the same name; ``private`` names the argument that callbacks must not get."""

    TRANSFERS_FILES = False
    private: str
    _arguments: dict[str, Any] | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._arguments is None:  # A task with "until" runs the same object again.
            self._arguments = dict(self._task.args)
            entries = self._arguments.get(self.private)
            if isinstance(entries, list):
                self._task.args = {**self._arguments, self.private: f"{len(entries)} entries"}
        result.update(self._execute_module(module_args=self.module_arguments(self._arguments), task_vars=task_vars))
        return result

    def module_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the module gets, made from the arguments of the task."""
        return arguments
