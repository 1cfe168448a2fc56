#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_ports
version_added: 0.1.0
short_description: Open the ports that phones need, on the firewall that is there
description:
  - Opens ports to the networks of the phones, and to nobody else, on nftables, firewalld or ufw.
  - One call carries the whole list and is the whole truth. What an earlier call opened and this one no longer lists is
    taken back. Rules of the administrator and of others are not touched.
  - Nobody is locked out. A change that would cut the connection Ansible came over is refused before anything is
    changed. Every other change takes itself back after O(confirm_seconds), unless Ansible can open a second, new
    connection to the host under the new rules. It does so by itself, and only then the change is written so that it
    lasts.
  - On nftables, the ports are in a table of their own, which lets the given sources in and drops everybody else for
    exactly these ports. Where a chain of somebody else would drop the packets, a rule is put in there as well, marked
    as ours.
  - On firewalld, each opening is a service, let in by rich rules, in what runs and in what lasts, without a reload.
  - On ufw, each opening is an application profile and rules that name it, as C(ufw allow … app …) makes them.
  - When nothing changes, nothing is written and nothing is reloaded.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes
attributes:
  check_mode:
    details:
      - The firewall's own checker judges the change in check mode too, and a change that would cut the connection is
        refused.
  diff_mode:
    details:
      - Shows the rules that run and the files that last, of both only what is ours.
  action:
    description:
      - Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
    details:
      - The action plugin opens the second connection, by the same connection plugin and with the same options. SSH is
        told not to share a connection that is open already.
      - Where the module is run without it, there is nobody who could confirm. O(confirm=connection) is then refused
        before anything is changed.
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
options:
  state:
    description:
      - V(present) makes exactly the given ports those that this module keeps open.
      - V(absent) takes back everything this module has opened. O(profiles) and O(ports) are then not looked at.
    type: str
    choices: [present, absent]
    default: present
  profiles:
    description:
      - Ports by what they are for. V(provisioning) (50080/tcp), V(provisioning_tls) (50081/tcp), V(sip) (5060/udp and
        tcp), V(sip_tls) (5061/tcp), V(rtp) (10000-20000/udp), V(pnp_multicast) (5060/udp to 224.0.1.75), V(tftp)
        (69/udp), V(dhcp) (67/udp, to anybody), V(ntp) (123/udp), V(ldap) (389/tcp), V(ldaps) (636/tcp), V(admin)
        (50082/tcp, to O(admin_networks)).
    type: list
    elements: str
    default: []
  ports:
    description:
      - Further ports.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What it is called in the firewall. Lower-case letters, digits and C(_), beginning with a letter. Not the
            name of a profile.
        type: str
        required: true
      port:
        description: Ports and ranges, as in V(8443) and V(30000-30100). Not two that overlap.
        type: list
        elements: str
        required: true
      protocol:
        description: V(tcp) or V(udp).
        type: str
        default: tcp
      networks:
        description: From these networks, instead of O(networks) and O(interfaces).
        type: list
        elements: str
        default: []
      interfaces:
        description: By these interfaces, instead of O(networks) and O(interfaces).
        type: list
        elements: str
        default: []
      anybody:
        description: From anywhere, instead of O(networks) and O(interfaces).
        type: bool
        default: false
      purpose:
        description: What it is for, in words.
        type: str
  networks:
    description:
      - The networks of the phones in CIDR notation, IPv4 and IPv6. V(0.0.0.0/0) and V(::/0) are anywhere.
    type: list
    elements: str
    default: []
  interfaces:
    description:
      - The interfaces by which phones come in. With O(networks), both must be true of a packet.
    type: list
    elements: str
    default: []
  zones:
    description:
      - The zones of firewalld in which the ports are opened. When empty, those in which packets from O(networks) and by
        O(interfaces) are asked. Other firewalls have no zones.
    type: list
    elements: str
    default: []
  admin_networks:
    description:
      - The networks of the administrators, for the profile V(admin).
    type: list
    elements: str
    default: []
  backend:
    description:
      - The firewall. V(auto) takes the one that rules here. firewalld where it runs, else ufw where it is enabled, else
        nftables. RV(reason) says why.
    type: str
    choices: [auto, nftables, firewalld, ufw]
    default: auto
  confirm:
    description:
      - V(connection) keeps a change only when a second, new connection to the host works under it.
      - V(now) keeps it at once. For hosts with no network between, as while an image is built.
    type: str
    choices: [connection, now]
    default: connection
  confirm_seconds:
    description:
      - After how many seconds a change takes itself back unless it was confirmed. From 10 to 3600.
    type: int
    default: 60
  token:
    description:
      - Names the change that a second connection confirms. Set by the action plugin, which makes a new one each time.
    type: str
  decide:
    description:
      - Changes nothing, and confirms the change called O(token), or tells what became of it. Set by the action plugin.
    type: str
    choices: [confirm, tell]
requirements:
  - root on the managed host (C(become) set to V(true))
  - nftables with C(nft) 1.0.6 or later, or firewalld 1.3 or later, or ufw 0.36 or later
seealso:
  - module: autoprov.appliance.port_probe
"""

EXAMPLES = r"""
- name: Open what phones need, to their network
  autoprov.appliance.firewall_ports:
    profiles:
      - provisioning
      - provisioning_tls
      - sip
      - rtp
      - pnp_multicast
      - ntp
    networks:
      - 198.18.0.0/24
      - 2001:db8:18::/64
  become: true

- name: The admin API for administrators, a port of our own for one network and one for all
  autoprov.appliance.firewall_ports:
    profiles:
      - provisioning
      - admin
    networks:
      - 198.18.0.0/24
    admin_networks:
      - 192.0.2.0/28
    ports:
      - name: door_station
        port: [8554, 30000-30100]
        protocol: udp
        networks:
          - 198.18.7.0/24
      - name: hotel_guests
        port: ["8443"]
        anybody: true
  become: true

