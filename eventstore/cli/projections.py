"""`work`: keeping the read tables up to date."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Annotated, Any

import typer

from eventstore.cli.output import say
from eventstore.cli.tables import projection_named
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError
from eventstore.replay.disorder import DisorderSearch
from eventstore.store import EventStore, built_in_projections
from projections import Projection, ProjectionRunner
from projections.lanes import ensure_lanes

__all__ = ["named_projections", "work"]


def work(
    url: Url = None,
    data: Data = None,
    projection: Annotated[
        list[str] | None,
        typer.Option(
            "--projection",
            metavar="NAME",
            help="Only this one, or one of your own as MODULE:CLASS; may be given again. Default: all built-in ones.",
        ),
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(
            "--lanes",
            metavar="N",
            help="Split each into so many lanes first, for all processes. Default: as it is.",
        ),
    ] = None,
) -> None:
    """Keep the read tables up to date, until SIGINT (Ctrl-C) or SIGTERM ends it cleanly, with status 0."""
    chosen = named_projections(projection) if projection else list(built_in_projections())
    with configuration(url, data) as config:
        asyncio.run(_work(config, chosen, lanes))


async def _work(config: DatabaseConfig, chosen: list[Projection[Any]], lanes: int | None) -> None:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    async with EventStore.open(config, workers=False) as store, asyncio.TaskGroup() as group:
        await store.require_migrated(workers=True)
        if lanes is not None:
            for one in chosen:
                before = await ensure_lanes(store.log, one, lanes)
                if before != lanes:
                    say(f"{one.name}: from {before} lanes to {lanes}, for all processes")
        # One that fails takes the others with it: who watches the process then sees it end.
        tasks = [group.create_task(ProjectionRunner(store.log, one).run(), name=one.name) for one in chosen]
        tasks.append(group.create_task(DisorderSearch(store.log).run(), name="disorder search"))
        # What stands now stays: the collector, which takes 50 ms to look through it, need not do so again and again.
        gc.collect()
        gc.freeze()
        say(f"at work on {', '.join(one.name for one in chosen)}")
        await told_to_stop.wait()
        for task in tasks:
            task.cancel()
    say("stopped")


def named_projections(names: list[str]) -> list[Projection[Any]]:
    """Return the projections of these names, or of MODULE:CLASS for one's own, each once.

    Raises:
        ConfigurationError: There is none of a name.
    """
    by_name = {one.name: one for one in built_in_projections()}
    by_name |= {path: projection_named(path) for path in names if ":" in path}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ConfigurationError(f"there is no projection {unknown[0]}: there are {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(names)]
