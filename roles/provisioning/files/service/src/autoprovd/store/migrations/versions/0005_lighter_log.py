# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log is looked up by event for removed phones alone, so no other row pays for the index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_REMOVED = sa.text("event = 'removed'")


def upgrade() -> None:
    op.drop_index("audit_by_event", "audit")
    op.create_index(
        "audit_of_removed", "audit", ["mac", "generation"], sqlite_where=_REMOVED, postgresql_where=_REMOVED
    )
