# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware: what the mirror holds, who is offered what, and what phones say they run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "sightings",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("model", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("settings_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["mac"], ["phones.mac"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mac"),
    )
    op.create_table(
        "firmware",
        sa.Column("path", sa.String(length=300), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("vendor", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("revisions", sa.Text(), nullable=False),
        sa.Column("min_from", sa.String(length=64), nullable=True),
        sa.Column("language", sa.String(length=10), nullable=True),
        sa.Column("interface", sa.String(length=10), nullable=True),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_table(
        "rollouts",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("ring", sa.Integer(), nullable=False),
        sa.Column("ring_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "offers",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("rollout", sa.String(length=60), nullable=False),
        sa.Column("path", sa.String(length=300), nullable=False),
        sa.Column("offered_at", sa.Float(), nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=True),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.Column("lost_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["mac"], ["phones.mac"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mac"),
    )
