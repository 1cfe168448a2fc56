#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: phone_scan
version_added: 0.1.0
short_description: Which telephones are in these networks
description:
  - Searches the networks that are named, and no other, for telephones, and tells vendor, model, firmware, MAC address
    and how each is known.
  - Reads the neighbour table and leases of the managed host; asks by SNMP, by SIP C(OPTIONS), and looks at web pages of
    addresses that may be telephones. Nothing is logged in to, and nothing is changed.
  - By default so slowly that a network does not notice.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes.info_module
attributes:
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
options:
  networks:
    description:
      - The IPv4 networks to search. Nothing else is asked.
    type: list
    elements: str
    required: true
  exclude:
    description:
      - Addresses and networks among them that are left alone.
    type: list
    elements: str
    default: []
  max_addresses:
    description:
      - More addresses than these are refused, so that a slip of the pen does not search a company.
    type: int
    default: 1024
  by:
    description:
      - How to search. V(neighbours) and V(leases) send nothing. V(snmp) needs O(snmp_community).
    type: list
    elements: str
    choices: [neighbours, leases, snmp, sip, http]
    default: [neighbours, leases, sip, http]
  snmp_community:
    description:
      - The community that telephones may be read with (SNMPv2c). None is guessed.
    type: str
  lease_files:
    description:
      - Lease files of dnsmasq, Kea or ISC dhcpd. When empty, those in their usual places.
    type: list
    elements: path
    default: []
  rate:
    description:
      - Packets a second; web pages a second. V(0) for as fast as is safe for this host.
    type: float
    default: 200
  patience:
    description:
      - How long to wait for the last answers, in seconds. Who stays silent is asked once more.
    type: float
    default: 1
  snmp_port:
    description: The port for SNMP.
    type: int
    default: 161
  sip_port:
    description: The port for SIP.
    type: int
    default: 5060
  http_port:
    description: The port for web pages.
    type: int
    default: 80
seealso:
  - module: autoprov.appliance.phones
  - plugin: autoprov.appliance.server_path
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Search the voice network
  autoprov.appliance.phone_scan:
    networks:
      - 198.18.64.0/28
    by:
      - neighbours
      - leases
      - sip
      - http
  register: found

- name: Take in what was found; accounts are given later
  autoprov.appliance.phones:
    phones: "{{ found.definitions }}"
  become: true
  when: found.definitions | length > 0

- name: Tell what to type into each of them
  ansible.builtin.debug:
    msg: "{{ item.address }}: {{ (item | autoprov.appliance.server_path('198.18.0.1')).sentence }}"
  loop: "{{ found.phones | selectattr('vendor', 'in', ['snom', 'yealink', 'gigaset']) | selectattr('model') }}"
  loop_control:
    label: "{{ item.address }}"
"""

RETURN = r"""
phones:
  description: The telephones, by address.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: Its IPv4 address.
      type: str
      sample: 198.18.64.12
    mac:
      description: Its MAC address, as 12 lower-case digits. Empty where nothing tells it.
      type: str
      sample: 000413922d24
    vendor:
      description: Who made it.
      type: str
      sample: snom
    model:
      description: The model. Empty where only the MAC address tells the vendor.
      type: str
      sample: D785
    version:
      description: The firmware. Empty where nothing tells it.
      type: str
      sample: 10.1.33.33
    proof:
      description: What told it, and what it said.
      type: list
      elements: dict
      sample: [{by: sip, says: snomD785/10.1.33.33}]
definitions:
  description: Those of vendors this collection provisions, as O(autoprov.appliance.phones#module:phones) takes them.
  type: list
  elements: dict
  returned: success
  sample: [{mac: 000413922d24, vendor: snom, model: D785}]
asked:
  description: How many addresses were searched.
  type: int
  returned: success
  sample: 254
packets:
  description: How many packets and connections that took.
  type: int
  returned: success
  sample: 300
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._scan import engine
from ansible_collections.autoprov.appliance.plugins.module_utils._scan.errors import ScanError


def main() -> None:
    texts = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "networks": {**texts, "required": True},
            "exclude": {**texts, "default": []},
            "max_addresses": {"type": "int", "default": 1024},
            "by": {**texts, "choices": list(engine.SOURCES), "default": ["neighbours", "leases", "sip", "http"]},
            "snmp_community": {"type": "str", "no_log": True},
            "lease_files": {"type": "list", "elements": "path", "default": []},
            "rate": {"type": "float", "default": 200},
            "patience": {"type": "float", "default": 1},
            "snmp_port": {"type": "int", "default": 161},
            "sip_port": {"type": "int", "default": 5060},
            "http_port": {"type": "int", "default": 80},
        },
        supports_check_mode=True,
    )
    given = module.params
    search = engine.Search(
        networks=given["networks"],
        exclude=given["exclude"],
        most_addresses=given["max_addresses"],
        by=given["by"],
        community=given["snmp_community"] or "",
        rate=given["rate"],
        patience=given["patience"],
        lease_files=given["lease_files"],
        snmp_port=given["snmp_port"],
        sip_port=given["sip_port"],
        http_port=given["http_port"],
    )
    try:
        found = engine.scan(search)
    except ScanError as error:
        module.fail_json(msg=". ".join(error.faults), faults=error.faults)
    except OSError as error:
        module.fail_json(msg=f"the search could not send: {error.strerror}; look at the routes of this host")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
