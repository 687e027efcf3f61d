"""Repositories on a bare adapter: each call appends by itself, or inside the adapter's open transaction."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.database import PostgreSQLAdapter
from eventstore.domain.order import Order, OrderSide, OrderStatus
from eventstore.errors import ConcurrencyError, OrderNotFoundError
from eventstore.repositories import PostgreSQLOrderRepository
from tests.entities import everything

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal


def new_order(symbol: str = "ES") -> Order:
    """A new order."""
    return Order.create_market_order(symbol, D(10), OrderSide.BUY)


async def test_each_call_appends_by_itself(store: EventStore):
    """A saved order is in the log when the call returns; a conflict leaves its changes pending."""
    orders = PostgreSQLOrderRepository(PostgreSQLAdapter(store.connection))
    order = new_order()
    assert await orders.save_order(order) is order
    assert order.version == 1
    order.submit("B")
    await orders.update_order(order)
    read = await orders.get_order_by_id(order.id)
    assert (read, read is order) == (order, False)
    assert await orders.get_active_orders() == [order]
    assert read is not None
    read.cancel()
    await orders.update_order(read)
    order.tags = ("x",)
    with pytest.raises(ConcurrencyError):
        await orders.update_order(order)
    assert (order.version, len(order.pending_events)) == (2, 1)
    with pytest.raises(OrderNotFoundError):
        await orders.update_order(new_order())
    assert await orders.delete_order(order.id)
    assert await orders.get_order_by_id(order.id) is None
    assert [row["version"] for row in await everything(store.connection)] == [1, 2, 3, 4]


async def test_in_a_transaction_all_is_committed_with_it(store: EventStore):
    """Nobody else sees it before the commit; entities are saved after it, together with the user's own statement."""
    adapter = PostgreSQLAdapter(store.connection)
    orders = PostgreSQLOrderRepository(adapter)
    await adapter.execute("CREATE TABLE notes (id uuid)")
    first, second = new_order("a"), new_order("b")
    async with adapter.transaction():
        await orders.save_order(first)
        await adapter.execute("INSERT INTO notes VALUES ($1)", first.id)
        first.submit("B")
        await orders.update_order(first)
        await orders.save_many([second])
        assert await orders.get_active_orders() == [first, second]
        assert await orders.get_order_by_id(first.id) is first
        assert await everything(store.connection) == []
        assert (first.version, second.version) == (0, 0)
    assert (first.version, second.version) == (2, 1)
    assert len(await everything(store.connection)) == 3
    assert await adapter.fetch_value("SELECT count(*) FROM notes") == 1


async def test_a_roll_back_leaves_entities_that_can_be_saved(store: EventStore):
    """After a roll-back nothing is in the log, the events are pending again, and saving works."""
    adapter = PostgreSQLAdapter(store.connection)
    orders = PostgreSQLOrderRepository(adapter)
    old, new = new_order("old"), new_order("new")
    await orders.save_order(old)
    with pytest.raises(ZeroDivisionError):
        await _fail_in_transaction(adapter, orders, old, new)
    assert (old.version, new.version, old.status) == (1, 0, OrderStatus.SUBMITTED)
    assert len(await everything(store.connection)) == 1
    async with adapter.transaction():
        await orders.save_many([old, new])
    assert (old.version, new.version) == (2, 1)
    assert len(await everything(store.connection)) == 3


async def _fail_in_transaction(
    adapter: PostgreSQLAdapter, orders: PostgreSQLOrderRepository, old: Order, new: Order
) -> None:
    async with adapter.transaction():
        old.submit("B")
        await orders.update_order(old)
        await orders.save_order(new)
        raise ZeroDivisionError


async def test_a_savepoint_takes_back_what_was_saved_in_it(store: EventStore):
    """After a roll-back to a savepoint the entities saved in it are unsaved, those before it are committed."""
    adapter = PostgreSQLAdapter(store.connection)
    orders = PostgreSQLOrderRepository(adapter)
    before, inside, after = new_order("a"), new_order("b"), new_order("c")
    async with adapter.transaction():
        await orders.save_order(before)
        try:
            async with adapter.savepoint():
                before.submit("B")
                await orders.update_order(before)
                await orders.save_order(inside)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        await orders.save_order(after)
    stored = [row["stream_id"] for row in await everything(store.connection)]
    assert stored == [before.id, after.id]
    assert (before.version, inside.version, after.version) == (1, 0, 1)
    await orders.save_many([before, inside])
    assert (before.version, inside.version) == (2, 1)
    assert len(await everything(store.connection)) == 4
