# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often, and when last, a grant was lent to an Ansible run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("grants", sa.Column("lendings", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("grants", sa.Column("lent_at", sa.Float(), nullable=True))
