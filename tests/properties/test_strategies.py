"""The strategies for users' tests: days agree with themselves, and a false claim shrinks to a few readable lines."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import Phase, example, find, given, settings, strategies as st

from eventstore.core.event import Event
from eventstore.domain.order import (
    Order,
    OrderFillBusted,
    OrderFillCorrected,
    OrderFilled,
    OrderSide,
    OrderStatus,
)
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.testing.strategies import (
    EPOCH,
    Action,
    LoggedEvent,
    TradingDay,
    event_logs,
    events_of,
    order_histories,
    portfolio_histories,
    position_histories,
    shown_event,
    trading_days,
)
from tests.entities import StrategyTuned
from tests.properties.recorded import RECORDED_AT, stored
from tests.scale import examples

usual = settings(max_examples=examples(60), deadline=None)
shrunk = settings(
    max_examples=2_000, deadline=None, database=None, derandomize=True, phases=(Phase.generate, Phase.shrink)
)

BUSTED_AT_A_THIRD = (
    Action("place", ("trend", "AAPL", OrderSide.BUY, Decimal(3), Decimal(95))),
    Action("fill", (0, Decimal(1), Decimal(95))),
    Action("fill", (0, Decimal(2), Decimal(96))),
    Action("bust", (0, 0)),
)
"""The bust sells at an average cost that does not come out even."""


def folded(log: Any, kind: type[Any]) -> list[Any]:
    """The entities of a kind, folded from a log as it comes back from the database."""
    from eventstore.core.event import RecordedEvent

    streams: dict[Any, list[RecordedEvent]] = defaultdict(list)
    for position, one in enumerate(log, 1):
        if one.event.category == kind.category:
            stream = streams[one.stream_id]
            stream.append(
                RecordedEvent(
                    position,
                    one.stream_id,
                    len(stream) + 1,
                    one.stream_id,
                    stored(one.event),
                    {},
                    RECORDED_AT,
                )
            )
    return [kind.fold(stream) for stream in streams.values()]


@usual
@given(trading_days())
@example(TradingDay.of(BUSTED_AT_A_THIRD))
def test_a_days_books_agree(day: TradingDay):
    """What orders say was traded is what positions hold, and what portfolios paid; the log says all of it."""
    open_quantity: dict[Any, Fraction] = defaultdict(Fraction)
    paid: dict[Any, Fraction] = defaultdict(Fraction)
    for order in day.orders:
        for one in order.executions:
            if one.counts:
                open_quantity[order.strategy, order.symbol] += order.side.sign * Fraction(one.quantity)
                paid[order.strategy] += Fraction(one.commission)
    for (strategy, symbol), quantity in open_quantity.items():
        position = day.open_position(str(strategy), symbol)
        assert quantity == (0 if position is None else position.quantity)
    for strategy, portfolio in day.portfolios.items():
        assert portfolio.total_commission_paid == paid[strategy]
        positions = [one for one in day.positions if one.strategy == strategy]
        assert sum(Fraction(one.realized_pnl) for one in positions) == Fraction(portfolio.total_realized_pnl)
    for kind, wanted in (
        (Order, day.orders),
        (Position, day.positions),
        (Portfolio, list(day.portfolios.values())),
    ):
        found = {one.id: one.model_dump_json(exclude={"version"}) for one in folded(day.log, kind)}
        assert found == {one.id: one.model_dump_json(exclude={"version"}) for one in wanted}


def test_a_day_has_all_that_days_have():
    """Every status, a late fill, a flip, a bust and a correction are reached, and several symbols and strategies."""
    seen: set[Any] = set()

    @settings(max_examples=900, deadline=None, database=None, derandomize=True, phases=(Phase.generate,))
    @given(trading_days())
    def look(day: TradingDay) -> None:
        seen.update(order.status for order in day.orders)
        seen.update(type(one.event) for one in day.log)
        seen.update(action.name for action in day.actions)
        seen.update(("flip",) for one in day.positions if one.execution_ids and not one.is_open)
        seen.add(len({order.symbol for order in day.orders}))
        seen.add(len(day.portfolios))

    look()
    assert set(OrderStatus) <= seen
    assert {OrderFilled, OrderFillBusted, OrderFillCorrected, 2, 3, ("flip",)} <= seen
    assert {"late_fill", "mark", "bust", "correct", "expire", "reject"} <= seen


@usual
@given(event_logs(order_histories(), position_histories(), portfolio_histories()))
def test_a_log_has_legal_streams(log: tuple[LoggedEvent, ...]):
    """Each stream of a log folds, from its creating event on, and a log played twice is equal."""
    for kind in (Order, Position, Portfolio):
        assert all(entity is not None for entity in folded(log, kind))


@usual
@given(events_of(StrategyTuned, OrderFilled))
def test_events_by_their_fields_come_back_from_the_log(event: Event):
    """Events that were built from the types of their fields are valid, and survive their JSON."""
    assert stored(event) == event


FALSE_CLAIMS: dict[str, tuple[Any, Any, int]] = {
    "no order is ever filled in two parts": (
        event_logs(order_histories()),
        lambda log: sum(isinstance(one.event, OrderFilled) for one in log) >= 2,
        5,
    ),
    "no fill is ever busted": (
        event_logs(order_histories(), position_histories()),
        lambda log: any(isinstance(one.event, OrderFillBusted) for one in log),
        5,
    ),
    "a cancelled order is not filled": (
        trading_days().map(lambda day: day.log),
        lambda log: any(
            one.status is OrderStatus.CANCELLED and one.filled_quantity for one in folded(log, Order)
        ),
        8,
    ),
}


@pytest.mark.parametrize("claim", FALSE_CLAIMS)
def test_a_false_claim_shrinks_to_a_few_events(claim: str):
    """The counter-example has a handful of events, each on one readable line."""
    logs, refutes, events = FALSE_CLAIMS[claim]
    log = find(logs, refutes, settings=shrunk)
    assert len(log) <= events, log
    for one in log:
        assert len(repr(one)) <= 220, one
        assert repr(one).startswith(f"{one.event.category} {one.stream_id.int}: {one.event.type}(")


def test_a_day_shrinks_to_its_actions():
    """A day is shown as what happened in it, and no more of it than is needed."""
    day = find(trading_days(), lambda one: any(p.quantity < 0 for p in one.positions), settings=shrunk)
    assert [action.name for action in day.actions] == ["place", "fill"]
    assert repr(day).splitlines()[2] == "    fill 0 1 95"


def test_an_event_is_shown_in_short():
    """The fields that are not their defaults, and the time unless it is the first."""
    fill = OrderFilled(execution_id="E-1", quantity=Decimal(1), price=Decimal("2.50"), occurred_at=EPOCH)
    assert shown_event(fill) == "OrderFilled(execution_id='E-1', quantity=1, price=2.50)"
    assert repr(Action("fill", (0, Decimal(1)))) == "fill 0 1"


@given(st.data())
@settings(max_examples=5, deadline=None)
def test_a_day_played_again_is_the_same_day(data: st.DataObject):
    """The same actions give the same events, id for id."""
    day = data.draw(trading_days())
    assert TradingDay.of(day.actions).actions == day.actions
    assert [one.stream_id for one in TradingDay.of(day.actions).log] == [one.stream_id for one in day.log]
