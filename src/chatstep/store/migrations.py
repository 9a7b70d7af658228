"""Migrations: how the tables came to be what they are, step by step.

The store applies what is missing when it opens. A script that was released is never edited; a change is a new one at
the end. ``{serial}`` and ``{bytes}`` stand for what the two databases spell differently. Tables begin with
``chatstep_``, so that they can share a database with others.
"""

from __future__ import annotations

from typing import NamedTuple

from chatstep.errors import StoreError
from chatstep.store.database import APPLIED, Database
from chatstep.store.names import unix_ms

__all__ = ["MIGRATIONS", "Migration", "migrate"]


class Migration(NamedTuple):
    """One named script; statements are parted by ``;``."""

    name: str
    script: str


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001-connections",
        """
        CREATE TABLE chatstep_connections (
            name TEXT PRIMARY KEY,
            module TEXT NOT NULL,
            kind TEXT NOT NULL,
            settings TEXT NOT NULL,
            sealed {bytes},
            daily_limit BIGINT,
            monthly_limit BIGINT,
            created BIGINT NOT NULL,
            changed BIGINT NOT NULL
        );
        CREATE TABLE chatstep_traits (
            connection TEXT NOT NULL,
            model TEXT NOT NULL,
            facts TEXT NOT NULL,
            PRIMARY KEY (connection, model)
        )
        """,
    ),
    Migration(
        "0002-conversations",
        """
        CREATE TABLE chatstep_conversations (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            assistant TEXT NOT NULL,
            created BIGINT NOT NULL,
            changed BIGINT NOT NULL,
            messages BIGINT NOT NULL
        );
        CREATE INDEX chatstep_conversations_changed ON chatstep_conversations (changed);
        CREATE TABLE chatstep_messages (
            conversation TEXT NOT NULL,
            number BIGINT NOT NULL,
            message_id TEXT,
            body TEXT NOT NULL,
            PRIMARY KEY (conversation, number)
        );
        CREATE UNIQUE INDEX chatstep_messages_once ON chatstep_messages (conversation, message_id)
        """,
    ),
    Migration(
        "0003-ledger",
        """
        CREATE TABLE chatstep_ledger (
            id {serial},
            time BIGINT NOT NULL,
            connection TEXT NOT NULL,
            model TEXT NOT NULL,
            answered TEXT NOT NULL,
            prompt BIGINT,
            cached BIGINT,
            completion BIGINT,
            reasoning BIGINT,
            cost BIGINT,
            assumed SMALLINT NOT NULL,
            attempts BIGINT NOT NULL,
            outcome TEXT NOT NULL,
            duration_ms BIGINT NOT NULL,
            request_id TEXT NOT NULL
        );
        CREATE INDEX chatstep_ledger_time ON chatstep_ledger (time);
        CREATE TABLE chatstep_spend (
            connection TEXT NOT NULL,
            day BIGINT NOT NULL,
            amount BIGINT NOT NULL,
            PRIMARY KEY (connection, day)
        );
        CREATE TABLE chatstep_ledger_writers (
            writer TEXT PRIMARY KEY,
            batch BIGINT NOT NULL
        )
        """,
    ),
    Migration(
        "0004-flows",
        """
        CREATE TABLE chatstep_flows (
            name TEXT PRIMARY KEY,
            version TEXT NOT NULL,
            changed BIGINT NOT NULL
        );
        CREATE TABLE chatstep_flow_versions (
            name TEXT NOT NULL,
            version TEXT NOT NULL,
            text TEXT NOT NULL,
            published BIGINT NOT NULL,
            PRIMARY KEY (name, version)
        );
        CREATE TABLE chatstep_workers (
            id TEXT PRIMARY KEY,
            host TEXT NOT NULL,
            pid BIGINT NOT NULL,
            seen BIGINT NOT NULL
        )
        """,
    ),
    Migration(
        "0005-tokens",
        """
        CREATE TABLE chatstep_tokens (
            name TEXT PRIMARY KEY,
            digest TEXT NOT NULL,
            admin SMALLINT NOT NULL,
            models TEXT NOT NULL,
            daily_limit BIGINT,
            monthly_limit BIGINT,
            created BIGINT NOT NULL,
            expires BIGINT,
            used BIGINT
        );
        CREATE UNIQUE INDEX chatstep_tokens_digest ON chatstep_tokens (digest);
        ALTER TABLE chatstep_ledger ADD COLUMN token TEXT NOT NULL DEFAULT ''
        """,
    ),
    Migration(
        "0006-schedules",
        """
        CREATE TABLE chatstep_schedules (
            flow TEXT NOT NULL,
            schedule TEXT NOT NULL,
            seen BIGINT NOT NULL,
            PRIMARY KEY (flow, schedule)
        )
        """,
    ),
    Migration(
        "0007-turns",
        """
        CREATE TABLE chatstep_turns (
            connection TEXT NOT NULL,
            moment BIGINT NOT NULL
        );
        CREATE INDEX chatstep_turns_moment ON chatstep_turns (connection, moment)
        """,
    ),
    Migration(
        "0008-answers",
        """
        CREATE TABLE chatstep_answers (
            who TEXT PRIMARY KEY,
            asked TEXT NOT NULL,
            owner TEXT NOT NULL,
            until BIGINT NOT NULL,
            answer {bytes}
        );
        CREATE INDEX chatstep_answers_until ON chatstep_answers (until)
        """,
    ),
    Migration(
        "0009-contents",
        """
        CREATE TABLE chatstep_content_keys (
            id {serial},
            sealed {bytes} NOT NULL
        )
        """,
    ),
)


def migrate(database: Database, migrations: tuple[Migration, ...] = MIGRATIONS) -> list[str]:
    """Apply what is missing, all of it or nothing, and give the names of what was applied.

    Two processes may start at once: the second waits and finds nothing to do. Raises StoreError for a database that
    a newer chatstep wrote, or that belongs to another program.
    """
    if not _missing(database, migrations):
        return []
    with database.transaction(lock="migrations"):
        missing = _missing(database, migrations)
        if APPLIED not in database.tables():
            database.execute(f"CREATE TABLE {APPLIED} (name TEXT PRIMARY KEY, applied BIGINT NOT NULL)")
        for migration in missing:
            for statement in migration.script.format_map(database.words).split(";"):
                database.execute(statement)
            database.execute(
                f"INSERT INTO {APPLIED} (name, applied) VALUES (?, ?)",  # noqa: S608 - a constant of ours
                (migration.name, unix_ms()),
            )
        return [migration.name for migration in missing]


def _missing(database: Database, migrations: tuple[Migration, ...]) -> list[Migration]:
    tables = database.tables()
    if APPLIED not in tables:
        # A Postgres database may well be shared; a file in chatstep's folder is chatstep's or a mistake.
        if tables and not database.shared:
            raise StoreError(
                "The database belongs to another program: it has tables, but none of chatstep's.",
                place=database.place,
                hint="Nothing in it was changed. Move it away, or let CHATSTEP_HOME name another folder.",
            )
        return list(migrations)
    applied = {name for (name,) in database.rows(f"SELECT name FROM {APPLIED}")}  # noqa: S608 - a constant of ours
    newer = sorted(applied - {migration.name for migration in migrations})
    if newer:
        raise StoreError(
            f"The database was written by a newer chatstep ({newer[-1]} is not known here).",
            place=database.place,
            hint="Upgrade chatstep: pip install --upgrade chatstep. Nothing in the database was changed.",
        )
    return [migration for migration in migrations if migration.name not in applied]
