# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What phones need from the site's DHCP server: one intent, one file per server."""

from __future__ import annotations
