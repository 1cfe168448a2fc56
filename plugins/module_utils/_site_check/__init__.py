# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a site ready for its phones: names, ways, certificates, time, DHCP, SIP PnP, and a phone that asks.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations
