#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firmware_mirror
version_added: 0.1.0
short_description: Firmware and language files of phones, mirrored on the appliance
description:
  - Makes a local mirror hold what a list says, whole and checked. Phones see the files before or the files after, never
    a mix; releases before are kept, and can be served again at once.
  - A file that cannot be had stops no other one, and never takes the place of a good one.
  - Whether and when phones are offered a file is not decided here.
  - Uses the program C(autoprov) that the role P(autoprov.appliance.provisioning#role) installs. As root, it works with
    the rights of the owner of O(folder).
  - While it runs, a line every few seconds tells how far it is.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.attributes
options:
  files:
    description:
      - The files the mirror is to hold, all of them.
      - Exactly one of O(files), O(src), O(url), O(carried) and O(release) is needed.
    type: list
    elements: dict
    suboptions:
      vendor:
        description: Whose phones it is for.
        type: str
        required: true
        choices: [snom, yealink, gigaset]
      kind:
        description: What a phone does with it.
        type: str
        choices: [firmware, language, ringtone, background]
        default: firmware
      version:
        description: Its version, in quotes; otherwise V(10.10) would be read as V(10.1).
        type: str
        required: true
      url:
        description: Where its maker has it, with C(https).
        type: str
        required: true
      models:
        description: The models it is for. A firmware names at least one.
        type: list
        elements: str
        default: []
      revisions:
        description: The hardware revisions it is for. All of them when none is given.
        type: list
        elements: str
        default: []
      min_from:
        description: The oldest version from which a phone may go to this one directly.
        type: str
      language:
        description: Of a language file, its language, by the code that the telephones' settings use, such as V(de).
        type: str
      interface:
        description: Of a language file, whether its words are for the display or for the web interface.
        type: str
        choices: [phone, web]
      name:
        description: Its name in the mirror, when it is not the last part of the address.
        type: str
      member:
        description: The address is of a zip or tar archive, and this is the path of the file in it.
        type: str
      size:
        description: The bytes of what the address gives.
        type: int
      sha256:
        description: The SHA-256 of what the address gives.
        type: str
      signature:
        description: The minisign signature of what the address gives; the second line of the C(.minisig) file.
        type: str
      pin:
        description:
          - Nobody tells the hash. What comes first is taken and remembered; anything else later is an alarm.
        type: bool
        default: false
      insecure:
        description: It may come by plain C(http).
        type: bool
        default: false
      source:
        description: Where this entry was read, and when; for people.
        type: str
  serial:
    description:
      - The issue of O(files); it grows with each. An older one than the mirror was made from is refused.
    type: int
    default: 0
  src:
    description:
      - A file on the controller with the list, in YAML or JSON. It holds the list itself, or a mapping with C(files),
        C(serial) and C(expires).
    type: path
  url:
    description:
      - An address that gives the list, such as C(https://mirror.example.com:50081/firmware/manifest.json) of another
        appliance. Addresses in it may be relative to its own.
    type: str
  insecure_url:
    description: Whether O(url) may be plain C(http), and the files beside it as well.
    type: bool
    default: false
  carried:
    description: A file on the host that C(autoprov firmware export) has written on another.
    type: path
  release:
    description: A release that is kept, to be served again; V(previous) for the one before.
    type: str
  folder:
    description: Where the mirror is on the host. Its owner owns the files.
    type: path
    default: /var/lib/autoprov-firmware
  keep:
    description: How many releases are kept.
    type: int
    default: 3
  workers:
    description: How many files are fetched at a time.
    type: int
    default: 4
  attempts:
    description: How often each file is tried.
    type: int
    default: 4
  allow_downgrade:
    description: Whether a list with a lower serial than the one before is taken.
    type: bool
    default: false
  trusted_keys:
    description: The minisign public keys that vouch for signed files.
    type: list
    elements: str
    default: []
  on_failed:
    description:
      - Whether the task fails when a file could not be had, or is another one than was pinned. All other files are
        served either way.
    type: str
    choices: [fail, warn]
    default: fail
  tell:
    description:
      - Whether the service on the host is told what the mirror holds. With several hosts on one database, fill all
        mirrors first, and tell with the last.
    type: bool
    default: true
  program:
    description: The program to use.
    type: path
    default: /usr/local/bin/autoprov
  manifest:
    description: The list. Set by the action plugin of the same name.
    type: str
  job:
    description: The run that is waited for. Set by the action plugin of the same name.
    type: str
  wait_seconds:
    description: How long to wait before telling how far it is. Set by the action plugin of the same name.
    type: float
    default: 10
notes:
  - The list is checked as a whole. If anything in it is wrong, all faults are named, and nothing is changed.
"""

EXAMPLES = r"""
- name: Mirror the firmware of two models
  autoprov.appliance.firmware_mirror:
    files:
      - vendor: snom
        models: [D785]
        version: "10.1.198.19"
        url: https://downloads.snom.example/fw/10.1.198.19/bin/snomD785-10.1.198.19-SIP-r.bin
        size: 45132544
        sha256: 0d1f4e6a0b9c4c1b8f3d5a7e2c6b9d8f1a3e5c7b9d2f4a6c8e0b1d3f5a7c9e2b
      - vendor: yealink
        models: [T54W]
        version: "96.86.0.70"
        min_from: "96.85.0.5"
        url: https://downloads.yealink.example/T54W-96.86.0.70.zip
        member: T54W-96.86.0.70.rom
        pin: true
  become: true

- name: Mirror what a file says
  autoprov.appliance.firmware_mirror:
    src: firmware.yml
  become: true

- name: Mirror what the integrator's mirror has
  autoprov.appliance.firmware_mirror:
    url: https://mirror.example.com:50081/firmware/manifest.json
  become: true

- name: Serve what was served before
  autoprov.appliance.firmware_mirror:
    release: previous
  become: true
"""

RETURN = r"""
release:
  description: The release that is served now.
  type: int
  returned: success
summary:
  description: A line for each file that comes, goes, or stays instead of another.
  type: list
  elements: str
  returned: with O(files), O(src) or O(url)
  sample: ["upgrade  snom D785 firmware 10.1.184.14 → 10.1.198.19, 45.1 MB"]
failed_files:
  description: Why files could not be had, by their path in the mirror.
  type: dict
  returned: with O(files), O(src) or O(url)
alarms:
  description: Pinned files that are others now where they come from.
  type: list
  elements: str
  returned: with O(files), O(src) or O(url)
fetched_bytes:
  description: What came over the network.
  type: int
  returned: with O(files), O(src) or O(url)
bytes_to_fetch:
  description: What there was to fetch, as far as anybody tells.
  type: int
  returned: with O(files), O(src) or O(url)
running:
  description: How far it is, for the action plugin; the task itself never returns it.
  type: str
  returned: never
"""

import json
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.autoprov.appliance.plugins.module_utils._background import Ended, Job, JobError

SOURCES = ("manifest", "url", "carried", "release")


def command_of(params: t.Mapping[str, t.Any], check: bool) -> list[str]:
    """The program and its arguments."""
    if params["release"] is not None:
        verb = ["rollback"] + ([] if params["release"] == "previous" else ["--to", params["release"]])
    else:
        if params["carried"] is not None:
            verb = ["import", params["carried"]]
        else:
            verb = ["sync", params["url"] or "-", "--workers", str(params["workers"])]
            verb += ["--attempts", str(params["attempts"])]
            verb += [part for key in params["trusted_keys"] for part in ("--trusted-key", key)]
            verb += ["--insecure-source"] if params["insecure_url"] else []
        verb += ["--keep", str(params["keep"])] + (["--allow-downgrade"] if params["allow_downgrade"] else [])
    verb += ["--check"] if check else []
    told = "--tell" if params["tell"] else "--no-tell"
    return [params["program"], "firmware", *verb, "--folder", params["folder"], told, "--json"]


def finish(module: AnsibleModule, ended: Ended) -> None:
    """End the module with what the program left behind."""
    try:
        content: dict[str, t.Any] = json.loads(ended.output)
    except ValueError:
        content = {}
    if not content or (ended.status and not (content.get("failed") or content.get("alarms"))):
        lines = ended.errors.strip().splitlines() or [f"{module.params['program']} ended with status {ended.status}"]
        start = next((place for place, line in enumerate(lines) if line.startswith("autoprov: ")), 0)
        message = "\n".join(lines[start:]).replace("autoprov: ", "", 1)
        module.fail_json(msg=message, faults=[line.strip() for line in lines[start + 1 :]])
    result: dict[str, t.Any] = {"changed": content["changed"], "release": content["release"]}
    if module._diff and content["before"] != content["after"]:
        result["diff"] = {"before": content["before"], "after": content["after"]}
    if "summary" in content:
        result.update({name: content[name] for name in ("summary", "alarms", "fetched_bytes", "bytes_to_fetch")})
        result["failed_files"] = content["failed"]
        for warning in content["warnings"]:
            module.warn(warning)
        troubles = [f"{path}: {why}" for path, why in sorted(content["failed"].items())] + content["alarms"]
        if troubles and module.params["on_failed"] == "fail":
            module.fail_json(msg="{}. Everything else is served".format("; ".join(troubles)), **result)
        for trouble in troubles:
            module.warn(trouble)
    module.exit_json(**result)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict"},
            "serial": {"type": "int", "default": 0},
            "src": {"type": "path"},
            "url": {"type": "str"},
            "insecure_url": {"type": "bool", "default": False},
            "carried": {"type": "path"},
            "release": {"type": "str"},
            "folder": {"type": "path", "default": "/var/lib/autoprov-firmware"},
            "keep": {"type": "int", "default": 3},
            "workers": {"type": "int", "default": 4},
            "attempts": {"type": "int", "default": 4},
            "allow_downgrade": {"type": "bool", "default": False},
            "trusted_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "on_failed": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
            "tell": {"type": "bool", "default": True},
            "program": {"type": "path", "default": "/usr/local/bin/autoprov"},
            "manifest": {"type": "str"},
            "job": {"type": "str"},
            "wait_seconds": {"type": "float", "default": 10},
        },
        mutually_exclusive=[SOURCES],
        supports_check_mode=True,
    )
    params = module.params
    if params["files"] is not None or params["src"] is not None:
        module.fail_json(msg="this module needs its action plugin; call it as autoprov.appliance.firmware_mirror")
    try:
        if params["job"]:
            job = Job.found(params["job"])
        else:
            if not any(params[name] is not None for name in SOURCES):
                module.fail_json(msg="one of files, src, url, carried and release is needed")
            job = Job.start(command_of(params, module.check_mode), params["manifest"] or "")
        ended = job.wait(params["wait_seconds"])
    except (JobError, OSError) as error:
        module.fail_json(msg=str(error))
    if ended is None:
        module.exit_json(changed=False, running=job.last_line(), job=job.folder)
    finish(module, ended)


if __name__ == "__main__":
    main()
