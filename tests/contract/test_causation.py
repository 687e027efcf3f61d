"""Metadata that a Unit of Work is given, and that the context adds: in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from eventstore import Order, OrderSide
from eventstore.core.causation import caused_by, context_metadata, current_metadata
from tests.contract.databases import Database


def new_order() -> Order:
    """An order that is not saved."""
    return Order.create_market_order("AAPL", Decimal(10), OrderSide.BUY)


async def test_the_context_adds_to_each_event(database: Database):
    """Ids are kept as text; what is staged after the block has none of it."""
    correlation = uuid4()
    order = new_order()
    async with database.unit_of_work() as uow:
        with context_metadata(correlation_id=correlation, actor="desk 1", ticket=7):
            await uow.orders.save_order(order)
        order.submit("B-1")
        await uow.orders.update_order(order)
    created, submitted = await database.history(order.id)
    assert created.metadata == {"correlation_id": str(correlation), "actor": "desk 1", "ticket": 7}
    assert submitted.metadata == {}


async def test_what_is_nearer_wins(database: Database):
    """A Unit of Work's own metadata wins over an inner block, that over an outer one; what differs is added up."""
    order = new_order()
    with (
        context_metadata(correlation_id="outer", causation_id="outer", actor="outer", a=1),
        context_metadata(causation_id="inner", actor="inner", b=2),
    ):
        async with database.unit_of_work(actor="uow", c=3) as uow:
            await uow.orders.save_order(order)
    (created,) = await database.history(order.id)
    assert created.metadata == {
        "correlation_id": "outer",
        "causation_id": "inner",
        "actor": "uow",
        "a": 1,
        "b": 2,
        "c": 3,
    }


async def test_the_cause_of_an_event_is_named(database: Database):
    """The first event of all names the correlation; what it caused, and what that caused, has it too."""
    first, second, third = new_order(), new_order(), new_order()
    async with database.unit_of_work() as uow:
        await uow.orders.save_order(first)
    (cause,) = await database.history(first.id)
    with caused_by(cause):
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(second)
    (effect,) = await database.history(second.id)
    with caused_by(effect, actor="engine"):
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(third)
    (last,) = await database.history(third.id)
    correlation = {"correlation_id": str(cause.event_id)}
    assert effect.metadata == correlation | {"causation_id": str(cause.event_id)}
    assert last.metadata == correlation | {"causation_id": str(effect.event_id), "actor": "engine"}


async def test_tasks_do_not_share_what_they_set(database: Database):
    """Each task has what its parent had, and what it set itself."""
    orders = [new_order() for _ in range(3)]

    async def save(number: int) -> None:
        with context_metadata(actor=f"task {number}"):
            await asyncio.sleep(0)
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(orders[number])

    with context_metadata(correlation_id="all"):
        await asyncio.gather(*(save(number) for number in range(3)))
    for number, order in enumerate(orders):
        (created,) = await database.history(order.id)
        assert created.metadata == {"correlation_id": "all", "actor": f"task {number}"}


def test_a_failed_block_leaves_nothing_behind():
    """The context is as it was, whatever left the block."""
    with pytest.raises(ZeroDivisionError), context_metadata(actor="x", correlation_id=UUID(int=1)):
        raise ZeroDivisionError
    assert current_metadata() == {}


async def test_what_the_program_changes_later_is_not_stored(database: Database):
    """A program may use one mapping for all its Units of Work, and change it for the next one while this one commits."""
    order, inner = new_order(), OrderedDict(rows=[1])
    metadata = {"row": 1, "deep": inner}
    with context_metadata(context=inner):
        uow = database.unit_of_work(**metadata)
        async with uow:
            await uow.orders.save_order(order)
            await uow.flush()
            metadata["row"] = 2
            inner["rows"].append(2)
            order.submit("B-1")
            await uow.orders.update_order(order)
    for event in await database.history(order.id):
        assert event.metadata == {"row": 1, "deep": {"rows": [1]}, "context": {"rows": [1]}}
