"""What an append and a commit cost: one statement, one round trip."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order, OrderSide
from eventstore.store import EventStore
from tests.entities import started
from tests.relay import Relay

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


async def test_a_commit_is_one_round_trip(migrated_config: DatabaseConfig):
    """One message goes to the server for each append and each commit, whatever it holds; a read is one as well."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    async with Relay(migrated_config) as relay:
        connection = await ConnectionFactory.create_connection(relay.config(min_pool_size=1, max_pool_size=1))
        try:
            store = EventStore.of(connection)
            store.log.wakeups.signals = None  # other processes are told by a message that no append waits for
            await store.log.append(started())  # the statements for one event and for many are prepared
            await store.log.append(started(tunings=1))  # once for each connection
            for streams, tunings in ((1, 0), (1, 9), (20, 3)):
                appends = [started(tunings=tunings) for _ in range(streams)]
                before = relay.requests
                await store.log.append(*appends)
                assert relay.requests - before == 1

            orders = [Order.create_market_order("A", Decimal(1), OrderSide.BUY) for _ in range(10)]
            before = relay.requests
            async with store.unit_of_work() as uow:
                await uow.orders.save_many(orders)
                for order in orders:
                    order.submit("B")
                    await uow.orders.update_order(order)
            assert relay.requests - before == 1

            async with store.unit_of_work() as uow:  # prepares, and learns the types of the row's enums
                await uow.orders.get_order_by_id(orders[0].id)
                await uow.orders.get_active_orders()
            before = relay.requests
            async with store.unit_of_work() as uow:
                known = await uow.orders.get_order_by_id(orders[0].id)
                assert relay.requests - before == 1
                await uow.orders.get_active_orders()
                assert relay.requests - before == 2
                assert known is not None
                known.cancel()
                await uow.orders.update_order(known)
            assert relay.requests - before == 3

            before = relay.requests
            async with store.unit_of_work():
                pass
            assert relay.requests == before
        finally:
            await connection.close(timeout_s=5)
