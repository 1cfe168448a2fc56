#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: phones_info
version_added: 0.1.0
short_description: Which telephones are configured, and which passwords they may still fetch
description:
  - The overview of the configured telephones. It never holds a password.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes.info_module
  - autoprov.appliance.attributes.action_group
options:
  mac:
    description:
      - Only the telephones with these MAC addresses, in any usual spelling.
      - When not given, all telephones.
    type: list
    elements: str
seealso:
  - module: autoprov.appliance.phones
  - module: autoprov.appliance.credentials
  - module: autoprov.appliance.credential_claim
  - module: autoprov.appliance.firmware_rollout
"""

EXAMPLES = r"""
- name: Read the overview
  autoprov.appliance.phones_info:
  become: true
  register: overview

- name: Telephones that somebody else tried to be
  ansible.builtin.debug:
    msg: "{{ overview.phones | selectattr('suspicious') | map(attribute='name') }}"

- name: Telephones that cannot find the appliance by themselves, and why
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.zero_touch.hindrance.en }}"
  loop: "{{ overview.phones | rejectattr('zero_touch.ready') }}"
  loop_control:
    label: "{{ item.mac }}"
"""

RETURN = r"""
phones:
  description: The telephones, by MAC address.
  type: list
  elements: dict
  returned: success
  contains:
    mac:
      description: The MAC address, as 12 lower-case hexadecimal digits.
      type: str
      sample: 000413922d24
    vendor:
      description: Who made it.
      type: str
      sample: snom
    model:
      description: The model.
      type: str
      sample: D785
    name:
      description: Its name.
      type: str
      sample: Reception
    address:
      description: The IP address its definition names. Nothing if it names none.
      type: str
      sample: 198.18.0.20
    accounts:
      description: Its SIP accounts, without passwords.
      type: list
      elements: dict
    keys:
      description: Its function keys.
      type: list
      elements: dict
    grants:
      description: The right to fetch each password.
      type: list
      elements: dict
      contains:
        line:
          description: The line of the account, V(0) for the telephone as a whole.
          type: int
          sample: 1
        secret_class:
          description: V(sip), V(menu), V(web) or V(provisioning).
          type: str
          sample: sip
        audience:
          description: Who may fetch it, V(phone) or V(controller).
          type: str
          sample: phone
        state:
          description:
            - V(sealed), V(armed), V(open), V(lent), V(released), V(expired), V(revoked) or V(suspect).
          type: str
          sample: released
        generation:
          description: How often it was armed.
          type: int
          sample: 1
        mode:
          description: V(once), V(window) or V(always).
          type: str
          sample: window
        proof:
          description: The weakest proof of identity that is enough, V(none) for the controller.
          type: str
          sample: neighbour
        networks:
          description: The networks in which the address must be; empty if it may be anywhere.
          type: list
          elements: str
          sample: [192.0.2.0/24]
        window_seconds:
          description: How long it may be fetched.
          type: float
          sample: 600.0
        on_theft:
          description: What follows when somebody else asks, V(report), V(revoke) or V(rekey).
          type: str
          sample: report
        shred:
          description: Whether the password is destroyed once everybody who needs it has it.
          type: bool
          sample: false
        armed_at:
          description: When it was armed.
          type: str
        expires_at:
          description: Until when it may be fetched.
          type: str
        claimant:
          description: To whom it is bound.
          type: str
        released_at:
          description: When it was first fetched.
          type: str
        released_to:
          description: By whom it was fetched.
          type: str
        releases:
          description: How often it was handed out.
          type: int
        lendings:
          description: How often it was lent to an Ansible run, see M(autoprov.appliance.credential_claim).
          type: int
        lent_at:
          description: When it was last lent.
          type: str
    last_request:
      description: What the telephone asked last, and how it was answered. Nothing if it never did.
      type: dict
    firmware:
      description: What it runs, and what it is offered.
      type: dict
      contains:
        version:
          description: The version it named when it last asked. Nothing if it never did.
          type: str
          sample: 10.1.33.33
        seen_at:
          description: When that was.
          type: str
        rollout:
          description: The rollout it follows, see M(autoprov.appliance.firmware_rollout).
          type: str
          returned: when it follows one
          sample: summer
        wanted:
          description: The version it is to have in the end.
          type: str
          returned: when it follows one
          sample: 10.1.184.15
        state:
          description: V(done), V(taken), V(offered), V(lost), V(waiting) or V(excluded).
          type: str
          returned: when it follows one
          sample: waiting
        reason:
          description: Why it is not further.
          type: str
          returned: when it follows one
          sample: it has not asked yet, so nobody knows its version
        offered:
          description: The version that its configuration tells it to fetch.
          type: str
          returned: when it follows one
    zero_touch:
      description:
        - Whether the telephone can find its configuration by itself, by SIP PnP.
        - C(autoprov phone why) shows each condition.
      type: dict
      contains:
        ready:
          description: Whether nothing is known to be in the way.
          type: bool
          sample: false
        hindrance:
          description: The first condition that does not hold. Nothing if none is known.
          type: dict
          contains:
            condition:
              description: V(model), V(service), V(network), V(heard), V(told) or V(fetched).
              type: str
              sample: network
            met:
              description: Always V(false).
              type: bool
              sample: false
            en:
              description: What is in the way and what to do, in English.
              type: str
            de:
              description: The same in German.
              type: str
    suspicious:
      description: Whether somebody asked for its passwords who must not have them.
      type: bool
      sample: false
    server_path:
      description: What a person types into its web interface to have it configured.
      type: str
      sample: http://198.18.0.1:50080/
"""

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule


def main() -> None:
    module = ApiModule({"mac": {"type": "list", "elements": "str"}})
    wanted = [("mac", mac) for mac in module.params["mac"] or ()]
    # An empty list asks for nothing, not for everything.
    answer = {"phones": []} if module.params["mac"] == [] else module.call("get", "/phones", wanted)
    module.finish(answer, "phones")


if __name__ == "__main__":
    main()
