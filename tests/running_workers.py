"""Orders to fold, and workers that fold them for a block."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from eventstore.domain.order import Order, OrderSide
from projections import OrdersProjection, Projection, ProjectionRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.log import EventLog
    from eventstore.store import EventStore


class Runs(Protocol):
    """A worker or a runner."""

    async def run(self) -> None:
        """Fold until cancelled."""


async def place(store: EventStore, *quantities: int, symbol: str = "ES") -> list[Order]:
    """Save orders, each in a Unit of Work of its own."""
    orders = [Order.create_market_order(symbol, Decimal(quantity), OrderSide.BUY) for quantity in quantities]
    for order in orders:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
    return orders


@asynccontextmanager
async def running(*workers: Runs) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run workers for a block."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def folded_through(log: EventLog, projection: Projection[Any] | None = None) -> int:
    """How far every partition of a projection has come; None: of the orders."""
    return await ProjectionRunner(log, projection or OrdersProjection()).folded_through()


async def has_folded(log: EventLog, position: int, projection: Projection[Any] | None = None) -> bool:
    """Whether every partition has come to a position."""
    return await folded_through(log, projection) >= position
