#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dhcp_probe
version_added: 0.1.0
short_description: What a phone would be offered by DHCP
description:
  - Plays telephones on a network interface of the managed host, and says what the DHCP servers there offer them, and
    which provisioning URL each would take.
  - Only DHCPDISCOVER is sent. No address is requested and nothing is allocated for good. A DHCP client that runs on the
    same interface is not disturbed.
  - It works on any host in the phones' network, and on the DHCP server itself.
  - With O(url), O(vendor_urls) or O(expect), it fails when a phone would be offered anything else, and shows both.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes.info_module
attributes:
  check_mode:
    details:
      - The question is asked in check mode too, because it changes nothing.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
options:
  interfaces:
    description:
      - The interfaces on which to ask.
      - When not given, those that the DHCP server of this host serves.
    type: list
    elements: str
    aliases: [interface]
  vendors:
    description:
      - Vendors whose phones are played, one phone for each (V(snom), V(yealink), V(gigaset)).
      - It sends the vendor class, the beginning of the MAC address and the parameter request list of such a phone.
      - When not given, one client is played that is nobody's phone, but for what the options below say.
    type: list
    elements: str
    default: []
    aliases: [vendor]
  vendor_class:
    description:
      - The vendor class (option 60) to send, instead of the vendor's.
    type: str
  mac:
    description:
      - The MAC address of the phone, in any spelling. A reservation is found by it.
      - When not given, an address that begins as the vendor's do.
    type: str
  request_list:
    description:
      - Codes or names of the options the phone asks for (option 55), instead of the vendor's list.
      - An empty list sends no option 55, as some phones do.
    type: list
    elements: str
  url:
    description:
      - The provisioning URL that every phone must take, as given to M(autoprov.appliance.dhcp_options). What a vendor
        needs at the end of a folder is added.
    type: str
  vendor_urls:
    description:
      - Another URL for some of O(vendors), as given to M(autoprov.appliance.dhcp_options).
    type: dict
    default: {}
  expect:
    description:
      - Options that must be in each offer.
    type: list
    elements: dict
    default: []
    suboptions:
      code:
        description: The option by its code. Either this or O(expect[].name) is needed.
        type: int
      name:
        description: The option by its name, as in M(autoprov.appliance.dhcp_options).
        type: str
      value:
        description: The value. When not given, any value will do. One NUL byte at the end of a text does not matter.
        type: str
      encoding:
        description: How the value becomes bytes, as in M(autoprov.appliance.dhcp_options).
        type: str
        choices: [auto, string, ipv4, sip_servers, uint8, uint16, uint32, hex]
        default: auto
  server:
    description:
      - The address of the DHCP server that is meant. Only its offers are held against what is expected.
      - Offers of others are listed all the same, and are worth a warning.
      - When not given, every offer must be as expected, because a phone may take any of them.
    type: str
  relay:
    description:
      - Asks O(server) directly, as the relay agent (router) of this address does, for phones in a network behind it.
      - The server answers to that address. The answer is seen where it leaves the host, so run this on the server.
    type: str
  timeout:
    description:
      - How long to wait for the first offer, in seconds. Some servers ping an address for up to three seconds before
        they offer it.
    type: float
    default: 5
  wait:
    description:
      - How long to go on listening for other servers, in seconds.
    type: float
    default: 1.5
requirements:
  - root on the managed host (C(become) set to V(true))
seealso:
  - module: autoprov.appliance.dhcp_options
  - module: autoprov.appliance.dhcp_info
"""

EXAMPLES = r"""
- name: What would a Snom be offered here?
  autoprov.appliance.dhcp_probe:
    interface: eth0
    vendor: snom
  become: true
  register: probe

- name: Show the URL it would take
  ansible.builtin.debug:
    msg: "{{ probe.clients[0].provisioning_url }}"

- name: All phones must find the appliance
  autoprov.appliance.dhcp_probe:
    interface: eth0
    vendors: [snom, yealink, gigaset]
    url: http://198.18.0.1:50080/
  become: true

