# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database itself keeps the audit log append-only; given secrets are known again after they were shredded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Who may change tables may drop a trigger: these are against mistakes. Against malice there is the chain.
_TRIGGERS = {
    "sqlite": (
        """
        CREATE TRIGGER audit_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
        """
        CREATE TRIGGER audit_never_removed BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
        # INSERT OR REPLACE removes the row it replaces without asking the trigger above.
        """
        CREATE TRIGGER audit_only_grows BEFORE INSERT ON audit
        WHEN NEW.seq <= (SELECT max(seq) FROM audit)
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
    ),
    "postgresql": (
        """
        CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation'; END $$
        """,
        """
        CREATE TRIGGER audit_never_changed BEFORE UPDATE OR DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()
        """,
        """
        CREATE TRIGGER audit_never_emptied BEFORE TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
        """,
    ),
}


def upgrade() -> None:
    op.add_column("secrets", sa.Column("fingerprint", sa.String(length=16), nullable=True))
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
