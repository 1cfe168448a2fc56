# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``dhcp_reservations``; documented in dhcp_reservations.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.autoprov.appliance.plugins.plugin_utils import _reservations


def dhcp_reservations(phones: Any) -> list[dict[str, str]]:
    """The telephones that have a fixed address."""
    try:
        return _reservations.dhcp_reservations(phones)
    except ValueError as error:
        raise AnsibleFilterError(f"autoprov.appliance.dhcp_reservations: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"dhcp_reservations": dhcp_reservations}
