#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dhcp_info
version_added: 0.1.0
short_description: Which DHCP servers a host has, and what they tell phones
description:
  - Says which DHCP servers (Kea, dnsmasq, ISC dhcpd) are installed and run on the managed host, and where their
    configuration and control socket are.
  - Lists every DHCP option that phones read, at each level where it is set today, by whom, in which file and line.
  - For the phones of a vendor, or for one phone, says which setting wins, and where another one would.
  - Shows options only. Nothing else of a configuration is returned.
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
  server:
    description:
      - Only this server. V(auto) lists all that are installed.
    type: str
    choices: [auto, kea, dnsmasq, dhcpd]
    default: auto
  config_file:
    description:
      - The server's configuration file, where it is not found by itself. It needs O(server) where there are several.
    type: path
  control_socket:
    description:
      - Kea's Unix control socket. When not given, the one named in the configuration.
    type: path
  vendors:
    description:
      - Vendors for whose phones to say what wins (V(snom), V(yealink), V(gigaset)).
    type: list
    elements: str
    default: [snom, yealink, gigaset]
    aliases: [vendor]
  vendor_class:
    description:
      - The vendor class (option 60) of the phone, instead of the vendor's.
    type: str
  mac:
    description:
      - The MAC address of the phone, in any spelling.
    type: str
  subnet:
    description:
      - The phone's subnet, in CIDR notation.
      - When not given, what differs in a subnet is named in RV(servers[].answers[].unless).
    type: str
requirements:
  - root on the managed host (C(become) set to V(true))
seealso:
  - module: autoprov.appliance.dhcp_options
  - module: autoprov.appliance.dhcp_probe
"""

EXAMPLES = r"""
- name: Which DHCP servers are here, and what do they tell phones?
  autoprov.appliance.dhcp_info:
  become: true
  register: dhcp

- name: Where option 66 is set
  ansible.builtin.debug:
    msg: "{{ dhcp.servers | map(attribute='options') | flatten | selectattr('code', 'eq', 66) }}"

- name: Who wins for one Yealink phone
  autoprov.appliance.dhcp_info:
    vendor: yealink
    mac: 80:5e:c0:12:34:56
    subnet: 198.18.0.0/24
  become: true
"""

RETURN = r"""
servers:
  description: The DHCP servers of this host, those that run first.
  type: list
  elements: dict
  returned: success
  contains:
    server:
      description: Which one, V(kea), V(dnsmasq) or V(dhcpd).
      type: str
      sample: kea
    version:
      description: Its version.
      type: str
      sample: 2.2.0
    config_file:
      description: Its configuration file.
      type: str
      sample: /etc/kea/kea-dhcp4.conf
    control_socket:
      description: Kea's control socket, nothing where there is none.
      type: str
      sample: /run/kea/kea4-ctrl-socket
    running:
      description: Whether it runs.
      type: bool
      sample: true
    interfaces:
      description: The interfaces of this host that it serves.
      type: list
      elements: str
      sample: [eth0]
    fault:
      description: Why nothing more can be said, nothing where all could be read.
      type: str
    options:
      description: Every option that phones read, at each level where it is set, what wins first.
      type: list
      elements: dict
      contains:
        level:
          description: V(global), V(shared_network), V(subnet), V(pool), V(class) or V(host).
          type: str
          sample: subnet
        name:
          description: Which network, subnet, pool, class or phone. Empty for V(global).
          type: str
          sample: 198.18.0.0/24
        code:
          description: The option by its code.
          type: int
          sample: 66
        option:
          description: The option by its name.
          type: str
          sample: tftp-server-name
        value:
          description: Its value.
          type: str
          sample: http://198.18.0.1:50080/
        ours:
          description: Whether M(autoprov.appliance.dhcp_options) has set it.
          type: bool
          sample: true
        where:
          description: File and line.
          type: str
          sample: /etc/kea/kea-dhcp4.conf:41
        always_sent:
          description: Whether clients get it that do not ask for it.
          type: bool
          sample: true
        condition:
          description: What decides who is concerned, as the configuration says it. Empty for everybody at that level.
          type: str
          sample: ""
    answers:
      description: Who wins, for each option in which phones of each vendor look for their URL, what they prefer first.
      type: list
      elements: dict
      contains:
        client:
          description: Whose phone.
          type: str
          sample: snom
        code:
          description: The option by its code.
          type: int
          sample: 66
        option:
          description: The option by its name.
          type: str
          sample: tftp-server-name
        winner:
          description: The setting that wins, as in RV(servers[].options). Nothing where none is certain to.
          type: dict
        unless:
          description: Settings that would win over it for some such phones.
          type: list
          elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import description
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import Target
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.phones import phones


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    return {
        "server": {"type": "str", "choices": ["auto", "kea", "dnsmasq", "dhcpd"], "default": "auto"},
        "config_file": {"type": "path"},
        "control_socket": {"type": "path"},
        "vendors": {
            "type": "list",
            "elements": "str",
            "default": ["snom", "yealink", "gigaset"],
            "aliases": ["vendor"],
        },
        "vendor_class": {"type": "str"},
        "mac": {"type": "str"},
        "subnet": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        servers = description.describe_servers(
            params["server"],
            Target(config_file=params["config_file"], control_socket=params["control_socket"]),
            phones(params["vendors"], params["vendor_class"], params["mac"], None),
            params["subnet"],
        )
    except DhcpError as exc:
        module.fail_json(msg=". ".join(fault[:1].upper() + fault[1:] for fault in exc.faults), **exc.details)
    module.exit_json(changed=False, servers=servers)


if __name__ == "__main__":
    main()
