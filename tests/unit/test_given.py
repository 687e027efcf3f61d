"""Given a history, when a command runs, then these events; given a history, expect these rows."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from eventstore import Order, OrderSide, Position
from eventstore.core.context import now
from eventstore.core.event import RecordedEvent
from eventstore.domain.order import OrderCancelled, OrderCreated, OrderFilled
from eventstore.errors import ConfigurationError
from eventstore.testing import given, like
from projections import OrdersProjection, Projection, Table

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


class Filled(BaseModel):
    """A row."""

    symbol: str
    quantity: Decimal


def _filled(recorded: RecordedEvent) -> OrderFilled:
    assert isinstance(recorded.event, OrderFilled)
    return recorded.event


class FilledProjection(Projection[Filled]):
    """What was filled of each symbol."""

    name = "filled"
    table = Table("filled", row=Filled, key=("symbol",))
    events = (OrderFilled,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol."""
        return (_filled(event).symbol,)

    def evolve(self, row: Filled | None, event: RecordedEvent) -> Filled | None:
        """One more execution."""
        filled = _filled(event)
        if filled.price == 13:
            raise ValueError("thirteen")
        before = Decimal(0) if row is None else row.quantity
        return Filled(symbol=filled.symbol, quantity=before + filled.quantity)


def working(symbol: str = "ES") -> Order:
    order = Order.create_limit_order(
        symbol, Decimal(5), OrderSide.BUY, limit_price=Decimal(100), occurred_at=NOON
    )
    order.submit("B-1", occurred_at=NOON)
    return order


def filled(symbol: str, *quantities: int, price: int = 100) -> Order:
    order = working(symbol)
    for number, quantity in enumerate(quantities):
        order.fill(Decimal(quantity), Decimal(price), f"E-{number}", occurred_at=NOON)
    return order


def _saved(order: Order) -> Order:
    saved = Order.fold(given(order).history)
    assert saved is not None
    return saved


def test_the_events_of_a_command():
    """A command is compared with the events that it emits: their class, some fields, or the whole."""
    outcome = given(working()).when(lambda order: order.fill(Decimal(2), Decimal(99), "E-1"))
    outcome.then(OrderFilled)
    outcome.then(like(OrderFilled, quantity=Decimal(2), execution_id="E-1"))
    outcome.then(*outcome.events)
    outcome.has(filled_quantity=Decimal(2), leaves_quantity=Decimal(3))


@pytest.mark.parametrize(
    "expected",
    [(), (OrderCancelled,), (OrderFilled, OrderFilled), (like(OrderFilled, quantity=Decimal(3)),)],
)
def test_other_events_fail(expected: Any):
    """None, another class, another number, another value: each is an AssertionError that shows both."""
    outcome = given(working()).when(lambda order: order.fill(Decimal(2), Decimal(99), "E-1"))
    with pytest.raises(AssertionError, match=r"emitted:  OrderFilled\("):
        outcome.then(*expected)


def test_an_event_that_differs_in_one_value_fails():
    """A whole event counts with each of its fields."""
    outcome = given(working()).when(lambda order: order.fill(Decimal(2), Decimal(99), "E-1"))
    with pytest.raises(AssertionError):
        outcome.then(outcome.events[0].model_copy(update={"price": Decimal(98)}))


def test_a_refused_command():
    """`refused` finds the rule of a refusal; it fails for another rule, and for a command that succeeded."""
    outcome = given(working()).when(lambda order: order.fill(Decimal(-2), Decimal(1), "E-1"))
    outcome.refused()
    assert outcome.error is not None
    outcome.refused(outcome.error.rule)
    with pytest.raises(AssertionError, match=r"not by order\.other"):
        outcome.refused("order.other")
    with pytest.raises(AssertionError, match="was refused"):
        outcome.then()
    with pytest.raises(AssertionError, match="was not refused"):
        given(working()).when(lambda order: order.cancel()).refused()


def test_a_command_that_makes_an_entity():
    """Without a history the command returns the new entity."""
    given().when(lambda: Order.create_market_order("ES", Decimal(1), OrderSide.BUY), at=NOON).then(
        like(OrderCreated, symbol="ES", occurred_at=NOON)
    )
    with pytest.raises(ConfigurationError, match="must return the entity"):
        given().when(lambda: None)


def test_assignments_are_events_too():
    """A command may assign fields, as a program does."""

    def rename(order: Order) -> None:
        order.strategy = "trend"

    outcome = given(working()).when(rename)
    assert [event.type for event in outcome.events] == ["OrderAmended"]


def test_the_clock_stands_at_the_last_event():
    """A command happens when the last event did, or when the test says."""
    given(working()).when(lambda order: order.cancel()).then(like(OrderCancelled, occurred_at=NOON))
    later = NOON.replace(hour=13)
    given(working()).when(lambda order: order.cancel(), at=later).then(
        like(OrderCancelled, occurred_at=later)
    )
    assert now() > later