- name: In firewalld's zone for phones, whatever the networks
  autoprov.appliance.firewall_ports:
    backend: firewalld
    profiles:
      - provisioning
    networks:
      - 0.0.0.0/0
      - ::/0
    zones:
      - voice
  become: true

- name: Take back what was opened
  autoprov.appliance.firewall_ports:
    state: absent
  become: true
"""

RETURN = r"""
backend:
  description: The firewall.
  type: str
  returned: success
  sample: firewalld
reason:
  description: Why this one.
  type: str
  returned: success
  sample: firewalld runs (firewall-cmd --state)
version:
  description: Its version.
  type: str
  returned: success
  sample: 1.3.3
openings:
  description: What this module now keeps open.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The profile, or the name of the entry in O(ports).
      type: str
      sample: sip
    ports:
      description: Its ports.
      type: list
      elements: str
      sample: [5060/udp, 5060/tcp]
    purpose:
      description: What it is for.
      type: str
      sample: "SIP: registration and calls"
    networks:
      description: From where. Nothing is from anywhere.
      type: list
      elements: str
      sample: [198.18.0.0/24]
    interfaces:
      description: By which interfaces. Nothing is by any.
      type: list
      elements: str
      sample: []
    zones:
      description: In which zones of firewalld.
      type: list
      elements: str
      sample: []
    group:
      description: The multicast group that packets are sent to, nothing where they are sent to this host.
      type: str
      sample: 224.0.1.75
notes:
  description: What is worth knowing, such as a port that somebody else opens to more than was asked for.
  type: list
  elements: str
  returned: success
  sample: []
confirmed:
  description: Who kept the change. V(connection) is a second connection, V(now) nobody was asked.
  type: str
  returned: when something was changed
  sample: connection
rolled_back:
  description: Whether everything was taken back. The firewall is then as it was.
  type: bool
  returned: when the task fails after it has changed something
  sample: true
faults:
  description: Everything that is wrong, one sentence each.
  type: list
  elements: str
  returned: failure
  sample: ["ports[0]: port 70000 is outside 1..65535"]
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import engine, rollback
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.errors import FirewallError
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.intent import build_intent


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    texts = {"type": "list", "elements": "str", "default": []}
    port = {
        "name": {"type": "str", "required": True},
        "port": {"type": "list", "elements": "str", "required": True},
        "protocol": {"type": "str", "default": "tcp"},
        "networks": dict(texts),
        "interfaces": dict(texts),
        "anybody": {"type": "bool", "default": False},
        "purpose": {"type": "str"},
    }
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "profiles": dict(texts),
        "ports": {"type": "list", "elements": "dict", "default": [], "options": port},
        "networks": dict(texts),
        "interfaces": dict(texts),
        "zones": dict(texts),
        "admin_networks": dict(texts),
        "backend": {"type": "str", "choices": ["auto", "nftables", "firewalld", "ufw"], "default": "auto"},
        "confirm": {"type": "str", "choices": list(engine.CONFIRM_MODES), "default": "connection"},
        "confirm_seconds": {"type": "int", "default": 60},
        "token": {"type": "str", "no_log": False},
        "decide": {"type": "str", "choices": ["confirm", "tell"]},
    }


def request(params: dict, check_mode: bool) -> engine.Request:
    """What the parameters ask for. Raises FirewallError with every fault."""
    faults, openings = [], []
    if params["state"] == "present":
        names = ("profiles", "ports", "networks", "interfaces", "zones", "admin_networks")
        try:
            openings = build_intent(**{name: params[name] for name in names})
            if not openings:
                faults.append("nothing to open: give profiles or ports; state=absent takes back what was opened")
        except FirewallError as exc:
            faults += exc.faults
    if not 10 <= params["confirm_seconds"] <= 3600:
        faults.append("confirm_seconds %d is outside 10..3600" % params["confirm_seconds"])
    confirms_itself = params["confirm"] == "now"
    if not (confirms_itself or check_mode or params["token"]):
        faults.append(
            "the module runs without its action plugin, so that no second connection could confirm the change; "
            "call it as autoprov.appliance.firewall_ports, or say confirm=now"
        )
    if faults:
        raise FirewallError(*faults)
    return engine.Request(
        openings=openings,
        backend=params["backend"],
        check_mode=check_mode,
        connection=engine.ansible_connection(),
        confirm_seconds=None if confirms_itself else params["confirm_seconds"],
        token=params["token"],
    )


def decide(params: dict) -> dict:
    """Confirm the change of an earlier call, or tell what became of it. Raises FirewallError."""
    if not params["token"]:
        raise FirewallError("decide needs token, which names the change")
    if params["decide"] == "confirm":
        engine.confirm(params["token"])
    fate, faults = rollback.fate(params["token"], params["confirm_seconds"])
    return {"changed": False, "fate": fate, "faults": faults}


def apply(module: AnsibleModule) -> dict:
    """Make the change; the module's result. Raises FirewallError."""
    wanted = request(module.params, module.check_mode)
    result = asdict(engine.run(wanted))
    waits = result.pop("token") is not None
    if result["changed"] and not module.check_mode:
        result["confirmed"] = "waiting" if waits else "now"
    if not module._diff:
        del result["diff"]
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = decide(module.params) if module.params["decide"] else apply(module)
    except FirewallError as exc:
        message = ". ".join(fault[:1].upper() + fault[1:] for fault in exc.faults)
        module.fail_json(msg=message, faults=exc.faults, **exc.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
