# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``port_probe``: one host asks, and another one, the task's, traces."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import probing
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.errors import FirewallError
from ansible_collections.autoprov.appliance.plugins.plugin_utils._connections import connection_to


class ActionModule(ActionBase):  # type: ignore[misc, unused-ignore]
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        arguments = {name: value for name, value in self._task.args.items() if name not in ("step", "token")}
        if not arguments.get("from_host") or arguments.get("namespace"):
            return {**result, **self._execute_module(module_args=arguments, task_vars=self._variables)}
        try:
            result.update(self._between_hosts(arguments))
        except _Failed as failed:
            result.update(failed.answer)
        return result

    def _between_hosts(self, arguments: dict[str, Any]) -> dict[str, Any]:
        host = str(arguments.pop("from_host"))
        expected = arguments.pop("expect", None)
        answer = self._step("ask", arguments, host)
        unsure = [index for index, port in enumerate(answer["ports"]) if port["state"] != "open"]
        if unsure and str(arguments.get("explain", True)).lower() not in ("false", "no", "0", "off"):
            for address in dict.fromkeys(answer["ports"][index]["address"] for index in unsure):
                here = [index for index in unsure if answer["ports"][index]["address"] == address]
                asked = {name: arguments[name] for name in ("source", "timeout") if name in arguments}
                asked |= {"address": address, "ports": [answer["ports"][index]["port"] for index in here]}
                token = self._step("watch", asked)["token"]
                self._step("ask", asked, host)
                seen = self._step("verdict", {**asked, "token": token})["ports"]
                for index, verdict in zip(here, seen):  # noqa: B905
                    answer["ports"][index] = probing.judged(answer["ports"][index], verdict)
        try:
            probing.expect(expected, answer["ports"])
        except FirewallError as error:
            message = ". ".join(fault[:1].upper() + fault[1:] for fault in error.faults)
            answer.update(failed=True, msg=message, faults=error.faults)
        return answer

    def _step(self, step: str, arguments: dict[str, Any], host: str | None = None) -> dict[str, Any]:
        arguments = {**arguments, "step": step}
        if host is None:
            answer: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=self._variables)
        else:
            with connection_to(self, host, self._variables) as variables:
                answer = self._execute_module(module_args=arguments, task_vars=variables)
        if answer.get("failed"):
            where = f"{host}: " if host else ""
            raise _Failed({**answer, "msg": f"{where}{answer.get('msg')}"})
        return answer


class _Failed(Exception):
    """A step failed; its answer is the task's."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["msg"])
        self.answer = answer
