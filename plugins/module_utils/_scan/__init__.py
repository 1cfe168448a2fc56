# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds telephones in networks that are named: neighbour table, leases, SNMP, SIP and HTTP.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations
