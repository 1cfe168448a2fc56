# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of a grant, and the origin of a secret."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("secrets", sa.Column("origin", sa.String(length=10), nullable=False, server_default="given"))
    op.add_column("grants", sa.Column("networks", sa.Text(), nullable=True))
    op.add_column("grants", sa.Column("on_theft", sa.String(length=10), nullable=False, server_default="report"))
    op.add_column("grants", sa.Column("shred", sa.Boolean(), nullable=False, server_default=sa.false()))
