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
  - It knows Kea (2.2 and later), dnsmasq (2.90 and later) and ISC dhcpd 4.4. Every option is sent whether or not the
    phone asks for it.
  - In dnsmasq ours is one file in the folder that it reads, C(zz-autoprov.conf), or one beside its configuration with
    one line that brings it in. As dnsmasq reads options at its start only, it is restarted, which takes some
    hundredths of a second; leases stay. Its files are tested before they are touched, and once more before the restart.
  - ISC dhcpd cannot read its configuration anew. It is restarted when something changes, which takes it off the air for
    a moment; its leases survive. A server that does not come back gets its old files and is started again.
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
      - The DHCP server. V(auto) takes the one that serves here, else the one that is installed. A dnsmasq that only
        answers DNS queries does not count, nor do those that libvirt, NetworkManager and LXC run for themselves.
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
        description:
          - Only for clients in the shared network of this name. In dnsmasq the name is the interface or the address
            that C(shared-network=) says first.
        type: str
      subnet:
        description:
          - Only for clients in this subnet, in CIDR notation, as the server's configuration has it.
          - dnsmasq must be able to tell them, by a tag that only this subnet's C(dhcp-range) sets, by the lack of those
            of the others, or by an interface on which no other range is served. Where it cannot, the task fails and
            says what to add.
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
  on_hidden:
    description:
      - What to do where something more specific of the administrator's would win over an option for a vendor, a vendor
        class or a single phone.
      - V(report) sets the option, and says in RV(hidden) and in a warning who wins and what to do about it.
      - V(fail) changes nothing and reports the same.
      - V(override) makes the option win over everything, reservations included. On Kea this takes the hook library
        C(flex_option) of Debian's C(kea-common); other servers have nothing like it, and refuse. Options for everybody,
        a shared network or a subnet still yield to what is more specific.
    type: str
    choices: [report, fail, override]
    default: report
  on_pending:
    description:
      - What to do where the administrator has changed the server's configuration and not loaded it yet, so that our
        reload, or restart, would load those changes too.
      - V(safe) goes on and says in a warning what comes to life, except where Kea's own checker could not tell whether
        it works (interfaces, the lease and host databases, control sockets, hook libraries). There it changes nothing.
        Of dnsmasq it is only known which files have changed, so what stands in the whole file counts.
      - V(load) goes on in any case. V(fail) changes nothing as long as there is any such change.
    type: str
    choices: [safe, load, fail]
    default: safe
  serve:
    description:
      - Makes this host the DHCP server of the phones' network, with Kea. The configuration file is then written as a
        whole, with the options for phones, and read anew in one reload. Kea must be installed; whether it runs, and who
        starts it, is left to others. The role P(autoprov.appliance.dhcp#role) does both.
      - A file that somebody else wrote is not replaced, unless O(serve.take_over) says so.
      - O(state=absent) takes back the options only.
    type: dict
    suboptions:
      interfaces:
        description: The interfaces to serve.
        type: list
        elements: str
        required: true
      subnets:
        description: The networks to serve. Leases stay with their network when this list changes.
        type: list
        elements: dict
        required: true
        suboptions:
          subnet:
            description: The network in CIDR notation, as in V(198.18.0.0/24).
            type: str
            required: true
          shared_network:
            description: The name that several subnets on the same wire share.
            type: str
          pools:
            description: Addresses to give away, as in V(198.18.0.50 - 198.18.0.99) or V(198.18.0.64/26).
            type: list
            elements: str
            default: []
          gateway:
            description: The router.
            type: str
          dns_servers:
            description: Addresses of name servers.
            type: list
            elements: str
            default: []
          ntp_servers:
            description: Addresses of time servers.
            type: list
            elements: str
            default: []
          domain:
            description: The domain name.
            type: str
          reservations:
            description: Phones that always get the same address, or the same host name.
            type: list
            elements: dict
            default: []
            suboptions:
              mac:
                description: The MAC address, in any spelling.
                type: str
                required: true
              address:
                description: The address.
                type: str
              hostname:
                description: The host name.
                type: str
      reservations:
        description:
          - Phones that always get the same address, in whichever subnet it is. What a subnet reserves already for the
            same phone is not reserved twice.
        type: list
        elements: dict
        default: []
        suboptions:
          mac:
            description: The MAC address, in any spelling.
            type: str
            required: true
          address:
            description: The address.
            type: str
            required: true
          hostname:
            description: The host name.
            type: str
      lease_seconds:
        description: How long a lease lasts, in seconds.
        type: int
        default: 86400
      allow_other_servers:
        description:
          - Whether to serve an interface although another DHCP server answers there. Asked only for interfaces that Kea
            does not serve yet.
        type: bool
        default: false
      take_over:
        description: Whether to replace a configuration file that somebody else wrote. A copy is kept.
        type: bool
        default: false
  config_file:
    description:
      - The server's configuration file. When not given, the one the running server was started with, else
        V(/etc/kea/kea-dhcp4.conf), or V(/etc/dnsmasq.conf) with the folder that Debian's V(/etc/default/dnsmasq) names,
        or for ISC dhcpd the one named in C(/etc/default/isc-dhcp-server), or V(/etc/dhcp/dhcpd.conf).
    type: path
  control_socket:
    description:
      - Kea's Unix control socket. When not given, the one named in the configuration.
    type: path
  restart_command:
    description:
      - How a server is restarted that cannot read its configuration anew, as a list of words; no shell is involved.
      - Needed only where neither systemd nor runit supervises it. dnsmasq and dhcpd are restarted for a change, Kea
        only when nothing else helps.
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
  - Kea 2.2 or later on the managed host, with a control socket; or dnsmasq 2.90 or later; or ISC dhcpd 4.4
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

- name: Serve DHCP to the phones, with everything they need
  autoprov.appliance.dhcp_options:
    url: http://198.18.0.1:50080/
    vendors:
      - snom
      - yealink
    serve:
      interfaces:
        - eth1
      subnets:
        - subnet: 198.18.0.0/24
          pools:
            - 198.18.0.50 - 198.18.0.199
          gateway: 198.18.0.1
          ntp_servers:
            - 198.18.0.1
      reservations:
        - mac: "00:04:13:92:2d:24"
          address: 198.18.0.20
  become: true

- name: Where dnsmasq serves DHCP, and neither systemd nor runit keeps it
  autoprov.appliance.dhcp_options:
    server: dnsmasq
    url: http://198.18.0.1:50080/
    vendors:
      - snom
    restart_command: [/etc/init.d/dnsmasq, restart]
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
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import (
    ON_CONFLICT,
    ON_HIDDEN,
    ON_PENDING,
    Policy,
    Target,
)
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import serving
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea.adapter import DEFAULT_CONFIG_FILE
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
    address_list = {"type": "list", "elements": "str", "default": []}
    reservation = {"mac": {"type": "str", "required": True}, "address": {"type": "str"}, "hostname": {"type": "str"}}
    subnet = {
        "subnet": {"type": "str", "required": True},
        "shared_network": {"type": "str"},
        "pools": dict(address_list),
        "gateway": {"type": "str"},
        "dns_servers": dict(address_list),
        "ntp_servers": dict(address_list),
        "domain": {"type": "str"},
        "reservations": {"type": "list", "elements": "dict", "default": [], "options": reservation},
    }
    free_reservation = dict(reservation, address={"type": "str", "required": True})
    serve = {
        "interfaces": {"type": "list", "elements": "str", "required": True},
        "subnets": {"type": "list", "elements": "dict", "required": True, "options": subnet},
        "reservations": {"type": "list", "elements": "dict", "default": [], "options": free_reservation},
        "lease_seconds": {"type": "int", "default": 86400},
        "allow_other_servers": {"type": "bool", "default": False},
        "take_over": {"type": "bool", "default": False},
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
        "on_hidden": {"type": "str", "choices": list(ON_HIDDEN), "default": "report"},
        "on_pending": {"type": "str", "choices": list(ON_PENDING), "default": "safe"},
        "serve": {"type": "dict", "options": serve},
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


def wanted(params: dict) -> tuple:
    """The settings, and the configuration of a host that serves DHCP itself (else None). Raises DhcpError."""
    faults, settings, made = [], [], None
    try:
        settings = wanted_settings(params)
    except DhcpError as exc:
        faults += exc.faults
    if params["serve"] is not None:
        try:
            if params["server"] not in ("auto", "kea"):
                raise DhcpError("serve: only Kea can be made here; leave server away")
            made = serving.configuration(params["serve"], params["config_file"] or DEFAULT_CONFIG_FILE)
        except DhcpError as exc:
            faults += exc.faults
    if faults:
        raise DhcpError(*faults)
    return settings, made


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        settings, made = wanted(params)
        outcome = engine.run(
            engine.Request(
                settings=settings,
                server="kea" if made else params["server"],
                on_conflict=params["on_conflict"],
                policy=Policy(on_hidden=params["on_hidden"], on_pending=params["on_pending"]),
                target=Target(
                    config_file=params["config_file"],
                    control_socket=params["control_socket"],
                    restart_command=tuple(params["restart_command"] or ()),
                    content=made.content if made else None,
                ),
                # Nobody is answered before a host serves for the first time: nothing can be compared.
                probe="never" if made and not made.serves_already else params["probe"],
                probe_interface=params["probe_interface"],
                check_mode=module.check_mode,
            )
        )
    except DhcpError as exc:
        module.fail_json(msg=". ".join(fault[:1].upper() + fault[1:] for fault in exc.faults), **exc.details)
    result = asdict(outcome)
    for warning in (made.warnings if made else []) + result.pop("warnings"):
        module.warn(warning)
    if result["backup_file"] is None:
        del result["backup_file"]
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
