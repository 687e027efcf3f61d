"""`migrate` and `grant`: the schema, and who may do what."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from eventstore.cli.output import say, say_lines
from eventstore.cli.target import Data, Url, adapter_for, configuration
from eventstore.database import DatabaseConfig, MigrationManager
from eventstore.database.grants import grant as grant_rights

__all__ = ["grant", "migrate"]


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
            say_lines(statement)
