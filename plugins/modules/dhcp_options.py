#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dhcp_options
version_added: 0.1.0
short_description: Set what phones need on the site's own DHCP server
description:
  - Sets DHCP options, above all option 66 with the provisioning URL, on the DHCP server that runs on the managed host.
  - One call carries all options of a site and is the whole truth. What an earlier call set and this one no longer lists
    is taken back. What the administrator has written is not touched.
  - The options are written into files beside the server's configuration, and one include line for each is put into the
    configuration. Comments, order and everything else stay byte for byte.
  - The server is never left down. The change is tested with the server's own checker beside the real files, applied by
    reload, verified in the running configuration and by playing a client (DHCPDISCOVER only, nothing is allocated). On
    any doubt the files are put back, reloaded, and the server is probed again.
  - When nothing changes, nothing is written and nothing is reloaded.
  - This release knows Kea (2.2 and later). Every option is sent whether or not the phone asks for it.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes
attributes:
  check_mode:
    details:
      - The server's own checker judges the change in check mode too. For that, copies of the files are put beside the
        real ones for a moment.
  diff_mode:
    details:
      - Shows the lines that change and none around them, as these belong to the administrator and may hold a password.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
  safe_file_operations:
    description: Uses Ansible's strict file operation functions to ensure proper permissions and avoid data corruption.
    support: full
    details:
      - Every file is replaced by one rename, with owner, group and mode kept. One run at a time holds a lock.
options:
  state:
    description:
      - V(present) makes exactly the given options those that this module keeps on the server.
      - V(absent) takes back everything this module has set. O(url), O(vendors) and O(options) are then not looked at.
    type: str
    choices: [present, absent]
    default: present
  server:
    description:
      - The DHCP server. V(auto) takes the one that is installed.
      - V(dnsmasq) and V(dhcpd) are refused in this release.
    type: str
    choices: [auto, kea, dnsmasq, dhcpd]
    default: auto
  url:
    description:
      - Where phones get their configuration, as a folder. A missing C(/) at the end is added.
      - Each vendor in O(vendors) gets it in the form and in the options it reads.
    type: str
  vendors:
    description:
      - Vendors whose phones are told O(url). A phone is recognised by its vendor class (option 60) or by the first
        three bytes of its MAC address.
      - V(snom) gets the folder in option 66. So do phones of the Gigaset P series, which Snom builds.
      - V(yealink) gets the folder in option 66.
      - V(gigaset) (N670, N870, Maxwell) gets the folder and C(%MACD.xml) in options 114 and 66.
    type: list
    elements: str
    default: []
  vendor_urls:
    description:
      - A URL for one vendor instead of O(url). The keys are names from O(vendors).
      - A value that ends in C(/) is a folder, and what the vendor needs is appended. Any other value is sent as it is.
    type: dict
    default: {}
  global_fallback:
    description:
      - Whether to set option 66 to O(url) for everybody too. It serves phones that nothing above recognises.
      - Set it to V(false) where computers boot from the network and take option 66 for their boot server.
    type: bool
    default: true
  options:
    description:
      - Further options, one entry for each option and scope. The scope is one of O(options[].shared_network),
        O(options[].subnet), O(options[].vendor), O(options[].vendor_class), O(options[].oui) and O(options[].mac).
        Without any of them, the option is for everybody.
      - An entry wins over what O(vendors) sets for the same option and scope.
    type: list
    elements: dict
    default: []
    suboptions:
      code:
        description: The option by its code. Either this or O(options[].name) is needed.
        type: int
      name:
        description:
          - The option by its name, as in C(ntp-servers) (42), C(vendor-encapsulated-options) (43), C(tftp-server-name)
            (66), C(boot-file-name) (67), C(captive-portal) (114), C(sip-servers) (120), C(vlan-id) (132),
            C(tftp-server-address) (150), C(provisioning-url-159), C(provisioning-url-160).
        type: str
      value:
        description: The value. Several addresses are separated by commas.
        type: str
        required: true
      encoding:
        description:
          - How the value becomes bytes. V(auto) takes what the phones of O(options[].vendor) read, else what is usual
            for the option, and V(string) for an unknown code.
          - V(ipv4) and V(sip_servers) (RFC 3361) take addresses, V(hex) takes hexadecimal digits.
        type: str
        choices: [auto, string, ipv4, sip_servers, uint8, uint16, uint32, hex]
        default: auto
      shared_network:
        description: Only for clients in the shared network of this name.
        type: str
      subnet:
        description: Only for clients in this subnet, in CIDR notation, as the server's configuration has it.
        type: str
      vendor:
        description: Only for phones of this vendor (V(snom), V(yealink), V(gigaset)).
        type: str
      vendor_class:
        description: Only for clients whose vendor class (option 60) begins with this text.
        type: str
      oui:
        description: Only for clients whose MAC address begins with these three bytes, in any spelling.
        type: str
      mac:
        description: Only for the phone with this MAC address, in any spelling.
        type: str
  on_conflict:
    description:
      - What to do where the administrator has set the same option at the same level to another value.
      - V(fail) changes nothing and reports both values.
      - V(keep) leaves the administrator's value and omits ours.
      - V(replace) puts the administrator's entry into a comment, from which O(state=absent) restores it.
    type: str
    choices: [fail, replace, keep]
    default: fail
  config_file:
    description:
      - The server's configuration file. When not given, the one the running server was started with, else
        V(/etc/kea/kea-dhcp4.conf).
    type: path
  control_socket:
    description:
      - Kea's Unix control socket. When not given, the one named in the configuration.
    type: path
  restart_command:
    description:
      - How a server is restarted that cannot read its configuration anew, as a list of words; no shell is involved.
      - Needed only where neither systemd nor runit supervises it. Kea needs none.
    type: list
    elements: str
  probe:
    description:
      - Whether to ask the server as a client does, before and after a change.
      - V(auto) probes where that is possible, and warns where it is not. V(required) fails before anything is changed
        when it is not possible. V(never) relies on the running configuration alone.
    type: str
    choices: [auto, never, required]
    default: auto
  probe_interface:
    description:
      - The interface to probe on. When not given, those the server listens on.
    type: str
