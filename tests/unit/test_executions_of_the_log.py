"""Every execution of a log once: what an order and a position both counted, and what only one of them has."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.domain.order import Order, OrderSide
from eventstore.domain.position import Position, PositionOpened
from eventstore.replay.executions import Executions, Reported
from eventstore.testing.strategies import EPOCH

D = Decimal
BUY = OrderSide.BUY


def read(*entities: Any, without: tuple[str, ...] = ()) -> Executions:
    """What is read of the unsaved events of entities; `without` are fields that no event of an execution says."""
    executions = Executions()
    position = 0
    for entity in entities:
        for version, pending in enumerate(entity.pending_events, start=1):
            event = pending.event
            if not isinstance(event, Executions.types):
                continue
            position += 1
            if version > 1:
                event = event.model_copy(update=dict.fromkeys(without))
            elif isinstance(event, PositionOpened) and "execution_id" in without:
                nameless = [one.model_copy(update={"execution_id": None}) for one in event.executions]
                event = event.model_copy(update={"executions": tuple(nameless)})
            executions.take(RecordedEvent(position, entity.id, version, pending.event_id, event, {}, EPOCH))
    return executions


def told(found: list[Reported]) -> list[tuple[str, Any, Any]]:
    """Symbol, quantity and price of each."""
    return sorted((one.symbol, one.execution.quantity, one.execution.price) for one in found)


def order_of(*fills: tuple[int, int, str]) -> Order:
    """An order with fills: quantity, price and execution id."""
    order = Order.create_market_order("A", D(100), BUY, occurred_at=EPOCH)
    order.submit("B", occurred_at=EPOCH)
    for quantity, price, execution_id in fills:
        order.fill(D(quantity), D(price), execution_id, occurred_at=EPOCH)
    return order


def position_of(order_id: UUID | None, *fills: tuple[int, int, str]) -> Position:
    """A position with fills of an order: quantity, price and execution id."""
    (quantity, price, execution_id), *rest = fills
    position = Position.open_by_fill(
        "A", BUY, D(quantity), D(price), D(0), execution_id=execution_id, order_id=order_id, occurred_at=EPOCH
    )
    for quantity, price, execution_id in rest:
        position.apply_fill(BUY, D(quantity), D(price), execution_id, order_id=order_id, occurred_at=EPOCH)
    return position


async def test_what_both_counted_is_there_once():
    """By the id of the execution and the order, whatever the two say of it."""
    order = order_of((10, 1, "E1"), (5, 2, "E2"))
    position = position_of(order.id, (10, 1, "E1"), (5, 2, "E2"))
    assert told(await read(order, position).found()) == [("A", 5, 2), ("A", 10, 1)]


async def test_an_execution_without_an_id_is_known_by_what_it_says():
    """An order has many without an id, so the order alone does not tell them apart: side, quantity and price do."""
    order = order_of((10, 1, "1"), (5, 2, "2"))
    position = position_of(order.id, (5, 2, "3"), (7, 3, "4"))
    nameless = ("execution_id",)
    assert told(await read(order, position, without=nameless).found()) == [
        ("A", 5, 2),
        ("A", 7, 3),
        ("A", 10, 1),
    ]
    twice = position_of(order.id, (5, 2, "3"), (5, 2, "4"))
    assert told(await read(order, twice, without=nameless).found()) == [
        ("A", 5, 2),
        ("A", 5, 2),
        ("A", 10, 1),
    ]


async def test_what_a_position_says_of_no_order_is_compared_too():
    """With an id by what it says: another order may have the same id."""
    order = order_of((10, 1, "E1"))
    assert told(await read(order, position_of(None, (10, 1, "E1"))).found()) == [("A", 10, 1)]
    assert told(await read(order, position_of(None, (4, 1, "E1"))).found()) == [("A", 4, 1), ("A", 10, 1)]


async def test_an_event_that_does_not_name_its_instrument_has_that_of_its_stream():
    """Logs that were imported may leave it out."""
    order = order_of((10, 1, "E1"))
    position = position_of(None, (4, 2, "E2"), (5, 3, "E3"))
    (found,) = await read(order, without=("symbol", "side")).found()
    assert (found.symbol, found.execution.side) == ("A", BUY)
    assert told(await read(order, position, without=("symbol",)).found()) == [
        ("A", 4, 2),
        ("A", 5, 3),
        ("A", 10, 1),
    ]


async def test_what_belongs_is_compared_with_what_belongs():
    """If the order is not of the answer, the position's execution stands for it."""
    order = order_of((10, 1, "E1"))
    portfolio = UUID(int=1)
    opened = Position.open_by_fill(
        "A",
        BUY,
        D(10),
        D(1),
        D(0),
        execution_id="E1",
        order_id=order.id,
        portfolio_id=portfolio,
        occurred_at=EPOCH,
    )
    found = await read(order, opened).found(lambda one: one.portfolio_id == portfolio)
    assert [(one.portfolio_id, one.execution.quantity) for one in found] == [(portfolio, D(10))]
