#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: phone_resync
version_added: 0.1.0
short_description: Have telephones fetch their configuration now
description:
  - Sends telephones a SIP NOTIFY with the event C(check-sync), one after the other, with a pause between them.
  - The provisioning service sends it, to the telephone itself or, with O(via), through the PBX. It knows where each
    telephone is. Where an address belongs to another device by now, nothing is sent there.
  - Releases no password. See M(autoprov.appliance.credentials) for that.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Telephones are told each time.
options:
  phones:
    description:
      - The MAC addresses of the telephones, in any usual spelling, in the order in which they are told.
    type: list
    elements: str
    required: true
  addresses:
    description:
      - Where telephones are that the appliance cannot see, as MAC address and IP address.
    type: dict
    default: {}
  reboot:
    description:
      - Whether they restart. Otherwise they only fetch their files, without an interruption.
      - A Gigaset N610, N670 or N870 does not restart when it is told so, and needs none.
    type: bool
    default: false
  transport:
    description:
      - How the telephones themselves are spoken to. Over V(tls) their certificates are not verified. No secret is sent.
    type: str
    choices: [udp, tcp, tls]
    default: udp
  port:
    description:
      - Where the telephones listen. When not given, 5060, or 5061 for V(tls).
    type: int
  via:
    description:
      - The PBX that passes it on, which reaches telephones in other networks too. It passes it to every telephone that
        is registered with the first account of this one.
      - PBXs that are no SIP proxies usually refuse it.
    type: dict
    suboptions:
      host:
        description:
          - Its name or address.
        type: str
        required: true
      port:
        description:
          - When not given, 5060, or 5061 for V(tls).
        type: int
      transport:
        description:
          - How it is spoken to. Its certificate is verified.
        type: str
        choices: [udp, tcp, tls]
        default: udp
      user:
        description:
          - The user it wants for this.
        type: str
      password:
        description:
          - That user's password. It is sent in no message, only used to answer a Digest challenge.
        type: str
      ca_path:
        description:
          - A file on the managed host with the authorities that signed the certificate of the PBX. When not given,
            those of the system.
        type: path
  pause:
    description:
      - Seconds between two telephones.
    type: float
    default: 1
  jitter:
    description:
      - At most so many seconds more, at random, so that what many sites do does not fall together.
    type: float
    default: 0.5
  answer_timeout:
    description:
      - How many seconds to wait for a telephone's answer.
    type: float
    default: 4
  wait:
    description:
      - How many seconds to wait, once all are told, until each has fetched its files. Who has is fine, whatever it
        answered. V(0) does not wait, and then who has not accepted fails the task.
    type: int
    default: 0
seealso:
  - module: autoprov.appliance.credentials
  - module: autoprov.appliance.phones_info
"""

EXAMPLES = r"""
- name: Fetch the new function keys, twenty phones in half a minute
  autoprov.appliance.phone_resync:
    phones:
      - "00:04:13:92:2D:24"
      - "80:5E:0C:12:34:56"
    wait: 30
  become: true

- name: Restart one
  autoprov.appliance.phone_resync:
    phones:
      - "00:04:13:92:2D:24"
    reboot: true
  become: true

- name: Reach the phones of home offices through the PBX
  autoprov.appliance.phone_resync:
    phones:
      - "80:5E:0C:12:34:56"
    via:
      host: pbx.example.com
      transport: tls
      user: provisioning
      password: "{{ pbx_password }}"
  become: true
"""

RETURN = r"""
phones:
  description: What became of each, in the order in which they were told.
  type: list
  elements: dict
  returned: success, and when telephones did not do what they should
  contains:
    mac:
      description: The MAC address, as 12 lower-case hexadecimal digits.
      type: str
      sample: 000413922d24
    target:
      description: Who was told, the telephone or the PBX.
      type: str
      sample: udp:198.18.0.20:5060
    uri:
      description: To whom the message is addressed.
      type: str
      sample: sip:1001@198.18.0.20:5060
    event:
      description: What it was told.
      type: str
      sample: check-sync;reboot=false
    state:
      description:
        - V(accepted). V(refused), with the reason. V(silent), there was no answer. V(elsewhere), what is at its address
          is another device or none, and nothing was sent. V(planned) in check mode.
      type: str
      sample: accepted
    status:
      description: The SIP status of the answer. Nothing if there was none.
      type: int
      sample: 200
    reason:
      description: Why it was not accepted, in words.
      type: str
      sample: ""
    fetched:
      description: Whether it has asked for its files since.
      type: bool
      returned: when O(wait) is more than V(0), and not in check mode
      sample: true
faults:
  description: Everything that is wrong with the list. Nobody was told anything.
  type: list
  elements: dict
  returned: when the service refused
