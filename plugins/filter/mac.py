# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``mac``; documented in mac.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.autoprov.appliance.plugins.plugin_utils._mac import spell_mac


def mac(text: object, style: str = "colon", upper: bool = False) -> str:
    """A MAC address in another spelling."""
    try:
        return spell_mac(text, style, upper)
    except ValueError as error:
        raise AnsibleFilterError(f"autoprov.appliance.mac: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"mac": mac}
