"""A projection of a user's own: the quantity ordered of each symbol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from eventstore import EventStore, Order, OrderSide
from eventstore.core.event import RecordedEvent
from eventstore.domain.order import OrderCreated
from projections import Projection, Table


@dataclass(frozen=True)
class Ordered:
    """How much was ordered of a symbol on a side."""

    symbol: str
    side: OrderSide
    orders: int
    quantity: Decimal


class OrderedBySymbol(Projection[Ordered]):
    """A projection of a user's own, by a key that is no stream."""

    name = "ordered"
    events = (OrderCreated,)
    poison: frozenset[Decimal] = frozenset()

    def __init__(self) -> None:
        self.table = Table("ordered", row=Ordered, key=("symbol", "side"))

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol and the side."""
        created = event.event
        assert isinstance(created, OrderCreated)
        return created.symbol, created.side

    def evolve(self, row: Ordered | None, event: RecordedEvent) -> Ordered:
        """One order more."""
        created = event.event
        assert isinstance(created, OrderCreated)
        if created.quantity in self.poison:
            raise ValueError(f"cannot take {created.quantity}")
        row = row or Ordered(created.symbol, created.side, 0, Decimal(0))
        return replace(row, orders=row.orders + 1, quantity=row.quantity + (created.quantity or 0))


async def place(store: EventStore, *quantities: int, symbol: str = "ES") -> list[Order]:
    """Save orders, each in a Unit of Work of its own."""
    orders = [Order.create_market_order(symbol, Decimal(quantity), OrderSide.BUY) for quantity in quantities]
    for order in orders:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
    return orders


async def create_table(store: EventStore, projection: Projection[Any]) -> None:
    """Make the table of a user's projection."""
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())


async def rows(store: EventStore) -> dict[str, tuple[int, Decimal]]:
    """The user's table."""
    async with store.connection.acquire() as connection:
        found = await connection.fetch("SELECT symbol, orders, quantity FROM ordered")
    return {row["symbol"]: (row["orders"], row["quantity"]) for row in found}
