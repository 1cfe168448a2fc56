#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: phones
version_added: 0.1.0
short_description: The telephones that the provisioning service configures
description:
  - Tells the provisioning service which telephones there are, with their accounts and function keys. Takes the whole
    list in one call; a site of thousands of telephones takes seconds.
  - The list is checked as a whole. If anything in it is wrong, the module names all faults, and nothing is changed.
  - The right to fetch its passwords once is opened for every new telephone. How long it stays open is a setting, see
    M(autoprov.appliance.provisioning_settings); M(autoprov.appliance.credentials) opens it again.
  - No password is shown in the output, at any verbosity, nor in a difference or in the events of a callback.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
options:
  phones:
    description:
      - The telephones.
      - Exactly one of O(phones) and O(src) is needed.
    type: list
    elements: dict
    suboptions:
      mac:
        description:
          - The MAC address, in any usual spelling. Put it in quotes.
        type: str
        required: true
      vendor:
        description:
          - Who made it.
        type: str
        choices: [snom, yealink, gigaset]
        required: true
      model:
        description:
          - The model, such as V(D785), V(T54W) or V(N670).
        type: str
        required: true
      name:
        description:
          - Any name that helps people to recognise the telephone.
        type: str
      address:
        description:
          - Its fixed IPv4 address. Where the role P(autoprov.appliance.dhcp#role) makes the host the DHCP server, the
            telephone gets a reservation for it. It must not be typed into any other list.
        type: str
      gigaset_id:
        description:
          - For Gigaset, the four characters behind the MAC address on the label.
        type: str
      language:
        description:
          - The language of its display, as two letters, such as V(de). When not given, the language of the site.
        type: str
      tone:
        description:
          - The country whose tones it plays, as two letters, such as V(de). When not given, the country of the site.
        type: str
      time_zone:
        description:
          - The IANA name of its time zone, such as V(Europe/Berlin). When not given, the time zone of the site.
        type: str
      ntp_server:
        description:
          - Where it gets its time. When not given, the server of the site.
        type: str
      firmware_url:
        description:
          - From where it loads its firmware.
        type: str
      web_user:
        description:
          - The user name of its web interface.
        type: str
        default: admin
      web_password:
        description:
          - The password of its web interface. When not given, one is generated.
        type: str
      menu_password:
        description:
          - The password of its menu for administrators. When not given, one is generated.
        type: str
      provisioning_password:
        description:
          - The password with which it asks for its configuration later. When not given, one is generated.
        type: str
      accounts:
        description:
          - Its SIP accounts.
        type: list
        elements: dict
        suboptions:
          line:
            description:
              - The number of the line, from 1.
            type: int
            required: true
          user:
            description:
              - The user name in the SIP address, often the telephone number.
            type: str
            required: true
          auth_user:
            description:
              - The user name for authentication. When not given, O(phones[].accounts[].user).
            type: str
          display_name:
            description:
              - The name that others see.
            type: str
          registrar:
            description:
              - The host name or address of the PBX.
            type: str
            required: true
          port:
            description:
              - The port of the PBX. When not given, 5060, or 5061 for V(tls).
            type: int
          transport:
            description:
              - How SIP messages travel.
            type: str
            choices: [udp, tcp, tls]
            default: udp
          srtp:
            description:
              - Whether speech is encrypted.
            type: str
            choices: ['off', optional, mandatory]
            default: 'off'
          outbound_proxy:
            description:
              - The host, or host and port, through which all SIP messages are sent.
            type: str
          expires:
            description:
              - How long a registration lasts, in seconds.
            type: int
            default: 3600
          mailbox:
            description:
              - The number of the voice mailbox.
            type: str
          password:
            description:
              - The SIP password. When not given, one is generated; the PBX learns it through
                M(autoprov.appliance.credential_claim) or the lookup P(autoprov.appliance.credential#lookup).
            type: str
      keys:
        description:
          - Its function keys.
        type: list
        elements: dict
        suboptions:
          key:
            description:
              - The number of the key, from 1.
            type: int
            required: true
          module:
            description:
              - V(0) is the telephone itself, V(1) its first expansion module.
            type: int
            default: 0
          type:
            description:
              - What the key does.
            type: str
            choices:
              - none
              - line
              - blf
              - speed_dial
              - url
              - dtmf
              - dnd
              - forward
              - transfer
              - hold
              - conference
              - voicemail
              - intercom
              - park
              - pickup
              - record
              - redial
              - directory
              - multicast_paging
            required: true
          value:
            description:
              - The number, address or digits that belong to the type.
            type: str
          label:
            description:
              - What the display shows beside the key.
            type: str
          account:
            description:
              - The line that the key uses.
            type: int
            default: 1
      release:
        description:
          - How its passwords are released, where the settings of the site do not fit, see
            O(autoprov.appliance.provisioning_settings#module:release.rules). Applied in their order after the rules of
            the site; the last one that sets something wins.
          - A change holds for what is armed from then on.
        type: list
        elements: dict
        suboptions:
          secret_class:
            description:
              - Only for passwords of this kind. When not given, for all.
            type: str
            choices: [sip, menu, web, provisioning]
          audience:
            description:
              - Whom the rule is for. V(controller) is the Ansible run that tells the PBX a generated SIP password; for
                it, only O(phones[].release[].mode), O(phones[].release[].strict) and
                O(phones[].release[].window_seconds) have a meaning. When not given, V(phone).
            type: str
            choices: [phone, controller]
          mode:
            description:
              - V(once) answers a single request. V(window) answers the same telephone again until it has shown that it
                holds its passwords, or the time is over. V(always) answers each time, and needs the proof
                V(credentials) or V(certificate).
            type: str
            choices: [once, window, always]
          window_seconds:
            description:
              - How long passwords may be fetched, in seconds.
            type: int
          window_starts:
            description:
              - Whether that time starts when a password is armed, or when the telephone first asks.
            type: str
            choices: [arming, first_request]
          proof:
            description:
              - The weakest proof of identity that is enough. V(address) is the source address alone, V(network) an
                address in O(phones[].release[].networks), V(neighbour) an address that the neighbour table or a DHCP
                lease knows with the MAC address of the telephone, V(label) the ID on the label of a Gigaset,
                V(credentials) the provisioning password of the telephone, V(certificate) its factory certificate.
            type: str
            choices: [address, network, neighbour, label, credentials, certificate]
          networks:
            description:
              - The networks, such as V(192.0.2.0/24), in which the address must be, whatever else is proved. An empty
                list lifts what an earlier rule demands.
            type: list
            elements: str
          strict:
            description:
              - V(true) is another word for O(phones[].release[].mode=once); V(false) takes a V(once) back to V(window).
            type: bool
          on_theft:
            description:
              - What follows when somebody else asks for passwords that were released. V(report) shows it. V(revoke)
                also closes everything that the telephone could still fetch. V(rekey) does both, and replaces the
                passwords that were generated; the PBX is told by the next Ansible run, the telephone when a person
                releases them again.
            type: str
            choices: [report, revoke, rekey]
          shred:
            description:
              - Whether a password is destroyed in the database once everybody who needs it has it. It cannot be
                released again then, a new one can.
            type: bool
  src:
    description:
      - A file on the controller with the list of O(phones), in JSON or YAML. It may be encrypted with Ansible Vault.
        Templates in it are not evaluated.
      - Looked for as files of other modules are, in C(files/) of the role or the playbook first.
      - From some thousand telephones on, a JSON file is much faster than a variable, as Ansible need not evaluate it.
    type: path
  packed:
    description:
      - O(phones) in few bytes. Set by the action plugin of the same name.
    type: str
  purge:
    description:
      - Whether telephones that the service knows, and the list does not, are removed with their passwords.
    type: bool
    default: false
notes:
  - A password that stands literally in a task is shown by callbacks that print a task before it runs, as with any
    module. Keep passwords in variables, or in O(src).
seealso:
  - module: autoprov.appliance.phones_info
  - module: autoprov.appliance.credentials
  - plugin: autoprov.appliance.credential
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: One telephone with one account and one key
  autoprov.appliance.phones:
    phones:
      - mac: "00:04:13:92:2D:24"
        vendor: snom
        model: D785
        name: Reception
        accounts:
          - line: 1
            user: "1001"
            display_name: Anna
            registrar: pbx.example
        keys:
          - key: 1
            type: blf
            value: "1002"
            label: Bob
  become: true

- name: All telephones of a site, and no other, from a file
  autoprov.appliance.phones:
    src: phones.json
    purge: true
  become: true

- name: From elsewhere, through HTTPS
  autoprov.appliance.phones:
    api_url: https://appliance.example:50082
    api_token: "{{ appliance_token }}"
    phones: "{{ site_phones }}"
  delegate_to: localhost
"""

RETURN = r"""
created:
  description: The MAC addresses of the telephones that were added, as 12 lower-case hexadecimal digits.
  type: list
  elements: str
  returned: success
  sample: ["000413922d24"]
updated:
  description: The MAC addresses of the telephones that were changed.
  type: list
  elements: str
  returned: success
  sample: []
removed:
  description: The MAC addresses of the telephones that were removed.
  type: list
  elements: str
  returned: success
  sample: []
unchanged:
  description: How many telephones were as they should be.
  type: int
  returned: success
  sample: 41
faults:
  description: Everything that is wrong with the list.
  type: list
  elements: dict
  returned: when the service refused the list
  contains:
    where:
      description: Which value is meant.
      type: str
      sample: phones[3].keys[0]
    what:
      description: What is wrong with it.
      type: str
      sample: key 60 on a Snom D785, which has 48 keys
    fix:
      description: The way out.
      type: str
      sample: use a key from 1 to 48
status:
  description: The HTTP status of the service's answer, V(0) if there was none.
  type: int
  returned: failure
  sample: 422
"""

import base64
import json
import zlib

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule


def main() -> None:
    module = ApiModule(
        {
            # No suboptions: Ansible needs a minute to check them for 10,000 phones. The service checks them all.
            "phones": {"type": "list", "elements": "dict"},
            "src": {"type": "path"},  # Read by the action plugin of the same name.
            "packed": {"type": "str"},
            "purge": {"type": "bool", "default": False},
        },
        counted=["phones", "packed"],
        mutually_exclusive=[("phones", "src", "packed")],
        required_one_of=[("phones", "src", "packed")],
    )
    if module.params["packed"]:
        phones = zlib.decompress(base64.b64decode(module.params["packed"]))
    else:
        phones = json.dumps(module.params["phones"]).encode()
    wanted = json.dumps({"purge": module.params["purge"], "dry_run": module.check_mode}).encode()
    body = b'%s,"phones":%s}' % (wanted[:-1], phones)
    module.finish(module.call("put", "/phones", body), "created", "updated", "removed", "unchanged")


if __name__ == "__main__":
    main()
