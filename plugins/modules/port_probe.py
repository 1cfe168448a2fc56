#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_probe
version_added: 0.1.0
short_description: Is this port open from there, and if not, why
description:
  - Asks ports of the managed host with real packets, from another host of the inventory (O(from_host)) or from a
    network namespace (O(namespace)).
  - When a packet is dropped, it is sent once more and traced on the managed host, which tells the chain, rule or policy
    that drops it. That works whoever made the rules (nft, iptables-nft, firewalld, ufw), as nftables sees them all.
  - UDP is silent where nobody answers and where a firewall drops. The trace tells which.
  - What a host gets from itself never passes what filters packets from outside, so it is not asked.
  - Tracing puts a table into nftables for a moment, which marks the packets in question and drops none.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes.info_module
attributes:
  check_mode:
    details:
      - The question is asked in check mode too, because it changes nothing.
  action:
    description:
      - Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
    details:
      - The action plugin is needed for O(from_host) only.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
options:
  address:
    description:
      - The address of the managed host to ask, as those who come from there would.
    type: str
    required: true
  profiles:
    description:
      - Ask the ports of these profiles of M(autoprov.appliance.firewall_ports). Of a range, the first and the last
        port.
    type: list
    elements: str
    default: []
  ports:
    description:
      - Ask these ports, as in V(50080/tcp) and V(10000-20000/udp). Of a range, the first and the last port.
    type: list
    elements: str
    default: []
  from_host:
    description:
      - The host of the inventory that asks. Ansible logs in there with that host's own variables. It needs no more than
        Python, and no root.
    type: str
  namespace:
    description:
      - The network namespace on the managed host that asks, by its name as C(ip netns) has it, or by a path.
    type: str
  source:
    description:
      - The address that asks, where it has several.
    type: str
  explain:
    description:
      - Whether to trace what is not open, and say who drops it. Needs root and C(nft) on the managed host.
    type: bool
    default: true
  expect:
    description:
      - Fail unless every port is in this state.
      - V(reachable) is V(open) or V(closed), which is that no firewall drops it, whether or not anybody listens.
    type: str
    choices: [open, closed, filtered, reachable]
  timeout:
    description: How long to wait for an answer, in seconds.
    type: float
    default: 2
  step:
    description:
      - A part of the work. Set by the action plugin, which has several hosts do their part.
    type: str
    choices: [all, ask, watch, verdict]
    default: all
  token:
    description:
      - Names a watch. Set by the action plugin.
    type: str
requirements:
  - root on the managed host (C(become) set to V(true))
seealso:
  - module: autoprov.appliance.firewall_ports
"""

EXAMPLES = r"""
- name: Can the phones' network reach what it needs?
  autoprov.appliance.port_probe:
    address: 198.18.0.1
    from_host: probe-in-the-voice-network
    profiles:
      - provisioning
      - sip
    expect: reachable
  become: true

- name: And the office network, which must not?
  autoprov.appliance.port_probe:
    address: 198.18.0.1
    from_host: desk
    ports:
      - 50080/tcp
    expect: filtered
  become: true
  register: probe

- name: Say who sees to that
  ansible.builtin.debug:
    msg: "{{ probe.ports[0].why }}"
"""

RETURN = r"""
ports:
  description: What was found, one entry for each port.
  type: list
  elements: dict
  returned: success, and when the task fails because of O(expect)
  contains:
    port:
      description: The port.
      type: str
      sample: 50080/tcp
    address:
      description: What was asked.
      type: str
      sample: 198.18.0.1
    state:
      description:
        - V(open), somebody answers, or (UDP) the packet was seen to pass every rule. V(closed), nobody listens.
          V(filtered), it is dropped or rejected.
        - V(silent), UDP without an answer that could not be traced, so that it is open or filtered.
      type: str
      sample: filtered
    how:
      description: How that is known.
      type: str
      sample: no answer within 2 seconds
    why:
      description: Who drops it, or that nobody does. Nothing where it was not traced.
      type: str
      sample: the policy of chain input of table inet filter drops it
    table:
      description: The table that drops it.
      type: str
      sample: inet filter
    chain:
      description: The chain that drops it.
      type: str
      sample: input
    rule:
      description: The rule that drops it, as nft prints it. Nothing when it is the policy.
      type: str
      sample: tcp dport 50080 drop
    policy:
      description: The policy that drops it. Nothing when it is a rule.
      type: str
      sample: drop
token:
  description: Names a watch, for the action plugin.
  type: str
  returned: when O(step=watch)
  sample: 0123456789abcdef
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._firewall import probing
from ansible_collections.autoprov.appliance.plugins.module_utils._firewall.errors import FirewallError


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    texts = {"type": "list", "elements": "str", "default": []}
    return {
        "address": {"type": "str", "required": True},
        "profiles": dict(texts),
        "ports": dict(texts),
        "from_host": {"type": "str"},
        "namespace": {"type": "str"},
        "source": {"type": "str"},
        "explain": {"type": "bool", "default": True},
        "expect": {"type": "str", "choices": ["open", "closed", "filtered", "reachable"]},
        "timeout": {"type": "float", "default": 2},
        "step": {"type": "str", "choices": ["all", "ask", "watch", "verdict"], "default": "all"},
        "token": {"type": "str", "no_log": False},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(), supports_check_mode=True, mutually_exclusive=[("from_host", "namespace")]
    )
    try:
        result = probing.run(module.params)
    except FirewallError as exc:
        message = ". ".join(fault[:1].upper() + fault[1:] for fault in exc.faults)
        module.fail_json(msg=message, faults=exc.faults, **exc.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
