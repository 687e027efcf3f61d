"""`snapshot`: stores states as of a position, which make reports and reads of the past faster."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from eventstore.cli.output import bars, say
from eventstore.cli.running import NotFoundError
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError
from eventstore.store import EventStore


def snapshot(  # noqa: PLR0917 - the command's options
    position: Annotated[
        int | None,
        typer.Option("--position", metavar="P", min=1, help="As of this position. Default: the last one."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            metavar="N",
            min=1,
            help="Run until stopped, and make one whenever the log has grown by N positions.",
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list the state snapshots.")] = False,
    dropped: Annotated[
        bool, typer.Option("--drop", help="Drop all state snapshots, or the one at --position.")
    ] = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Store all states as of a position. Reads of the past then begin there if now is further away."""
    if listed + dropped + (every is not None) > 1 or (position is not None and (listed or every is not None)):
        raise ConfigurationError(
            "--list, --drop and --every exclude each other, and only --drop accepts --position: give one of them"
        )
    with configuration(url, data) as config:
        asyncio.run(_state_snapshot(config, position, every, listed=listed, dropped=dropped))


async def _state_snapshot(
    config: DatabaseConfig, position: int | None, every: int | None, *, listed: bool, dropped: bool
) -> None:
    async with EventStore.open(config, workers=False) as store:
        if listed:
            for one in await store.state_snapshots.list():
                say(f"{one.position} {one.category}, made at {one.made_at.isoformat()}")
        elif dropped:
            dropped_now = await store.state_snapshots.drop(position=position)
            if position is not None and not dropped_now:
                raise NotFoundError(
                    f"there is no state snapshot at position {position}: --list shows the positions"
                )
            say(f"{dropped_now} dropped")
        elif every is not None:
            await store.state_snapshots.run(every_positions=every)
        else:
            say(f"state snapshot at position {await _make(store, position)}")


async def _make(store: EventStore, position: int | None) -> int:
    with bars(transient=True) as shown:
        bar = shown.add("reading the log", total=None)

        def show(category: str, done: int, all_of_it: int) -> None:
            shown.update(bar, description=f"storing each {category}", completed=done, total=max(all_of_it, 1))

        return await store.state_snapshots.make(position=position, on_progress=show)
