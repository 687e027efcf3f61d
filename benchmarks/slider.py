"""The time slider of the inspector over a large log: `python -m benchmarks.slider EVENTS`.

A portfolio with positions of 52 events: a fill, 50 marks, a fill that closes 19 of 20. Moments over all of the log are asked for through the
application, without a browser or a network. The processor time is that of this process: the server has its own.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.executions import OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.store import EventStore
from eventstore.ui import inspector

__all__ = ["main"]

_BEGAN_AT = datetime(2026, 3, 2, tzinfo=UTC)
_MARKS = 50
_OPEN_ONE_IN = 20
_POSITIONS_AT_A_TIME = 200
_MOMENTS = 40


def _positions(portfolio: Portfolio, events: int) -> Iterator[Position]:
    for number in range(1, events // (_MARKS + 2) + 1):
        at = _BEGAN_AT + timedelta(seconds=number * (_MARKS + 2))
        position = Position.open_by_fill(
            f"S{number % 200}",
            OrderSide.BUY,
            Decimal(10),
            Decimal(100),
            Decimal(1),
            execution_id=f"E{number}",
            portfolio_id=portfolio.id,
            currency="USD",
            occurred_at=at,
        )
        for mark in range(1, _MARKS + 1):
            position.mark(Decimal(100) + Decimal(mark) / 100, occurred_at=at + timedelta(seconds=mark))
        if number % _OPEN_ONE_IN:
            position.apply_fill(
                OrderSide.SELL,
                Decimal(10),
                Decimal(101),
                f"X{number}",
                commission=Decimal(1),
                occurred_at=at + timedelta(seconds=_MARKS + 1),
            )
        yield position


async def _fill(store: EventStore, events: int) -> Portfolio:
    portfolio = Portfolio(
        name="main", currency="USD", initial_capital=Decimal(1_000_000), created_at=_BEGAN_AT
    )
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    made = list(_positions(portfolio, events))
    for begin in range(0, len(made), _POSITIONS_AT_A_TIME):
        async with store.unit_of_work() as uow:
            await uow.positions.save_many(made[begin : begin + _POSITIONS_AT_A_TIME])
    return portfolio


async def _measure(
    client: httpx.AsyncClient, portfolio: Portfolio, clock: str, at: Callable[[int], Any]
) -> None:
    wall_ms, cpu_ms = [], []
    for moment in range(1, _MOMENTS + 1):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        asked = {"portfolio": str(portfolio.id), "clock": clock, "at": str(at(moment))}
        (await client.get("/time/book", params=asked)).raise_for_status()
        wall_ms.append((time.perf_counter() - began_s) * 1000)
        cpu_ms.append((time.process_time() - began_cpu_s) * 1000)
    print(
        f"{clock:12} median {statistics.median(wall_ms):.0f} ms, slowest {max(wall_ms):.0f} ms; "
        f"processor time of this process {statistics.median(cpu_ms):.0f} ms"
    )


async def main(events: int) -> None:
    """Measure the slider by each clock, once all workers are done."""
    with EmbeddedServer.start() as server:
        async with EventStore.open(server.config(), migrate=True) as store:
            portfolio = await _fill(store, events)
            head = await store.log.head()
            await store.wait_for(head, timeout_s=3600)
            first = (await store.log.read_stream(portfolio.id, limit=1))[0].recorded_at
            recorded = datetime.now(UTC) - first
            app = inspector(store, authenticate=None)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://localhost"
            ) as client:
                parts = _MOMENTS + 1
                for clock, at in (
                    (
                        "occurred_at",
                        lambda one: (_BEGAN_AT + one * timedelta(seconds=events) / parts).isoformat(),
                    ),
                    ("recorded_at", lambda one: (first + one * recorded / parts).isoformat()),
                    ("position", lambda one: head * one // parts),
                ):
                    await _measure(client, portfolio, clock, at)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
