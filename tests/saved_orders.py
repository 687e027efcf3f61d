"""Orders that are saved, and the versions that the log has of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from eventstore.domain.order import Order, OrderSide

if TYPE_CHECKING:
    from eventstore.store import EventStore


D = Decimal


def new_order(symbol: str = "ES") -> Order:
    """A new limit order."""
    return Order.create_limit_order(symbol, D(100), OrderSide.BUY, limit_price=D("1.50"))


async def saved(store: EventStore, *orders: Order) -> None:
    """Save orders in a Unit of Work of their own."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders)


async def stored_versions(store: EventStore, *entity_ids: UUID) -> list[int]:
    """The version that the log has of each id."""
    return [len(await store.log.read_stream(entity_id)) for entity_id in entity_ids]