- name: This phone, which asks for nothing, must get its VLAN and a time server
  autoprov.appliance.dhcp_probe:
    interface: eth0
    vendor: yealink
    mac: 80:5e:c0:12:34:56
    request_list: []
    expect:
      - name: vlan-id
        value: "20"
      - name: ntp-servers
  become: true
"""

RETURN = r"""
clients:
  description: What each phone was offered on each interface.
  type: list
  elements: dict
  returned: success, and when the task fails because of an expectation
  contains:
    client:
      description: Who was played.
      type: str
      sample: snom
    interface:
      description: Where it asked.
      type: str
      sample: eth0
    mac:
      description: Its MAC address.
      type: str
      sample: 00:04:13:61:70:01
    vendor_class:
      description: Its vendor class (option 60), nothing if it sent none.
      type: str
      sample: snomD785
    request_list:
      description: The options it asked for, nothing if it sent no list.
      type: list
      elements: int
      sample: [1, 3, 6, 66, 67]
    provisioning_url:
      description:
        - What it would take of the first offer (of O(server), where that is given), by its order of preference.
        - Nothing where it is offered none.
      type: str
      sample: http://198.18.0.1:50080/
    provisioning_source:
      description: Where that stood, as in V(option 66) or V(sname).
      type: str
      sample: option 66
    offers:
      description: Every offer, the first one first.
      type: list
      elements: dict
      contains:
        server:
          description: The server's address (option 54).
          type: str
          sample: 198.18.0.1
        address:
          description: The address offered.
          type: str
          sample: 198.18.0.50
        next_server:
          description: The field siaddr.
          type: str
          sample: 0.0.0.0
        sname:
          description: The field sname, where some servers put option 66.
          type: str
          sample: ""
        file:
          description: The field file, where some servers put option 67.
          type: str
          sample: ""
        seconds:
          description: How long it took.
          type: float
          sample: 0.001
        options:
          description: The options by code, each with its name, its value for people, and its bytes in hexadecimal.
          type: dict
          sample:
            "66": {"name": "tftp-server-name", "value": "http://198.18.0.1:50080/", "hex": "687474703a2f2f"}
        provisioning_url:
          description: What the phone would take of this offer.
          type: str
          sample: http://198.18.0.1:50080/
        provisioning_source:
          description: Where that stood.
          type: str
          sample: option 66
servers:
  description: Every server that made an offer.
  type: list
  elements: str
  returned: success, and when the task fails because of an expectation
  sample: [198.18.0.1]
findings:
  description: What is worth knowing, such as a second DHCP server. Also given as warnings.
  type: list
  elements: str
  returned: success, and when the task fails because of an expectation
  sample: []
unavailable:
  description: Set where nobody could be played at all, for want of an interface to ask on or of privileges.
  type: bool
  returned: when the task fails because of that
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import inspection
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.options import ENCODINGS


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    expectation = {
        "code": {"type": "int"},
        "name": {"type": "str"},
        "value": {"type": "str"},
        "encoding": {"type": "str", "choices": ["auto", *ENCODINGS], "default": "auto"},
    }
    return {
        "interfaces": {"type": "list", "elements": "str", "aliases": ["interface"]},
        "vendors": {"type": "list", "elements": "str", "default": [], "aliases": ["vendor"]},
        "vendor_class": {"type": "str"},
        "mac": {"type": "str"},
        "request_list": {"type": "list", "elements": "str"},
        "url": {"type": "str"},
        "vendor_urls": {"type": "dict", "default": {}},
        "expect": {"type": "list", "elements": "dict", "default": [], "options": expectation},
        "server": {"type": "str"},
        "relay": {"type": "str"},
        "timeout": {"type": "float", "default": 5},
        "wait": {"type": "float", "default": 1.5},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        given = {name: module.params[name] for name in argument_spec()}  # without the aliases
        report = inspection.probe_phones(inspection.question(**given))
    except DhcpError as exc:
        for finding in exc.details.get("findings", []):
            module.warn(finding)
        module.fail_json(msg="\n".join(exc.faults), **exc.details)
    for finding in report["findings"]:
        module.warn(finding)
    module.exit_json(changed=False, **report)


if __name__ == "__main__":
    main()