requirements:
  - Kea 2.2 or later on the managed host, with a control socket
seealso:
  - module: autoprov.appliance.provisioning_settings
"""

EXAMPLES = r"""
- name: Tell the phones of three vendors where their configuration is
  autoprov.appliance.dhcp_options:
    url: http://198.18.0.1:50080/
    vendors:
      - snom
      - yealink
      - gigaset
  become: true

- name: One vendor elsewhere, one phone elsewhere, time for a subnet
  autoprov.appliance.dhcp_options:
    url: http://198.18.0.1:50080/
    vendors:
      - snom
      - yealink
    vendor_urls:
      yealink: https://prov.example.com/yealink/
    options:
      - mac: 80:5e:c0:12:34:56
        name: tftp-server-name
        value: http://lab.example.com/
      - subnet: 198.18.0.0/24
        name: ntp-servers
        value: 198.18.0.1, 198.18.0.2
      - vendor_class: snomM
        code: 67
        value: dect.xml
  become: true

- name: Take back what was set
  autoprov.appliance.dhcp_options:
    state: absent
  become: true
"""

RETURN = r"""
server:
  description: The DHCP server found.
  type: str
  returned: success
  sample: kea
version:
  description: Its version.
  type: str
  returned: success
  sample: 2.2.0
config_file:
  description: Its configuration file.
  type: str
  returned: success
  sample: /etc/kea/kea-dhcp4.conf
running:
  description: Whether the server runs. If not, files are written only.
  type: bool
  returned: success
  sample: true
reloaded:
  description: Whether the server has read its configuration anew.
  type: bool
  returned: success
  sample: true
backup_file:
  description: Where the configuration file was kept as it was before the change.
  type: str
  returned: when the configuration file itself was changed
  sample: /etc/kea/kea-dhcp4.conf.autoprov-backup
