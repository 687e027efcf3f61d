"""A scratch database: a real store opens on it, and its log can be emptied."""

from __future__ import annotations

from decimal import Decimal

import pytest

from eventstore.database import DatabaseConfig
from eventstore.database.adapter import PostgreSQLAdapter
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import EventStoreError
from eventstore.store import EventStore
from eventstore.testing.scratch import scratch_database


async def test_a_store_on_it_is_a_store_like_any_other(server_config: DatabaseConfig):
    """All preconditions hold, before and after it is emptied; and no one but `empty` can remove an event."""
    async with scratch_database(server_config) as scratch:
        store = EventStore.of(scratch.connection)
        for _ in range(3):
            await store.require_migrated(workers=True)
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
            assert uow.last_position == 1
            with pytest.raises(EventStoreError):
                await PostgreSQLAdapter(scratch.connection).execute("DELETE FROM events")
            await scratch.empty("orders")
            assert await store.log.head() == 0
