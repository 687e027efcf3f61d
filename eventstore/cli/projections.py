"""`work`: keeps the read tables up to date."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Annotated, Any

import typer

from eventstore.cli.modules import all_projections, projections_named
from eventstore.cli.output import say
from eventstore.cli.running import run_long
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
            help="A projection by its name or as MODULE:CLASS; may be repeated. Default: all built-in projections, and "
            "those of --module.",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            metavar="N",
            help="First split each projection into N partitions, for all processes. Default: no change.",
        ),
    ] = None,
) -> None:
    """Keep the read tables up to date, until SIGINT (Ctrl-C) or SIGTERM ends the command with status 0."""
    chosen = projections_named(projection) if projection else all_projections()
    with configuration(url, data) as config:
        run_long(_work(config, chosen, partitions))


async def _work(config: DatabaseConfig, chosen: list[Projection[Any]], partitions: int | None) -> None:
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_requested.set)
    async with EventStore.open(config, workers=False) as store:
        await store.require_migrated(workers=True)
        if partitions is not None:
            for one in chosen:
                before = await ensure_partitions(store.log, one, partitions)
                if before != partitions:
                    say(f"{one.name}: from {before} partitions to {partitions}, for all processes")
        supervisor = Supervisor(store.log, chosen)
        supervisor.start()
        # The objects of now stay alive: scanning them takes 50 ms, and the collector need not repeat that.
        gc.collect()
        gc.freeze()
        say(f"working on {', '.join(one.name for one in chosen)}")
        stopping = asyncio.create_task(stop_requested.wait(), name="eventstore wait for a signal")
        failing = asyncio.create_task(supervisor.failed(), name="eventstore wait for a failure")
        try:
            # If one worker fails, the process ends, so that whatever watches the process notices.
            await asyncio.wait((stopping, failing), return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
        finally:
            await end(stopping, failing)
            await supervisor.stop()
    say("stopped")