"""

import random
import time

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule

_AT_A_TIME = 200  # MAC addresses in one question, so that it stays shorter than an HTTP request may be


def argument_spec() -> dict:
    """Fresh each time: AnsibleModule may change it."""
    transport = {"type": "str", "choices": ["udp", "tcp", "tls"], "default": "udp"}
    return {
        "phones": {"type": "list", "elements": "str", "required": True},
        "addresses": {"type": "dict", "default": {}},
        "reboot": {"type": "bool", "default": False},
        "transport": dict(transport),
        "port": {"type": "int"},
        "via": {
            "type": "dict",
            "options": {
                "host": {"type": "str", "required": True},
                "port": {"type": "int"},
                "transport": dict(transport),
                "user": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "ca_path": {"type": "path"},
            },
            "required_together": [("user", "password")],
        },
        "pause": {"type": "float", "default": 1},
        "jitter": {"type": "float", "default": 0.5},
        "answer_timeout": {"type": "float", "default": 4},
        "wait": {"type": "int", "default": 0},
    }


def main() -> None:
    module = ApiModule(argument_spec())
    params = module.params
    for name in ("pause", "jitter", "wait"):
        if params[name] < 0:
            module.fail_json(msg="%s is %s; give seconds from 0" % (name, params[name]))
    terms = _terms(module)
    # Tells all faults of the list before the first telephone is told anything.
    entries = _entries(module)
    planned = module.call("post", "/resync", dict(terms, phones=entries, dry_run=True))
    if module.check_mode:
        module.exit_json(changed=planned["changed"], phones=planned["phones"])
    results = []
    for number, entry in enumerate(entries):
        if number:
            time.sleep(params["pause"] + random.uniform(0, params["jitter"]))  # noqa: S311  # chance only spreads load
        answer = module.call("post", "/resync", dict(terms, phones=[entry]))
        results.append(dict(answer["phones"][0], told_at=answer["told_at"]))
    if params["wait"]:
        _wait(module, results)
    for result in results:
        del result["told_at"]
    changed = any(result["state"] == "accepted" for result in results)
    wrong = [result for result in results if not result.get("fetched", not params["wait"] and _accepted(result))]
    if wrong:
        lines = ["%s: %s" % (result["mac"], _complaint(result)) for result in wrong]
        module.fail_json(
            msg="%d of %d phones did not do it:\n- %s" % (len(wrong), len(results), "\n- ".join(lines)),
            changed=changed,
            phones=results,
        )
    module.exit_json(changed=changed, phones=results)


def _entries(module: ApiModule) -> list:
    """The telephones as the service takes them."""
    addresses = dict(module.params["addresses"])
    entries = [{"mac": mac, "address": addresses.pop(mac, None)} for mac in dict.fromkeys(module.params["phones"])]
    if not entries:
        module.exit_json(changed=False, phones=[])
    if addresses:
        module.fail_json(
            msg="addresses names %s, but phones does not; write each MAC address the same way in both"
            % ", ".join(sorted(addresses))
        )
    return entries


def _terms(module: ApiModule) -> dict:
    params = module.params
    terms = {name: params[name] for name in ("reboot", "transport", "port")}
    terms["timeout"] = params["answer_timeout"]
    if params["via"]:
        terms["via"] = {name: params["via"][name] for name in ("host", "port", "transport")}
        terms["via"].update({name: params["via"][name] or "" for name in ("user", "password")})
        if params["via"]["ca_path"]:
            try:
                with open(params["via"]["ca_path"], encoding="ascii") as file:
                    terms["via"]["authorities"] = file.read()
            except (OSError, ValueError) as error:
                module.fail_json(msg="via.ca_path %s cannot be read: %s" % (params["via"]["ca_path"], error))
    return terms


def _wait(module: ApiModule, results: list) -> None:
    """Fill in who has fetched its files since it was told."""
    waiting = {result["mac"]: result for result in results}
    for result in results:
        result["fetched"] = False
    end = time.monotonic() + module.params["wait"]
    while True:
        macs = list(waiting)
        for start in range(0, len(macs), _AT_A_TIME):
            query = [("mac", mac) for mac in macs[start : start + _AT_A_TIME]]
            for phone in module.call("get", "/phones", query)["phones"]:
                last = phone["last_request"]
                # Both are times of the service, in ISO 8601 and UTC, so they compare as texts.
                if last and last["at"] >= waiting[phone["mac"]]["told_at"]:
                    waiting.pop(phone["mac"])["fetched"] = True
        if not waiting or time.monotonic() >= end:
            return
        time.sleep(min(1, max(0, end - time.monotonic())))


def _accepted(result: dict) -> bool:
    return result["state"] == "accepted"


def _complaint(result: dict) -> str:
    if _accepted(result):
        return "it accepted, and has asked for no file since; autoprov phone why %s" % result["mac"]
    said = "%s, " % result["status"] if result["status"] else ""
    return "%s (%s%s)" % (result["state"], said, result["reason"])


if __name__ == "__main__":
    main()
