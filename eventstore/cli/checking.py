"""`check` and `repair`: whether everything is what it must be, and what a restore has lost."""

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
from projections.check import Audit, plan_repair
from projections.check import check as audit
from projections.check import repair as repair_all

_Named = Annotated[
    list[str] | None,
    typer.Option(
        "--projection",
        metavar="NAME",
        help="Only this one, or MODULE:CLASS; may be given again. Default: all that the database keeps.",
    ),
]


def check(
    projection: _Named = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    url: Url = None,
    data: Data = None,
) -> int:
    """Hold the log to its rules and the read tables to the log; say what is wrong and how to repair it.

    Nothing is changed, and everything goes on. The status is 1 where something is wrong. What may be meant so and is a
    risk, such as a setting that trades safety for speed, is a warning on standard error.
    """
    chosen = projections_named(projection) if projection else None
    with configuration(url, data) as config:
        found, others = asyncio.run(_check(config, chosen))
    if json:
        told = _as_json(found) | {"not_checked": others}
        say_json(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        _say(found, others)
    for warning in found.warnings:
        say_error(f"warning: {warning.kind}: {warning.what}: {warning.repair}")
    return 0 if found.is_sound else DIFFERENT


async def _check(config: DatabaseConfig, chosen: list[Projection[Any]] | None) -> tuple[Audit, list[str]]:
    """Return what was found, and the names of the projections that were not looked at, since their code is not known."""
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
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first, as a terminal is asked.")] = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Repair what a restore has lost: no position is assigned twice, and no table keeps what is not in the log.

    At a terminal it says first what it would do, and asks; `--dry-run` only says it. Where nothing is wrong nothing is
    done. Projections of your own that are concerned are named with --projection, besides
    the built-in ones. No process should use the database meanwhile.
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
            f"{one.projection}: {one.rows_equal} rows are what the log says at position {one.position}; "
            f"{one.events} events were delivered"
        )
    for finding in found.findings:
        say(f"{finding.projection or 'log'}: {finding.kind}: {finding.what}: {finding.repair}")
    for name in others:
        say(f"{name}: not checked, since its code is not known here: give --module MODULE")
    say("all is sound" if found.is_sound else f"{len(found.findings)} finding(s)")


def _as_json(found: Audit) -> dict[str, Any]:
    return {"is_sound": found.is_sound, **dataclasses.asdict(found)}
