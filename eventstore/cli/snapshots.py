"""`snapshot`: stores what makes reports and reads of the past fast, where workers have not."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from eventstore.cli.output import bars, say
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.store import EventStore


def snapshot(
    dropped: Annotated[
        bool, typer.Option("--drop", help="Drop all that is stored of the past: it costs nothing but time.")
    ] = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Store what makes reads of the past fast, for events that workers folded without it."""
    with configuration(url, data) as config:
        asyncio.run(_snapshot(config, is_drop=dropped))


async def _snapshot(config: DatabaseConfig, *, is_drop: bool) -> None:
    async with EventStore.open(config, workers=False) as store:
        if is_drop:
            say(f"{await store.state_snapshots.drop()} state snapshots dropped")
        else:
            say(f"{await _make(store)} state snapshots made")


async def _make(store: EventStore) -> int:
    with bars(transient=True) as shown:
        bar = shown.add("reading the log", total=None)

        def show(category: str, done: int, all_of_it: int) -> None:
            shown.update(bar, description=f"storing each {category}", completed=done, total=max(all_of_it, 1))

        return await store.state_snapshots.make(on_progress=show)
