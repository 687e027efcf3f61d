"""The loop that folds the events of a key: where it ends, what it leaves out, and what it leaves as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from eventstore.core.event import RecordedEvent
from eventstore.domain.order import Order, OrderSide
from projections import OrdersProjection
from projections.engine.fold import by_key, fold_key

if TYPE_CHECKING:
    from eventstore.core.event import Event

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def recorded(order: Order, event: Event, version: int) -> RecordedEvent:
    """An event of an order, at ten times its version."""
    return RecordedEvent(version * 10, order.id, version, uuid4(), event, {}, NOW)


@pytest.fixture
def order() -> Order:
    """An order that is created, submitted and filled."""
    order = Order.create_market_order("ES", Decimal(10), OrderSide.BUY)
    order.submit("B-1")
    order.fill(Decimal(4), Decimal(5), "E-1")
    return order


@pytest.fixture
def events(order: Order) -> list[RecordedEvent]:
    """Its events."""
    return [recorded(order, pending.event, n) for n, pending in enumerate(order.pending_events, 1)]


def test_all_are_folded(order: Order, events: list[RecordedEvent]):
    """The row has every event, and the state before is not touched."""
    projection, key = OrdersProjection(), (order.id,)
    first, position, failure = fold_key(projection, key, None, events[:1])
    assert (position, failure, first.version) == (10, None, 1)
    row, position, failure = fold_key(projection, key, first, events[1:])
    assert (position, failure, row.version, row.filled_quantity) == (30, None, 3, Decimal(4))
    assert first.version == 1
    assert by_key(projection, events) == {key: events}


@pytest.mark.parametrize("is_left_out", [False, True])
def test_it_ends_at_the_first_that_fails(order: Order, events: list[RecordedEvent], is_left_out: bool):
    """What came before is folded, the failure is named; an event that may be left out is, and the next one is folded."""
    key = (order.id,)
    broken = recorded(order, events[0].event, 2)  # it is created again
    its = [events[0], broken, events[1]._replace(position=30, version=3)]
    row, position, failure = fold_key(
        OrdersProjection(), key, None, its, leaves_out=lambda at, of: is_left_out and (at, of) == (20, key)
    )
    if is_left_out:
        assert (row.version, position, failure) == (3, 30, None)
    else:
        assert (row.version, position) == (1, 10)
        assert failure is not None
        assert (failure.key, failure.event) == (key, broken)


def test_nothing_is_folded_where_the_first_fails(order: Order, events: list[RecordedEvent]):
    """The position says so: 0."""
    row, position, failure = fold_key(OrdersProjection(), (order.id,), None, events[1:])
    assert (row, position) == (None, 0)
    assert failure is not None
    assert failure.event == events[1]
