"""Privilege separation: what the roles of a writer, a reader and a projector may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore import errors
from eventstore.database.migration_files import load_migrations, packaged_directory
from eventstore.sql import Named

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.database.adapter import PostgreSQLAdapter

__all__ = ["grant"]

_LOG_TABLES = ["events", "event_seals"]
_SEQUENCES = ["events_position_seq"]


async def grant(
    adapter: PostgreSQLAdapter,
    *,
    writer: str | None = None,
    reader: str | None = None,
    projector: str | None = None,
    directory: Path | None = None,
) -> tuple[str, ...]:
    """Give roles their rights in the current schema, in one transaction. Safe to repeat.

    The writer may add events and read everything; the reader may read everything; the projector may read
    everything, owns the tables of the read side and may make new ones. None may change or remove an event.
    Roles belong to the cluster, so they are made by its administrator, and may be the same for two parts.
    Run this as the owner of the tables who may also act as the projector, or as a superuser, and again after
    each migration that makes tables.

    Args:
        adapter: Where to run; without an open transaction.
        writer: The role of processes that append.
        reader: The role of processes that only read.
        projector: The role of projection workers.
        directory: The folder of the migrations; None: the library's own.

    Returns:
        The statements that ran.

    Raises:
        ConfigurationError: No role is named, or one does not exist.
        NotMigratedError: The database has no events table.
        RepositoryError: The role that runs this may not give these rights.
    """
    roles = sorted({role for role in (writer, reader, projector) if role is not None})
    if not roles:
        raise errors.ConfigurationError("name at least one role: --writer, --reader or --projector")
    missing = [row["name"] for row in await adapter.fetch_all(Named("database/missing_roles"), roles)]
    if missing:
        named = ", ".join(missing)
        raise errors.ConfigurationError(
            f"there is no role {named}: let the administrator CREATE ROLE it first"
        )
    made = {name for one in load_migrations(directory or packaged_directory()) for name in one.creates}
    read_tables = await _tables(adapter, sorted(made - {*_LOG_TABLES, *_SEQUENCES}))
    if not await _tables(adapter, _LOG_TABLES[:1]):
        raise errors.NotMigratedError("the database has no events table yet: run `eventstore migrate`")
    async with adapter.transaction():
        rows = await adapter.fetch_all(
            Named("database/grant_statements"),
            writer,
            reader,
            projector,
            _LOG_TABLES,
            read_tables,
            _SEQUENCES,
        )
        statements = tuple(row["statement"] for row in rows)
        for statement in statements:
            await adapter.execute(statement)
    return statements


async def _tables(adapter: PostgreSQLAdapter, names: list[str]) -> list[str]:
    return [row["name"] for row in await adapter.fetch_all(Named("database/existing_tables"), names)]
