# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: credential
version_added: 0.1.0
short_description: Fetch generated SIP passwords once, to tell the PBX
description:
  - Returns the SIP passwords that the provisioning service generated, so that the same run can give them to the PBX.
    Each password is released to one run, and never again until it is armed anew with
    M(autoprov.appliance.credentials) and O(autoprov.appliance.credentials#module:audience=controller).
  - Ansible evaluates a lookup as often as it meets it. All evaluations of one run get the same answer, because they
    carry the same O(claim_id); another run is refused.
  - All accounts of one call are claimed together. If one of them is refused, none is released.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.plugin
options:
  _terms:
    description:
      - The accounts, each as C(MAC/line), such as V(00:04:13:92:2D:24/1). The MAC address may be in any usual spelling.
    required: true
  claim_id:
    description:
      - What tells this run from others. A random text, set once at the start of the run; see the examples. A variable
        whose template makes a new text each time does not do.
      - In AWX and the automation controller it need not be given. The variables C(awx_job_id) and
        C(awx_workflow_job_id) serve.
    type: str
    vars:
      - name: autoprov_claim_id
  lease_seconds:
    description:
      - How long after the first evaluation the same run may ask again, in seconds.
    type: int
    default: 300
    vars:
      - name: autoprov_lease_seconds
  check_mode_value:
    description:
      - With C(--check), nothing is claimed, and this text is returned for each account.
      - Set to an empty text to have an error instead.
    type: str
    default: released-only-without-check-mode
    vars:
      - name: autoprov_check_mode_value
notes:
  - What this lookup returns counts as told to the PBX. Where a host may be unreachable, or a task may fail, use
    M(autoprov.appliance.credential_claim) instead. It lends the passwords until the play says that the PBX has them.
  - A lookup runs on the controller. It needs the HTTPS address and a token with the scope C(claims), or runs on the
    appliance itself.
  - A lookup cannot see C(check_mode=true) of a single task. Such a task claims. M(autoprov.appliance.credential_claim)
    sees it.
  - Ansible shows what a task does with a value. Set C(no_log=true) on every task that uses it, and never put it into
    the name of a task, into C(environment), or into a cacheable fact.
  - From ansible-core 2.19 on, a value that looks like a number, JSON or a template stays text. Up to 2.18 that holds
    for C(lookup) with one account; when a password out of a C(query) passes through further templates, Ansible itself
    may take C([1]) for a list.
  - A task that claims account by account in a loop asks the service once for each. The lookup warns of it, and takes
    all accounts in one call.
seealso:
  - module: autoprov.appliance.credential_claim
  - module: autoprov.appliance.credentials
  - module: autoprov.appliance.phones
"""

EXAMPLES = r"""
- name: Tell the PBX the passwords of its new accounts
  hosts: pbx
  vars:
    autoprov_api_url: https://appliance.example:50082
    autoprov_api_token: "{{ vault_appliance_token }}"
  tasks:
    - name: Give this run a name
      ansible.builtin.set_fact:
        autoprov_claim_id: "{{ lookup('ansible.builtin.password', '/dev/null', length=32) }}"
      run_once: true

    - name: One account, through the PBX's own API
      ansible.builtin.uri:
        url: https://pbx.example/api/accounts/1001
        method: PUT
        body_format: json
        body:
          password: "{{ lookup('autoprov.appliance.credential', '00:04:13:92:2D:24/1') }}"
      no_log: true

    - name: Many accounts in one claim, into a file of the PBX
      ansible.builtin.template:
        src: accounts.conf.j2
        dest: /etc/pbx/accounts.conf
        mode: "0600"
      no_log: true
      vars:
        passwords: "{{ dict(account_ids | zip(query('autoprov.appliance.credential', account_ids))) }}"
        account_ids:
          - 00:04:13:92:2D:24/1
          - 80:5E:C0:12:34:56/1
"""

RETURN = r"""
_raw:
  description: The passwords, in the order of the accounts.
  type: list
  elements: str
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ansible.errors import AnsibleLookupError, AnsibleOptionsError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.autoprov.appliance.plugins.module_utils._api import Api, ApiError
from ansible_collections.autoprov.appliance.plugins.plugin_utils._claims import (
    NOT_OURS,
    Text,
    account_ids,
    passwords_of,
    run_key,
)

_OPTION_VARIABLES = (
    "autoprov_api_url",
    "autoprov_api_token",
    "autoprov_ca_path",
    "autoprov_validate_certs",
    "autoprov_timeout",
    "autoprov_claim_id",
    "autoprov_lease_seconds",
    "autoprov_check_mode_value",
)

_NO_RUN_KEY = (
    "this run has no name, and without one each evaluation of the lookup would claim the password anew. Set the "
    "variable autoprov_claim_id once at the start of the play: ansible.builtin.set_fact with run_once: true and a "
    "random text. In AWX, awx_job_id serves"
)

_MANY = 20
_claims = 0
"""How often this process has claimed. A task has a process of its own for each host, with all items of its loop."""

display = Display()


class LookupModule(LookupBase):  # type: ignore[misc, unused-ignore]
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        # Ansible hands variables over as they are written; an integrator's token is a template with a vaulted variable.
        variables = dict(variables or {})
        variables |= {name: self._templar.template(variables[name]) for name in _OPTION_VARIABLES if name in variables}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            accounts = account_ids(_flat(terms))
            if variables.get("ansible_check_mode"):
                return self._pretend(accounts)
            key = run_key(self.get_option("claim_id"), variables)
        except ValueError as error:
            raise AnsibleOptionsError(str(error)) from None
        if key is None:
            raise AnsibleOptionsError(_NO_RUN_KEY)
        return self._claim(accounts, key) if accounts else []

    def _pretend(self, accounts: list[str]) -> list[str]:
        value = self.get_option("check_mode_value")
        if not value:
            raise AnsibleLookupError("--check releases no password; set check_mode_value to have a text instead")
        return [Text(value)] * len(accounts)

    def _claim(self, accounts: list[str], key: str) -> list[str]:
        _count_claim()
        names = ("api_url", "api_token", "ca_path", "validate_certs", "timeout")
        try:
            api = Api(*(self.get_option(name) for name in names))
            display.vvvv(f"credential: claims {len(accounts)} SIP passwords at {api.url}")
            answer = api.post(
                "/claims",
                {
                    "run_key": key,
                    "accounts": list(dict.fromkeys(accounts)),
                    "secret_class": "sip",
                    "lease_seconds": self.get_option("lease_seconds"),
                },
            )
            passwords = passwords_of(answer, accounts)
        except ApiError as error:
            message = f"{error}\n{NOT_OURS}" if error.status == 409 else str(error)
            # "from None": Ansible 2.19 and newer print causes even under no_log.
            raise AnsibleLookupError(message) from None
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from None
        return [passwords[account] for account in accounts]


def _count_claim() -> None:
    global _claims
    _claims += 1
    if _claims == _MANY + 1:
        display.warning(
            f"This task has claimed generated passwords more than {_MANY} times, each time with a call to the service. "
            "Give the lookup all accounts at once, or use autoprov.appliance.credential_claim."
        )


def _flat(terms: Iterable[Any]) -> Iterator[Any]:
    for term in terms:
        if isinstance(term, (list, tuple)):
            yield from _flat(term)
        else:
            yield term
