#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_check
version_added: 0.1.0
short_description: Is this site ready for its telephones
description:
  - Looks at a site as its telephones do, before it goes live and after, and lists what is well, what is not, and what
    to do about it, in English or German.
  - Checks that names resolve; that the appliance and the vendors' services are reached; that a telephone would accept
    the certificate; that time servers give the right time; what DHCP and SIP PnP tell; and that the configuration of
    telephones is there.
  - All checks run, whatever one of them finds. Nothing is changed. No password is released, because files are asked for
    with C(HEAD).
  - Run it on a host in the telephones' network. The appliance does not hear its own question by SIP PnP.
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
  url:
    description:
      - What telephones are told, with its slash at the end.
    type: str
    required: true
  cloud_vendors:
    description:
      - Vendors whose redirect services are used. Their domains must be reached from here.
    type: list
    elements: str
    choices: [yealink, snom, gigaset]
    default: []
  ntp_servers:
    description:
      - Where telephones get their time.
    type: list
    elements: str
    default: []
  dhcp_interfaces:
    description:
      - Ask by DHCP on these interfaces, as telephones of O(dhcp_vendors) do. Needs root.
    type: list
    elements: str
    default: []
  dhcp_vendors:
    description:
      - Whose telephones to play.
    type: list
    elements: str
    choices: [snom, yealink, gigaset]
    default: [snom, yealink, gigaset]
  pnp_interfaces:
    description:
      - Ask by SIP PnP on these interfaces. The appliance answers telephones of its list only, so put one with the MAC
        address of this interface on it.
    type: list
    elements: str
    default: []
  phones:
    description:
      - Telephones of the list whose configuration must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      mac:
        description: The MAC address, as 12 lower-case hexadecimal digits.
        type: str
        required: true
      vendor:
        description: Who made it.
        type: str
        choices: [snom, yealink, gigaset]
        required: true
      model:
        description: The model.
        type: str
        required: true
  ca_path:
    description:
      - The certificates of authorities that telephones trust (PEM). When not given, those that this host trusts.
    type: path
  language:
    description: The language of the list.
    type: str
    choices: [en, de]
    default: en
  timeout:
    description: How long to wait for one answer, in seconds.
    type: float
    default: 5
  fail_on:
    description: What makes the task fail.
    type: str
    choices: [error, warning, never]
    default: error
seealso:
  - module: autoprov.appliance.dhcp_probe
  - module: autoprov.appliance.port_probe
"""

EXAMPLES = r"""
- name: Is the site ready?
  autoprov.appliance.site_check:
    url: http://198.18.0.1:50080/
    ntp_servers:
      - 198.18.0.1
    phones:
      - mac: 000413922d24
        vendor: snom
        model: D785
    fail_on: never
  register: site

- name: Show the list
  ansible.builtin.debug:
    msg: "{{ site.table }}"
"""

RETURN = r"""
items:
  description: What was found, in the order of the checks.
  type: list
  elements: dict
  returned: success, and when the task fails because of O(fail_on)
  contains:
    check:
      description: V(dns), V(reach), V(certificate), V(time), V(dhcp), V(pnp) or V(phone).
      type: str
      sample: certificate
    subject:
      description: What was looked at.
      type: str
      sample: prov.example:50081
    state:
      description: V(ok), V(warning), V(error) or V(skipped).
      type: str
      sample: error
    finding:
      description: What was found.
      type: str
      sample: "a phone would refuse it: expired"
    advice:
      description: What to do. Empty where nothing is to be done.
      type: str
      sample: Renew it.
counts:
  description: How many items are in each state.
  type: dict
  returned: success, and when the task fails because of O(fail_on)
  sample: {ok: 7, warning: 0, error: 1, skipped: 0}
table:
  description: The list for a person, what is wrong first.
  type: list
  elements: str
  returned: success, and when the task fails because of O(fail_on)
"""

import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._site_check import engine
from ansible_collections.autoprov.appliance.plugins.module_utils._site_check.items import ORDER, table

VENDORS = ["snom", "yealink", "gigaset"]


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    texts = {"type": "list", "elements": "str", "default": []}
    phone = {
        "mac": {"type": "str", "required": True},
        "vendor": {"type": "str", "choices": VENDORS, "required": True},
        "model": {"type": "str", "required": True},
    }
    return {
        "url": {"type": "str", "required": True},
        "cloud_vendors": {**texts, "choices": ["yealink", "snom", "gigaset"]},
        "ntp_servers": dict(texts),
        "dhcp_interfaces": dict(texts),
        "dhcp_vendors": {**texts, "choices": VENDORS, "default": VENDORS},
        "pnp_interfaces": dict(texts),
        "phones": {"type": "list", "elements": "dict", "default": [], "options": phone},
        "ca_path": {"type": "path"},
        "language": {"type": "str", "choices": ["en", "de"], "default": "en"},
        "timeout": {"type": "float", "default": 5},
        "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "error"},
    }


def faults_of(params: dict) -> list:
    """All that is wrong with what was asked."""
    faults = engine.url_faults(params["url"])
    for index, phone in enumerate(params["phones"]):
        if not re.fullmatch("[0-9a-f]{12}", phone["mac"]):
            faults.append(f"phones[{index}].mac: {phone['mac']!r} is not 12 lower-case digits; use the filter mac")
        if not re.fullmatch("[A-Za-z0-9_-]{1,40}", phone["model"]):
            faults.append(f"phones[{index}].model: {phone['model']!r} is no model; write it as on the phone")
    return faults


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    given = module.params
    faults = faults_of(given)
    if faults:
        module.fail_json(msg=". ".join(faults), faults=faults)
    names = ("url", "cloud_vendors", "ntp_servers", "dhcp_interfaces", "dhcp_vendors", "pnp_interfaces", "phones")
    site = engine.Site(*(given[name] for name in (*names, "ca_path", "language", "timeout")))
    try:
        items = engine.check(site)
    except OSError as error:
        module.fail_json(msg=f"ca_path: {given['ca_path']} cannot be read: {error.strerror}")
    counts = {state: sum(each.state == state for each in items) for state in ORDER}
    result = {"items": [each._asdict() for each in items], "counts": counts, "table": table(items, given["language"])}
    bad = {"error": counts["error"], "warning": counts["error"] + counts["warning"], "never": 0}[given["fail_on"]]
    if bad:
        module.fail_json(msg="\n".join([f"{bad} of {len(items)} checks are not well", *result["table"]]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