def test_bare_events_are_one_stream():
    """Events without an entity are one stream of each category, in order."""
    events = [pending.event for pending in working().pending_events]
    made = given(*events)
    assert [one.version for one in made.history] == [1, 2]
    assert {one.stream_id for one in made.history} == {made.history[0].stream_id}
    made.when(lambda order: order.cancel()).then(OrderCancelled)


def test_a_command_runs_on_one_entity():
    """The history of two entities says nothing about which of them a command is for."""
    with pytest.raises(ConfigurationError, match="events of 2"):
        given(working(), working()).when(lambda order: order.cancel())


def test_a_saved_entity_tells_no_history():
    """An entity without unsaved events would be an empty history."""
    with pytest.raises(ConfigurationError, match="was saved"):
        given(_saved(working()))


def test_the_rows_of_a_projection():
    """All rows, in any order; events that the projection does not take change nothing."""
    given(filled("ES", 2, 1), filled("NQ", 4)).expect(
        Filled(symbol="NQ", quantity=Decimal(4)),
        Filled(symbol="ES", quantity=Decimal(3)),
        of=FilledProjection(),
    )
    given(working()).expect(of=FilledProjection())


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (Filled(symbol="ES", quantity=Decimal(2)),),
        (Filled(symbol="ES", quantity=Decimal(3)), Filled(symbol="NQ", quantity=Decimal(1))),
        (Filled(symbol="ES", quantity=Decimal(3)), Filled(symbol="ES", quantity=Decimal(3))),
    ],
)
def test_other_rows_fail(rows: Any):
    """A missing row, one too many, a wrong one: each is an AssertionError."""
    with pytest.raises(AssertionError, match="rows of filled differ"):
        given(filled("ES", 2, 1)).expect(*rows, of=FilledProjection())


def test_a_projection_that_raises():
    """Its own error reaches the test."""
    with pytest.raises(ValueError, match="thirteen"):
        given(filled("ES", 2, price=13)).expect(of=FilledProjection())


def test_the_rows_of_entities():
    """The built-in projections have the states of the entities."""
    order = filled("ES", 2)
    given(order).expect(_saved(order), of=OrdersProjection())


def test_recorded_events_keep_their_envelope():
    """Events that were read from a log are taken as they are."""
    recorded = given(working()).history
    moved = [one._replace(position=one.position + 10) for one in recorded]
    assert given(*moved).history == tuple(moved)


def test_an_unknown_field_of_like():
    """A misspelt field does not pass."""
    with pytest.raises(ConfigurationError, match="has no field 'qantity'"):
        like(OrderFilled, qantity=Decimal(1))


def test_positions_too():
    """Every class of entities works alike."""
    position = Position.open_position("ES", Decimal(2), Decimal(100), execution_id="E-1", occurred_at=NOON)
    outcome = given(position).when(
        lambda held: held.apply_fill(OrderSide.SELL, Decimal(2), Decimal(110), "E-2")
    )
    outcome.has(quantity=Decimal(0), realized_pnl=Decimal(20))
    assert isinstance(outcome.entity, Position)
    assert isinstance(outcome.entity.id, UUID)


def test_the_repr_of_an_event_is_short():
    """What is at its default says nothing; what is required, and the time, are there."""
    told = repr(
        given().when(lambda: Order.create_market_order("ES", Decimal(1), OrderSide.BUY), at=NOON).events[0]
    )
    assert "symbol='ES'" in told
    assert "occurred_at=" in told
    assert "None" not in told
    assert "False" not in told


def test_what_would_pass_in_vain_is_refused():
    """A coroutine function would not run, and a state after an unseen refusal would say nothing."""

    async def cancel(order: Order) -> None:
        order.cancel()

    with pytest.raises(ConfigurationError, match="coroutine function"):
        given(working()).when(cancel)
    outcome = given(working()).when(lambda order: order.fill(Decimal(-2), Decimal(1), "E-1"))
    with pytest.raises(AssertionError, match="was refused"):
        outcome.has(leaves_quantity=Decimal(5))
    outcome.refused().has(leaves_quantity=Decimal(5))


@pytest.mark.parametrize("history", [[working()], "x", None])
def test_what_is_no_history(history: Any):
    """A list in place of its items, or anything else, is refused in one line."""
    with pytest.raises(ConfigurationError, match=r"given takes events and entities"):
        given(history)


def test_a_class_in_place_of_a_projection():
    """The class of a projection is none."""
    with pytest.raises(ConfigurationError, match="of must be a projection"):
        given(working()).expect(of=OrdersProjection)  # type: ignore[arg-type]  # what is tested
