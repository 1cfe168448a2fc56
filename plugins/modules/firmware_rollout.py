#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_rollout
version_added: 0.1.0
short_description: Which telephones are offered which firmware, in which order, and when
description:
  - Brings a version of the mirror to the telephones, ring by ring. A telephone is told of it in its configuration.
  - A telephone is only offered a file that is for its model and for its hardware revision, and that it may go to from
    the version it runs; where a step between is needed, it is offered the step first. The version it runs is the one it
    names when it asks for its configuration.
  - A rollout stops by itself when telephones that have taken the version do not come back with it.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
attributes:
  diff_mode:
    support: full
options:
  rollouts:
    description:
      - The rollouts. Those that are not in the list stay as they are, unless O(purge=true).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What people call it.
        type: str
        required: true
      vendor:
        description: Whose telephones it is for.
        type: str
        required: true
        choices: [snom, yealink, gigaset]
      version:
        description:
          - The version the telephones are to have in the end, as the mirror has it.
          - Another version in a rollout of the same name begins anew.
        type: str
        required: true
      models:
        description:
          - Only for these models.
          - When not given, for all for which the mirror has that version.
        type: list
        elements: str
        default: []
      canaries:
        description:
          - The telephones that go first, by name or MAC address. The version must be for them.
          - Nobody else gets the version before all of them are back.
        type: list
        elements: str
        default: []
      rings:
        description:
          - How much of the telephones each ring reaches, in percent. The last one is V(100).
          - A telephone's place follows from its MAC address, and is the same in every rollout.
        type: list
        elements: int
        default: [5, 25, 100]
      ring_hours:
        description:
          - How long a ring is watched, from its first offer on, before the next begins. That also waits until each
            telephone of the ring had its turn, and nobody is on the way.
        type: float
        default: 24
      window:
        description:
          - When telephones may start with an update, in the time zone of the site.
          - What a telephone was offered and has not fetched when the window ends is taken back until the next one. So a
            window must be longer than the time between two requests of a telephone,
            see O(autoprov.appliance.provisioning_settings#module:refresh_minutes).
        type: dict
        suboptions:
          start:
            description: The time of day it begins, such as V("22:00"). In quotes; YAML makes a number of it otherwise.
            type: str
            required: true
          end:
            description: The time of day it ends. If that is before O(rollouts[].window.start), it ends on the next day.
            type: str
            required: true
          days:
            description: The days on which it begins.
            type: list
            elements: str
            choices: [mon, tue, wed, thu, fri, sat, sun]
            default: [mon, tue, wed, thu, fri, sat, sun]
      pause_seconds:
        description:
          - The time from one telephone's offer to the next.
          - Time in which nobody was offered anything is not made up for.
        type: float
        default: 30
      back_within_minutes:
        description:
          - A telephone that has taken the version and is not back with it after that time is lost.
          - So is one that falls back to another version later.
        type: float
        default: 60
      stop_after:
        description: So many lost telephones stop the rollout.
        type: int
        default: 2
      allow_downgrade:
        description: Whether telephones with a newer version are offered this one, too.
        type: bool
        default: false
      paused:
        description:
          - Whether it rests. What nobody has fetched yet is taken back.
          - When not given, that stays as it is. A rollout that stopped by itself only goes on by O(resume).
        type: bool
  purge:
    description:
      - Whether rollouts that are not in the list are withdrawn. Telephones keep the version that they have.
    type: bool
    default: false
  resume:
    description:
      - Rollouts that go on after they were paused, or stopped by themselves. Lost telephones are tried again.
    type: list
    elements: str
    default: []
seealso:
  - module: autoprov.appliance.firmware_mirror
  - module: autoprov.appliance.phones_info
"""

EXAMPLES = r"""
- name: A new version for the Snom telephones, at night, the one on our own desk first
  autoprov.appliance.firmware_rollout:
    rollouts:
      - name: snom-summer
        vendor: snom
        version: "10.1.184.15"
        canaries: [IT department]
        rings: [5, 25, 100]
        window:
          start: "22:00"
          end: "05:00"
  become: true

- name: Go on after the lost telephones were looked at
  autoprov.appliance.firmware_rollout:
    resume: [snom-summer]
  become: true
"""

RETURN = r"""
rollouts:
  description: All rollouts of the site as they are now; in check mode, as they were.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      sample: snom-summer
    version:
      description: The version.
      type: str
      sample: 10.1.184.15
    state:
      description: V(running), V(paused), or V(stopped) by itself.
      type: str
      sample: running
    reason:
      description: Why it does not run.
      type: str
    ring:
      description: Whose turn it is.
      type: str
      sample: ring 1 (5 %)
    ring_since:
      description: Since when.
      type: str
    counts:
      description: How many telephones are how far.
      type: dict
      sample: {done: 12, taken: 1, offered: 3, lost: 0, waiting: 84, excluded: 2}
    phones:
      description: Each telephone by MAC address, with its C(state), the C(reason), and the version it is C(offered).
      type: dict
faults:
  description: Everything that is wrong with the list.
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

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def main() -> None:
    module = ApiModule(
        {
            "rollouts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "vendor": {"type": "str", "required": True, "choices": ["snom", "yealink", "gigaset"]},
                    "version": {"type": "str", "required": True},
                    "models": {"type": "list", "elements": "str", "default": []},
                    "canaries": {"type": "list", "elements": "str", "default": []},
                    "rings": {"type": "list", "elements": "int", "default": [5, 25, 100]},
                    "ring_hours": {"type": "float", "default": 24},
                    "window": {
                        "type": "dict",
                        "options": {
                            "start": {"type": "str", "required": True},
                            "end": {"type": "str", "required": True},
                            "days": {"type": "list", "elements": "str", "choices": DAYS, "default": DAYS},
                        },
                    },
                    "pause_seconds": {"type": "float", "default": 30},
                    "back_within_minutes": {"type": "float", "default": 60},
                    "stop_after": {"type": "int", "default": 2},
                    "allow_downgrade": {"type": "bool", "default": False},
                    "paused": {"type": "bool"},
                },
            },
            "purge": {"type": "bool", "default": False},
            "resume": {"type": "list", "elements": "str", "default": []},
        },
    )
    wanted = {name: module.params[name] for name in ("rollouts", "purge", "resume")}
    answer = module.call("put", "/firmware/rollouts", {**wanted, "dry_run": module.check_mode})
    module.finish({**answer, **module.call("get", "/firmware/rollouts")}, "rollouts")


if __name__ == "__main__":
    main()
