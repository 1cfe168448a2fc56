# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the vendors' phones ask for and how they read it: from the vendors' descriptions, not from our service."""

from __future__ import annotations

from demo.vendors.base import Boot, Settings, UnreadableError, Vendor
from demo.vendors.gigaset import GIGASET
from demo.vendors.snom import SNOM
from demo.vendors.yealink import YEALINK

VENDORS = {"snom": SNOM, "yealink": YEALINK, "gigaset": GIGASET}

__all__ = ["VENDORS", "Boot", "Settings", "UnreadableError", "Vendor"]
