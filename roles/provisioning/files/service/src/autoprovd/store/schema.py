# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. ``migrations/`` brings a database to this shape; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

phones = Table(
    "phones",
    metadata,
    Column("mac", String(12), primary_key=True),
    Column("vendor", String(20), nullable=False),
    Column("model", String(40), nullable=False),
    Column("definition", Text, nullable=False),  # canonical JSON, without any secret
    Column("fingerprint", String(16)),  # keyed digest of the list entry it came from, secrets included
    Column("label_key_id", String(8)),  # the Gigaset label ID, sealed
    Column("label_box", LargeBinary),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("mac", ForeignKey("phones.mac", ondelete="CASCADE"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("media_type", String(80), nullable=False),
    Column("syntax", String(10), nullable=False),
    Column("encoding", String(20), nullable=False),
    Column("text", Text, nullable=False),  # with a gap where each secret goes
)

secrets = Table(
    "secrets",
    metadata,
    Column("mac", ForeignKey("phones.mac", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("secret_class", String(20), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("key_id", String(8), nullable=False),  # empty, like the box, once the secret was shredded
    Column("box", LargeBinary, nullable=False),
    Column("origin", String(10), nullable=False, server_default="given"),  # or: generated
    Column("fingerprint", String(16)),  # keyed digest of a given secret: known again even when it was shredded
)

grants = Table(
    "grants",
    metadata,
    Column("mac", String(12), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("secret_class", String(20), primary_key=True),
    Column("audience", String(12), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("mode", String(10), nullable=False),
    Column("min_proof", Integer, nullable=False),
    Column("window_seconds", Float, nullable=False),
    Column("armed_at", Float),
    Column("expires_at", Float),  # null: the window has not started
    Column("expires_boot", Float),
    Column("boot_id", String(36)),
    Column("claimant", String(120)),
    Column("claimed_from", String(45)),
    Column("released_at", Float),
    Column("releases", Integer, nullable=False, server_default="0"),
    Column("confirmed_at", Float),
    Column("networks", Text),  # JSON list of the networks it is released to; null: to any
    Column("on_theft", String(10), nullable=False, server_default="report"),  # or: revoke, rekey
    Column("shred", Boolean, nullable=False, server_default=false()),
    Column("lendings", Integer, nullable=False, server_default="0"),  # of this generation, to Ansible runs
    Column("lent_at", Float),
    ForeignKeyConstraint(
        ["mac", "line", "secret_class"],
        ["secrets.mac", "secrets.line", "secrets.secret_class"],
        ondelete="CASCADE",
    ),
)

audit = Table(
    "audit",  # append-only: triggers refuse all else (migration 0004); a migration that rebuilds it makes them anew
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("event", String(20), nullable=False),
    Column("mac", String(12)),
    Column("line", Integer),
    Column("secret_class", String(20)),
    Column("audience", String(12)),
    Column("generation", Integer),
    Column("actor", String(160), nullable=False),
    Column("detail", Text),
    Column("link", String(64), nullable=False),
)
# The second line of defence: were the claiming statement ever wrong, the transaction fails instead of releasing twice.
Index(
    "released_once",
    audit.c.mac,
    audit.c.line,
    audit.c.secret_class,
    audit.c.audience,
    audit.c.generation,
    unique=True,
    sqlite_where=text("event = 'released'"),
    postgresql_where=text("event = 'released'"),
)
Index(
    "audit_of_removed",
    audit.c.mac,
    audit.c.generation,
    sqlite_where=text("event = 'removed'"),
    postgresql_where=text("event = 'removed'"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

recent_requests = Table(
    "recent_requests",
    metadata,
    Column("mac", ForeignKey("phones.mac", ondelete="CASCADE"), primary_key=True),
    Column("requests", Text, nullable=False),  # JSON, newest last
)

facts = Table(
    "facts",  # single values of the site: settings, the clock's high water, what rendered the documents
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
