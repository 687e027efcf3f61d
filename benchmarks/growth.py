"""How the figures change as the log grows: `make bench-large`."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.appending import save_orders
from benchmarks.bench import Bench, Sizes, new_order
from benchmarks.history import History, fold_by_server, history
from benchmarks.plots import draw
from benchmarks.report import shown
from benchmarks.workload import Point, rate, seconds
from projections import OrdersProjection, ProjectionWorker

__all__ = ["LOG_SIZES", "grow"]

LOG_SIZES = (10_000, 1_000_000, 20_000_000)
_WRITERS = 32
_ACTIVE = 200
_IDS = 1_000
_UNITS = {
    "append, 32 writers": "events/s",
    "append, one writer": "events/s",
    "load one order": "µs",
    f"{_ACTIVE} active orders": "µs",
    "projection, rows written": "events/s",
    "disk, indexes and all": "bytes/event",
}


async def grow(sizes: Sizes, events: Sequence[int], console: Console, *, plots: Path) -> None:
    """Measure at each size of the log, print the medians, and plot them."""
    found: dict[str, dict[int, float]] = {name: {} for name in _UNITS}
    async with Bench.start(sizes) as bench:
        for size in events:
            console.print(f"[dim]a log of {size:,} events is made[/dim]")
            log = await history(bench, size, f"growth_{size}")
            await fold_by_server(log)
            async with log.store.unit_of_work() as uow:
                await uow.orders.save_many([new_order() for _ in range(_ACTIVE)])
            await _fold_tail(log)
            rounds: dict[str, list[float]] = {}
            for _ in range(sizes.rounds):
                for name, value in (await _measure(log, sizes)).items():
                    rounds.setdefault(name, []).append(value)
            for name, values in rounds.items():
                found[name][size] = statistics.median(values)
    table = Table(
        "", *(f"{size:,} events" for size in events), "unit", title="by the size of the log, medians"
    )
    for name, unit in _UNITS.items():
        table.add_row(name, *(shown(found[name][size]) for size in events), unit)
    console.print(table)
    points = [
        Point(f"{name}, {_UNITS[name]} by events of the log", name, size, value)
        for name, by_size in found.items()
        for size, value in by_size.items()
    ]
    for line in draw(plots, points):
        console.print(line)


async def _measure(log: History, sizes: Sizes) -> dict[str, float]:
    store = log.store
    async with store.connection.acquire() as connection:
        # Some of every age: the ids ascend with time.
        rows = await connection.fetch(
            "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number, count(*) OVER () AS orders "
            "FROM orders) AS numbered WHERE number % greatest(orders / $1, 1) = 0",
            _IDS,
            timeout=600,
        )
        disk = await connection.fetchval(
            "SELECT pg_total_relation_size('events')::float / greatest((SELECT max(position) FROM events), 1)"
        )
    ids = itertools.cycle([row["id"] for row in rows])
    found = {"disk, indexes and all": disk}

    async def load() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.get_order_by_id(next(ids))

    async def active() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.get_active_orders(limit=_ACTIVE)

    found["load one order"] = 1e6 / await rate(sizes.reads, 1, load)
    found[f"{_ACTIVE} active orders"] = 1e6 / await rate(max(sizes.reads // 10, 1), 1, active)
    found["append, one writer"] = await save_orders(store, sizes.single_appends, 1)
    found["append, 32 writers"] = await save_orders(store, sizes.appends, _WRITERS)
    events = sizes.single_appends + sizes.appends
    found["projection, rows written"] = events / await seconds(_fold_tail(log))
    return found


async def _fold_tail(log: History) -> None:
    await ProjectionWorker(log.store.log, OrdersProjection()).catch_up(await log.store.log.head())
