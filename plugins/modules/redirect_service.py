#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The autoprov authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redirect_service
version_added: 0.1.0
short_description: Telephones elsewhere find the appliance through their vendor's redirect service
description:
  - Registers telephones with the redirect service of their vendor, and removes them. A telephone that is not in the
    network of the appliance asks that service, and is sent to O(url).
  - Takes the whole list in one call, reads how it stands first, and changes only what differs. If anything in the list
    is wrong, the module names all faults, and nothing is changed.
  - A call that breaks off may have been done. The module looks, and calls again only where it was not. If some
    telephones cannot be registered in the end, it tells for each what was done and what not; run it again.
  - A URL that would give passwords to whoever shows a MAC address is refused. The module asks the provisioning service
    for the proof it demands of each telephone; V(address) alone is not enough. Of another server you say what it
    demands with O(stated_proof).
  - Models that are not released for the service are refused.
author:
  - The autoprov authors (@autoprov)
extends_documentation_fragment:
  - autoprov.appliance.api
  - autoprov.appliance.api.module
  - autoprov.appliance.attributes
  - autoprov.appliance.attributes.action_group
options:
  provider:
    description:
      - The service. V(snom_sraps) is Snom's present one, V(snom_xmlrpc) its older interface. V(yealink_ymcs) is
        Yealink's present one, V(yealink_rps) its older interface. V(gigaset_redirect) and V(gigaset_grape) are those of
        Gigaset.
    type: str
    choices: [snom_sraps, snom_xmlrpc, yealink_ymcs, yealink_rps, gigaset_redirect, gigaset_grape]
    required: true
  username:
    description:
      - The user name; the ID of the key for V(snom_sraps) and V(gigaset_grape); the client ID for V(yealink_ymcs).
    type: str
    required: true
  password:
    description:
      - The password; the key for V(snom_sraps) and V(gigaset_grape); the client secret for V(yealink_ymcs).
    type: str
    required: true
  phones:
    description:
      - The telephones. No output shows this list, as the ID on a label is a proof.
    type: list
    elements: dict
    required: true
    suboptions:
      mac:
        description:
          - The MAC address, in any usual spelling. Put it in quotes.
        type: str
        required: true
      mac_id:
        description:
          - For Gigaset, the four characters behind the MAC address on the label.
          - Needed with O(provider=gigaset_redirect).
        type: str
      model:
        description:
          - The model. Only needed with O(stated_proof), as the provisioning service knows it otherwise.
        type: str
      url:
        description:
          - Where this telephone is sent, instead of O(url).
        type: str
      state:
        description:
          - Whether this telephone is registered, instead of O(state).
        type: str
        choices: [present, absent]
  url:
    description:
      - Where telephones are sent, by C(https). Telephones replace what their vendor calls a placeholder, such as
        C({mac}) of Snom and C(%MACD) of Gigaset.
    type: str
  state:
    description:
      - Whether the telephones of the list are registered.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Whether telephones are removed that the account sends to the same servers, and that are not in the list.
      - The servers are those of O(url) and O(phones[].url). What the account sends elsewhere, as for other sites,
        stays.
      - With V(snom_sraps), V(gigaset_grape) and V(yealink_ymcs) only; the others do not tell what they have.
    type: bool
    default: false
  rewrite:
    description:
      - Whether the URL of a registered telephone is written again by services that do not tell it, which are
        V(yealink_rps) and V(gigaset_redirect). Such a run always changes something.
      - With V(false), a telephone that is registered there counts as right, and the module says so.
    type: bool
    default: false
  stated_proof:
    description:
      - Your word for what the server behind O(url) demands before it hands out a password, if that is not this
        provisioning service. The names are those of
        O(autoprov.appliance.provisioning_settings#module:release.rules).
      - When not given, the provisioning service is asked, and knows each telephone.
    type: str
    choices: [network, label, credentials, certificate]
  provider_name:
    description:
      - Under which name telephones are registered with V(gigaset_redirect) and V(yealink_rps).
    type: str
    default: autoprov
  region:
    description:
      - Which service of V(yealink_ymcs) has the account.
    type: str
    choices: [eu, us]
    default: eu
  endpoint:
    description:
      - The address of the service, by C(https), where it is not the one that the vendor names. It is given the
        credentials.
    type: str
  endpoint_ca_path:
    description:
      - The certificate of the authority that signed the service's certificate, in PEM, for a proxy that looks into TLS.
        The certificate is always verified.
    type: path
  endpoint_timeout:
    description:
      - How long to wait for each answer of the service, in seconds.
    type: int
    default: 30
  retries:
    description:
      - How often to try again what failed in passing, such as a time-out or too many requests.
    type: int
    default: 3
notes:
  - The host on which the module runs needs a way to the vendor's service by HTTPS; the environment variable
    E(HTTPS_PROXY) is heeded. O(api_url), O(api_token), O(ca_path), O(validate_certs) and O(timeout) are for the
    provisioning service only.
seealso:
  - module: autoprov.appliance.phones
  - module: autoprov.appliance.provisioning_settings
  - plugin: autoprov.appliance.server_path
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Snoms of people who work at home
  autoprov.appliance.redirect_service:
    provider: snom_sraps
    username: "{{ sraps_key_id }}"
    password: "{{ sraps_key }}"
    url: https://prov.example:50083/
    phones:
      - mac: "00:04:13:92:2D:24"
      - mac: "00:04:13:92:2D:25"
        state: absent
  become: true

- name: A Gigaset base, with the ID on its label
  autoprov.appliance.redirect_service:
    provider: gigaset_redirect
    username: "{{ gigaset_username }}"
    password: "{{ gigaset_password }}"
    url: https://prov.example:50081/%MACD.xml
    phones:
      - mac: "7C:2F:80:E0:D6:05"
        mac_id: "{{ gigaset_label_id }}"
  become: true

- name: These Yealinks at a server of ours, and no other there
  autoprov.appliance.redirect_service:
    provider: yealink_ymcs
    username: "{{ ymcs_client_id }}"
    password: "{{ ymcs_client_secret }}"
    url: https://other.example/yealink/
    stated_proof: certificate
    phones:
      - mac: "80:5E:0C:4D:79:6D"
        model: T54W
    purge: true
"""

RETURN = r"""
created:
  description: The MAC addresses of the telephones that were registered, as 12 lower-case hexadecimal digits.
  type: list
  elements: str
  returned: when the list was right
  sample: ["000413922d24"]
updated:
  description: The MAC addresses of the telephones that are sent elsewhere now.
  type: list
  elements: str
  returned: when the list was right
  sample: []
removed:
  description: The MAC addresses of the telephones that were removed.
  type: list
  elements: str
  returned: when the list was right
  sample: ["000413922d25"]
unchanged:
  description: How many telephones were as they should be.
  type: int
  returned: when the list was right
  sample: 41
failed_phones:
  description: Why telephones are not as they should be, by MAC address. Run again for these.
  type: dict
  returned: when the list was right
  sample: {}
notes:
  description: What is worth knowing, such as a clock that is wrong.
  type: list
  elements: str
  returned: when the list was right
  sample: []
faults:
  description: Everything that is wrong, one sentence each.
  type: list
  elements: str
  returned: failure
  sample: ["phones[0] (000413922d24): the model M900 is not released for Snom SRAPS; ..."]
"""

import typing as t

from ansible_collections.autoprov.appliance.plugins.module_utils._module import HIDDEN, ApiModule
from ansible_collections.autoprov.appliance.plugins.module_utils._redirect import engine, intent, proof
from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.errors import RedirectError
from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.provider import Provider
from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.transport import Transport

_ASKED_AT_ONCE = 200  # phones in the query of one request


def argument_spec() -> t.Dict[str, t.Any]:
    """Fresh each time: AnsibleModule may change it."""
    phone = {
        "mac": {"type": "str", "required": True},
        "mac_id": {"type": "str"},
        "model": {"type": "str"},
        "url": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"]},
    }
    return {
        "provider": {
            "type": "str",
            "required": True,
            "choices": [
                "snom_sraps",
                "snom_xmlrpc",
                "yealink_ymcs",
                "yealink_rps",
                "gigaset_redirect",
                "gigaset_grape",
            ],
        },
        "username": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "phones": {"type": "list", "elements": "dict", "required": True, "options": phone},
        "url": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "purge": {"type": "bool", "default": False},
        "rewrite": {"type": "bool", "default": False},
        "stated_proof": {"type": "str", "choices": list(proof.STATED)},
        "provider_name": {"type": "str", "default": "autoprov"},
        "region": {"type": "str", "choices": ["eu", "us"], "default": "eu"},
        "endpoint": {"type": "str"},
        "endpoint_ca_path": {"type": "path"},
        "endpoint_timeout": {"type": "int", "default": 30},
        "retries": {"type": "int", "default": 3},
    }


def known_phones(module: ApiModule, macs: t.Sequence[str]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """What the provisioning service tells of these phones; ends the module where it cannot be asked."""
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for start in range(0, len(macs), _ASKED_AT_ONCE):
        answer = module.call("get", "/phones", [("mac", mac) for mac in macs[start : start + _ASKED_AT_ONCE]])
        found.update({phone["mac"]: phone for phone in answer["phones"]})
    return found


def wanted_phones(module: ApiModule, kind: t.Type[Provider]) -> t.List[intent.Wanted]:
    """What the list asks for. Raises RedirectError with every fault."""
    params = module.params
    faults = intent.option_faults(params, kind)
    entries = intent.parse_entries(params["phones"], params["url"], params["state"], faults)
    known = None
    if not params["stated_proof"]:
        known = known_phones(module, [entry.mac for entry in entries if entry.present])
    wanted = intent.check(entries, kind, known, faults)
    if faults:
        raise RedirectError(*faults)
    return wanted


def connect(params: t.Mapping[str, t.Any], kind: t.Type[Provider]) -> Provider:
    """The service, not asked yet."""
    endpoint = params["endpoint"] or kind.endpoints.get(params["region"]) or kind.endpoints[""]
    transport = Transport(
        kind.title,
        endpoint,
        # An ID is four characters, which also stand in codes and addresses: it is known by the hyphen before it.
        [params["password"], *(f"-{phone['mac_id'].upper()}" for phone in params["phones"] if phone["mac_id"])],
        params["endpoint_ca_path"],
        params["endpoint_timeout"],
        params["retries"],
    )
    return kind(transport, params["username"], params["password"], params["provider_name"])


class RedirectModule(ApiModule):
    """The module, which shows neither phones nor what somebody may have put in front of a host."""

    def __init__(self) -> None:
        super().__init__(argument_spec(), counted=["phones", "password"])

    def shown_params(self) -> t.Dict[str, t.Any]:
        shown = super().shown_params()
        hidden = {name: HIDDEN for name in ("url", "endpoint") if "@" in str(shown.get(name) or "")}
        return {**shown, **hidden}


def main() -> None:
    module = RedirectModule()
    params = module.params
    kind = engine.PROVIDERS[params["provider"]]
    try:
        wanted = wanted_phones(module, kind)
        servers = [url for url in (params["url"], *(item.url for item in wanted)) if url]
        outcome = engine.run(
            connect(params, kind), wanted, servers if params["purge"] else (), params["rewrite"], module.check_mode
        )
    except RedirectError as error:
        module.fail_json(msg=". ".join(error.faults), faults=error.faults)
    for note in outcome.notes:
        module.warn(note)
    result: t.Dict[str, t.Any] = {
        "changed": outcome.changed,
        "created": outcome.created,
        "updated": outcome.updated,
        "removed": outcome.removed,
        "unchanged": outcome.unchanged,
        "failed_phones": outcome.failed,
        "notes": outcome.notes,
    }
    if module._diff and outcome.diff["before"] != outcome.diff["after"]:
        result["diff"] = outcome.diff
    if outcome.failed:
        faults = [f"{mac}: {why}" for mac, why in outcome.failed.items()]
        done = len(outcome.created) + len(outcome.updated) + len(outcome.removed)
        summary = f"{len(faults)} phones are not as they should be, {done} were changed, {outcome.unchanged} were right"
        module.fail_json(msg="\n".join([summary, *(f"- {fault}" for fault in faults)]), faults=faults, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
