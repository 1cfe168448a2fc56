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
    release:
      window_seconds: 600
      window_starts: arming
      strict: false
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

from ansible_collections.autoprov.appliance.plugins.module_utils._module import ApiModule

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
    "release": {
        "type": "dict",
        "options": {
            "window_seconds": {"type": "int"},
            "window_starts": {"type": "str", "choices": ["arming", "first_request"]},
            "strict": {"type": "bool"},
        },
    },
}


def main() -> None:
    module = ApiModule(SETTINGS)
    change = {name: module.params[name] for name in SETTINGS if module.params[name] is not None}
    if "release" in change:
        change["release"] = {name: value for name, value in change["release"].items() if value is not None}
    answer = module.call("put", "/settings", {"settings": change, "dry_run": module.check_mode})
    module.finish(answer, "settings")


if __name__ == "__main__":
    main()
