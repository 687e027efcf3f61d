"""Reading: one entity by its key, and lists that are fresh, beside bare records of asyncpg."""

from __future__ import annotations

import asyncio
import itertools
import sys
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from benchmarks.bench import Bench, new_order
from benchmarks.workload import Figure, Goal, Point, Workload, in_turn
from eventstore import Entity, EventStore, Order, OrderSide, Portfolio
from projections import OrdersProjection, PortfoliosProjection, Projection, ProjectionWorker

__all__ = ["ListBySymbol", "LoadOrder", "LoadPortfolio"]

_ORDERS = 100
_ORDER_EVENTS = 10
_SYMBOL = "LISTED"
_LISTED = 20
_PACE = 500.0
"""Units of Work a second that others write while lists are read."""
_EVENTS_OF_A_COMMIT = 500
_LENGTHS = (10, 100, 1_000)
_CURVE = "microseconds of a load by events of its stream"


class _Load(Workload):
    unit = "µs"
    goals = (Goal(1.5, "at_most"),)
    table: ClassVar[str]
    ids: Sequence[UUID]

    async def measure(self, bench: Bench) -> Figure:
        return Figure(*await self._loaded(bench, self.ids))

    async def _loaded(self, bench: Bench, entities: Sequence[UUID]) -> tuple[float, float]:
        ids = itertools.cycle(entities)

        async def load() -> None:
            async with bench.store.unit_of_work() as uow:
                if await self.get(uow, next(ids)) is None:
                    raise RuntimeError("what was saved is gone")

        async def select() -> None:
            async with bench.plain.acquire() as connection:
                await connection.fetchrow(f"SELECT * FROM {self.table} WHERE id = $1", next(ids))

        loaded, selected = await in_turn(bench.sizes.reads, load, select)
        return 1e6 * loaded, 1e6 * selected

    @abstractmethod
    async def get(self, uow: Any, entity_id: UUID) -> Entity | None:
        """Load one."""


class LoadOrder(_Load):
    """Load an order of ten events."""

    name = "load_order"
    title = "load one order of 10 events / SELECT by key"
    table = "orders"

    async def prepare(self, bench: Bench) -> None:
        """Make orders of ten events, and let the worker fold them."""
        orders = [order_of(_ORDER_EVENTS) for _ in range(_ORDERS)]
        async with bench.store.unit_of_work() as uow:
            await uow.orders.save_many(orders)
        await caught_up(bench.store, OrdersProjection())
        self.ids = [order.id for order in orders]

    async def get(self, uow: Any, entity_id: UUID) -> Order | None:
        found: Order | None = await uow.orders.get_order_by_id(entity_id)
        return found


class LoadPortfolio(_Load):
    """Load a portfolio of ten thousand events."""

    name = "load_portfolio"
    title = "load one portfolio of 10,000 events (--quick: 2,000) / SELECT by key"
    table = "portfolios"
    by_length: Mapping[int, UUID]

    async def prepare(self, bench: Bench) -> None:
        """Make portfolios of each length, and let the worker fold them."""
        longest = bench.sizes.long_stream
        self.by_length = {
            events: (await portfolio_of(bench.store, events)).id
            for events in (*(length for length in _LENGTHS if length < longest), longest)
        }
        await caught_up(bench.store, PortfoliosProjection())
        self.ids = [self.by_length[longest]]

    async def measure(self, bench: Bench) -> Figure:
        """Measure the longest, and the others for the curve."""
        value, floor = await self._loaded(bench, self.ids)
        beside, points = {}, []
        for events, portfolio_id in self.by_length.items():
            took, selected = await self._loaded(bench, [portfolio_id])
            beside[f"{events:,} events"] = took
            points += [
                Point(_CURVE, "one load", events, took),
                Point(_CURVE, "SELECT by key", events, selected),
            ]
        return Figure(value, floor, beside, points)

    async def get(self, uow: Any, entity_id: UUID) -> Portfolio | None:
        found: Portfolio | None = await uow.portfolios.get_portfolio_by_id(entity_id)
        return found


class ListBySymbol(Workload):
    """A fresh list of 20 orders while others write."""

    name = "list_by_symbol"
    title = "fresh get_orders_by_symbol, 20 rows, while writers run / the same rows as bare records"
    unit = "µs"
    goals = (Goal(2.0, "at_most"),)

    async def prepare(self, bench: Bench) -> None:
        """Make the orders of the symbol."""
        async with bench.store.unit_of_work() as uow:
            await uow.orders.save_many([order_of(_ORDER_EVENTS, _SYMBOL) for _ in range(_LISTED)])

    async def measure(self, bench: Bench) -> Figure:
        """Measure both while another process writes and a third one folds."""

        async def find() -> None:
            async with bench.store.unit_of_work() as uow:
                if len(await uow.orders.get_orders_by_symbol(_SYMBOL)) != _LISTED:
                    raise RuntimeError("the list is not what was saved")

        async def select() -> None:
            async with bench.plain.acquire() as connection:
                await connection.fetch(
                    "SELECT * FROM orders WHERE symbol = $1 ORDER BY created_at, id", _SYMBOL
                )

        count = bench.sizes.reads
        async with bench.worker():
            await _folded(bench)
            quiet, _ = await in_turn(count, find, select)
            async with _writing(bench):
                value, floor = await in_turn(count, find, select)
        return Figure(1e6 * value, 1e6 * floor, {"nobody writes": 1e6 * quiet})


@asynccontextmanager
async def _writing(bench: Bench) -> AsyncIterator[None]:
    """Let a process of its own append orders, at a pace, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.writers", bench.server.database_url("bench"), "pace", str(_PACE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdin.write(b"go\n")
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _folded(bench: Bench) -> None:
    await bench.store.wait_for(await bench.store.log.head(), projections=["orders"])
    # A statement that was planned while the tables were small keeps its plan until then: autovacuum does it within a minute.
    await bench.bare.execute("ANALYZE events, orders")


async def caught_up(store: EventStore, projection: Projection[Any]) -> None:
    """Fold everything into a projection's table."""
    await ProjectionWorker(store.log, projection).catch_up(await store.log.head())


def order_of(events: int, symbol: str = "ESU3") -> Order:
    """An order with so many events: made, submitted, and then amended."""
    order = new_order()
    if symbol != order.symbol:
        order = Order.create_limit_order(symbol, Decimal(5), OrderSide.BUY, limit_price=Decimal("1640.25"))
    order.submit("B-1")
    for _ in range(events - 2):
        order.limit_price = Decimal(order.limit_price or 0) + Decimal("0.25")
        order.record_assignments()
    return order


async def portfolio_of(store: EventStore, events: int) -> Portfolio:
    """A portfolio with so many events, saved: made, and then paid into."""
    portfolio = Portfolio(name="Main", initial_capital=Decimal(100_000))
    for bunch in _bunches(events - 1):
        for _ in range(bunch):
            portfolio.deposit(Decimal("1.25"))
        async with store.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(portfolio)
    return portfolio


def _bunches(count: int) -> Iterator[int]:
    while count > 0:
        yield min(count, _EVENTS_OF_A_COMMIT)
        count -= _EVENTS_OF_A_COMMIT
