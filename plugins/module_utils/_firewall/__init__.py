# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Ports that phones need, opened on the firewall that is there: one intent, one file per firewall."""

from __future__ import annotations
