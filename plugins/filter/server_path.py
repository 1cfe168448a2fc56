# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``server_path``; documented in server_path.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.autoprov.appliance.plugins.plugin_utils import _server_path


def server_path(phone: Mapping[str, Any], host: str, scheme: str = "http", port: int | None = None) -> dict[str, Any]:
    """What to type into a telephone, and where."""
    try:
        return _server_path.server_path(phone, host, scheme, port)
    except ValueError as error:
        raise AnsibleFilterError(f"autoprov.appliance.server_path: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"server_path": server_path}
