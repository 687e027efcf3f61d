"""`work`: keeping the read tables up to date."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Annotated, Any

import typer

from eventstore.cli.modules import all_projections, projections_named
from eventstore.cli.output import say
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.database.cancellation import end
from eventstore.store import EventStore
from projections import Projection, Supervisor
from projections.engine.partitions import ensure_partitions


def work(
    url: Url = None,
    data: Data = None,
    projection: Annotated[
        list[str] | None,
        typer.Option(
            "--projection",
            metavar="NAME",
            help="Only this one, or MODULE:CLASS; may be given again. Default: all built-in ones and those of --module.",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            metavar="N",
            help="Split each into so many partitions first, for all processes. Default: as it is.",
        ),
    ] = None,
) -> None:
    """Keep the read tables up to date, until SIGINT (Ctrl-C) or SIGTERM ends it cleanly, with status 0."""
    chosen = projections_named(projection) if projection else all_projections()
    with configuration(url, data) as config:
        asyncio.run(_work(config, chosen, partitions))


async def _work(config: DatabaseConfig, chosen: list[Projection[Any]], partitions: int | None) -> None:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    async with EventStore.open(config, workers=False) as store:
        await store.require_migrated(workers=True)
        if partitions is not None:
            for one in chosen:
                before = await ensure_partitions(store.log, one, partitions)
                if before != partitions:
                    say(f"{one.name}: from {before} partitions to {partitions}, for all processes")
        supervisor = Supervisor(store.log, chosen)
        supervisor.start()
        # What stands now stays: the collector, which takes 50 ms to look through it, need not do so again and again.
        gc.collect()
        gc.freeze()
        say(f"at work on {', '.join(one.name for one in chosen)}")
        stopping = asyncio.create_task(told_to_stop.wait(), name="eventstore wait for a signal")
        failing = asyncio.create_task(supervisor.failed(), name="eventstore wait for a failure")
        try:
            # One that fails takes the others with it: who watches the process then sees it end.
            await asyncio.wait((stopping, failing), return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
        finally:
            await end(stopping, failing)
            await supervisor.stop()
    say("stopped")
