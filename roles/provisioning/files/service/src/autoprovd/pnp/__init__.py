# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP PnP: a phone asks the multicast group 224.0.1.75 where its configuration is, and is told."""
