"""A projection of a user's own, with its table and its rows; and two that are wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from eventstore.domain.order import Order, OrderCreated, OrderSide
from projections import Projection, Table

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore


D = Decimal


async def place(store: EventStore, *quantities: int, symbol: str = "ES") -> list[Order]:
    """Save orders, each in a Unit of Work of its own."""
    orders = [Order.create_market_order(symbol, D(quantity), OrderSide.BUY) for quantity in quantities]
    for order in orders:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
    return orders


@dataclass(frozen=True)
class Ordered:
    """How much was ordered of a symbol."""

    symbol: str
    orders: int
    quantity: Decimal


class OrderedBySymbol(Projection[Ordered]):
    """A projection of a user's own, by a key that is no stream."""

    name = "ordered"
    table = Table("ordered", row=Ordered, key=("symbol",))
    events = (OrderCreated,)
    poison: frozenset[Decimal] = frozenset()

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol."""
        assert isinstance(event.event, OrderCreated)
        return (event.event.symbol,)

    def evolve(self, row: Ordered | None, event: RecordedEvent) -> Ordered:
        """One order more."""
        assert isinstance(event.event, OrderCreated)
        if event.event.quantity in self.poison:
            raise ValueError(f"cannot take {event.event.quantity}")
        row = row or Ordered(event.event.symbol, 0, D(0))
        return replace(row, orders=row.orders + 1, quantity=row.quantity + (event.event.quantity or 0))


class Doubled(OrderedBySymbol):
    """The same in a new version, which counts each order twice."""

    version: ClassVar[int] = 2

    def evolve(self, row: Ordered | None, event: RecordedEvent) -> Ordered:
        """Two orders more."""
        folded = super().evolve(row, event)
        return replace(folded, orders=folded.orders + 1)


async def create_table(store: EventStore) -> None:
    """Make the table of the user's projection."""
    async with store.connection.acquire() as connection:
        await connection.execute(OrderedBySymbol.table.create())


async def rows(store: EventStore) -> dict[str, tuple[int, Decimal]]:
    """The user's table."""
    async with store.connection.acquire() as connection:
        records = await connection.fetch("SELECT symbol, orders, quantity FROM ordered")
    return {row["symbol"]: (row["orders"], row["quantity"]) for row in records}


class Impure(OrderedBySymbol):
    """Counts its own calls: no two folds give the same rows."""

    calls = 0

    def evolve(self, row: Ordered | None, event: RecordedEvent) -> Ordered:
        """What should never be written."""
        self.calls += 1
        return replace(super().evolve(row, event), orders=self.calls)
