# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware mirror: files of the phones' makers, whole and checked, on this site."""
