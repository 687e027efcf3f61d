"""`check` and `repair`: the audit of the database, and its repair after a restore that lost events."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
import typer

from eventstore.cli.modules import kept_projections, projections_named
from eventstore.cli.output import bars, say, say_error, say_json
from eventstore.cli.rebuilding import show_progress
from eventstore.cli.running import DIFFERENT
from eventstore.cli.target import Data, Url, adapter_for, configuration
from eventstore.database import DatabaseConfig, MigrationManager
from eventstore.log.event_log import EventLog
from eventstore.log.shared import log_of
from projections import Projection
from projections.check import Audit, check as audit, plan_repair, repair as repair_all

_Named = Annotated[
    list[str] | None,
    typer.Option(
        "--projection",
        metavar="NAME",
        help="A projection by its name or as MODULE:CLASS; may be repeated. Default: all in the database.",
    ),
]


def check(
    projection: _Named = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    url: Url = None,
    data: Data = None,
) -> int:
    """Check the log against its rules and the read tables against the log.

    The command prints each fault and how to repair it, and ends with status 1 if there is one. It
    changes nothing, and other processes go on. A setting that is a risk but may be intended, such as
    one that trades safety for speed, is a warning on standard error.
    """
    chosen = projections_named(projection) if projection else None
    with configuration(url, data) as config:
        found, others = asyncio.run(_check(config, chosen))
    if json:
        document = _as_json(found) | {"not_checked": others}
        say_json(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _say(found, others)
    for warning in found.warnings:
        say_error(f"warning: {warning.kind}: {warning.what}: {warning.repair}")
    return 0 if found.is_sound else DIFFERENT


async def _check(config: DatabaseConfig, chosen: list[Projection[Any]] | None) -> tuple[Audit, list[str]]:
    """Return the audit, and the names of the projections that it skipped because their code is not known."""
    async with _log(config) as log:
        others: list[str] = []
        if chosen is None:
            chosen, others = await kept_projections(log.connection)
        with bars(transient=True) as shown:
            bar = shown.add("reading the log", total=1)

            def show(name: str, position: int, target: int) -> None:
                shown.update(bar, description=f"checking {name}", completed=position, total=max(target, 1))

            return await audit(log, chosen, on_progress=show), others


def repair(
    projection: _Named = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Repair a database after a restore that lost events.

    Afterwards no position can be assigned twice, and no table contains events that the log lacks. On a
    terminal the command first prints what it would do, and asks; `--dry-run` only prints it. If
    nothing is wrong, it does nothing. Use --projection to name your own projections that need the
    repair. No other process should use the database meanwhile.
    """
    named = projections_named(projection or [])
    with configuration(url, data) as config:
        asyncio.run(_repair(config, named, dry_run=dry_run, asks=not yes and sys.stdin.isatty()))


async def _repair(config: DatabaseConfig, named: list[Projection[Any]], *, dry_run: bool, asks: bool) -> None:
    async with _log(config) as log:
        chosen, _ = await kept_projections(log.connection, named)
        plan = await plan_repair(log, chosen) if dry_run or asks else ()
        for line in plan:
            say(f"would {line}")
        if dry_run and plan:
            return
        if plan:
            typer.confirm("go on?", abort=True)
        with show_progress() as on_progress:
            done = await repair_all(log, chosen, on_progress=on_progress)
    for line in done or ("there is nothing to repair",):
        say(line)


@asynccontextmanager
async def _log(config: DatabaseConfig) -> AsyncIterator[EventLog]:
    """Open the log of a database that a store would refuse to open."""
    async with adapter_for(config) as adapter:
        await MigrationManager(adapter).ensure_current()
        yield log_of(adapter)


def _say(found: Audit, others: list[str]) -> None:
    for one in found.checked:
        say(
            f"{one.projection}: {one.rows_equal} rows equal the log at position {one.position}; "
            f"{one.events} events were delivered"
        )
    for finding in found.findings:
        say(f"{finding.projection or 'log'}: {finding.kind}: {finding.what}: {finding.repair}")
    for name in others:
        say(f"{name}: not checked, because its code is not known: give --module MODULE")
    say("all is sound" if found.is_sound else f"{len(found.findings)} finding(s)")


def _as_json(found: Audit) -> dict[str, Any]:
    return {"is_sound": found.is_sound, **dataclasses.asdict(found)}
