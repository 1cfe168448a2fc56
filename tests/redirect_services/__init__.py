# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendors' redirect services as their documentation describes them: strict, over TLS, with everything that fails.

Nothing here is shared with the client under test: each authentication is verified by code of its own.
"""
