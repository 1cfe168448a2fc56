# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones are told to fetch from this site's mirror: firmware, phone by phone, and language files."""
