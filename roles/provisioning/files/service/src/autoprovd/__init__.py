# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provisioning service of autoprov: configurations for telephones, each password released once."""

__version__ = "0.1.0"
