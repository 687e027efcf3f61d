"""Laws of a position's events: they are facts, so that they add up in any order and in any part of the stream."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

from hypothesis import HealthCheck, assume, given, settings, strategies as st

from eventstore.core.context import CONTEXT, use_clock
from eventstore.core.event import RecordedEvent
from eventstore.domain.executions import OrderSide
from eventstore.domain.position import (
    Position,
    PositionFillBusted,
    PositionFillCorrected,
    PositionFilled,
    PositionOpened,
    PositionSplit,
)
from eventstore.errors import DomainError
from eventstore.testing.strategies import EPOCH, position_histories
from tests.scale import examples

usual = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
whole = st.integers(1, 9).map(Decimal)
cents = st.integers(50, 150).map(lambda one: Decimal(one) / 4)
fills = st.lists(st.tuples(st.sampled_from(OrderSide), whole, cents, whole), min_size=1, max_size=7)


def of_stream(position: Position, events: list[Any]) -> list[RecordedEvent]:
    """Events as the log has them, in this order."""
    return [
        RecordedEvent(place, position.id, place, position.id, event, {}, EPOCH)
        for place, event in enumerate(events, 1)
    ]


def folded(position: Position, events: list[Any]) -> Position:
    """The state after these events, in this order."""
    made = Position.fold(of_stream(position, events))
    assert made is not None
    return made


def events_of(position: Position) -> list[Any]:
    """The pending events."""
    position.record_assignments()
    return [pending.event for pending in position.pending_events]


def counted(events: list[Any]) -> Decimal:
    """The signed sum of the facts, in the shares of the end. A bust or a correction of a missing fill does not count."""
    standing: dict[str | None, Decimal] = {}
    for number, event in enumerate(events):
        if isinstance(event, PositionOpened):
            standing[event.execution_id] = event.quantity
        elif isinstance(event, PositionFilled):
            standing[event.execution_id or str(number)] = event.side.sign * event.quantity
        elif isinstance(event, PositionFillBusted):
            standing.pop(event.execution_id, None)
        elif isinstance(event, PositionFillCorrected) and event.execution_id in standing:
            sign = 1 if standing.pop(event.execution_id) > 0 else -1
            shares = Decimal(1)
            if event.corrected.reported_quantity is not None:
                shares = event.corrected.quantity / event.corrected.reported_quantity
            standing[event.new_execution_id] = sign * event.quantity * shares
        elif isinstance(event, PositionSplit):
            standing = {key: one * event.new / event.old for key, one in standing.items()}
    return sum(standing.values(), Decimal(0))


@usual
@given(position_histories(), st.integers(0, 2**16 - 1))
def test_any_part_of_a_stream_folds(history, chosen):
    """Each subset of the events that begins with the opening gives a state that keeps the rules of its class."""
    for position in history.play():
        first, *later = events_of(position)
        part = [first, *(event for place, event in enumerate(later) if chosen >> place & 1)]
        found = folded(position, part)
        if not found.quantity:
            assert found.cost == 0
        assert (found.closed_at is None) is bool(found.quantity)
        Position(**{name: getattr(found, name) for name in Position.model_fields})
        if not any(isinstance(event, PositionSplit | PositionFillCorrected) for event in events_of(position)):
            assert found.quantity == counted(part)


@usual
@given(position_histories())
def test_the_result_follows_from_cost_and_facts(history):
    """Realized = (cost - the sum of signed quantity x price of what counts) x multiplier, exactly."""
    for position in history.play():
        assume(all(one.side is not None for one in position.executions))
        with localcontext(CONTEXT):
            value = sum(
                (one.side.sign * one.cost for one in position.executions if one.counts and one.side),
                Decimal(0),
            )
            assert position.realized_pnl == (position.cost - value) * position.multiplier


def a_life(facts) -> Position:
    """A position whose fills never close it, whatever their order."""
    position = Position.open_position("ES", Decimal(100), Decimal(25), execution_id="E0", occurred_at=EPOCH)
    for number, (side, quantity, price, commission) in enumerate(facts, 1):
        position.apply_fill(side, quantity, price, f"E{number}", commission=commission, occurred_at=EPOCH)
    return position


def total(position: Position) -> tuple[Decimal, ...]:
    """What does not depend on the order of the reports: quantity, realised and open result, commission."""
    with localcontext(CONTEXT):
        result = position.realized_pnl + position.quantity * 31 - position.cost
    return position.quantity, result, position.commission_paid


@usual
@given(fills, st.randoms(use_true_random=False), st.sampled_from([Decimal(1), Decimal(100)]))
def test_in_any_order_the_sums_are_the_same(facts, random, opening):
    """Late reports change how the result is divided into realised and open, and nothing else; zero is passed at will."""
    position = a_life(facts)
    first, *later = events_of(position)
    first = first.model_copy(update={"quantity": opening, "cost": opening * 25})
    in_order = folded(position, [first, *later])
    random.shuffle(later)
    assert total(folded(position, [first, *later])) == total(in_order)


@usual
@given(fills, st.data())
def test_a_bust_is_as_if_the_fill_had_never_been_reported(facts, data):
    """Cost, result and commission are those of a life without it, to the last digit."""
    position = a_life(facts)
    events = events_of(position)
    busted = data.draw(st.integers(1, len(facts)))
    assert position.bust_fill(f"E{busted}")
    without = folded(position, events[:busted] + events[busted + 1 :])
    assert (position.quantity, position.cost) == (without.quantity, without.cost)
    assert (position.realized_pnl, position.commission_paid) == (
        without.realized_pnl,
        without.commission_paid,
    )
    assert not position.bust_fill(f"E{busted}")
    side, quantity, price, commission = facts[busted - 1]
    assert position.apply_fill(side, quantity, price, f"E{busted}", commission=commission) is None


@usual
@given(fills, st.data(), whole, cents)
def test_a_correction_is_as_if_the_fill_had_been_right(facts, data, quantity, price):
    """Cost, result and commission are those of a life with the right fill in its place, to the last digit."""
    position = a_life(facts)
    events = events_of(position)
    place = data.draw(st.integers(1, len(facts)))
    position.correct_fill(f"E{place}", quantity=quantity, price=price, new_execution_id="right")
    events[place] = events[place].model_copy(update={"quantity": quantity, "price": price})
    right = folded(position, events)
    assert (position.quantity, position.cost) == (right.quantity, right.cost)
    assert (position.realized_pnl, position.commission_paid) == (right.realized_pnl, right.commission_paid)
    assert not position.correct_fill(f"E{place}", quantity=quantity, price=price, new_execution_id="right")


@usual
@given(position_histories())
def test_what_was_reported_once_is_a_repeat_or_a_conflict(history):
    """Every command of a life that has an execution id changes nothing the second time, or is refused."""
    for position in history.play():
        before = position.model_dump_json(), position.pending_events
        with use_clock(lambda: EPOCH):
            for command in history.commands:
                if command.arguments.get("execution_id") not in position.execution_ids:
                    continue
                if command.method == "apply_fill":
                    try:
                        assert command.run(position) is None
                    except DomainError as error:
                        assert error.rule == "position.execution_conflict"  # noqa: PT017 - a law of every refusal
        assert (position.model_dump_json(), position.pending_events) == before
