"""`migrate` and `grant`: the schema, and the rights of roles."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from eventstore.cli.modules import all_projections, load_entry_points, projections_named
from eventstore.cli.output import TextTable, say, show_table
from eventstore.cli.running import DIFFERENT
from eventstore.cli.target import Data, Url, adapter_for, configuration
from eventstore.database import DatabaseConfig, MigrationManager
from eventstore.database.grants import Granted, RoleRights, grant as grant_rights
from eventstore.sql import Named


def migrate(
    url: Url = None,
    data: Data = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="Migrate up or down to this version, such as 3."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
) -> None:
    """Migrate the database's schema to the newest version, or to the version given by --to."""
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
    *,
    writer: Annotated[
        str | None, typer.Option("--writer", metavar="ROLE", help="May append events and read everything.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option("--reader", metavar="ROLE", help="May read everything.")
    ] = None,
    projector: Annotated[
        str | None,
        typer.Option("--projector", metavar="ROLE", help="May write the read tables and read everything."),
    ] = None,
    sealer: Annotated[
        str | None, typer.Option("--sealer", metavar="ROLE", help="May add seals and read everything.")
    ] = None,
    importer: Annotated[
        str | None,
        typer.Option(
            "--importer", metavar="ROLE", help="May load histories and exported logs, and read everything."
        ),
    ] = None,
    revoke: Annotated[
        str | None, typer.Option("--revoke", metavar="ROLE", help="Loses all rights on the store.")
    ] = None,
    projection: Annotated[
        list[str] | None,
        typer.Option(
            "--projection",
            metavar="NAME",
            help="Your projection whose table the projector may write, by its name or as MODULE:CLASS; may be repeated. "
            "Default: all projections of --module whose tables exist.",
        ),
    ] = None,
) -> int:
    """Give each role the rights of its option, remove its other rights, and print what it may do now.

    An administrator of the server creates the roles first. The status is 1 if a role may do more than
    its option allows.
    """
    named = [one.table.name for one in projections_named(projection or [])]
    load_entry_points()
    known = [one.table.name for one in all_projections()]
    with configuration(url, data) as config:
        done = asyncio.run(
            _grant(
                config,
                writer=writer,
                reader=reader,
                projector=projector,
                sealer=sealer,
                importer=importer,
                revoke=revoke,
                tables=(named, known),
            )
        )
    for statement in done.statements:
        say(statement)
    table = TextTable("Rights", ["role", "named for", "may", "on"])
    for one in done.roles:
        for privileges, names in _by_privileges(one):
            table.add_row(one.role, ", ".join(one.parts) or "nothing", privileges, names)
    show_table(table)
    for line in (*done.remarks, *(line for one in done.roles for line in one.beyond)):
        say(line)
    return 0 if done.is_as_intended else DIFFERENT


async def _grant(config: DatabaseConfig, *, tables: tuple[list[str], list[str]], **roles: Any) -> Granted:
    named, known = tables
    async with adapter_for(config) as adapter:
        rows = await adapter.fetch_all(Named("database/existing_tables"), known)
        return await grant_rights(adapter, tables=[*named, *(row["name"] for row in rows)], **roles)


def _by_privileges(rights: RoleRights) -> list[tuple[str, list[str]]]:
    """Return each combination of privileges of a role, with the objects that it applies to."""
    alike: dict[str, list[str]] = {}
    for name, privileges in rights.rights.items():
        alike.setdefault(", ".join(privileges), []).append(name)
    return list(alike.items()) or [("nothing", [])]
