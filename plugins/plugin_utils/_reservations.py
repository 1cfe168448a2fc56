# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed addresses in a list of telephones, as DHCP reservations.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def dhcp_reservations(phones: Any) -> list[dict[str, str]]:
    """``mac`` and ``address`` of each telephone that has an ``address``, from a list or from the text of a file.

    Raises ``ValueError`` with a sentence that quotes nothing of the list, as it holds passwords.
    """
    if isinstance(phones, str):
        if "address" not in phones:
            return []  # A large file is not read twice in vain.
        phones = _parse(phones)
    if not isinstance(phones, list) or not all(isinstance(phone, dict) for phone in phones):
        raise ValueError("dhcp_reservations needs a list of phones, or the text of a JSON or YAML file with one")
    return [
        {"mac": str(phone.get("mac")), "address": str(phone["address"])} for phone in phones if phone.get("address")
    ]


def _parse(text: str) -> Any:
    try:
        if text.lstrip()[:1] in ("[", "{"):
            return json.loads(text)
        return yaml.load(text, Loader=_YamlLoader)  # noqa: S506 - both are safe loaders
    except (ValueError, yaml.YAMLError):
        raise ValueError("the text is neither JSON nor YAML; the task that sets the phones says where") from None
