#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: provisioning_settings
version_added: 0.1.0
short_description: The settings of a site in the provisioning service
description:
  - Sets what all telephones of a site are told, and how long their passwords may be fetched. What is not given stays as
    it is.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
options:
  public_host:
    description:
      - The host name or address under which telephones reach the service.
    type: str
  http_port:
    description:
      - The port for HTTP that telephones are told.
    type: int
  https_port:
    description:
      - The port for HTTPS that telephones are told.
    type: int
  scheme:
    description:
      - What the addresses in configurations start with. V(https) needs a certificate that the telephones trust.
    type: str
    choices: [http, https]
  language:
    description:
      - The language of the displays, as two letters, such as V(de).
    type: str
  tone:
    description:
      - The country whose tones the telephones play, as two letters, such as V(de).
    type: str
  time_zone:
    description:
      - The IANA name of the time zone, such as V(Europe/Berlin).
    type: str
  ntp_server:
    description:
      - Where the telephones get their time.
    type: str
  refresh_minutes:
    description:
      - How often the telephones ask for their configuration, in minutes.
    type: int
  firmware_base_url:
    description:
      - The folder from which the telephones fetch firmware and language files, when another server has them.
      - Empty for the service itself.
    type: str
  release:
    description:
      - How passwords are released.
    type: dict
    suboptions:
      window_seconds:
        description:
          - How long SIP and menu passwords may be fetched, in seconds.
        type: int
      window_starts:
        description:
          - Whether that time starts when the password is armed, or when the telephone first asks, for telephones that
            are prepared days before they are plugged in.
        type: str
        choices: [arming, first_request]
      strict:
        description:
          - Whether each password is handed out exactly once, even to the same telephone within the time. A telephone
            that restarts before it stored its configuration then needs to be armed again.
        type: bool
      rules:
        description:
          - Finer terms, for a vendor, a model, a kind of password. They are applied in their order, after the three
            options above and before the rules of a telephone itself; the last one that sets something wins.
          - The list replaces the one there is. What is armed already keeps the terms it was armed under.
        type: list
        elements: dict
        suboptions:
          vendor:
            description:
              - Only for telephones of this vendor. When not given, for all.
            type: str
            choices: [snom, yealink, gigaset]
          model:
            description:
              - Only for this model of the vendor.
            type: str
          secret_class:
            description:
              - Only for passwords of this kind. When not given, for all.
            type: str
            choices: [sip, menu, web, provisioning]
          audience:
            description:
              - Whom the rule is for. V(controller) is the Ansible run that tells the PBX a generated SIP password; for
                it, only O(release.rules[].mode), O(release.rules[].strict) and O(release.rules[].window_seconds) have a
                meaning. When not given, V(phone).
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
                address in O(release.rules[].networks), V(neighbour) an address that the neighbour table or a DHCP lease
                knows with the MAC address of the telephone, V(label) the ID on the label of a Gigaset, V(credentials)
                the provisioning password of the telephone, V(certificate) its factory certificate.
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
              - V(true) is another word for O(release.rules[].mode=once); V(false) takes a V(once) back to V(window).
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
seealso:
  - module: autoprov.appliance.phones
"""

EXAMPLES = r"""
- name: A German site
  autoprov.appliance.provisioning_settings:
    public_host: 198.18.0.1
    language: de
    tone: de
    time_zone: Europe/Berlin
    ntp_server: 198.18.0.1
  become: true

- name: Telephones are prepared today and plugged in next week
  autoprov.appliance.provisioning_settings:
    release:
      window_starts: first_request
  become: true

- name: Passwords go to telephones in the voice network only, and a theft replaces them
  autoprov.appliance.provisioning_settings:
    release:
      rules:
        - proof: neighbour
          networks: [192.0.2.0/24]
          on_theft: rekey
        - vendor: snom
          secret_class: sip
          proof: certificate
  become: true
"""

RETURN = r"""
settings:
  description: All settings of the site, as they are after the change.
  type: dict
  returned: success
  sample:
    public_host: 198.18.0.1
    http_port: 50080
    https_port: 50081
    scheme: http
    language: de
    tone: de
    time_zone: Europe/Berlin
    ntp_server: 198.18.0.1
    refresh_minutes: 1440
    firmware_base_url: null
    release:
      window_seconds: 600
      window_starts: arming
      strict: false
      rules: []
faults:
  description: Everything that is wrong with the settings.
  type: list
  elements: dict
  returned: when the service refused
status:
  description: The HTTP status of the service's answer, V(0) if there was none.
  type: int
  returned: failure
  sample: 422
"""

from typing import Any

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule

RULE = {
    "vendor": {"type": "str", "choices": ["snom", "yealink", "gigaset"]},
    "model": {"type": "str"},
    "secret_class": {"type": "str", "choices": ["sip", "menu", "web", "provisioning"]},
    "audience": {"type": "str", "choices": ["phone", "controller"]},
    "mode": {"type": "str", "choices": ["once", "window", "always"]},
    "window_seconds": {"type": "int"},
    "window_starts": {"type": "str", "choices": ["arming", "first_request"]},
    "proof": {
        "type": "str",
        "choices": ["address", "network", "neighbour", "label", "credentials", "certificate"],
    },
    "networks": {"type": "list", "elements": "str"},
    "strict": {"type": "bool"},
    "on_theft": {"type": "str", "choices": ["report", "revoke", "rekey"]},
    "shred": {"type": "bool"},
}
SETTINGS = {
    "public_host": {"type": "str"},
    "http_port": {"type": "int"},
    "https_port": {"type": "int"},
    "scheme": {"type": "str", "choices": ["http", "https"]},
    "language": {"type": "str"},
    "tone": {"type": "str"},
    "time_zone": {"type": "str"},
    "ntp_server": {"type": "str"},
    "refresh_minutes": {"type": "int"},
    "firmware_base_url": {"type": "str"},
    "release": {
        "type": "dict",
        "options": {
            "window_seconds": {"type": "int"},
            "window_starts": {"type": "str", "choices": ["arming", "first_request"]},
            "strict": {"type": "bool"},
            "rules": {"type": "list", "elements": "dict", "options": RULE},
        },
    },
}


def _what_is_said(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def main() -> None:
    module = ApiModule(SETTINGS)
    change = {name: module.params[name] for name in SETTINGS if module.params[name] is not None}
    if change.get("firmware_base_url") == "":
        change["firmware_base_url"] = None
    if "release" in change:
        change["release"] = _what_is_said(change["release"])
        if "rules" in change["release"]:
            change["release"]["rules"] = [_what_is_said(rule) for rule in change["release"]["rules"]]
    answer = module.call("put", "/settings", {"settings": change, "dry_run": module.check_mode})
    module.finish(answer, "settings")


if __name__ == "__main__":
    main()
