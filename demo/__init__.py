# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A telephone site in network namespaces on this host: an appliance, a registrar, phones that really boot.

``make demo`` tells the story of :mod:`demo.story` with it; the end-to-end tests use the same parts.
"""
