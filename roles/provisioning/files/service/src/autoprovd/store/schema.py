# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. ``migrations/`` brings a database to this shape; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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

sightings = Table(
    "sightings",  # what a phone said of itself when it last asked for a file of its own
    metadata,
    Column("mac", ForeignKey("phones.mac", ondelete="CASCADE"), primary_key=True),
    Column("model", String(40), nullable=False),
    Column("version", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("settings_at", Float),  # when it last got its settings, and in them what it is offered
)

firmware = Table(
    "firmware",  # the files of the mirror
    metadata,
    Column("path", String(300), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("vendor", String(20), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("version", String(64), nullable=False),
    Column("models", Text, nullable=False),  # JSON list; empty: all
    Column("revisions", Text, nullable=False),  # JSON list; empty: all
    Column("min_from", String(64)),
    Column("language", String(10)),
    Column("interface", String(10)),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("definition", Text, nullable=False),  # canonical JSON
    Column("state", String(10), nullable=False),  # running, paused (by a person), stopped (by itself)
    Column("reason", Text, nullable=False, server_default=""),
    Column("ring", Integer, nullable=False),  # 0: the canaries, then the rings
    Column("ring_at", Float, nullable=False),  # since when
)

offers = Table(
    "offers",  # the firmware a phone is told to fetch
    metadata,
    Column("mac", ForeignKey("phones.mac", ondelete="CASCADE"), primary_key=True),
    Column("rollout", ForeignKey("rollouts.name", ondelete="CASCADE"), nullable=False),
    Column("path", String(300), nullable=False),
    Column("offered_at", Float, nullable=False),
    Column("taken_at", Float),  # when it got the settings that say so
    Column("done_at", Float),  # when it came back with that version
    Column("lost_at", Float),  # when it should have come back, and had not
)

facts = Table(
    "facts",  # single values of the site: settings, the clock's high water, what rendered the documents
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
