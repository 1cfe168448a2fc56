# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service that the jobs talk to is the one of the collection's tests."""

from tests.integration.collection.conftest import service

__all__ = ["service"]
