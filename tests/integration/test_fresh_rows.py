"""Fresh rows of any projection: as if its worker had caught up, or an error that says why not."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ProjectionLagError, QuarantinedKeysError
from projections import OrdersProjection, ProjectionWorker, fresh_rows
from projections.engine import set_partitions
from projections.fresh_rows import FreshRows
from tests.forged_rows import forge

if TYPE_CHECKING:
    from eventstore.store import EventStore


async def save(store: EventStore, order: Order) -> None:
    """Save an order's changes."""
    async with store.unit_of_work() as uow:
        await (uow.orders.save_order(order) if not order.version else uow.orders.update_order(order))


async def test_rows_are_fresh_wherever_each_partition_stands(store: EventStore):
    """Nothing folded, one of two partitions folded, deleted while a partition lags: the answer is what the repository says."""
    rows = FreshRows(store.log, OrdersProjection())
    orders = [Order.create_market_order("ES", Decimal(n), OrderSide.BUY) for n in range(1, 7)]
    for order in orders:
        await save(store, order)
    assert await rows.list() == orders
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(6)
    await set_partitions(store.log, OrdersProjection(), 2)
    for order in orders[:4]:
        order.submit("B-1")
        await save(store, order)
    async with store.unit_of_work() as uow:
        await uow.orders.delete_order(orders[5].id)
    assert await rows.list() == orders[:5]
    for partition in range(2):
        await ProjectionWorker(store.log, OrdersProjection(), partition=partition).catch_up(11)
        assert await rows.list() == orders[:5]
        assert [await rows.get(order.id) for order in orders] == [*orders[:5], None]
    assert await rows.list(lambda order: (order.quantity or 0) > 3) == orders[3:5]


async def test_a_tail_that_is_too_long_is_refused(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A read makes up for so many events and no more; it says so, and works again when the worker has caught up."""
    monkeypatch.setattr(fresh_rows, "TAIL_EVENTS_MAX", 2)
    rows = FreshRows(store.log, OrdersProjection())
    for quantity in (1, 2, 3):
        await save(store, Order.create_market_order("ES", Decimal(quantity), OrderSide.BUY))
    with pytest.raises(ProjectionLagError, match="orders lags by 3 events or more"):
        await rows.list()
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(3)
    assert len(await rows.list()) == 3


async def save_three(store: EventStore) -> list[Order]:
    """Three orders of three events each."""
    orders = [Order.create_market_order("ES", Decimal(n), OrderSide.BUY) for n in range(1, 4)]
    for order in orders:
        order.submit("B-1")
        order.fill(Decimal("0.5"), Decimal(99), f"E-{order.quantity}")
        await save(store, order)
    return orders


async def test_an_ignored_type_need_not_be_known(store: EventStore):
    """A read leaves out what the worker leaves out, so it does not wait for the worker to pass it."""

    class Ignoring(OrdersProjection):
        ignored_types = frozenset({"OrderLost"})

    orders = await save_three(store)
    await forge(store, {"type": "'OrderLost'"})
    rows = FreshRows(store.log, Ignoring())
    for _ in range(2):
        assert await rows.list() == orders
        await ProjectionWorker(store.log, Ignoring()).catch_up(await store.log.head())


async def test_an_event_that_cannot_be_read_is_of_its_key_alone(store: EventStore):
    """Before and after the worker has put the key in quarantine, all other rows are read, and the error names the key."""
    orders = await save_three(store)
    await forge(store, {"type": "'OrderLost'"})
    rows = FreshRows(store.log, OrdersProjection())
    for _ in range(2):
        assert [await rows.get(order.id) for order in orders[:2]] == orders[:2]
        with pytest.raises(QuarantinedKeysError) as caught:
            await rows.get(orders[2].id)
        assert caught.value.keys == (f'["{orders[2].id}"]',)
        with pytest.raises(QuarantinedKeysError):
            await rows.list()
        await ProjectionWorker(store.log, OrdersProjection()).catch_up(await store.log.head())
