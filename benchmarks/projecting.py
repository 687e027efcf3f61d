"""The lag of a projection: how long after its commit an event is in the read table."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import count

from benchmarks.appending import save_orders
from benchmarks.bench import Bench, new_order
from benchmarks.workload import Figure, Goal, Workload
from eventstore.sql import load

__all__ = ["Lag"]

_WRITERS = 32
_POLL_S = 0.001


class Lag(Workload):
    """Orders are written at half the rate that writers reach, a worker in a second process folds them."""

    name = "projection_lag"
    title = "projection lag (orders) at half the maximum write rate, p99 / the goal itself"
    unit = "ms"
    goals = (Goal(1.0, "at_most", floor=50.0),)

    async def measure(self, bench: Bench) -> Figure:
        """Write at a pace, and watch the checkpoint."""
        pace = await save_orders(bench.store, bench.sizes.appends // 2, _WRITERS) / 2
        async with bench.worker("bench", "orders"):
            await bench.store.wait_for(await bench.store.log.head(), projections=["orders"])
            lags = await self._lags(bench, pace)
        lags.sort()
        return Figure(
            lags[int(len(lags) * 0.99)] * 1e3,
            50.0,
            {"median": lags[len(lags) // 2] * 1e3, "rate of writing, events/s": pace},
        )

    async def _lags(self, bench: Bench, pace: float) -> list[float]:
        committed: deque[tuple[int, float]] = deque()
        lags: list[float] = []
        end = time.perf_counter() + bench.sizes.lag_s
        writing = True

        async def writer(number: int) -> None:
            begin = time.perf_counter() + number / pace
            for turn in count():
                due = begin + turn * _WRITERS / pace
                if due >= end:
                    return
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                async with bench.store.unit_of_work() as uow:
                    await uow.orders.save_order(new_order())
                committed.append((uow.last_position or 0, time.perf_counter()))

        async def watcher() -> None:
            async with bench.store.connection.acquire() as connection:
                while writing or committed:
                    row = await connection.fetchrow(
                        load("projections/read_checkpoint", connection), "orders", 0
                    )
                    now = time.perf_counter()
                    for _ in range(len(committed)):
                        position, at = committed.popleft()
                        if position <= row["position"]:
                            lags.append(now - at)
                        else:
                            committed.append((position, at))
                    await asyncio.sleep(_POLL_S)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watcher())
            async with asyncio.TaskGroup() as writers:
                for number in range(_WRITERS):
                    writers.create_task(writer(number))
            writing = False
            await watching
        return lags
