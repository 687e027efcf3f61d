"""`migrate`, `status` and `grant`: the schema, how things stand, and who may do what."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from eventstore.cli.report import plain_table
from eventstore.cli.running import console, say
from eventstore.cli.target import Data, Url, adapter_for, configuration
from eventstore.database import DatabaseConfig, MigrationManager, PostgreSQLAdapter
from eventstore.database.grants import grant as grant_rights
from eventstore.database.migrations import MigrationStatus
from eventstore.errors import NotMigratedError
from eventstore.sql import load

__all__ = ["grant", "migrate", "status"]

# Up to so many events are counted, which takes a second or two; beyond, a sample of the table is.
_COUNTED_EVENTS_MAX = 5_000_000

_SAMPLE_PERCENT = 1.0


def migrate(
    url: Url = None,
    data: Data = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="Up or down to this version, such as 3.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
) -> None:
    """Bring the database's schema to the newest version, or to the one named."""
    with configuration(url, data, make=True) as config:
        asyncio.run(_migrate(config, to, dry_run=dry_run))


async def _migrate(config: DatabaseConfig, to: str | None, *, dry_run: bool) -> None:
    async with adapter_for(config) as adapter:
        manager = MigrationManager(adapter)
        steps = await manager.plan(to)
        if not dry_run:
            await manager.initialize()
            await (manager.migrate_to_latest() if to is None else manager.migrate_to_version(to))
        done = {"up": "apply", "down": "undo"} if dry_run else {"up": "applied", "down": "undone"}
        for step in steps:
            say(f"{'would ' if dry_run else ''}{done[step.direction]} {step.migration.label}")
        current = (await manager.get_status()).current
        say(f"the schema is at version {current or 0:04d}")


def status(url: Url = None, data: Data = None) -> None:
    """Show the migrations, the head of the log, its events by category, and how far each projection has come."""
    with configuration(url, data) as config:
        asyncio.run(_status(config))


async def _status(config: DatabaseConfig) -> None:
    async with adapter_for(config) as adapter:
        info = await adapter.connection_info()
        say(f"PostgreSQL {info.server_version}, database {info.database} as {info.user}")
        migrations = await MigrationManager(adapter).get_status()
        console.print(_migrations_table(migrations))
        if migrations.pending:
            raise NotMigratedError(
                f"the database lacks {len(migrations.pending)} migration(s) from {migrations.pending[0].label} on: "
                "run `eventstore migrate`"
            )
        head = (await _rows(adapter, "log/scan_positions", 0, 0))[0]["head"]
        sample = 100.0 if head <= _COUNTED_EVENTS_MAX else _SAMPLE_PERCENT
        say(f"the head of the log is at position {head}")
        console.print(_categories_table(await _rows(adapter, "log/count_types", sample), sample))
        console.print(_checkpoints_table(await _rows(adapter, "projections/list_checkpoints"), head))


async def _rows(adapter: PostgreSQLAdapter, statement: str, *arguments: Any) -> list[Any]:
    return await adapter.fetch_all(load(statement), *arguments)


def _migrations_table(migrations: MigrationStatus) -> Table:
    table = plain_table("Migrations", ["migration", "applied"], [])
    for one in migrations.applied:
        label = f"{one.version:04d}_{one.name}"
        changed = " (its file is another one now)" if label in migrations.changed else ""
        table.add_row(label, f"{one.applied_at:%Y-%m-%d %H:%M:%S} UTC{changed}")
    for pending in migrations.pending:
        table.add_row(pending.label, "pending")
    return table


def _categories_table(rows: list[Any], sample: float) -> Table:
    about = "" if sample == 100.0 else f", about: from {sample:g} % of the table"  # noqa: PLR2004 - per cent
    table = plain_table(f"Events{about}", ["category"], ["events"])
    events: dict[str, int] = {}
    for row in rows:
        events[row["category"]] = events.get(row["category"], 0) + row["events"]
    for category, count in events.items():
        table.add_row(category, str(count))
    return table


def _checkpoints_table(rows: list[Any], head: int) -> Table:
    table = plain_table("Projections", ["projection"], ["position", "lag in events", "moved"])
    for row in rows:
        lane = f" lane {row['lane']}" if row["lane"] else ""
        # A hole in the positions counts here as an event: there are few.
        lag = max(0, head - row["position"])
        table.add_row(
            f"{row['projection']}{lane}", str(row["position"]), str(lag), f"{row['moved_s_ago']:.0f} s ago"
        )
    return table


def grant(
    url: Url = None,
    data: Data = None,
    writer: Annotated[
        str | None, typer.Option("--writer", metavar="ROLE", help="May add events and read everything.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option("--reader", metavar="ROLE", help="May read everything.")
    ] = None,
    projector: Annotated[
        str | None,
        typer.Option("--projector", metavar="ROLE", help="Owns the read tables and may rebuild them."),
    ] = None,
) -> None:
    """Give roles their rights; the roles themselves are made by the administrator of the server."""
    with configuration(url, data) as config:
        asyncio.run(_grant(config, writer, reader, projector))


async def _grant(
    config: DatabaseConfig, writer: str | None, reader: str | None, projector: str | None
) -> None:
    async with adapter_for(config) as adapter:
        for statement in await grant_rights(adapter, writer=writer, reader=reader, projector=projector):
            say(statement)
