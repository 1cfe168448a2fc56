#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is documentation: the action of the same name does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: credential_claim
version_added: 0.1.0
short_description: Borrow generated SIP passwords, tell the PBX, and confirm it
description:
  - Lends a run the SIP passwords that the provisioning service generated, so that it can give them to the PBX.
    Nobody else can have them meanwhile. When the PBX has them, the run confirms it, and they are released for good.
  - A run that fails gives them back, with O(state=returned). A run that breaks off, or loses its host, need not do
    anything. Its lease ends, and the next run can claim them. Passwords that were lent three times and never confirmed
    are sealed, because something is wrong. M(autoprov.appliance.credentials) with
    O(autoprov.appliance.credentials#module:audience=controller) arms them again.
  - All accounts of one call are handled together. If one of them is refused, nothing is changed.
  - The result of a claim is kept out of the display, of logs and of callbacks, as with C(no_log). A refusal is shown.
  - Runs on the controller. The host of the task need not be reachable.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.controller
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
attributes:
  check_mode:
    details:
      - Claims nothing, and does not ask the service. O(check_mode_value) stands for each password. This holds with
        C(--check) and with C(check_mode=true) of the task alone.
  diff_mode:
    details:
      - The difference of O(state=claimed) is hidden with the rest of its result.
  idempotent:
    support: partial
    details:
      - To confirm or to return twice changes nothing. To claim hands out the passwords each time.
options:
  state:
    description:
      - V(claimed) lends the passwords to this run.
      - V(confirmed) says that the PBX has them. It may be said after the end of the lease, if no other run has claimed
        them meanwhile.
      - V(returned) says that the PBX was not told. The next run can claim them at once.
    type: str
    choices: [claimed, confirmed, returned]
    default: claimed
  accounts:
    description:
      - The accounts, each as C(MAC/line), such as V(00:04:13:92:2D:24/1). The MAC address may be in any usual spelling.
    type: list
    elements: str
    required: true
  claim_id:
    description:
      - What tells this run from others, a random text of 8 to 128 characters.
      - When not given, the variable C(autoprov_claim_id) is used if it is set, else the number of the job in AWX and
        the automation controller (C(awx_job_id) and C(awx_workflow_job_id)).
      - Without any of them, O(state=claimed) makes one and returns it as RV(claim_id); give it to the tasks that
        confirm or return. Each such task, and each host, is then a run of its own. Its retries and the items of its
        loop are not.
    type: str
  lease_seconds:
    description:
      - How long the passwords are lent, in seconds. Within it the same run may claim them again, and no other run can.
        Make it longer than the delivery takes.
    type: int
    default: 300
  check_mode_value:
    description:
      - What stands for each password in check mode.
    type: str
    default: released-only-without-check-mode
notes:
  - The controller needs the HTTPS address of the service and a token with the scope C(claims), or is the appliance.
  - Ansible shows what a task does with a value. Set C(no_log=true) on every task that uses a password, and never put
    one into the name of a task, into C(environment), or into a cacheable fact.
  - A host that becomes unreachable leaves the play, and C(rescue) is not run for it. Then the end of the lease returns
    the passwords.
seealso:
  - plugin: autoprov.appliance.credential
    plugin_type: lookup
  - module: autoprov.appliance.credentials
"""

EXAMPLES = r"""
- name: Tell the PBX the passwords of its new accounts
  hosts: pbx
  vars:
    autoprov_api_url: https://appliance.example:50082
    autoprov_api_token: "{{ vault_appliance_token }}"
    account_ids:
      - 00:04:13:92:2D:24/1
      - 80:5E:C0:12:34:56/1
  tasks:
    - name: Claim, deliver, confirm
      block:
        - name: Borrow the passwords
          autoprov.appliance.credential_claim:
            accounts: "{{ account_ids }}"
          register: claim

        - name: Write them into a file of the PBX
          ansible.builtin.template:
            src: accounts.conf.j2 # uses claim.passwords['00:04:13:92:2D:24/1'], or loops over claim.credentials
            dest: /etc/pbx/accounts.conf
            mode: "0600"
          no_log: true

        - name: The PBX has them
          autoprov.appliance.credential_claim:
            state: confirmed
            accounts: "{{ account_ids }}"
            claim_id: "{{ claim.claim_id }}"
      rescue:
        - name: The PBX was not told, the next run may try
          autoprov.appliance.credential_claim:
            state: returned
            accounts: "{{ account_ids }}"
            claim_id: "{{ claim.claim_id }}"
          when: claim is succeeded

        - name: Say so
          ansible.builtin.fail:
            msg: The PBX was not told. Its passwords are returned, and the next run gets them.

- name: One account, through the PBX's own API
  hosts: localhost
  tasks:
    - name: Borrow its password
      autoprov.appliance.credential_claim:
        accounts:
          - 00:04:13:92:2D:24/1
        lease_seconds: 60
      register: claim

    - name: Create the account
      ansible.builtin.uri:
        url: https://pbx.example/api/accounts/1001
        method: PUT
        body_format: json
        body:
          password: "{{ claim.credentials[0].password }}"
      no_log: true

    - name: The PBX has it
      autoprov.appliance.credential_claim:
        state: confirmed
        accounts: "{{ claim.accounts }}"
        claim_id: "{{ claim.claim_id }}"
"""

RETURN = r"""
passwords:
  description: The passwords, by the accounts as they were written in O(accounts).
  type: dict
  returned: success and O(state=claimed)
credentials:
  description: The same as a list, in the order of O(accounts), each account once.
  type: list
  elements: dict
  returned: success and O(state=claimed)
  contains:
    account:
      description: The account as C(MAC/line), the MAC address as 12 lower-case hexadecimal digits.
      type: str
      sample: 000413922d24/1
    mac:
      description: The MAC address of the telephone.
      type: str
      sample: 000413922d24
    line:
      description: The line of the account.
      type: int
      sample: 1
    password:
      description: Its SIP password.
      type: str
accounts:
  description: The accounts, each once, with the MAC address as 12 lower-case hexadecimal digits.
  type: list
  elements: str
  returned: success
  sample: [000413922d24/1]
claim_id:
  description:
    - The name of this run, for the tasks that confirm or return. Empty where the job of AWX is its name.
  type: str
  returned: success
lease_ends_at:
  description: Until when the passwords are lent. Nothing in check mode.
  type: str
  returned: success and O(state=claimed)
  sample: "2026-11-22T20:10:00+00:00"
"""
