# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lookup ``credential`` and the action ``credential_claim`` share: accounts, runs, and texts that stay texts.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.ansible_release import __version__ as core_version

from ansible_collections.autoprov.appliance.plugins.plugin_utils._mac import parse_mac

if tuple(int(part) for part in core_version.split(".")[:2]) < (2, 19):
    # Up to 2.18 a result that looks like a list, a dictionary or a truth value becomes one, unless it is marked so.
    from ansible.utils.native_jinja import NativeJinjaText

    Text: Any = NativeJinjaText
else:
    Text = str
"""A password, as Ansible's templates leave it alone."""

CHECK_MODE_VALUE = "released-only-without-check-mode"
LEASE_SECONDS = 300
NOT_OURS = (
    "If this same run fetched them before, then its autoprov_claim_id changes with each evaluation; set it with "
    "set_fact. Otherwise arm them: autoprov.appliance.credentials with audience: controller"
)
"""What to do about a refusal with status 409."""


def account_ids(given: Iterable[object]) -> list[str]:
    """The accounts as the service writes them, ``mac/line``. Raises ValueError with all that are none."""
    accounts, faults = [], []
    for text in map(str, given):
        mac, separator, line = text.rpartition("/")
        try:
            if not separator or not (line.isascii() and line.isdigit()) or int(line) < 1:
                raise ValueError(f"{text!r} is not an account; write MAC/line, such as 00:04:13:92:2D:24/1")
            accounts.append(f"{parse_mac(mac)}/{int(line)}")
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return accounts


def run_key(claim_id: object, variables: Mapping[str, Any]) -> str | None:
    """What tells this run from others: its own name, or the job of AWX; None without either. Raises ValueError."""
    if claim_id:
        if not 8 <= len(str(claim_id)) <= 128:
            raise ValueError("claim_id (autoprov_claim_id) is a random text of 8 to 128 characters")
        return f"claim/{claim_id}"
    if variables.get("awx_job_id"):
        return f"awx-job/{variables['awx_job_id']}/workflow/{variables.get('awx_workflow_job_id') or 'none'}"
    return None


def passwords_of(answer: Mapping[str, Any], accounts: Iterable[str]) -> dict[str, str]:
    """The passwords in the service's answer, by account. Raises ValueError if one of them is not there."""
    secrets = answer.get("secrets")
    secrets = secrets if isinstance(secrets, dict) else {}
    missing = [account for account in accounts if not isinstance(secrets.get(account), str)]
    if missing:
        raise ValueError(f"the service released no password for {', '.join(missing)}, and gave no reason")
    return {account: Text(secrets[account]) for account in accounts}
