# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of the admin API share: the connection options, and a result that shows no list of passwords.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback

from ansible_collections.autoprov.appliance.plugins.module_utils._api import (
    DEFAULT_URL,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    Api,
    ApiError,
)

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def api_argument_spec() -> dict[str, t.Any]:
    """The options of the documentation fragment ``autoprov.appliance.api``."""
    return {
        "api_url": {"type": "str", "default": DEFAULT_URL, "fallback": (env_fallback, [URL_VARIABLE])},
        "api_token": {"type": "str", "no_log": True, "fallback": (env_fallback, [TOKEN_VARIABLE])},
        "ca_path": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "int", "default": 60},
    }


class ApiModule(AnsibleModule):  # type: ignore[misc, unused-ignore]
    """An Ansible module that makes one call to the admin API.

    ``counted`` names list options of which only the length may be shown: neither the result's ``invocation``, nor the
    system log, nor a message about a wrong option shows their content. Ansible's own ``no_log`` cannot be used for
    10,000 phones: it takes every text of the list for a secret, blanks those texts wherever they occur in the output,
    and compares each with each.
    """

    params: dict[str, t.Any]

    def __init__(self, options: dict[str, t.Any], counted: t.Sequence[str] = (), **kwargs: t.Any) -> None:
        self._counted = counted
        super().__init__(argument_spec={**api_argument_spec(), **options}, supports_check_mode=True, **kwargs)

    def call(self, method: str, path: str, *arguments: t.Any) -> dict[str, t.Any]:
        """The service's answer to ``Api.get``, ``put`` or ``post``; a refusal ends the module."""
        params = self.params
        try:
            api = Api(*(params[name] for name in ("api_url", "api_token", "ca_path", "validate_certs", "timeout")))
            return t.cast("dict[str, t.Any]", getattr(api, method)(path, *arguments))
        except ApiError as error:
            self.fail_json(msg=str(error), faults=error.faults, status=error.status)

    def finish(self, answer: dict[str, t.Any], *names: str) -> t.NoReturn:
        """End the module with the named parts of an answer, its ``changed``, and its ``diff`` where one is wanted."""
        result = {name: answer[name] for name in names}
        diff = answer.get("diff")
        if self._diff and diff:
            result["diff"] = diff
        self.exit_json(changed=bool(answer.get("changed")), **result)

    def shown_params(self) -> dict[str, t.Any]:
        """The parameters as they may be shown."""
        shown = dict(getattr(self, "params", None) or {})
        for name in self._counted:
            if shown.get(name) is not None:
                shown[name] = f"{len(shown[name])} entries" if isinstance(shown[name], list) else HIDDEN
        return shown

    # Ansible adds the parameters to every result that brings no invocation of its own, and writes them to the system
    # log. It does so from its constructor too, when an option is misspelt.

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn:
        kwargs.setdefault("invocation", {"module_args": self.shown_params()})
        super().exit_json(**kwargs)
        raise AssertionError("exit_json returned")

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        kwargs.setdefault("invocation", {"module_args": self.shown_params()})
        super().fail_json(msg, **kwargs)
        raise AssertionError("fail_json returned")

    def _log_invocation(self) -> None:
        params, self.params = self.params, self.shown_params()
        try:
            super()._log_invocation()
        finally:
            self.params = params
