"""The repositories of a point in time answer alike in memory, on a server, with folded tables, and through a pooler."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import OrderSide, OrderStatus
from eventstore.domain.position import Position
from eventstore.errors import ConcurrencyError, ConfigurationError, ReadOnlyError, RepositoryError
from tests.contract.databases import Strategy, an_order, minute

if TYPE_CHECKING:
    from eventstore.replay.as_of import Past
    from tests.contract.databases import Database


async def test_a_late_fill(tables: Database):
    """What was known lacks it, what was true has it in its place, and each position shows what was there."""
    order = an_order(0)
    order.submit("B-1", occurred_at=minute(0))
    order.cancel(occurred_at=minute(10))
    async with tables.unit_of_work() as uow:
        await uow.orders.save_order(order)
        strategy = await uow.entities(Strategy).save(Strategy(name="s", threshold=Decimal(1)))
    before = uow.last_position
    known_at = (await tables.history(order.id))[-1].recorded_at
    order.fill(Decimal(40), Decimal(150), "E-1", occurred_at=minute(5))
    strategy.tune(Decimal(2))
    async with tables.unit_of_work() as uow:
        await uow.orders.update_order(order)
        await uow.entities(Strategy).update(strategy)
    await tables.catch_up()

    async def seen(past: Past) -> tuple[OrderStatus, Decimal] | None:
        found = await past.orders.get_order_by_id(order.id)
        everything = await past.orders.get_orders_by_date_range(datetime.min, datetime.max)
        assert everything == ([] if found is None else [found])
        return None if found is None else (found.status, found.filled_quantity)

    wanted: list[tuple[dict[str, Any], Any]] = [
        ({"position": 0}, None),
        ({"position": before}, (OrderStatus.CANCELLED, 0)),
        ({"position": uow.last_position}, (OrderStatus.CANCELLED, 40)),
        ({"recorded_at": known_at}, (OrderStatus.CANCELLED, 0)),
        ({"recorded_at": datetime.max}, (OrderStatus.CANCELLED, 40)),
        ({"occurred_at": minute(-1)}, None),
        ({"occurred_at": minute(4)}, (OrderStatus.SUBMITTED, 0)),
        ({"occurred_at": minute(5)}, (OrderStatus.PARTIALLY_FILLED, 40)),
        ({"occurred_at": minute(10)}, (OrderStatus.CANCELLED, 40)),
    ]
    for when, state in wanted:
        async with tables.as_of(**when) as past:
            assert await seen(past) == state, when
    async with tables.as_of(position=before) as past:
        found = await past.entities(Strategy).get(strategy.id)
        assert found is not None
        assert found.threshold == 1
        with pytest.raises(ReadOnlyError):
            await past.orders.save_order(order)
        old = await past.orders.get_order_by_id(order.id)
        assert old is not None
    old.symbol = "MSFT"
    with pytest.raises(ConcurrencyError):
        async with tables.unit_of_work() as uow:
            await uow.orders.update_order(old)
    with pytest.raises(RepositoryError, match="has ended"):
        await past.orders.get_active_orders()


async def test_a_fill_that_happened_before_the_one_that_opened_its_position(tables: Database):
    """It counts from its own time on, though its report came second; the other one counts from its own time on, too."""
    position = Position.open_position(
        "ES", Decimal(-3), Decimal(110), occurred_at=minute(9), execution_id="E-2"
    )
    position.apply_fill(
        OrderSide.BUY, Decimal(1), Decimal(100), "E-1", commission=Decimal(2), occurred_at=minute(5)
    )
    position.mark(Decimal(104), occurred_at=minute(6))
    async with tables.unit_of_work() as uow:
        await uow.positions.save_position(position)
    await tables.catch_up()
    wanted: list[tuple[int, Any]] = [
        (4, None),
        (5, (1, 100, 2, 0)),
        (8, (1, 100, 2, 0)),
        (9, (-2, -220, 2, 10)),
    ]
    for number, state in wanted:
        async with tables.as_of(occurred_at=minute(number)) as past:
            found = await past.positions.get_position_by_id(position.id)
            assert await past.positions.get_active_positions() == ([] if found is None else [found]), number
            assert await past.positions.get_positions_by_date_range(minute(5), minute(5)) == (
                [found] if number in (5, 8) else []
            ), number
        if found is None:
            assert state is None, number
            continue
        assert (found.quantity, found.cost, found.commission_paid, found.realized_pnl) == state, number
    assert found == position


async def test_a_deletion_and_pages(tables: Database):
    """Orders are there until they were deleted; pages follow each other as they did then."""
    orders = [an_order(number) for number in range(4)]
    async with tables.unit_of_work() as uow:
        await uow.orders.save_many(orders)
    then = uow.last_position
    async with tables.unit_of_work() as uow:
        await uow.orders.delete_order(orders[1].id)
        await uow.orders.save_order(an_order(1.5))
    await tables.catch_up()
    async with tables.as_of(position=then) as past:
        first = await past.orders.get_active_orders(limit=2)
        rest = await past.orders.get_active_orders(limit=9, after=first[-1])
        assert [order.id for order in first + rest] == [order.id for order in orders]


async def test_an_open_transaction_is_waited_for(tables: Database):
    """What was sent before the call, and is committed after it, belongs to the point in time of a time."""
    writer = tables.unit_of_work()
    await writer.begin_transaction()
    await writer.orders.save_order(an_order())
    await writer.flush()

    async def count() -> int:
        async with tables.as_of(recorded_at=datetime.max) as past:
            return len(await past.orders.get_active_orders())

    counting = asyncio.create_task(count())
    for _ in range(10):
        await asyncio.sleep(0)
    await writer.commit()
    assert await counting == 1


async def test_a_moment_must_be_one(tables: Database):
    """None, two, and a position beyond the end are refused."""
    refused: tuple[dict[str, Any], ...] = ({}, {"position": 0, "recorded_at": minute(0)}, {"position": 1})
    for when in refused:
        with pytest.raises(ConfigurationError):
            async with tables.as_of(**when):
                pass
