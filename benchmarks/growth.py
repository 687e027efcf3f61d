"""How the figures change as the log grows: `make bench-large`."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from benchmarks.appending import save_orders
from benchmarks.bench import Bench, Sizes, new_order
from benchmarks.history import TIMEOUT_S, History, fold_by_server, history
from benchmarks.ids import KINDS, index_costs
from benchmarks.plots import draw
from benchmarks.report import shown, write_objects
from benchmarks.workload import Point, rate, seconds
from projections import OrdersProjection, ProjectionWorker

__all__ = ["LOG_SIZES", "grow"]

LOG_SIZES = (10_000, 1_000_000, 20_000_000)
_WRITERS = 32
_ACTIVE = 200
_IDS = 1_000
_AGO = 1_000
_UNITS = {
    "append, 32 writers": "events/s",
    "append, one writer": "events/s",
    "load one order": "µs",
    f"{_ACTIVE} active orders": "µs",
    "one order as of the middle": "µs",
    f"{_ACTIVE} active orders as of {_AGO:,} events ago": "µs",
    "projection, rows written": "events/s",
    "events, indexes and all": "bytes/event",
    "primary key of events": "bytes/event",
    **{f"primary key, {kind}": "bytes/key" for kind in KINDS},
    **{f"WAL of a new key, {kind}": "bytes/key" for kind in KINDS},
}
# What the largest log takes on disk, with its write-ahead log, is to stay below 20 GB; and it is made in one go, after
# which nothing is to be tidied up while something is measured.
_SETTINGS = {"max_wal_size": "2GB", "maintenance_work_mem": "1GB", "autovacuum": "off"}

Found = dict[str, dict[int, list[float]]]


async def grow(sizes: Sizes, events: Sequence[int], console: Console, *, results: Path, plots: Path) -> None:
    """Measure at each size of the log; print the medians, write them, and plot them."""
    found: Found = {name: {} for name in _UNITS}
    async with Bench.start(sizes, **_SETTINGS) as bench:
        for size in events:
            began = time.perf_counter()
            log = await _log(bench, size)
            made_s = time.perf_counter() - began
            for _ in range(sizes.rounds):
                _note(found, size, await _measure(log, sizes))
            _note(found, size, await index_costs(bench, size))
            took_s = time.perf_counter() - began
            console.print(
                f"[dim]{size:,} events: made in {made_s:.0f} s, measured in {took_s - made_s:.0f} s[/dim]"
            )
    medians = {
        name: {size: statistics.median(values) for size, values in by_size.items()}
        for name, by_size in found.items()
    }
    console.print(_table(medians, events))
    write_objects(results, _lines(found, medians))
    for line in draw(plots, _points(medians)):
        console.print(line)


def _note(found: Found, size: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        found[name].setdefault(size, []).append(value)


def _table(medians: Mapping[str, Mapping[int, float]], events: Sequence[int]) -> Table:
    table = Table(
        "",
        *(f"{size:,} events" for size in events),
        "unit",
        "last / first",
        title="by the size of the log, medians",
    )
    for name, unit in _UNITS.items():
        values = [medians[name][size] for size in events]
        table.add_row(name, *map(shown, values), unit, f"{values[-1] / values[0]:.2f}")
    return table


def _lines(found: Found, medians: Mapping[str, Mapping[int, float]]) -> list[dict[str, Any]]:
    return [
        {"figure": name, "events": size, "value": value, "unit": _UNITS[name], "runs": len(found[name][size])}
        for name, by_size in medians.items()
        for size, value in by_size.items()
    ]


def _points(medians: Mapping[str, Mapping[int, float]]) -> list[Point]:
    points = []
    for name, by_size in medians.items():
        what, _, kind = name.rpartition(", ")
        curve, series = (what, kind) if kind in KINDS else (name, name)
        points += [
            Point(f"{curve}, {_UNITS[name]} by events of the log", series, size, value)
            for size, value in by_size.items()
        ]
    return points


async def _log(bench: Bench, size: int) -> History:
    log = await history(bench, size, f"growth_{size}")
    await fold_by_server(log)
    async with log.store.unit_of_work() as uow:
        await uow.orders.save_many([new_order() for _ in range(_ACTIVE)])
    await _fold_tail(log)
    async with log.store.connection.acquire() as connection:
        await connection.execute("CHECKPOINT", timeout=TIMEOUT_S)
    return log


async def _measure(log: History, sizes: Sizes) -> dict[str, float]:
    store = log.store
    some = await _orders_of_every_age(log)
    ids = itertools.cycle(some)
    early = itertools.cycle(some[: len(some) // 2])
    head = await store.log.head()

    async def load() -> None:
        async with store.unit_of_work() as uow:
            if await uow.orders.get_order_by_id(next(ids)) is None:
                raise RuntimeError("an order is gone")

    async def active() -> None:
        async with store.unit_of_work() as uow:
            if len(await uow.orders.get_active_orders(limit=_ACTIVE)) != _ACTIVE:
                raise RuntimeError("there are too few active orders")

    async def middle() -> None:
        async with store.as_of(position=log.events // 2) as past:
            await past.orders.get_order_by_id(next(early))

    async def active_ago() -> None:
        async with store.as_of(position=max(head - _AGO, 0)) as past:
            await past.orders.get_active_orders(limit=_ACTIVE)

    few = max(sizes.reads // 10, 1)
    found = {
        "load one order": 1e6 / await rate(sizes.reads, 1, load),
        f"{_ACTIVE} active orders": 1e6 / await rate(few, 1, active),
        "one order as of the middle": 1e6 / await rate(few, 1, middle),
        f"{_ACTIVE} active orders as of {_AGO:,} events ago": 1e6 / await rate(few, 1, active_ago),
        "append, one writer": await save_orders(store, sizes.single_appends, 1),
        "append, 32 writers": await save_orders(store, sizes.appends, _WRITERS),
    }
    appended = sizes.single_appends + sizes.appends
    found["projection, rows written"] = appended / await seconds(_fold_tail(log))
    async with store.connection.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT max(position)::float AS events, pg_total_relation_size('events') AS whole, "
            "pg_relation_size('events_pkey') AS key FROM events"
        )
    found["events, indexes and all"] = row["whole"] / row["events"]
    found["primary key of events"] = row["key"] / row["events"]
    return found


async def _orders_of_every_age(log: History) -> list[UUID]:
    """Return ids of orders in the order in which they were made."""
    step = max(log.events // _IDS, 1)
    async with log.store.connection.acquire() as connection:
        rows = await connection.fetch(
            "SELECT stream_id FROM events WHERE position = ANY ($1::bigint[]) ORDER BY position",
            list(range(1, log.events + 1, step)),
        )
    return [row["stream_id"] for row in rows]


async def _fold_tail(log: History) -> None:
    await ProjectionWorker(log.store.log, OrdersProjection()).catch_up(await log.store.log.head())
