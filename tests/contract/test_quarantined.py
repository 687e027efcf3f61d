"""Lists while an entity has an event that cannot be folded: an error that names it, or its last good state, marked."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.core.event import PendingEvent
from eventstore.domain import Order, OrderSide
from eventstore.domain.order import OrderCreated
from eventstore.errors import ConcurrencyError, QuarantinedKeysError, RepositoryError
from eventstore.log.records import StagedEvent
from tests.contract.databases import Database, MemoryDatabase, StoreDatabase


async def spoil(database: Database, order: Order) -> None:
    """Append a second creation, which no order can take."""
    event = OrderCreated(symbol="ES", side=order.side, order_type=order.order_type, quantity=Decimal(1))
    staged = [StagedEvent(order.id, order.version + 1, PendingEvent(uuid4(), event))]
    if isinstance(database, MemoryDatabase):
        await database.memory.append(staged)
    else:
        assert isinstance(database, StoreDatabase)
        await database.store.log.append_staged(staged)


async def test_lists_with_an_order_that_cannot_be_folded(tables: Database):
    """By default the list fails and names the key; `last_good` has the order as it was, marked, and all others."""
    orders = [Order.create_market_order("ES", Decimal(number), OrderSide.BUY) for number in (1, 2, 3)]
    async with tables.unit_of_work() as uow:
        await uow.orders.save_many(orders)
    bad = orders[1]
    bad.submit("B-1")
    async with tables.unit_of_work() as uow:
        await uow.orders.update_order(bad)
    await spoil(tables, bad)
    await tables.catch_up()

    async with tables.unit_of_work() as uow:
        with pytest.raises(QuarantinedKeysError) as caught:
            await uow.orders.get_orders_by_symbol("ES")
        assert caught.value.keys == (f'["{bad.id}"]',)
        found = await uow.orders.get_orders_by_symbol("ES", quarantined="last_good")
        assert found == orders
        assert not found.is_up_to_date
        assert [page.last_good_ids for page in (found[:1], found[1:], found[::-1])] == [
            set(),
            {bad.id},
            {bad.id},
        ]
        assert found.last_good_ids == {bad.id}
        assert [one.broker_order_id for one in found] == [None, "B-1", None]
        assert await uow.orders.get_order_by_id(orders[0].id) == orders[0]
        with pytest.raises(RepositoryError, match="quarantined"):
            await uow.orders.get_active_orders(quarantined="perhaps")  # type: ignore[arg-type]
    found[1].cancel()
    with pytest.raises(ConcurrencyError):
        async with tables.unit_of_work() as uow:
            await uow.orders.update_order(found[1])


async def test_a_list_in_which_all_can_be_folded_marks_none(tables: Database):
    """Nothing is marked where nothing is amiss."""
    order = Order.create_market_order("ES", Decimal(1), OrderSide.BUY)
    async with tables.unit_of_work() as uow:
        await uow.orders.save_order(order)
    async with tables.unit_of_work() as uow:
        found = await uow.orders.get_active_orders(quarantined="last_good")
    assert found == [order]
    assert found.is_up_to_date
