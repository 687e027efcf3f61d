"""Appending: Units of Work beside pgbench and raw asyncpg, one INSERT a transaction."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, ClassVar

from uuid_utils.compat import uuid7

from benchmarks.bench import BARE_COLUMNS, EVENT_JSON, Bench, new_order
from benchmarks.workload import Figure, Goal, Point, Workload, median_us, rate
from eventstore import EventStore

__all__ = [
    "Concurrent",
    "FewStreams",
    "ManyWriters",
    "OneByOne",
    "OneByOneLatency",
    "PacedWithWorkers",
    "TenByOne",
    "WithWorkers",
    "WithWorkersConcurrent",
    "inserting",
    "pgbench_rows",
    "save_orders",
    "save_ten_events",
]

_COLUMNS = ", ".join(BARE_COLUMNS)
# pgbench takes `:name` for a variable.
_JSON = EVENT_JSON.replace('":', '": ')
_VALUES = (
    f"now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'order', 'OrderCreated', '{_JSON}', '{{}}'"
)
_ONE_ROW = f"INSERT INTO bare ({_COLUMNS}) VALUES ({_VALUES});"
_TEN_ROWS = f"INSERT INTO bare ({_COLUMNS}) VALUES {', '.join([f'({_VALUES})'] * 10)};"
_INSERT = (
    f"INSERT INTO bare ({_COLUMNS}) VALUES (now(), now(), 1, 1, $1, $2, 'order', 'OrderCreated', $3, '{{}}')"
)

_TEN_EVENTS = 10
_TURNS = 4
_PACED_A_SECOND = 200
_CURVE = "appends a second by writers"
_OURS = "one event per Unit of Work"


def inserting(pool: Any, rows: int = 1) -> Callable[[], Awaitable[None]]:
    """Return a function that inserts rows in one transaction, one INSERT each, through an asyncpg pool."""

    async def insert() -> None:
        async with pool.acquire() as connection:
            if rows == 1:
                await connection.execute(_INSERT, uuid7(), uuid7(), EVENT_JSON)
            else:
                await connection.executemany(_INSERT, [(uuid7(), uuid7(), EVENT_JSON) for _ in range(rows)])

    return insert


def saving_order(store: EventStore) -> Callable[[], Awaitable[None]]:
    """Return a function that commits a Unit of Work with one new order."""

    async def save() -> None:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(new_order())

    return save


async def save_orders(store: EventStore, count: int, writers: int) -> float:
    """Units of Work a second, each with one new order."""
    return await rate(count, writers, saving_order(store))


async def save_ten_events(store: EventStore, count: int, writers: int) -> float:
    """Units of Work a second, each with ten events of three new orders."""

    async def save() -> None:
        async with store.unit_of_work() as uow:
            for fills in (2, 1, 1):
                order = new_order()
                order.submit("B-1")
                for number in range(fills):
                    order.fill(Decimal(1), Decimal("1640.25"), f"E-{number}")
                await uow.orders.save_order(order)

    return await rate(count, writers, save)


async def pgbench_rows(bench: Bench, *, clients: int, transactions: int, rows: int) -> float | None:
    """Rows per second of pgbench, one row or ten per transaction; None without pgbench."""
    script = _ONE_ROW if rows == 1 else _TEN_ROWS
    found = await bench.pgbench(script, clients=clients, transactions=transactions)
    return None if found is None else found * rows


class _BesidePgbench(Workload):
    unit = "events/s"
    writers: ClassVar[int]
    script = _ONE_ROW
    rows = 1

    async def measure(self, bench: Bench) -> Figure:
        count = bench.sizes.appends // self.rows
        value = await self.run(bench, count) * self.rows
        floor = await self.floor(bench, count)
        beside = await self.beside(bench, count)
        return Figure(value, floor, beside, self.points(value, floor, beside))

    def points(self, _value: float, _floor: float, _beside: dict[str, float]) -> list[Point]:
        return []

    @abstractmethod
    async def run(self, bench: Bench, count: int) -> float:
        """Units of Work a second."""

    async def floor(self, bench: Bench, count: int) -> float:
        found = await bench.pgbench(self.script, clients=32, transactions=count)
        if found is None:
            found = await rate(count, 32, inserting(bench.plain, self.rows))
        return found * self.rows

    async def beside(self, bench: Bench, count: int) -> dict[str, float]:
        async with bench.worker():
            return {"all projections in a second process": await self.run(bench, count) * self.rows}


class Concurrent(_BesidePgbench):
    """One event per Unit of Work, distinct streams, 32 writers."""

    name = "append_32_writers"
    title = "one event per Unit of Work, 32 writers / pgbench, 32 clients"
    goals = (Goal(1.0),)

    async def run(self, bench: Bench, count: int) -> float:
        return await save_orders(bench.store, count, 32)

    def points(self, value: float, floor: float, beside: dict[str, float]) -> list[Point]:
        points = [
            Point(_CURVE, _OURS, 32, value),
            Point(_CURVE, _OURS, 8, beside["8 writers"]),
            Point(_CURVE, "raw asyncpg, no reset", 32, beside["raw asyncpg, 32 tasks, no reset"]),
            Point(_CURVE, "pgbench", 32, floor),
        ]
        points += (
            Point(_CURVE, "pgbench", clients, beside[name])
            for clients in (1, 8)
            if (name := f"pgbench, {clients} clients") in beside
        )
        return points

    async def beside(self, bench: Bench, count: int) -> dict[str, float]:
        few = max(count // 4, 1)
        found = {}
        for clients in (1, 8):
            floor = await bench.pgbench(self.script, clients=clients, transactions=few)
            if floor is not None:
                found[f"pgbench, {clients} clients"] = floor
        found["8 writers"] = await save_orders(bench.store, few, 8)
        found["raw asyncpg, 32 tasks, reset at release"] = await rate(few, 32, inserting(bench.bare))
        found["raw asyncpg, 32 tasks, no reset"] = await rate(few, 32, inserting(bench.plain))
        return found | await super().beside(bench, count)


class ManyWriters(_BesidePgbench):
    """The same with 128 writers, in one process and in two: the better counts."""

    name = "append_128_writers"
    title = "the same, 128 writers, in one process or two / pgbench, 32 clients"
    goals = (Goal(1.2),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure both ways and the floor."""
        count = bench.sizes.appends
        one, two = await self.run(bench, count), await _in_two_processes(bench, count)
        floor = await self.floor(bench, count)
        beside = {"in one process": one, "in two processes": two, **await self.beside(bench, count)}
        return Figure(max(one, two), floor, beside, [Point(_CURVE, _OURS, 128, one)])

    async def run(self, bench: Bench, count: int) -> float:
        return await save_orders(bench.store, count, 128)


