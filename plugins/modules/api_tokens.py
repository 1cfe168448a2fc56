#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: api_tokens
version_added: 0.1.0
short_description: Tokens for the admin API of the provisioning service
description:
  - Sets who may use the admin API from elsewhere, and for what. The service stores a hash of each token, so a token is
    given here and cannot be read back.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
attributes:
  diff_mode:
    support: none
options:
  tokens:
    description:
      - The tokens.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Whose token it is. The log names its user by it.
        type: str
        required: true
      token:
        description:
          - The token itself, at least 32 characters. C(openssl rand -hex 32) makes one.
        type: str
        required: true
      scopes:
        description:
          - What it may be used for.
        type: list
        elements: str
        required: true
        choices:
          - phones:read
          - phones:write
          - grants:write
          - claims
          - settings:read
          - settings:write
          - tokens:write
          - firmware:read
          - firmware:write
          - audit:read
          - metrics:read
  purge:
    description:
      - Whether tokens that are not in the list lose their validity.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The Ansible controller may claim passwords, the monitoring may read figures
  autoprov.appliance.api_tokens:
    tokens:
      - name: controller
        token: "{{ vault_controller_token }}"
        scopes:
          - claims
          - phones:read
          - phones:write
      - name: monitoring
        token: "{{ vault_monitoring_token }}"
        scopes:
          - metrics:read
    purge: true
  become: true
"""

RETURN = r"""
touched:
  description: The names of the tokens that were added, changed or removed.
  type: list
  elements: str
  returned: success
  sample: [controller]
faults:
  description: Everything that is wrong with the list.
  type: list
  elements: dict
  returned: when the service refused
status:
  description: The HTTP status of the service's answer, V(0) if there was none.
  type: int
  returned: failure
  sample: 422
"""

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule

SCOPES = [
    "phones:read",
    "phones:write",
    "grants:write",
    "claims",
    "settings:read",
    "settings:write",
    "tokens:write",
    "firmware:read",
    "firmware:write",
    "audit:read",
    "metrics:read",
]


def main() -> None:
    module = ApiModule(
        {
            "tokens": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "token": {"type": "str", "required": True, "no_log": True},
                    "scopes": {"type": "list", "elements": "str", "required": True, "choices": SCOPES},
                },
            },
            "purge": {"type": "bool", "default": False},
        },
    )
    wanted = {"tokens": module.params["tokens"], "purge": module.params["purge"], "dry_run": module.check_mode}
    module.finish(module.call("put", "/tokens", wanted), "touched")


if __name__ == "__main__":
    main()
