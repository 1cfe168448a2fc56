#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials
version_added: 0.1.0
short_description: Release passwords of telephones again, or withdraw the right to fetch them
description:
  - A telephone fetches each of its passwords once. After a factory reset, or when it is replaced, it needs them again;
    O(state=armed) opens the right to fetch them once more.
  - O(state=revoked) closes it at once.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
attributes:
  idempotent:
    support: partial
    details:
      - What is armed and was not fetched yet stays as it is. What was fetched since is armed again, and with
        O(new_password=true) every run makes a new password.
options:
  state:
    description:
      - V(armed) lets the passwords be fetched once more.
      - V(revoked) lets nobody fetch them until they are armed again.
    type: str
    choices: [armed, revoked]
    default: armed
  phones:
    description:
      - The MAC addresses of the telephones, in any usual spelling.
    type: list
    elements: str
    required: true
  line:
    description:
      - Only the account on this line, V(0) for the passwords of the telephone as a whole.
      - When not given, all accounts and the telephone as a whole.
    type: int
  secret_classes:
    description:
      - Only passwords of these kinds.
      - When not given, all kinds.
    type: list
    elements: str
    choices: [sip, menu, web, provisioning]
  audience:
    description:
      - Who may fetch them. V(phone) is the telephone itself, V(controller) an Ansible run, through
        M(autoprov.appliance.credential_claim) or the lookup P(autoprov.appliance.credential#lookup).
      - What an Ansible run has borrowed and not confirmed is armed anew, and that run loses it.
    type: str
    choices: [phone, controller]
    default: phone
  new_password:
    description:
      - Whether a new password is generated for each. Needs O(state=armed).
      - A new password is armed for both audiences, since the PBX has to learn it before the telephone can register.
    type: bool
    default: false
seealso:
  - module: autoprov.appliance.credential_claim
  - module: autoprov.appliance.phones_info
  - plugin: autoprov.appliance.credential
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: A telephone was reset and needs everything again
  autoprov.appliance.credentials:
    phones:
      - "00:04:13:92:2D:24"
  become: true

- name: Give line 1 a new SIP password
  autoprov.appliance.credentials:
    phones:
      - "00:04:13:92:2D:24"
    line: 1
    secret_classes:
      - sip
    new_password: true
  become: true

- name: A telephone was stolen
  autoprov.appliance.credentials:
    phones:
      - "00:04:13:92:2D:24"
    state: revoked
  become: true
"""

RETURN = r"""
armed:
  description: What may be fetched now that could not be fetched before.
  type: list
  elements: dict
  returned: success and O(state=armed)
  contains:
    mac:
      description: The MAC address, as 12 lower-case hexadecimal digits.
      type: str
      sample: 000413922d24
    line:
      description: The line of the account, V(0) for the telephone as a whole.
      type: int
      sample: 1
    secret_class:
      description: The kind of password.
      type: str
      sample: sip
    audience:
      description: Who may fetch it.
      type: str
      sample: phone
    state:
      description: What became of it, V(armed) if it may be fetched.
      type: str
      sample: armed
    expires_at:
      description: Until when it may be fetched. Nothing if there is no limit, or if it starts with the first request.
      type: str
      sample: "2026-11-22T20:10:00Z"
revoked:
  description: What cannot be fetched any more.
  type: list
  elements: dict
  returned: success and O(state=revoked)
faults:
  description: Everything that is wrong with the selection.
  type: list
  elements: dict
  returned: when the service refused
status:
  description: The HTTP status of the service's answer, V(0) if there was none.
  type: int
  returned: failure
  sample: 404
"""

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule


def main() -> None:
    module = ApiModule(
        {
            "state": {"type": "str", "choices": ["armed", "revoked"], "default": "armed"},
            "phones": {"type": "list", "elements": "str", "required": True},
            "line": {"type": "int"},
            "secret_classes": {
                "type": "list",
                "elements": "str",
                "choices": ["sip", "menu", "web", "provisioning"],
                "no_log": False,
            },
            "audience": {"type": "str", "choices": ["phone", "controller"], "default": "phone"},
            "new_password": {"type": "bool", "default": False, "no_log": False},
        },
    )
    params = module.params
    request = {
        "select": [
            {"mac": mac, **{name: params[name] for name in ("line", "secret_classes", "audience")}}
            for mac in params["phones"]
        ],
        "dry_run": module.check_mode,
    }
    if params["state"] == "armed":
        request["new_password"] = params["new_password"]
        module.finish(module.call("post", "/grants/arm", request), "armed")
    if params["new_password"]:
        module.fail_json(msg="new_password goes with state=armed only; leave it out, or arm instead of revoking")
    module.finish(module.call("post", "/grants/revoke", request), "revoked")


if __name__ == "__main__":
    main()
