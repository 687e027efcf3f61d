"""A first measurement: the store beside raw asyncpg on one embedded server, in turn; only the ratios mean something.

    make bench            or            python -m benchmarks [--rounds N]

Durable settings (fsync and synchronous_commit on). No worker runs while appends are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from eventstore import EventStore, Order, OrderSide
from eventstore.database.embedded import EmbeddedServer
from projections import OrdersProjection, ProjectionWorker

WRITERS = (1, 32, 128)
APPENDS = {1: 1_000, 32: 6_000, 128: 6_000}
LOADS = 500

BARE_TABLE = """
CREATE TABLE bare (
    position bigint NOT NULL UNIQUE, occurred_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL,
    version integer NOT NULL, schema_version smallint NOT NULL, stream_id uuid NOT NULL, event_id uuid NOT NULL,
    category text NOT NULL, type text NOT NULL, data jsonb NOT NULL, metadata jsonb NOT NULL,
    PRIMARY KEY (stream_id, version)
)
"""
BARE_SEQUENCE = "CREATE SEQUENCE bare_seq"
BARE_INSERT = """
INSERT INTO bare VALUES (nextval('bare_seq'), now(), now(), 1, 1, $1, $2, 'order', 'OrderCreated', $3, '{}')
"""


def new_order() -> Order:
    """An order as an engine makes one."""
    return Order.create_limit_order("ESU3", Decimal(5), OrderSide.BUY, limit_price=Decimal("1640.25"))


async def rate(count: int, writers: int, work: Callable[[], Awaitable[Any]]) -> float:
    """How often a second `work` is done by so many at once."""
    left = count

    async def writer() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await work()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(writer())
    return count / (time.perf_counter() - began)


async def measure(store: EventStore) -> dict[str, tuple[float, float]]:
    """One round: for each workload the store's rate and the floor's, a second."""
    data = new_order().pending_events[0].event.to_json().decode()

    async def save() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(new_order())

    async def insert() -> None:
        async with store.connection.acquire() as connection:
            await connection.execute(BARE_INSERT, uuid4(), uuid4(), data)

    found: dict[str, tuple[float, float]] = {}
    for writers in WRITERS:
        name = f"one event per Unit of Work, {writers} writers / one INSERT per transaction"
        ours = await rate(APPENDS[writers], writers, save)
        found[name] = ours, await rate(APPENDS[writers], writers, insert)

    began, head = time.perf_counter(), await store.log.head()
    worker = ProjectionWorker(store.log, OrdersProjection())
    before = await worker.checkpoint()
    await worker.catch_up(head)
    found["a worker catching up, events written as rows / -"] = (
        (head - before) / (time.perf_counter() - began),
        float("nan"),
    )

    async with store.connection.acquire() as connection:
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM orders LIMIT $1", LOADS)]
    waiting = iter(ids)

    async def load() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.get_order_by_id(next(waiting))

    async def select() -> None:
        async with store.connection.acquire() as connection:
            await connection.fetchrow("SELECT * FROM orders WHERE id = $1", next(waiting))

    ours = await rate(len(ids), 1, load)
    waiting = iter(ids)
    found["load one order / SELECT by key"] = ours, await rate(len(ids), 1, select)
    return found


def shown(number: float, form: str) -> str:
    """A number as the table has it; nothing where there is none."""
    return "" if math.isnan(number) else format(number, form)


async def run(rounds: int) -> None:
    """Measure so many rounds, and print the medians."""
    with EmbeddedServer.start() as server:
        async with EventStore.open(
            server.config(min_pool_size=20, max_pool_size=20), workers=False, migrate=True
        ) as store:
            async with store.connection.acquire() as connection:
                await connection.execute(BARE_TABLE)
                await connection.execute(BARE_SEQUENCE)
            results = [await measure(store) for _ in range(rounds)]
    table = Table(
        "workload / floor", "store, 1/s", "floor, 1/s", "ratio", title=f"medians of {rounds} rounds"
    )
    for name in results[0]:
        ours = statistics.median(result[name][0] for result in results)
        floor = statistics.median(result[name][1] for result in results)
        ratio = statistics.median(result[name][0] / result[name][1] for result in results)
        table.add_row(
            name, *(shown(number, form) for number, form in ((ours, ",.0f"), (floor, ",.0f"), (ratio, ".2f")))
        )
    Console().print(table)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each workload is run (default 3)")
    asyncio.run(run(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
