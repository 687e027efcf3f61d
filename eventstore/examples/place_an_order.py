"""Place an order, fill it and query it: `python -m eventstore.examples.place_an_order`."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from eventstore import EventStore
from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.order import Order, OrderSide


async def main() -> list[str]:
    """Run the example on an embedded PostgreSQL, and return the lines that it prints."""
    with EmbeddedServer.start() as server:
        async with EventStore.open(server.config(), migrate=True) as store:
            order = Order.create_limit_order(
                "AAPL", Decimal(100), OrderSide.BUY, limit_price=Decimal("150.00"), strategy="example"
            )
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(order)
                order.submit("BROKER-1")
                order.fill(Decimal(40), Decimal("149.98"), "EXEC-1", commission=Decimal("0.40"))
                await uow.orders.update_order(order)

            async with store.unit_of_work() as uow:
                active = await uow.orders.get_active_orders()
            history = await store.history(order.id)
            return [
                *(
                    f"{one.symbol} {one.status}: {one.leaves_quantity} of {one.quantity} open"
                    for one in active
                ),
                *(f"{event.version} {event.type}" for event in history),
            ]


if __name__ == "__main__":
    print("\n".join(asyncio.run(main())))  # noqa: T201 - the output of the example