async def _in_two_processes(bench: Bench, count: int) -> float:
    url = bench.server.database_url("bench")
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.writers", url, str(count // 2), "64"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()  # connected
    done = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    return len(done) * min(float(output) for output, _ in done)  # until the slower one has ended


class OneByOne(Workload):
    """One event per Unit of Work, one writer after another, with the workers in the same process."""

    name = "append_1_writer"
    title = "the same, one writer, workers in its process / raw asyncpg, one INSERT a transaction"
    unit = "events/s"
    goals = (Goal(0.9),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure; the floor is the pool as asyncpg makes it."""
        count = bench.sizes.single_appends
        async with bench.working_store() as store:
            value = await save_orders(store, count, 1)
        floor = await rate(count, 1, inserting(bench.bare))
        beside = {
            "no workers": await save_orders(bench.store, count, 1),
            "raw asyncpg, no reset": await rate(count, 1, inserting(bench.plain)),
        }
        async with bench.worker():
            beside["all projections in a second process"] = await save_orders(bench.store, count, 1)
        points = [
            Point(_CURVE, _OURS, 1, beside["no workers"]),
            Point(_CURVE, "raw asyncpg, no reset", 1, beside["raw asyncpg, no reset"]),
        ]
        return Figure(value, floor, beside, points)


class OneByOneLatency(Workload):
    """The median time of the same commit."""

    name = "append_1_writer_p50"
    title = "the same, median time of a Unit of Work / of the INSERT"
    unit = "µs"
    goals = (Goal(1.3, "at_most"),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure; the floor is the pool as asyncpg makes it."""
        count = bench.sizes.single_appends
        async with bench.working_store() as store:
            value = await median_us(count, 1, saving_order(store))
        floor = await median_us(count, 1, inserting(bench.bare))
        return Figure(value, floor, {"no workers": await median_us(count, 1, saving_order(bench.store))})


class TenByOne(Workload):
    """Ten events of three entities per Unit of Work, one writer, with the workers in the same process."""

    name = "append_10_events_1_writer"
    title = "ten events of three orders, one writer, workers in its process / raw asyncpg, ten rows"
    unit = "events/s"
    goals = (Goal(0.9),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure; the floor is `executemany` of ten rows, which asyncpg sends in one transaction."""
        count = max(bench.sizes.single_appends // 2, 1)
        async with bench.working_store() as store:
            value = await save_ten_events(store, count, 1) * _TEN_EVENTS
        floor = await rate(count, 1, inserting(bench.bare, _TEN_EVENTS)) * _TEN_EVENTS
        beside = {"no workers": await save_ten_events(bench.store, count, 1) * _TEN_EVENTS}
        return Figure(value, floor, beside)


class WithWorkers(Workload):
    """A writer with the workers in its process, and the same writer without any; a part of the one, then of the other."""

    name = "writer_with_workers"
    title = "one writer with workers in its process / without"
    unit = "events/s"
    goals = (Goal(0.9),)
    writers: ClassVar[int] = 1

    async def measure(self, bench: Bench) -> Figure:
        """Measure both in turn."""
        whole = bench.sizes.single_appends if self.writers == 1 else bench.sizes.appends
        count = max(whole // _TURNS, 1)
        with_workers: list[float] = []
        without: list[float] = []
        for _ in range(_TURNS):
            async with bench.working_store() as store:
                with_workers.append(1 / await save_orders(store, count, self.writers))
            without.append(1 / await save_orders(bench.store, count, self.writers))
        return Figure(_TURNS / sum(with_workers), _TURNS / sum(without))


class WithWorkersConcurrent(WithWorkers):
    """The same with 32 writers."""

    name = "writers_with_workers"
    title = "32 writers with workers in their process / without"
    writers = 32


class PacedWithWorkers(Workload):
    """A writer that pauses between its commits, so that the workers have time: what a commit takes with and without them."""

    name = "paced_writer_with_workers"
    title = f"commit of one writer of {_PACED_A_SECOND} orders a second, median: with workers in its process / without"
    unit = "µs"
    goals = (Goal(1.1, "at_most"),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure both in turn."""
        count = max(bench.sizes.single_appends // _TURNS, 1)
        with_workers: list[float] = []
        without: list[float] = []
        for _ in range(_TURNS):
            async with bench.working_store() as store:
                with_workers.append(await _paced_us(store, count))
            without.append(await _paced_us(bench.store, count))
        return Figure(statistics.median(with_workers), statistics.median(without))


async def _paced_us(store: EventStore, count: int) -> float:
    save = saving_order(store)
    took_s: list[float] = []
    due_s = time.perf_counter()
    for _ in range(count):
        due_s += 1 / _PACED_A_SECOND
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        began_s = time.perf_counter()
        await save()
        took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s) * 1e6


class FewStreams(_BesidePgbench):
    """Ten events of three entities per Unit of Work, 32 writers."""

    name = "append_10_events_32_writers"
    title = "ten events of three orders per Unit of Work, 32 writers / pgbench, ten rows a transaction"
    goals = (Goal(0.6),)
    script = _TEN_ROWS
    rows = _TEN_EVENTS

    async def run(self, bench: Bench, count: int) -> float:
        return await save_ten_events(bench.store, count, 32)
