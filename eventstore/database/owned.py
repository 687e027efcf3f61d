"""The names that the store owns in its schema, for tools that compare a schema with a model."""

from __future__ import annotations

from eventstore.database.migration_files import load_migrations, packaged_directory
from eventstore.sql import with_end

REBUILD_END = "__rebuild"
"""The end of the name of the table that a rebuild builds beside the live one."""

_MIGRATIONS = "schema_migrations"
_READ_TABLES = ("orders", "positions", "portfolios", "portfolio_snapshots", "instruments")


def store_names(*tables: str) -> frozenset[str]:
    """Return the names that the store owns in its schema: tables, sequences, types and functions.

    A tool that compares a schema with a model, such as Alembic's autogenerate, must leave them alone. The names
    are those of this version of the library; no database is asked.

    Args:
        tables: The tables of your own projections, which the store owns as well.

    Raises:
        MigrationError: The installation is damaged.
    """
    migrated = {name for one in load_migrations(packaged_directory()) for name in one.creates}
    beside = {with_end(name, REBUILD_END) for name in (*_READ_TABLES, *tables)}
    return frozenset(migrated | beside | {_MIGRATIONS, *tables})
