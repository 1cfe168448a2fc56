# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``firewall_ports``: confirms a change over a second, new connection.

The change is made under a timer that takes it back. Who can still open a new connection has not been locked out, and
says so; from whoever cannot, nothing is heard, and the timer does its work.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.autoprov.appliance.plugins.plugin_utils._connections import new_connection

_PAUSE = 1.0  # seconds between two attempts
_LATE = 30.0  # seconds that a timer, and a host that comes back, may take longer


class ActionModule(ActionBase):  # type: ignore[misc, unused-ignore]
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        ours = [name for name in ("token", "decide") if arguments.get(name) is not None]
        if ours:
            raise AnsibleActionFail(f"{' and '.join(ours)} cannot be given: this action sets them by itself")
        if self._task.check_mode or arguments.get("confirm", "connection") != "connection":
            return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}
        seconds = _seconds(arguments)
        change = _Change(self, task_vars or {}, seconds)
        # A host that cannot be reached at all says so here, and not after waiting for a timer that nobody started.
        self._low_level_execute_command("true", sudoable=False)
        try:
            answer = self._execute_module(module_args={**arguments, "token": change.token}, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return {**result, **change.after_silence(_first_line(error))}
        if answer.get("confirmed") == "waiting":
            answer.update(change.confirm())
        return {**result, **answer}


class _Change:
    """A change under its timer."""

    def __init__(self, action: ActionBase, task_vars: dict[str, Any], seconds: int) -> None:
        self._action = action
        self._task_vars = task_vars
        self._seconds = seconds
        self.token = secrets.token_hex(8)

    def confirm(self) -> dict[str, Any]:
        """Confirm it, trying again until the timer ends; what is to be added to the result."""
        reason = ""
        end = time.monotonic() + self._seconds
        while True:
            try:
                answer = self._ask("confirm")
            except AnsibleError as error:
                reason = _first_line(error)
            else:
                if not answer.get("failed"):
                    return {"confirmed": "connection"}
                if "faults" in answer and reason:  # it came too late, as those before had not come through
                    return self.after_silence(reason)
                if "faults" in answer:  # the host's own word, and not one of a connection that broke
                    return {**_refused(answer["msg"]), "faults": answer["faults"], "rolled_back": True}
                reason = str(answer.get("msg"))
            if time.monotonic() + _PAUSE > end:
                return self.after_silence(reason)
            time.sleep(_PAUSE)

    def after_silence(self, reason: str) -> dict[str, Any]:
        """Find out what became of it when a connection failed; what is to be added to the result."""
        told = f"within {self._seconds} seconds no second connection to this host could be made ({reason})"
        end = time.monotonic() + self._seconds + _LATE
        while time.monotonic() < end:
            try:
                answer = self._ask("tell")
            except AnsibleError:
                answer = {}
            if answer.get("fate") == "confirmed":  # only the answer to it was lost
                return {"confirmed": "connection", "changed": True}
            if answer.get("fate") == "taken back":
                faults = [f"the change has been taken back, because {told}"]
                faults += [f"taking it back: {fault}" for fault in answer["faults"]]
                faults += [] if answer["faults"] else ["the firewall is as it was"]
                message = ". ".join(fault[:1].upper() + fault[1:] for fault in faults)
                return {**_refused(message), "faults": faults, "rolled_back": not answer["faults"]}
            time.sleep(_PAUSE)
        return _refused(
            f"After the change, {told}. It takes itself back, but since then the host could not be asked whether it has"
        )

    def _ask(self, verb: str) -> dict[str, Any]:
        arguments = {"token": self.token, "decide": verb, "confirm_seconds": 10}
        with new_connection(self._action):
            answer: dict[str, Any] = self._action._execute_module(module_args=arguments, task_vars=self._task_vars)
        return answer


def _refused(message: str) -> dict[str, Any]:
    return {"failed": True, "changed": False, "confirmed": "nobody", "msg": message}


def _seconds(arguments: dict[str, Any]) -> int:
    try:
        return int(arguments.get("confirm_seconds") or 60)
    except (TypeError, ValueError):
        return 60  # the module says what is wrong with it


def _first_line(error: AnsibleError) -> str:
    return str(error.message).strip().splitlines()[-1][:300] if str(error.message).strip() else "no reason given"
