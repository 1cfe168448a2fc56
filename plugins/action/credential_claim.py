# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action ``credential_claim``: borrows passwords for the PBX, and says what became of them.

It runs on the controller, whatever host the task is for: nothing goes to that host, and it need not be reachable.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.autoprov.appliance.plugins.module_utils._api import DEFAULT_URL, Api, ApiError
from ansible_collections.autoprov.appliance.plugins.plugin_utils._claims import (
    CHECK_MODE_VALUE,
    LEASE_SECONDS,
    Text,
    account_ids,
    passwords_of,
    run_key,
)

# Option → environment variable of the controller; each has a variable autoprov_<option> as well.
_CONNECTION = {
    "api_url": "AUTOPROV_API_URL",
    "api_token": "AUTOPROV_API_TOKEN",
    "ca_path": "AUTOPROV_CA_PATH",
    "validate_certs": None,
    "timeout": None,
}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["claimed", "confirmed", "returned"], "default": "claimed"},
    "accounts": {"type": "list", "elements": "str", "required": True},
    "claim_id": {"type": "str"},
    "lease_seconds": {"type": "int", "default": LEASE_SECONDS},
    "check_mode_value": {"type": "str", "default": CHECK_MODE_VALUE},
    "api_url": {"type": "str", "default": DEFAULT_URL},
    "api_token": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 60},
}
_NEXT = {"claimed": "lent", "confirmed": "released", "returned": "armed"}
_PREVIOUS = {"claimed": "armed", "confirmed": "lent", "returned": "lent"}
_NO_RUN = (
    "this task does not say whose claim it means; set claim_id to the claim_id that the claiming task returned, or "
    "autoprov_claim_id for the whole run. In AWX, awx_job_id serves"
)
_OTHER_RUN = (
    "Tasks of one run share what they claim through the variable autoprov_claim_id (in AWX, through the job's number); "
    "without it each task and each host is a run of its own, so claim with run_once: true"
)

_own_names: dict[tuple[str, str], str] = {}
"""The names made for tasks on hosts. A task that is tried again, or has a loop, stays in its process: the same run."""


class ActionModule(ActionBase):  # type: ignore[misc, unused-ignore]
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._options(task_vars or {})
        state = options["state"]
        try:
            given = options["accounts"]
            accounts = account_ids(given)
            claim_id = options["claim_id"] or self._variable("claim_id", task_vars or {})
            if not claim_id and state == "claimed" and not run_key(None, task_vars or {}):
                claim_id = self._own_name(task_vars or {})
            key = run_key(claim_id, task_vars or {})
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        if key is None and not self._task.check_mode:
            raise AnsibleActionFail(_NO_RUN)
        if not accounts:
            return {**result, "changed": False, "accounts": [], "claim_id": claim_id or "", **_shown([], [], {})}
        if self._task.check_mode:
            answer: dict[str, Any] = {"changed": True, "secrets": dict.fromkeys(accounts, options["check_mode_value"])}
        else:
            answer = self._ask(options, accounts, str(key))
        changed = bool(answer.get("changed", True))
        result.update(changed=changed, accounts=list(dict.fromkeys(accounts)), claim_id=str(claim_id or ""))
        if state == "claimed":
            try:
                result.update(_shown(given, accounts, passwords_of(answer, accounts)))
            except ValueError as error:
                raise AnsibleActionFail(str(error)) from None
            result["lease_ends_at"] = answer.get("lease_ends_at")
            # What was registered has the passwords; what is displayed, logged or sent to callbacks has not. A refusal
            # stays readable, other than with no_log on the task.
            result["_ansible_no_log"] = not self._task.check_mode
        if self._task.diff and changed:
            result["diff"] = _difference(answer.get(state, accounts), state)
        return result

    def _options(self, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = {name: value for name, value in self._task.args.items() if value is not None}
        for name, environment in _CONNECTION.items():
            value = self._variable(name, variables) or (os.environ.get(environment) if environment else None)
            if name not in arguments and value not in (None, ""):
                arguments[name] = value
        checked = ArgumentSpecValidator(_ARGUMENTS).validate(arguments)
        if checked.error_messages:
            raise AnsibleActionFail("; ".join(checked.error_messages))
        options: dict[str, Any] = checked.validated_parameters
        return options

    def _variable(self, option: str, variables: dict[str, Any]) -> Any:
        # Variables come as they are written; an integrator's token is a template with a vaulted variable.
        return self._templar.template(variables.get(f"autoprov_{option}"))

    def _own_name(self, variables: dict[str, Any]) -> str:
        task = (str(self._task._uuid), str(variables.get("inventory_hostname")))
        return _own_names.setdefault(task, secrets.token_urlsafe(24))

    def _ask(self, options: dict[str, Any], accounts: list[str], key: str) -> dict[str, Any]:
        body = {"run_key": key, "accounts": list(dict.fromkeys(accounts)), "secret_class": "sip"}
        try:
            api = Api(*(options[name] for name in _CONNECTION))
            if options["state"] == "confirmed":
                return api.post("/claims/confirm", body)
            if options["state"] == "returned":
                return api.post("/claims/return", body)
            return api.post("/claims", {**body, "two_phase": True, "lease_seconds": options["lease_seconds"]})
        except ApiError as error:
            message = f"{error}\n{_OTHER_RUN}" if error.status == 409 else str(error)
            # "from None": Ansible 2.19 and newer print causes even under no_log.
            raise AnsibleActionFail(message) from None


def _shown(given: list[str], accounts: list[str], passwords: dict[str, str]) -> dict[str, Any]:
    """The passwords as templates use them: by the account as it was written, and as a list to loop over."""
    return {
        "passwords": {name: Text(passwords[account]) for name, account in zip(given, accounts)},  # noqa: B905
        "credentials": [
            {
                "account": account,
                "mac": account.split("/")[0],
                "line": int(account.split("/")[1]),
                "password": Text(passwords[account]),
            }
            for account in dict.fromkeys(accounts)
        ],
    }


def _difference(accounts: list[str], state: str) -> dict[str, str]:
    def spelled(states: dict[str, str]) -> str:
        return "".join(f"{account} sip for the controller: {states[state]}\n" for account in sorted(accounts))

    return {"before": spelled(_PREVIOUS), "after": spelled(_NEXT)}
