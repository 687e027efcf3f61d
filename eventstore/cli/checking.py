"""`check` and `mend`: whether everything is what it must be, and what a restore has lost."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
import typer

from eventstore.cli.output import bars, say, say_error, say_json
from eventstore.cli.projections import named_projections
from eventstore.cli.rebuilding import show_progress
from eventstore.cli.running import DIFFERENT
from eventstore.cli.target import Data, Url, adapter_for, configuration
from eventstore.database import DatabaseConfig, MigrationManager
from eventstore.log.event_log import EventLog
from eventstore.log.shared import log_of
from eventstore.store import built_in_projections
from projections import Projection
from projections.check import Audit
from projections.check import check as audit
from projections.check import mend as mend_all

__all__ = ["check", "mend"]

_Named = Annotated[
    list[str] | None,
    typer.Option(
        "--projection",
        metavar="NAME",
        help="Only this one, or MODULE:CLASS of your own; may be given again. Default: all built-in ones.",
    ),
]


def check(
    projection: _Named = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    url: Url = None,
    data: Data = None,
) -> int:
    """Hold the log to its rules and the read tables to the log; say what is wrong and how to mend it.

    Nothing is changed, and everything goes on. The status is 1 where something is wrong. What may be meant so and is a
    risk, such as a setting that trades safety for speed, is a warning on standard error.
    """
    chosen = named_projections(projection) if projection else list(built_in_projections())
    with configuration(url, data) as config:
        found = asyncio.run(_check(config, chosen))
    if json:
        say_json(orjson.dumps(_as_json(found), option=orjson.OPT_INDENT_2).decode())
    else:
        _say(found)
    for warning in found.warnings:
        say_error(f"eventstore: warning: {warning.kind}: {warning.what}: {warning.mend}")
    return 0 if found.is_sound else DIFFERENT


async def _check(config: DatabaseConfig, chosen: list[Projection[Any]]) -> Audit:
    async with _log(config) as log:
        with bars(transient=True) as shown:
            bar = shown.add("reading the log", total=1)

            def show(name: str, position: int, target: int) -> None:
                shown.update(bar, description=f"checking {name}", completed=position, total=max(target, 1))

            return await audit(log, chosen, on_progress=show)


def mend(
    projection: _Named = None,
    url: Url = None,
    data: Data = None,
) -> None:
    """Mend what a restore has lost: no position is assigned twice, and no table keeps what is not in the log.

    Where nothing is wrong nothing is done. Projections of your own that are concerned are named with --projection, besides
    the built-in ones. No process should use the database meanwhile.
    """
    chosen = [*built_in_projections(), *named_projections([one for one in projection or [] if ":" in one])]
    with configuration(url, data) as config:
        asyncio.run(_mend(config, chosen))


async def _mend(config: DatabaseConfig, chosen: list[Projection[Any]]) -> None:
    async with _log(config) as log:
        with show_progress() as on_progress:
            done = await mend_all(log, chosen, on_progress=on_progress)
    for line in done or ("there is nothing to mend",):
        say(line)


@asynccontextmanager
async def _log(config: DatabaseConfig) -> AsyncIterator[EventLog]:
    """Open the log of a database that a store would refuse to open."""
    async with adapter_for(config) as adapter:
        await MigrationManager(adapter).ensure_current()
        yield log_of(adapter)


def _say(found: Audit) -> None:
    for one in found.checked:
        say(
            f"{one.projection}: {one.rows_equal} rows are what the log says at position {one.position}; "
            f"{one.events} events were delivered"
        )
    for finding in found.findings:
        say(f"{finding.projection or 'log'}: {finding.kind}: {finding.what}: {finding.mend}")
    say("all is sound" if found.is_sound else f"{len(found.findings)} finding(s)")


def _as_json(found: Audit) -> dict[str, Any]:
    return {"is_sound": found.is_sound, **dataclasses.asdict(found)}
