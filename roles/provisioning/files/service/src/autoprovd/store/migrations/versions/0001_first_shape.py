# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first shape of the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("mac", sa.String(length=12), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("secret_class", sa.String(length=20), nullable=True),
        sa.Column("audience", sa.String(length=12), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=160), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("audit_by_event", "audit", ["event"], unique=False)
    op.create_index(
        "released_once",
        "audit",
        ["mac", "line", "secret_class", "audience", "generation"],
        unique=True,
        sqlite_where=sa.text("event = 'released'"),
        postgresql_where=sa.text("event = 'released'"),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "phones",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("vendor", sa.String(length=20), nullable=False),
        sa.Column("model", sa.String(length=40), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=16), nullable=True),
        sa.Column("label_key_id", sa.String(length=8), nullable=True),
        sa.Column("label_box", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("mac"),
    )
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "documents",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("media_type", sa.String(length=80), nullable=False),
        sa.Column("syntax", sa.String(length=10), nullable=False),
        sa.Column("encoding", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mac"], ["phones.mac"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mac", "name"),
    )
    op.create_table(
        "recent_requests",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("requests", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mac"], ["phones.mac"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mac"),
    )
    op.create_table(
        "secrets",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("secret_class", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("box", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["mac"], ["phones.mac"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mac", "line", "secret_class"),
    )
    op.create_table(
        "grants",
        sa.Column("mac", sa.String(length=12), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("secret_class", sa.String(length=20), nullable=False),
        sa.Column("audience", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("min_proof", sa.Integer(), nullable=False),
        sa.Column("window_seconds", sa.Float(), nullable=False),
        sa.Column("armed_at", sa.Float(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("expires_boot", sa.Float(), nullable=True),
        sa.Column("boot_id", sa.String(length=36), nullable=True),
        sa.Column("claimant", sa.String(length=120), nullable=True),
        sa.Column("claimed_from", sa.String(length=45), nullable=True),
        sa.Column("released_at", sa.Float(), nullable=True),
        sa.Column("releases", sa.Integer(), server_default="0", nullable=False),
        sa.Column("confirmed_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["mac", "line", "secret_class"], ["secrets.mac", "secrets.line", "secrets.secret_class"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mac", "line", "secret_class", "audience"),
    )
