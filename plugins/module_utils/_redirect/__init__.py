# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Phones at the vendors' redirect services: one engine, one file per service."""

from __future__ import annotations
