# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the module ``api_tokens``."""

from __future__ import annotations

from ansible_collections.autoprov.appliance.plugins.plugin_utils._private_argument import PrivateArgumentAction


class ActionModule(PrivateArgumentAction):
    private = "tokens"
