"""A second process of writers, which says `ready` when it is connected and begins at a line of standard input.

python -m benchmarks.writers URL COUNT WRITERS      appends so often, and prints its Units of Work a second
python -m benchmarks.writers URL pace RATE          appends so often a second until it is terminated
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.appending import save_orders
from benchmarks.bench import new_order
from benchmarks.running import run
from eventstore import EventStore
from eventstore.database.config import DatabaseConfig

__all__ = ["main", "paced"]

_WRITERS = 8


async def main(url: str, count: str, number: str) -> None:
    """Append as the command line says."""
    async with EventStore.open(DatabaseConfig.from_url(url), workers=False) as store:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        if count == "pace":
            await paced(store, float(number))
        else:
            print(await save_orders(store, int(count), int(number)))


async def paced(store: EventStore, pace: float) -> None:
    """Append for ever, so many Units of Work a second, by a few writers."""

    async def writer() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(new_order())
            due += _WRITERS / pace
            await asyncio.sleep(max(due - loop.time(), 0))

    async with asyncio.TaskGroup() as group:
        for _ in range(_WRITERS):
            group.create_task(writer())


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