options:
  description: The options this module now keeps on the server.
  type: list
  elements: dict
  returned: success
  sample:
    - scope: vendor class snom
      code: 66
      value: http://198.18.0.1:50080/
conflicts:
  description: Options the administrator has set at the same level to another value.
  type: list
  elements: dict
  returned: success, and when the task fails because of them
  sample:
    - scope: global
      code: 66
      existing: tftp.example.com
      wanted: http://198.18.0.1:50080/
      where: /etc/kea/kea-dhcp4.conf:41
hidden:
  description: Our options that some clients do not get, as something more specific wins there. Also given as warnings.
  type: list
  elements: dict
  returned: success
  sample:
    - scope: vendor class snom
      code: 66
      value: http://198.18.0.1:50080/
      by: ["subnet 198.18.0.0/24 (http://old.example.com/)"]
      advice: In Kea a reservation wins over a pool, then subnet, shared network, class, global.
probe:
  description: What clients were offered after the change.
  type: dict
  returned: success
  sample:
    performed: true
    reason: ""
    clients:
      - client: vendor class snom
        interface: eth0
        server: 198.18.0.1
        options: {"66": "http://198.18.0.1:50080/"}
rolled_back:
  description: Whether everything was put back, and the server was proved to serve as before.
  type: bool
  returned: when the task fails after it has changed something
  sample: true
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp import engine, intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import ON_CONFLICT, Target
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.options import ENCODINGS


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    option = {
        "code": {"type": "int"},
        "name": {"type": "str"},
        "value": {"type": "str", "required": True},
        "encoding": {"type": "str", "choices": ["auto", *ENCODINGS], "default": "auto"},
        "shared_network": {"type": "str"},
        "subnet": {"type": "str"},
        "vendor": {"type": "str"},
        "vendor_class": {"type": "str"},
        "oui": {"type": "str"},
        "mac": {"type": "str"},
    }
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "server": {"type": "str", "choices": ["auto", "kea", "dnsmasq", "dhcpd"], "default": "auto"},
        "url": {"type": "str"},
        "vendors": {"type": "list", "elements": "str", "default": []},
        "vendor_urls": {"type": "dict", "default": {}},
        "global_fallback": {"type": "bool", "default": True},
        "options": {"type": "list", "elements": "dict", "default": [], "options": option},
        "on_conflict": {"type": "str", "choices": list(ON_CONFLICT), "default": "fail"},
        "config_file": {"type": "path"},
        "control_socket": {"type": "path"},
        "restart_command": {"type": "list", "elements": "str"},
        "probe": {"type": "str", "choices": list(engine.PROBE_MODES), "default": "auto"},
        "probe_interface": {"type": "str"},
    }


def wanted_settings(params: dict) -> list:
    """The settings the parameters mean; none for absent. Raises DhcpError."""
    if params["state"] == "absent":
        return []
    settings = intent.build_intent(
        url=params["url"],
        vendors=params["vendors"],
        vendor_urls=params["vendor_urls"],
        global_fallback=params["global_fallback"],
        options=params["options"],
    )
    if not settings:
        raise DhcpError("nothing to set: give url, vendors or options; state=absent takes back what was set")
    return settings


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        outcome = engine.run(
            engine.Request(
                settings=wanted_settings(params),
                server=params["server"],
                on_conflict=params["on_conflict"],
                target=Target(
                    config_file=params["config_file"],
                    control_socket=params["control_socket"],
                    restart_command=tuple(params["restart_command"] or ()),
                ),
                probe=params["probe"],
                probe_interface=params["probe_interface"],
                check_mode=module.check_mode,
            )
        )
    except DhcpError as exc:
        module.fail_json(msg=". ".join(fault[:1].upper() + fault[1:] for fault in exc.faults), **exc.details)
    result = asdict(outcome)
    for warning in result.pop("warnings"):
        module.warn(warning)
    if result["backup_file"] is None:
        del result["backup_file"]
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
